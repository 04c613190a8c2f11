-- The statements that read and write a store as a whole. A name, what it is for, the statement.

-- name: alive
SELECT id FROM workers WHERE expires_us > ? ORDER BY id LIMIT 1;

-- name: refuse_starts
-- Who had opened the store before it was moved away would go on with it: whoever writes is told.
CREATE TRIGGER moved_away_starts BEFORE INSERT ON executions BEGIN
    SELECT RAISE(ABORT, 'its executions were moved to another store: use that one');
END;

-- name: refuse_changes
CREATE TRIGGER moved_away_changes BEFORE UPDATE ON executions BEGIN
    SELECT RAISE(ABORT, 'its executions were moved to another store: use that one');
END;

-- name: refuse_workers
CREATE TRIGGER moved_away_workers BEFORE INSERT ON workers BEGIN
    SELECT RAISE(ABORT, 'its executions were moved to another store: use that one');
END;

-- name: count
SELECT count(*) FROM executions;

-- name: executions
SELECT n, id, workflow, run, number, first_run, status, fence, recoveries, unread, cancelled_run, wake_us, created_us, updated_us,
    stored_us, deadline_us, creator_id, creator_run, creator_key, attributes, outcome
FROM executions WHERE n > ? ORDER BY n LIMIT ?;

-- name: chunks
SELECT number, upto, at_us, rows, input FROM history WHERE n = ? ORDER BY number, upto;

-- name: inbox
SELECT seq, kind, name, data, stored_us FROM inbox WHERE n = ? ORDER BY seq;

-- name: landed
SELECT dedup FROM landed WHERE n = ? ORDER BY dedup;

-- name: parked
SELECT build, kind, reason, parked_us, tries, retry_us FROM parked WHERE n = ?;

-- name: aside
SELECT seq, name, data, sent_us, error, at_us FROM aside WHERE n = ? ORDER BY seq;

-- name: events
SELECT seq, name, payload, execution, at_us FROM events WHERE seq > ? ORDER BY seq LIMIT ?;

-- name: audits
SELECT seq, execution, at_us, operator, verb, reason, detail, key FROM audit WHERE seq > ? ORDER BY seq LIMIT ?;

-- name: handlers
SELECT id, event, done FROM handlers ORDER BY id;

-- name: held_events
SELECT handler, seq, event, payload, execution, at_us, dead, attempts, first_us, due_us, error FROM held_events ORDER BY handler, seq;

-- name: write_execution
INSERT INTO executions (id, workflow, run, number, first_run, status, fence, recoveries, unread, cancelled_run, wake_us, created_us,
    updated_us, stored_us, deadline_us, creator_id, creator_run, creator_key, attributes, outcome, newest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: write_chunk
INSERT INTO history (n, number, upto, at_us, rows, input) VALUES (?, ?, ?, ?, ?, ?);

-- name: write_message
INSERT INTO inbox (n, seq, kind, name, data, stored_us) VALUES (?, ?, ?, ?, ?, ?);

-- name: write_landed
INSERT INTO landed (n, dedup) VALUES (?, ?);

-- name: write_parked
INSERT INTO parked (n, build, kind, reason, parked_us, tries, retry_us) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: write_event
INSERT INTO events (seq, name, payload, execution, run, key, at_us) VALUES (?, ?, ?, ?, '', ?, ?);

-- name: events_from
-- New events come after all that a handler has done, also where those are gone.
UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'events';

-- name: events_begun
INSERT INTO sqlite_sequence (name, seq) SELECT 'events', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'events');

-- name: write_handler
INSERT INTO handlers (id, event, done, worker) VALUES (?, ?, ?, '');

-- name: write_aside
INSERT INTO aside (n, seq, name, data, sent_us, error, at_us) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: write_held
INSERT INTO held_events (handler, seq, event, payload, execution, at_us, dead, attempts, first_us, due_us, error)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: write_audits
INSERT INTO audit (seq, execution, at_us, operator, verb, reason, detail, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?);
