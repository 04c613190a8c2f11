-- The statements about queues. The same holds for them as for those of queries.sql.

-- ── queues: joining and leaving ───────────────────────────────────────────────────────────────
-- A partition may be empty, so lists of them come as JSON arrays.

-- name: lock_queues
-- And how many have a place in each, counted up to its limit: the admitter that gives places holds this lock.
SELECT name, limits, override FROM redrive.queues WHERE name = ANY (string_to_array($1, E'\x1e')) ORDER BY name FOR NO KEY UPDATE;

-- name: open_lanes_for
-- Lanes in which something will wait, in their order.
SELECT redrive.open_lane(joined.queue, joined.partition, joined.priority, $4::bigint) FROM (
    SELECT a.queue, a.partition, min(a.priority::integer) AS priority
    FROM ROWS FROM (json_array_elements_text($1::json), json_array_elements_text($2::json), json_array_elements_text($3::json))
        AS a (queue, partition, priority)
    GROUP BY a.queue, a.partition ORDER BY a.queue, a.partition
) AS joined;

-- name: lock_lanes
-- Lanes that are left, in their order.
SELECT l.queue, l.partition FROM redrive.lanes l
JOIN ROWS FROM (json_array_elements_text($1::json), json_array_elements_text($2::json)) AS a (queue, partition)
    ON l.queue = ANY (ARRAY[a.queue]) AND l.partition = a.partition
ORDER BY l.queue, l.partition FOR NO KEY UPDATE OF l;

-- name: lock_lanes_alone
-- Lanes from which something that waits may be taken away: starts under way are waited for.
SELECT l.queue, l.partition FROM redrive.lanes l
JOIN ROWS FROM (json_array_elements_text($1::json), json_array_elements_text($2::json)) AS a (queue, partition)
    ON l.queue = ANY (ARRAY[a.queue]) AND l.partition = a.partition
ORDER BY l.queue, l.partition FOR UPDATE OF l;

-- name: insert_tickets
-- In this order: so their seqs rise.
INSERT INTO redrive.tickets (queue, partition, priority, n, since_us, due_us)
SELECT a.queue, a.partition, a.priority::integer, a.n::bigint, coalesce(nullif(a.due, '')::bigint, $6::bigint), nullif(a.due, '')::bigint
FROM ROWS FROM (json_array_elements_text($1::json), json_array_elements_text($2::json), json_array_elements_text($3::json),
    json_array_elements_text($4::json), json_array_elements_text($5::json)) WITH ORDINALITY AS a (queue, partition, priority, n, due, i)
ORDER BY a.i;

-- name: insert_dedup
INSERT INTO redrive.dedups (queue, dedup, n) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING n;

-- name: dedup_holders
SELECT a.i, (SELECT e.id FROM redrive.dedups d JOIN redrive.executions e ON e.n = ANY (ARRAY[d.n]) WHERE d.queue = a.queue AND d.dedup = a.dedup)
FROM ROWS FROM (json_array_elements_text($1::json), json_array_elements_text($2::json)) WITH ORDINALITY AS a (queue, dedup, i);

-- name: leave_queues
SELECT redrive.leave_queue(n) FROM unnest(string_to_array($1, ',')::bigint[]) AS ended (n);

-- name: idle_tickets
SELECT redrive.idle_ticket(n) FROM unnest(string_to_array($1, ',')::bigint[]) AS parked (n);

-- name: idle_places
-- Which of these have lent their place in the queue.
SELECT a.n FROM unnest(string_to_array($1, ',')::bigint[]) AS a (n) WHERE (redrive.place_of(a.n)).idle;

-- name: resume_ticket
UPDATE redrive.tickets SET idle = false, again = false WHERE seq = ANY (ARRAY (
    SELECT (redrive.place_of($1::bigint)).seq UNION ALL SELECT seq FROM redrive.tickets WHERE n = $1::bigint));

-- name: await_place_again
UPDATE redrive.tickets SET again = true WHERE n = $1;

-- name: come_first
UPDATE redrive.tickets SET priority = $2 WHERE n = $1;

-- name: begin_queued
-- Many new executions at once that wait in queues. Those whose id exists are left out.
WITH moment AS MATERIALIZED (SELECT redrive.now_us() AS now_us),
asked AS MATERIALIZED (
    SELECT a.id, a.workflow, a.run, a.attributes, a.started, a.input, a.queue, a.partition, a.priority::integer AS priority,
        nullif(a.deadline, '')::bigint AS deadline_us, a.i,
        CASE WHEN nullif(a.not_before, '')::bigint > moment.now_us THEN nullif(a.not_before, '')::bigint END AS due_us
    FROM ROWS FROM (json_array_elements_text($1::json), json_array_elements_text($2::json), json_array_elements_text($3::json),
        json_array_elements_text($4::json), json_array_elements_text($5::json), json_array_elements_text($6::json),
        json_array_elements_text($7::json), json_array_elements_text($8::json), json_array_elements_text($9::json),
        json_array_elements_text($10::json), json_array_elements_text($11::json))
        WITH ORDINALITY AS a (id, workflow, run, attributes, started, input, queue, partition, priority, deadline, not_before, i) CROSS JOIN moment
),
lanes AS MATERIALIZED (
    SELECT redrive.join_lane(joined.queue, joined.partition, joined.priority, joined.now_us) FROM (
        SELECT asked.queue, asked.partition, min(asked.priority) AS priority, min(moment.now_us) AS now_us FROM asked CROSS JOIN moment
        WHERE asked.due_us IS NULL GROUP BY asked.queue, asked.partition ORDER BY asked.queue, asked.partition
    ) AS joined
),
made AS (
    INSERT INTO redrive.executions (id, workflow, run, wake_us, stored_us, updated_us, created_us, deadline_us, attributes, queue, partition, queued)
    SELECT id, workflow, run, deadline_us, now_us, now_us, now_us, deadline_us, attributes, queue, partition, 1
    FROM asked CROSS JOIN moment WHERE (SELECT count(*) FROM lanes) >= 0 ORDER BY id
    ON CONFLICT (id) DO NOTHING
    RETURNING n, id
),
begun AS (
    INSERT INTO redrive.history (n, number, upto, at_us, rows, input)
    SELECT made.n, 1, 1, moment.now_us, asked.started, asked.input FROM made JOIN asked USING (id) CROSS JOIN moment
),
joined AS (
    INSERT INTO redrive.tickets (queue, partition, priority, n, since_us, due_us)
    SELECT asked.queue, asked.partition, asked.priority, made.n, coalesce(asked.due_us, moment.now_us), asked.due_us
    FROM made JOIN asked USING (id) CROSS JOIN moment ORDER BY asked.i
)
SELECT asked.i, moment.now_us FROM made JOIN asked USING (id) CROSS JOIN moment;

-- ── queues: admission ─────────────────────────────────────────────────────────────────────────

-- name: lock_queue
SELECT limits, override, paused, floor, turn, due_us, redrive.now_us() FROM redrive.queues WHERE name = $1 FOR NO KEY UPDATE;

-- name: begin_to_wait
-- What is due by now waits from now on.
WITH due AS MATERIALIZED (
    SELECT seq, partition, priority FROM redrive.tickets
    WHERE queue = $1 AND held_us IS NULL AND due_us IS NOT NULL AND due_us <= $2 ORDER BY due_us LIMIT 100 FOR UPDATE SKIP LOCKED
),
moved AS (
    UPDATE redrive.tickets t SET due_us = NULL, since_us = $2 FROM due WHERE t.seq = ANY (ARRAY[due.seq])
)
SELECT redrive.open_lane($1, opened.partition, opened.priority, $2) FROM (
    SELECT partition, min(priority) AS priority FROM due GROUP BY partition ORDER BY partition
) AS opened;

-- name: open_later_lanes
-- Those whose next token is due; also those that are due later than any token can be: the clock went back.
UPDATE redrive.lanes l SET state = 'ready'
FROM (
    SELECT queue, partition FROM redrive.lanes WHERE queue = $1 AND state = 'later' AND due_us <= $2 LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED
) AS due
WHERE l.queue = ANY (ARRAY[due.queue]) AND l.partition = due.partition;

-- name: open_too_late_lanes
UPDATE redrive.lanes l SET state = 'ready'
FROM (
    SELECT queue, partition FROM redrive.lanes WHERE queue = $1 AND state = 'later' AND due_us > $2 LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED
) AS due
WHERE l.queue = ANY (ARRAY[due.queue]) AND l.partition = due.partition;

-- name: begun_no_later
UPDATE redrive.begun SET at_us = $2, since_us = least(since_us, $2) WHERE queue = $1 AND at_us > $2;

-- name: forget_begun
DELETE FROM redrive.begun WHERE queue = $1 AND at_us <= $2;

-- name: begun
SELECT since_us, at_us, count FROM redrive.begun WHERE queue = $1 AND scope = $2 AND partition = $3;

-- name: count_begun
INSERT INTO redrive.begun (queue, scope, partition, since_us, at_us, count) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (queue, scope, partition, since_us) DO UPDATE SET at_us = excluded.at_us, count = excluded.count;

-- name: active
SELECT count(*) FROM (SELECT 1 FROM redrive.tickets WHERE queue = $1 AND held_us IS NOT NULL AND borrowed = 0 AND NOT idle LIMIT $2) AS held;

-- name: again_tickets
SELECT seq FROM redrive.tickets WHERE queue = $1 AND again ORDER BY priority, seq LIMIT $2;

-- name: borrowers
-- The first of each lender: one look into the index for each, as many as $2.
WITH RECURSIVE found AS (
    (SELECT seq, partition, priority, lender, 1 AS i FROM redrive.tickets
        WHERE queue = $1 AND lender IS NOT NULL AND held_us IS NULL AND due_us IS NULL ORDER BY lender, priority, seq LIMIT 1)
    UNION ALL
    SELECT later.*, found.i + 1 FROM found CROSS JOIN LATERAL (
        SELECT t.seq, t.partition, t.priority, t.lender FROM redrive.tickets t
        WHERE t.queue = $1 AND t.lender > found.lender AND t.held_us IS NULL AND t.due_us IS NULL
        ORDER BY t.lender, t.priority, t.seq LIMIT 1
    ) AS later WHERE found.i < $2
)
SELECT found.seq, found.partition, l.seq, l.partition FROM found
CROSS JOIN LATERAL (SELECT seq, partition, queue, held_us, lent_to FROM redrive.tickets WHERE tickets.seq = found.lender OFFSET 0) AS l
WHERE l.queue = $1 AND l.held_us IS NOT NULL AND l.lent_to IS NULL
ORDER BY found.priority, found.seq;

-- name: take_lanes
-- Those whose turn it is, those that wait longest, and the ones of $4; locked in their order. What others hold is left alone.
SELECT partition, level, tag, oldest_us FROM redrive.lanes
WHERE queue = $1 AND partition = ANY (
    ARRAY (SELECT partition FROM redrive.lanes WHERE queue = $1 AND state = 'ready' ORDER BY level, tag LIMIT $2)
    || ARRAY (SELECT partition FROM redrive.lanes WHERE queue = $1 AND state = 'ready' ORDER BY oldest_us LIMIT $3)
    || ARRAY (SELECT json_array_elements_text($4::json))
)
ORDER BY partition FOR NO KEY UPDATE SKIP LOCKED;

-- name: read_lanes
-- Of each: how many are held, up to $3; the first $4 that wait, the oldest $5, and what began.
SELECT a.partition,
    (SELECT count(*) FROM (
        SELECT 1 FROM redrive.tickets t WHERE t.queue = $1 AND t.partition = a.partition AND t.held_us IS NOT NULL AND t.borrowed < 2 LIMIT $3) AS held),
    (SELECT json_agg(json_build_array(seq, priority, since_us)) FROM (
        SELECT seq, priority, since_us FROM redrive.tickets t WHERE t.queue = $1 AND t.partition = a.partition AND t.held_us IS NULL AND t.due_us IS NULL
        ORDER BY t.priority, t.seq LIMIT $4) AS heads),
    (SELECT json_agg(json_build_array(seq, priority, since_us)) FROM (
        SELECT seq, priority, since_us FROM redrive.tickets t WHERE t.queue = $1 AND t.partition = a.partition AND t.held_us IS NULL AND t.due_us IS NULL
        ORDER BY t.queue, t.partition, t.seq LIMIT $5) AS elders),
    (SELECT json_agg(json_build_array(since_us, at_us, count)) FROM redrive.begun b WHERE b.queue = $1 AND b.scope = 1 AND b.partition = a.partition)
FROM json_array_elements_text($2::json) AS a (partition);

-- name: hold_tickets
-- They have a place; $3 are the lenders, $4 what is borrowed of them.
UPDATE redrive.tickets t SET held_us = $5, lender = a.lender, borrowed = a.borrowed
FROM unnest(string_to_array($1, ',')::bigint[], string_to_array($3, ',', '')::bigint[], string_to_array($4, ',')::smallint[]) AS a (seq, lender, borrowed)
WHERE t.seq = ANY (ARRAY[a.seq]) AND t.held_us IS NULL AND coalesce(t.queue, '') = $2
RETURNING t.seq, t.n;

-- name: place_again
UPDATE redrive.tickets t SET idle = false, again = false WHERE t.seq = ANY (string_to_array($1, ',')::bigint[]) RETURNING t.seq, t.n;

-- name: lend
UPDATE redrive.tickets SET lent_to = $2 WHERE seq = $1;

-- name: lock_lending
SELECT pg_advisory_xact_lock(hashtextextended('redrive.lending', 7238835));

-- name: save_lanes
UPDATE redrive.lanes l SET state = a.state, level = a.level::integer, tag = a.tag::bigint, oldest_us = a.oldest::bigint, due_us = nullif(a.due, '')::bigint
FROM ROWS FROM (json_array_elements_text($2::json), json_array_elements_text($3::json), json_array_elements_text($4::json),
    json_array_elements_text($5::json), json_array_elements_text($6::json), json_array_elements_text($7::json))
    AS a (partition, state, level, tag, oldest, due)
WHERE l.queue = $1 AND l.partition = ANY (ARRAY[a.partition]);

-- name: lock_empty_lanes
-- Starts under way hold their lane: such a one is looked at again.
SELECT partition FROM redrive.lanes WHERE queue = $1 AND partition = ANY (ARRAY (SELECT json_array_elements_text($2::json)))
ORDER BY partition FOR UPDATE SKIP LOCKED;

-- name: idle_lanes
UPDATE redrive.lanes l SET state = 'idle'
FROM json_array_elements_text($2::json) AS a (partition)
WHERE l.queue = $1 AND l.partition = ANY (ARRAY[a.partition]) AND CASE WHEN (
    SELECT t.seq FROM redrive.tickets t WHERE t.queue = $1 AND t.partition = a.partition AND t.held_us IS NULL AND t.due_us IS NULL LIMIT 1
) IS NULL THEN true END;

-- name: save_queue
UPDATE redrive.queues SET floor = $2, turn = $3, due_us = $4 WHERE name = $1;

-- name: admit_executions
-- What has ended is not woken.
UPDATE redrive.executions e SET queued = 2, wake_us = CASE WHEN e.status = 'paused' THEN e.wake_us ELSE $2 END, updated_us = $2
FROM (
    SELECT n FROM redrive.executions WHERE n = ANY (string_to_array($1, ',')::bigint[]) AND queued = 1
        AND status NOT IN ('completed', 'failed', 'compensation_failed', 'cancelled')
    ORDER BY n + 0 FOR NO KEY UPDATE
) AS held
WHERE e.n = ANY (ARRAY[held.n])
RETURNING e.n, e.status IN ('paused', 'parked');

-- name: claim_admitted
-- Of what was admitted, what the worker has the code of, and its build has not parked.
UPDATE redrive.executions e SET owner = $1, fence = e.fence + 1
FROM unnest(string_to_array($5, ',')::bigint[]) WITH ORDINALITY AS a (n, i)
LEFT JOIN LATERAL (SELECT number, length, count, parks FROM redrive.deaths WHERE deaths.n = a.n AND build = $4 OFFSET 0) AS d ON true
WHERE e.n = ANY (ARRAY[a.n]) AND coalesce(e.owner, '') = '' AND e.status NOT IN ('parked', 'paused') AND coalesce(e.wake_us, $3 + 1) <= $3
    AND coalesce(e.workflow, '') = ANY (string_to_array($2, E'\x1e'))
    AND CASE WHEN (SELECT parked.n FROM redrive.parked WHERE parked.n = e.n AND coalesce(parked.build, '') = $4) IS NULL THEN true END
RETURNING a.i, e.id, e.workflow, e.run, e.number, e.length, e.fence - 1, e.recoveries, e.rested,
    e.queued > 0 OR e.host IS NOT NULL, CASE WHEN e.queued > 0 THEN e.queue END, e.partition, NULL, 0, d.number, d.length, d.count, d.parks;

-- name: next_admission
-- Of these queues: whether they are paused, their limits, when the next token is due, how many are active, whether something waits, and
-- when something will.
SELECT q.name, q.paused, q.limits, q.override, q.due_us, redrive.now_us(),
    CASE WHEN $2::boolean THEN (SELECT count(*) FROM (
        SELECT 1 FROM redrive.tickets t WHERE t.queue = q.name AND t.held_us IS NOT NULL AND t.borrowed = 0 AND NOT t.idle
        LIMIT coalesce((coalesce(q.override, q.limits)::json ->> 'concurrency')::integer, 0)) AS held) END,
    (SELECT l.state FROM redrive.lanes l WHERE l.queue = q.name AND l.state = 'ready' LIMIT 1) IS NOT NULL,
    (SELECT t.seq FROM redrive.tickets t WHERE t.queue = q.name AND t.again LIMIT 1) IS NOT NULL,
    (SELECT t.seq FROM redrive.tickets t JOIN redrive.tickets l ON l.seq = ANY (ARRAY[t.lender])
        WHERE t.queue = q.name AND t.lender IS NOT NULL AND t.held_us IS NULL AND t.due_us IS NULL AND l.held_us IS NOT NULL AND l.lent_to IS NULL
        LIMIT 1) IS NOT NULL,
    (SELECT l.due_us FROM redrive.lanes l WHERE l.queue = q.name AND l.state = 'later' ORDER BY l.due_us LIMIT 1),
    (SELECT t.due_us FROM redrive.tickets t WHERE t.queue = q.name AND t.held_us IS NULL AND t.due_us IS NOT NULL ORDER BY t.due_us LIMIT 1)
FROM redrive.queues q WHERE q.name = ANY (string_to_array($1, E'\x1e'));

-- ── queues: what each execution waits for ─────────────────────────────────────────────────────

-- name: set_awaits
UPDATE redrive.executions SET awaits = $2 WHERE n = $1;

-- name: kin
SELECT e.n, e.awaits, e.creator_id, t.seq, t.queue, t.held_us FROM redrive.executions e LEFT JOIN redrive.tickets t ON t.n = e.n WHERE e.id = $1;

-- name: set_lender
UPDATE redrive.tickets SET lender = $2::bigint WHERE n = $1 AND held_us IS NULL AND lender IS DISTINCT FROM $2::bigint;

-- ── queues: sweeping ──────────────────────────────────────────────────────────────────────────

-- name: ended_tickets
-- Of a queue, those whose execution was ended by a release that knows of no queues.
SELECT t.n, t.partition FROM redrive.tickets t
WHERE t.queue = $1 AND t.held_us IS NOT NULL AND t.borrowed < 2 AND CASE WHEN (
    SELECT e.status NOT IN ('completed', 'failed', 'compensation_failed', 'cancelled') FROM redrive.executions e WHERE e.n = t.n
) THEN false ELSE true END
LIMIT 100;

-- name: look_again
-- Whatever the lanes of a queue say: the next admission counts.
UPDATE redrive.lanes l SET state = 'ready', oldest_us = least(l.oldest_us, redrive.now_us())
FROM (
    SELECT o.partition FROM redrive.lanes o WHERE o.queue = $1 AND o.state <> 'ready' AND (
        SELECT t.seq FROM redrive.tickets t WHERE t.queue = $1 AND t.partition = o.partition AND t.held_us IS NULL AND t.due_us IS NULL LIMIT 1) IS NOT NULL
    ORDER BY o.partition LIMIT 1000 FOR NO KEY UPDATE OF o SKIP LOCKED
) AS held
WHERE l.queue = $1 AND l.partition = ANY (ARRAY[held.partition]);

-- name: forget_lanes
DELETE FROM redrive.lanes l USING (
    SELECT o.partition FROM redrive.lanes o WHERE o.queue = $1 AND o.state = 'idle'
        AND CASE WHEN (SELECT t.seq FROM redrive.tickets t WHERE t.queue = $1 AND t.partition = o.partition AND t.held_us IS NOT NULL AND t.borrowed < 2 LIMIT 1) IS NULL THEN true END
        AND CASE WHEN (SELECT t.seq FROM redrive.tickets t WHERE t.queue = $1 AND t.partition = o.partition AND t.held_us IS NULL AND t.due_us IS NULL LIMIT 1) IS NULL THEN true END
    ORDER BY o.partition LIMIT 1000 FOR UPDATE OF o SKIP LOCKED
) AS held
WHERE l.queue = $1 AND l.partition = ANY (ARRAY[held.partition]);

-- ── queues: what is declared, and what people see ─────────────────────────────────────────────

-- name: old_workers
SELECT id FROM redrive.workers WHERE id >= '' AND release = 0 AND expires_us > (SELECT redrive.now_us()) ORDER BY id;

-- name: insert_queues
INSERT INTO redrive.queues (name) SELECT unnest(string_to_array($1, E'\x1e')) ORDER BY 1 ON CONFLICT DO NOTHING;

-- name: require_release
-- Workers of a release that knows of no queues are refused from now on.
UPDATE redrive.schema_version SET oldest = greatest(oldest, 12) WHERE oldest < 12;

-- name: declarations
SELECT build, limits, first_us, seen_us FROM redrive.declarations WHERE queue = $1;

-- name: set_declaration
INSERT INTO redrive.declarations (queue, build, limits, first_us, seen_us) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (queue, build) DO UPDATE SET limits = excluded.limits, first_us = excluded.first_us, seen_us = excluded.seen_us;

-- name: forget_declarations
DELETE FROM redrive.declarations WHERE queue = $1 AND seen_us < $2;

-- name: set_limits
UPDATE redrive.queues SET limits = $2, due_us = 0 WHERE name = $1;

-- name: set_override
UPDATE redrive.queues SET override = $2, due_us = 0 WHERE name = $1 RETURNING name;

-- name: set_paused
UPDATE redrive.queues SET paused = $2 WHERE name = $1 RETURNING name;

-- name: open_lane_without_name
UPDATE redrive.lanes SET state = 'ready' WHERE queue = $1 AND partition = '' AND state IN ('full', 'later');

-- name: open_lanes
-- The limits have changed: what was full may not be. In batches: a million lanes are not opened in one transaction.
WITH held AS MATERIALIZED (
    SELECT partition FROM redrive.lanes WHERE queue = $1 AND partition > $2 ORDER BY partition LIMIT 1000 FOR NO KEY UPDATE
),
opened AS (
    UPDATE redrive.lanes l SET state = 'ready' FROM held WHERE l.queue = $1 AND l.partition = ANY (ARRAY[held.partition]) AND l.state IN ('full', 'later')
)
SELECT max(partition) FROM held;

-- name: set_workflow_queue
INSERT INTO redrive.workflow_queues AS w (workflow, queue, partitioned) VALUES ($1, $2, $3)
ON CONFLICT (workflow) DO UPDATE SET queue = excluded.queue, partitioned = excluded.partitioned
WHERE w.queue IS DISTINCT FROM excluded.queue OR w.partitioned <> excluded.partitioned;

-- name: workflow_queue
SELECT queue, partitioned FROM redrive.workflow_queues WHERE workflow = $1;

-- name: queue_names
-- One look into the index for each.
WITH RECURSIVE found AS (
    (SELECT queue FROM redrive.lanes WHERE queue >= '' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT l.queue FROM redrive.lanes l WHERE l.queue > found.queue ORDER BY l.queue LIMIT 1) FROM found WHERE found.queue IS NOT NULL
)
SELECT queue FROM found WHERE queue IS NOT NULL UNION SELECT name FROM redrive.queues WHERE name >= '';

-- name: queue_state
SELECT a.name, q.name IS NOT NULL, q.limits, q.override, q.paused, q.due_us, redrive.now_us(),
    (SELECT count(*) FROM redrive.tickets t WHERE t.queue = a.name AND t.held_us IS NULL AND t.due_us IS NULL),
    (SELECT count(*) FROM redrive.tickets t WHERE t.queue = a.name AND t.held_us IS NULL AND t.due_us IS NOT NULL),
    (SELECT count(*) FROM redrive.tickets t WHERE t.queue = a.name AND t.held_us IS NOT NULL AND t.borrowed < 2),
    (SELECT count(*) FROM redrive.tickets t WHERE t.lender > 0 AND coalesce(t.queue, '') = a.name AND t.borrowed = 2),
    (SELECT count(*) FROM redrive.tickets t WHERE t.queue = a.name AND t.held_us IS NOT NULL AND t.borrowed < 2 AND t.idle),
    (SELECT min(t.since_us) FROM redrive.tickets t WHERE t.queue = a.name AND t.held_us IS NULL AND t.due_us IS NULL),
    (SELECT count(*) FROM redrive.workers w WHERE w.id >= '' AND w.expires_us > redrive.now_us() AND w.queues::jsonb ? a.name),
    (SELECT coalesce(sum(b.count), 0) FROM redrive.begun b WHERE b.queue = a.name AND b.scope = 0 AND b.at_us > redrive.now_us() - 60000000),
    (SELECT coalesce(sum(b.count), 0) FROM redrive.begun b WHERE b.queue = a.name AND b.scope = 1 AND b.at_us > redrive.now_us() - 60000000)
FROM unnest(string_to_array($1, E'\x1e')) AS a (name) LEFT JOIN redrive.queues q ON q.name = ANY (ARRAY[a.name]) ORDER BY a.name;

-- name: partitions
WITH mine AS (
    SELECT partition, false AS held, since_us FROM redrive.tickets WHERE queue = $1 AND held_us IS NULL AND due_us IS NULL
    UNION ALL SELECT partition, false, since_us FROM redrive.tickets WHERE queue = $1 AND held_us IS NULL AND due_us IS NOT NULL
    UNION ALL SELECT partition, true, NULL FROM redrive.tickets WHERE queue = $1 AND held_us IS NOT NULL AND borrowed < 2
    UNION ALL SELECT partition, true, NULL FROM redrive.tickets WHERE lender > 0 AND coalesce(queue, '') = $1 AND borrowed = 2
)
SELECT partition, count(*) FILTER (WHERE NOT held), count(*) FILTER (WHERE held), min(since_us) AS oldest
FROM mine GROUP BY partition ORDER BY oldest NULLS LAST, partition;

-- name: place
SELECT t.queue, t.partition, t.priority, t.held_us IS NOT NULL AND NOT t.again,
    CASE WHEN t.held_us IS NULL THEN (SELECT count(*) FROM (
        SELECT 1 FROM redrive.tickets o WHERE o.queue = t.queue AND o.partition = t.partition AND o.held_us IS NULL AND o.due_us IS NULL
            AND (o.priority, o.seq) < (t.priority, t.seq) LIMIT $2) AS ahead) ELSE 0 END,
    CASE WHEN t.held_us IS NULL THEN (SELECT count(*) FROM (
        SELECT 1 FROM redrive.tickets o WHERE o.queue = t.queue AND o.partition = t.partition AND o.held_us IS NULL AND o.due_us IS NULL
        LIMIT $2) AS waiting) ELSE 0 END
FROM redrive.executions e JOIN redrive.tickets t ON t.n = ANY (ARRAY[e.n]) WHERE e.id = $1;
