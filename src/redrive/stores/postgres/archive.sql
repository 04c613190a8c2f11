-- The statements that read and write a store as a whole. A name, what it is for, the statement.

-- name: alone
-- Who reads goes on; who would write waits until we are done.
LOCK TABLE redrive.executions, redrive.workers, redrive.events, redrive.handlers, redrive.held_events, redrive.aside, redrive.audit IN SHARE ROW EXCLUSIVE MODE;

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

-- name: count
SELECT count(*) FROM redrive.executions;

-- name: used
SELECT EXISTS (SELECT 1 FROM redrive.executions) OR EXISTS (SELECT 1 FROM redrive.events) OR EXISTS (SELECT 1 FROM redrive.handlers);

-- name: executions
SELECT n, id, workflow, run, number, first_run, status, fence, recoveries, unread, cancelled_run, wake_us, created_us, updated_us,
    stored_us, deadline_us, creator_id, creator_run, creator_key, attributes, outcome
FROM redrive.executions WHERE n > $1 ORDER BY n LIMIT $2;

-- name: chunks
SELECT n, number, upto, at_us, rows, input FROM redrive.history WHERE n = ANY ($1) ORDER BY n, number, upto;

-- name: inbox
SELECT n, seq, kind, name, data, stored_us FROM redrive.inbox WHERE n = ANY ($1) ORDER BY n, seq;

-- name: landed
SELECT n, dedup FROM redrive.landed WHERE n = ANY ($1) ORDER BY n;

-- name: parked
SELECT n, build, kind, reason, parked_us, tries, retry_us FROM redrive.parked WHERE n = ANY ($1) ORDER BY n;

-- name: aside
SELECT n, seq, name, data, sent_us, error, at_us FROM redrive.aside WHERE n = ANY ($1) ORDER BY n, seq;

-- name: events
SELECT seq, name, payload, execution, at_us FROM redrive.events WHERE seq > $1 ORDER BY seq LIMIT $2;

-- name: audits
SELECT seq, execution, at_us, operator, verb, reason, detail, key FROM redrive.audit WHERE seq > $1 ORDER BY seq LIMIT $2;

-- name: handlers
SELECT id, event, done FROM redrive.handlers ORDER BY id;

-- name: held_events
SELECT handler, seq, event, payload, execution, at_us, dead, attempts, first_us, due_us, error FROM redrive.held_events ORDER BY handler, seq;

-- name: mark
UPDATE redrive.schema_version SET number = $1, oldest = $2;

-- name: write_executions
COPY redrive.executions (n, id, workflow, run, number, first_run, status, fence, recoveries, unread, cancelled_run, wake_us, created_us,
    updated_us, stored_us, deadline_us, creator_id, creator_run, creator_key, attributes, outcome, length, newest) FROM STDIN;

-- name: write_chunks
COPY redrive.history (n, number, upto, at_us, rows, input) FROM STDIN;

-- name: write_messages
COPY redrive.inbox (n, seq, kind, name, data, stored_us) FROM STDIN;

-- name: write_landed
COPY redrive.landed (n, dedup) FROM STDIN;

-- name: write_parked
COPY redrive.parked (n, build, kind, reason, parked_us, tries, retry_us) FROM STDIN;

-- name: write_events
-- What made an event land once is not needed any more; but it must be of its own.
COPY redrive.events (seq, name, payload, execution, n, number, key, at_us) FROM STDIN;

-- name: write_handlers
COPY redrive.handlers (id, event, done, worker) FROM STDIN;

-- name: write_aside
COPY redrive.aside (n, seq, name, data, sent_us, error, at_us) FROM STDIN;

-- name: write_held
COPY redrive.held_events (handler, seq, event, payload, execution, at_us, dead, attempts, first_us, due_us, error) FROM STDIN;

-- name: numbered_on
-- What is new comes after all that is old.
SELECT setval(pg_get_serial_sequence('redrive.executions', 'n'), greatest(1, (SELECT max(n) FROM redrive.executions))),
    setval(pg_get_serial_sequence('redrive.aside', 'seq'), greatest(1, (SELECT max(seq) FROM redrive.aside))),
    setval(pg_get_serial_sequence('redrive.audit', 'seq'), greatest(1, (SELECT max(seq) FROM redrive.audit))),
    setval('redrive.messages', greatest(1, (SELECT max(seq) FROM redrive.inbox)));

-- name: events_from
UPDATE redrive.counters
SET value = greatest(value, (SELECT max(seq) FROM redrive.events), (SELECT max(done) FROM redrive.handlers)) WHERE name = 'events';

-- name: write_audits
COPY redrive.audit (seq, execution, at_us, operator, verb, reason, detail, key) FROM STDIN;
