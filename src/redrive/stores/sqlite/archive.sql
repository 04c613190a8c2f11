-- Statements of the SQLite archive, apart from those that read and write its tables. A name, what it is for, the statement.

-- name: alive
SELECT id FROM workers WHERE expires_us > ? ORDER BY id LIMIT 1;

-- name: refuse_starts
-- Who had opened the store before it was moved away would continue to use it: its writes are refused.
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

-- name: events_from
-- New events come after all that a handler has done, also where those are gone.
UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'events';

-- name: events_begun
INSERT INTO sqlite_sequence (name, seq) SELECT 'events', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'events');

-- name: write_waits
-- With the last chunk, where those of the other ones are of no account.
UPDATE history SET waits = ? WHERE n = ? AND number = ? AND upto = (SELECT max(upto) FROM history last WHERE last.n = ? AND last.number = ?);

-- name: behind_upto
-- Those that have not ended and came without waits.
UPDATE counters SET value = (
    SELECT coalesce(max(n), 0) FROM executions WHERE status NOT IN ('completed', 'failed', 'compensation_failed', 'cancelled')
        AND (SELECT waits FROM history WHERE history.n = executions.n AND history.number = executions.number ORDER BY upto DESC LIMIT 1) IS NULL
) WHERE name = 'behind';
