-- What a purge needs: which runs are there still, how long live workers want things kept, and whose an event is that was held.

ALTER TABLE redrive.executions ADD COLUMN oldest_run integer NOT NULL DEFAULT 1; -- those before it were purged
CREATE INDEX with_old_runs ON redrive.executions (n) WHERE oldest_run < number;
CREATE INDEX held_of ON redrive.held_events (execution) WHERE dead;

CREATE TABLE redrive.retentions (
    worker text COLLATE "C" PRIMARY KEY,
    stated_us bigint NOT NULL,
    workflows text COLLATE "C" NOT NULL,  -- a JSON array
    keep text COLLATE "C" NOT NULL        -- a JSON object: microseconds by status
);

-- Chunks of history that nobody can reach any more, still to be deleted, a few at a time: of the runs *first* to *last* of what was, or
-- is, execution *n*; but not the input of a run that is still the start of a life.
CREATE TABLE redrive.garbage (
    n bigint NOT NULL,
    first integer NOT NULL,
    last integer NOT NULL,
    kept integer NOT NULL,
    PRIMARY KEY (n, first)
);
