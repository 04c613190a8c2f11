-- What is run on a connection of the user's, by whatever driver: parameters are named.

-- name: begin
-- The clock is that of the statement, not of the transaction, which may have begun long ago.
WITH moment AS MATERIALIZED (SELECT redrive.now_us() AS now_us),
made AS (
    INSERT INTO redrive.executions (id, workflow, run, wake_us, stored_us, updated_us, created_us, deadline_us, attributes, waits)
    SELECT %(id)s, %(workflow)s, %(run)s, coalesce(%(not_before_us)s::bigint, now_us), now_us, now_us, now_us, %(deadline_us)s::bigint,
        %(attributes)s, ''
    FROM moment
    ON CONFLICT (id) DO NOTHING
    RETURNING n
),
begun AS (
    INSERT INTO redrive.history (n, number, upto, at_us, rows, input)
    SELECT made.n, 1, 1, moment.now_us, %(started)s, %(input)s FROM made CROSS JOIN moment
),
searched AS (
    INSERT INTO redrive.attributes (n, name, value)
    SELECT made.n, new.name, new.value
    FROM made CROSS JOIN unnest(string_to_array(%(names)s, E'\x1e', ''), string_to_array(%(texts)s, E'\x1e', '')) AS new (name, value)
)
SELECT n FROM made;

-- name: begin_queued
-- Of one that waits in a queue. Its ticket counts as one that comes later, and has come: the admitting worker puts it into its lane, so that
-- this transaction, which may stay open for long, holds no lock that others wait for.
WITH moment AS MATERIALIZED (SELECT redrive.now_us() AS now_us),
made AS (
    INSERT INTO redrive.executions (id, workflow, run, wake_us, stored_us, updated_us, created_us, deadline_us, attributes, queue, partition,
        queued)
    SELECT %(id)s, %(workflow)s, %(run)s, %(deadline_us)s::bigint, now_us, now_us, now_us, %(deadline_us)s::bigint, %(attributes)s,
        %(queue)s, %(partition)s, 1
    FROM moment
    ON CONFLICT (id) DO NOTHING
    RETURNING n
),
begun AS (
    INSERT INTO redrive.history (n, number, upto, at_us, rows, input)
    SELECT made.n, 1, 1, moment.now_us, %(started)s, %(input)s FROM made CROSS JOIN moment
),
joined AS (
    INSERT INTO redrive.tickets (queue, partition, priority, n, since_us, due_us)
    SELECT %(queue)s, %(partition)s, %(priority)s::integer, made.n, moment.now_us, coalesce(%(not_before_us)s::bigint, moment.now_us)
    FROM made CROSS JOIN moment
)
SELECT n FROM made;

-- name: standing
SELECT e.n, e.workflow, e.number, h.input FROM redrive.executions e
JOIN redrive.history h ON h.n = e.n AND h.number = e.first_run AND h.upto = 1
WHERE e.id = %(id)s;

-- name: first_row
SELECT rows FROM redrive.history WHERE n = %(n)s AND number = 1 AND upto = 1;

-- name: tell
-- Sent when the transaction commits.
SELECT pg_notify(%(channel)s, %(payload)s);
