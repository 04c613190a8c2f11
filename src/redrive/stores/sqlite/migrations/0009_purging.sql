-- What a purge needs: which runs are there still, how long live workers want things kept, and whose an event is that was held.

ALTER TABLE executions ADD COLUMN oldest_run INTEGER NOT NULL DEFAULT 1; -- those before it were purged
CREATE INDEX with_old_runs ON executions (n) WHERE oldest_run < number;
CREATE INDEX held_of ON held_events (execution) WHERE dead = 1;

CREATE TABLE retentions (
    worker TEXT PRIMARY KEY,
    stated_us INTEGER NOT NULL,
    workflows TEXT NOT NULL,              -- a JSON array
    keep TEXT NOT NULL                    -- a JSON object: microseconds by status
) STRICT, WITHOUT ROWID;
