-- Statements of the PostgreSQL archive, apart from those that read and write its tables. A name, what it is for, the statement.

-- name: alone
-- Who reads goes on; who would write waits until we are done.
LOCK TABLE redrive.executions, redrive.workers, redrive.events, redrive.handlers, redrive.held_events, redrive.aside, redrive.audit, redrive.attributes,
    redrive.schedules, redrive.left_out, redrive.queues, redrive.tickets IN SHARE ROW EXCLUSIVE MODE;

-- name: refusal
-- Who had opened a store before it was moved away, or before it was filled, would go on with it: it is told when it
-- writes. The code says that the tables are not what they were.
CREATE OR REPLACE FUNCTION redrive.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = '42P01'; END $$;

-- name: refuse_executions
-- Nobody sees it before it is committed, together with the mark.
CREATE TRIGGER moved_away BEFORE INSERT OR UPDATE OR DELETE ON redrive.executions
FOR EACH STATEMENT EXECUTE FUNCTION redrive.refuse('its executions were moved to another store: use that one');

-- name: refuse_workers
CREATE TRIGGER moved_away BEFORE INSERT OR UPDATE OR DELETE ON redrive.workers
FOR EACH STATEMENT EXECUTE FUNCTION redrive.refuse('its executions were moved to another store: use that one');

-- name: refuse_early_workers
CREATE TRIGGER unfinished BEFORE INSERT OR UPDATE OR DELETE ON redrive.workers
FOR EACH STATEMENT EXECUTE FUNCTION redrive.refuse('it is being filled from another store');

-- name: admit_workers
DROP TRIGGER unfinished ON redrive.workers;

-- name: alive
SELECT id FROM redrive.workers WHERE expires_us > redrive.now_us() ORDER BY id LIMIT 1;

-- name: used
SELECT EXISTS (SELECT 1 FROM redrive.executions) OR EXISTS (SELECT 1 FROM redrive.events) OR EXISTS (SELECT 1 FROM redrive.handlers)
    OR EXISTS (SELECT 1 FROM redrive.schedules);

-- name: forget_declared
-- What a worker without executions has said of queues.
WITH workflows AS (DELETE FROM redrive.workflow_queues) DELETE FROM redrive.queues;

-- name: mark
UPDATE redrive.schema_version SET number = $1, oldest = $2;

-- name: behind_upto
-- Those that have not ended and came without waits.
UPDATE redrive.counters SET value = (SELECT coalesce(max(n), 0) FROM redrive.executions WHERE open_n IS NOT NULL AND waits IS NULL)
WHERE name = 'behind';

-- name: numbered_on
-- What is new comes after all that is old.
SELECT setval(pg_get_serial_sequence('redrive.executions', 'n'), greatest(1, (SELECT max(n) FROM redrive.executions))),
    setval(pg_get_serial_sequence('redrive.aside', 'seq'), greatest(1, (SELECT max(seq) FROM redrive.aside))),
    setval(pg_get_serial_sequence('redrive.audit', 'seq'), greatest(1, (SELECT max(seq) FROM redrive.audit))),
    setval(pg_get_serial_sequence('redrive.left_out', 'seq'), greatest(1, (SELECT max(seq) FROM redrive.left_out))),
    setval(pg_get_serial_sequence('redrive.tickets', 'seq'), greatest(1, (SELECT max(seq) FROM redrive.tickets))),
    setval('redrive.messages', greatest(1, (SELECT max(seq) FROM redrive.inbox)));

-- name: events_from
UPDATE redrive.counters
SET value = greatest(value, (SELECT max(seq) FROM redrive.events), (SELECT max(done) FROM redrive.handlers)) WHERE name = 'events';
