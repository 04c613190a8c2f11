-- Every statement of the PostgreSQL store but its schema. A name, what it is for, the statement.
-- A list of texts comes as one text with a separator (parameters.py), which is read faster than an array.
--
-- A connection keeps a statement's plan from when the tables were small, so each has one plan only that can be chosen. How:
--
-- 1. No table, and no sequence, is read without a condition that an index has: where all of a small table is meant, one that
--    is always true. Sessions have sequential scans off, which makes a statement that needs one look dear enough to compile it.
-- 2. `e.n = ANY (ARRAY[held.n])` joins by a look into the index for each row of the other side. An `=` could be joined the other
--    way round, too: all of the table, in the order of the index, and for each of its rows a look through the few.
-- 3. `ORDER BY n + 0` sorts what was found by another condition. `ORDER BY n` could read the whole table in that order, and filter.
-- 4. `coalesce(owner, '')` is compared where another index is to be used: by the index of owners, all that one owns would be read.
-- 5. A list of one workflow or status is asked for from it up to it: with an `=`, the order of `n` alone would do.
--    And what is looked for in the order of an index is not said to be rare (a subquery that IS NULL), or all of it would be sorted.
-- 6. A lookup in a subquery with OFFSET 0, or one that stands for a value, is made as it is written, not turned into a join.

-- ── turns ─────────────────────────────────────────────────────────────────────────────────────

-- name: advance
-- Many turns at once: those that take all that is in the inbox, ask nothing of others, and end no child.
WITH moment AS MATERIALIZED (SELECT redrive.now_us() AS now_us),
asked AS MATERIALIZED (
    SELECT * FROM unnest(
        string_to_array($1, E'\x1e'), string_to_array($2, ',')::bigint[], string_to_array($3, ',')::integer[],
        string_to_array($4, ',')::integer[], string_to_array($5, ',')::integer[], string_to_array($6, ','),
        string_to_array($7, ',', '')::bigint[], string_to_array($8, ',')::bigint[], string_to_array($9, ',')::integer[],
        string_to_array($10, E'\x1e', ''), string_to_array($11, E'\x1e', ''), string_to_array($12, E'\x1e', ''),
        string_to_array($13, ',', '')::bigint[], string_to_array($14, E'\x1e', '')
    ) WITH ORDINALITY AS asked (id, fence, number, expects, added, status, wake_us, taken, unread, rows, attributes, outcome, deadline_us,
        waits, i)
),
held AS MATERIALIZED (
    SELECT e.n, asked.*, asked.status IN ('completed', 'failed', 'compensation_failed', 'cancelled') AS ends
    FROM asked JOIN redrive.executions e ON e.id = ANY (ARRAY[asked.id])
    WHERE e.fence = asked.fence AND coalesce(e.owner, '') <> '' AND e.number = asked.number AND e.length = asked.expects
        AND e.newest <= asked.taken AND e.status NOT IN ('parked', 'paused')
        AND coalesce(asked.deadline_us > (SELECT now_us FROM moment), true)
        AND (e.queued = 0 OR (e.queued = 2 AND asked.status NOT IN ('completed', 'failed', 'compensation_failed', 'cancelled')))
        AND (e.creator_id IS NULL OR asked.status NOT IN ('completed', 'failed', 'compensation_failed', 'cancelled'))
    ORDER BY e.n + 0 FOR NO KEY UPDATE OF e
),
turned AS (
    UPDATE redrive.executions e
    SET length = e.length + held.added, status = held.status, unread = held.unread, newest = 0, updated_us = moment.now_us,
        recoveries = CASE WHEN held.added > 0 THEN 0 ELSE e.recoveries END,
        attributes = coalesce(held.attributes, e.attributes), waits = coalesce(held.waits, ''),
        owner = CASE WHEN held.ends THEN NULL ELSE e.owner END,
        wake_us = CASE WHEN held.ends THEN NULL ELSE held.wake_us END,
        outcome = CASE WHEN held.ends THEN held.outcome ELSE e.outcome END
    FROM held CROSS JOIN moment WHERE e.n = ANY (ARRAY[held.n])
    RETURNING held.i, e.n
),
written AS (
    INSERT INTO redrive.history (n, number, upto, at_us, rows)
    SELECT held.n, held.number, held.expects + held.added, moment.now_us, held.rows FROM held CROSS JOIN moment WHERE held.rows IS NOT NULL
),
read AS (
    DELETE FROM redrive.inbox USING held WHERE held.taken > 0 AND inbox.n = ANY (ARRAY[held.n]) AND inbox.seq <= held.taken
)
SELECT turned.i, moment.now_us FROM turned CROSS JOIN moment;

-- name: index_turned
-- Part of `advance`, where turns change by what texts their executions are searched: nothing is written for those that stay.
noted AS MATERIALIZED (
    SELECT turned.n, new.name, new.value FROM unnest(
        string_to_array($15, ',')::bigint[], string_to_array($16, E'\x1e'), string_to_array($17, E'\x1e', '')
    ) AS new (i, name, value) JOIN turned USING (i)
),
forgotten AS (
    DELETE FROM redrive.attributes a USING (SELECT DISTINCT n, name FROM noted) AS changed
    WHERE a.n = ANY (ARRAY[changed.n]) AND a.name = changed.name
        AND NOT EXISTS (SELECT 1 FROM noted WHERE noted.n = a.n AND noted.name = a.name AND noted.value = a.value)
),
searched AS (
    INSERT INTO redrive.attributes (n, name, value) SELECT n, name, value FROM noted WHERE value IS NOT NULL ON CONFLICT DO NOTHING
);

-- name: advance_one
-- The same for one turn, which takes nothing from the inbox: half the time on the server.
WITH moment AS MATERIALIZED (SELECT redrive.now_us() AS now_us),
turned AS (
    UPDATE redrive.executions e
    SET length = e.length + $5::integer, status = $6, unread = $8::integer, updated_us = moment.now_us,
        recoveries = CASE WHEN $5 > 0 THEN 0 ELSE e.recoveries END,
        attributes = coalesce($10, e.attributes), waits = $14,
        owner = CASE WHEN $12::boolean THEN NULL ELSE e.owner END,
        wake_us = CASE WHEN $12 THEN NULL ELSE $7::bigint END,
        outcome = CASE WHEN $12 THEN $11 ELSE e.outcome END
    FROM moment
    WHERE e.id = $1 AND e.fence = $2::bigint AND coalesce(e.owner, '') <> '' AND e.number = $3::integer AND e.length = $4::integer
        AND e.newest = 0 AND e.status NOT IN ('parked', 'paused') AND (e.creator_id IS NULL OR NOT $12)
        AND (e.queued = 0 OR (e.queued = 2 AND NOT $12))
        AND coalesce($13::bigint > moment.now_us, true)
    RETURNING e.n, e.number, e.length, moment.now_us
),
written AS (
    INSERT INTO redrive.history (n, number, upto, at_us, rows) SELECT n, number, length, now_us, $9 FROM turned WHERE $9::text IS NOT NULL
)
SELECT now_us FROM turned;

-- name: now
SELECT redrive.now_us();

-- name: patience
-- A worker that stops in the middle must not keep others waiting for its locks.
SET LOCAL idle_in_transaction_session_timeout = '10s';

-- name: impatience
-- Somebody's open transaction may have begun to start what is started here: others shall not wait for it, too.
SET LOCAL lock_timeout = '300ms';

-- name: lock
-- These, and the parents of some of them.
SELECT n, id, workflow, run, number, length, status, owner, fence, wake_us, recoveries, unread, stored_us, cancelled_run,
    creator_id, creator_run, creator_key, first_run, newest, root_id, queue, partition, queued, host
FROM redrive.executions
WHERE id = ANY (string_to_array($1, E'\x1e') || ARRAY (
    SELECT child.creator_id FROM unnest(string_to_array($2, E'\x1e')) AS ended (id)
    JOIN redrive.executions child ON child.id = ANY (ARRAY[ended.id]) AND coalesce(child.creator_id, '') <> ''
))
ORDER BY n + 0 FOR NO KEY UPDATE;

-- name: save
UPDATE redrive.executions e
SET workflow = new.workflow, run = new.run, number = new.number, length = new.length, status = new.status, owner = new.owner,
    fence = new.fence, wake_us = new.wake_us, recoveries = new.recoveries, unread = new.unread, stored_us = new.stored_us,
    cancelled_run = new.cancelled_run, queued = new.queued, updated_us = $14,
    waits = CASE WHEN new.sets_waits = 1 THEN coalesce(new.waits, '') ELSE e.waits END,
    newest = (SELECT coalesce(max(seq), 0) FROM redrive.inbox WHERE inbox.n = e.n),
    outcome = CASE WHEN new.has_outcome = 1 THEN new.outcome ELSE e.outcome END
FROM unnest(
    string_to_array($1, ',')::bigint[], string_to_array($2, E'\x1e'), string_to_array($3, E'\x1e'), string_to_array($4, ',')::integer[],
    string_to_array($5, ',')::integer[], string_to_array($6, ','), string_to_array($7, E'\x1e', ''), string_to_array($8, ',')::bigint[],
    string_to_array($9, ',', '')::bigint[], string_to_array($10, ',')::integer[], string_to_array($11, ',')::integer[],
    string_to_array($12, ',')::bigint[], string_to_array($13, ',')::integer[], string_to_array($15, ',')::integer[],
    string_to_array($16, E'\x1e', ''), string_to_array($17, ',')::integer[], string_to_array($18, E'\x1e', ''),
    string_to_array($19, ',')::smallint[]
) AS new (n, workflow, run, number, length, status, owner, fence, wake_us, recoveries, unread, stored_us, cancelled_run, has_outcome, outcome,
    sets_waits, waits, queued)
WHERE e.n = ANY (ARRAY[new.n]);

-- name: same_chunk
-- Whether the last chunk of a run is this one.
SELECT upto = $3::integer AND rows = $4 FROM redrive.history WHERE n = $1 AND number = $2 ORDER BY upto DESC LIMIT 1;

-- name: append
INSERT INTO redrive.history (n, number, upto, at_us, rows)
SELECT new.n, new.number, new.upto, $4, new.rows
FROM unnest(
    string_to_array($1, ',')::bigint[], string_to_array($2, ',')::integer[], string_to_array($3, ',')::integer[], string_to_array($5, E'\x1e')
) AS new (n, number, upto, rows);

-- name: set_attributes
UPDATE redrive.executions SET attributes = $2 WHERE n = $1;

-- name: index
-- The texts by which executions are searched; nothing is written for those that stay.
WITH noted AS MATERIALIZED (
    SELECT * FROM unnest(
        string_to_array($1, ',')::bigint[], string_to_array($2, E'\x1e'), string_to_array($3, E'\x1e', '')
    ) AS new (n, name, value)
),
forgotten AS (
    DELETE FROM redrive.attributes a USING (SELECT DISTINCT n, name FROM noted) AS changed
    WHERE a.n = ANY (ARRAY[changed.n]) AND a.name = changed.name
        AND NOT EXISTS (SELECT 1 FROM noted WHERE noted.n = a.n AND noted.name = a.name AND noted.value = a.value)
)
INSERT INTO redrive.attributes (n, name, value) SELECT n, name, value FROM noted WHERE value IS NOT NULL ON CONFLICT DO NOTHING;

-- name: forget_attributes
DELETE FROM redrive.attributes WHERE n = ANY (string_to_array($1, ',')::bigint[]);

-- name: take
DELETE FROM redrive.inbox USING unnest(string_to_array($1, ',')::bigint[], string_to_array($2, ',')::bigint[]) AS taken (n, seq)
WHERE inbox.n = ANY (ARRAY[taken.n]) AND inbox.seq <= taken.seq;

-- name: forget_park
-- The build of the worker can continue, and the workflow has a worker.
DELETE FROM redrive.parked USING unnest(string_to_array($1, ',')::bigint[], string_to_array($2, E'\x1e')) AS done (n, owner)
WHERE parked.n = ANY (ARRAY[done.n]) AND (parked.build = '*' OR parked.build = (SELECT workers.build FROM redrive.workers WHERE workers.id = done.owner));

-- name: hurry
-- A cancel came: what says nothing of the code may be tried again at once.
UPDATE redrive.parked SET retry_us = $2 WHERE n = ANY (string_to_array($1, ',')::bigint[]) AND kind IN ('killed', 'cut_off');

-- name: forget_parks
DELETE FROM redrive.parked WHERE n = ANY (string_to_array($1, ',')::bigint[]);

-- ── starting ──────────────────────────────────────────────────────────────────────────────────

-- name: begin
-- Many new executions at once, some with their first turn. Those whose id exists are left out.
WITH moment AS MATERIALIZED (SELECT redrive.now_us() AS now_us),
asked AS MATERIALIZED (
    SELECT * FROM unnest(
        string_to_array($1, E'\x1e'), string_to_array($2, E'\x1e'), string_to_array($3, E'\x1e'), string_to_array($4, E'\x1e', ''),
        string_to_array($5, ',', '')::bigint[], string_to_array($6, ',', '')::bigint[], string_to_array($7, E'\x1e'),
        string_to_array($8, E'\x1e'), string_to_array($9, E'\x1e'), string_to_array($10, ',', '')::integer[], string_to_array($11, ','),
        string_to_array($12, ',', '')::bigint[], string_to_array($13, ',')::integer[], string_to_array($14, E'\x1e', ''),
        string_to_array($15, E'\x1e', ''), string_to_array($16, E'\x1e', '')
    ) WITH ORDINALITY AS asked (id, workflow, run, claim_for, not_before_us, deadline_us, attributes, started, input,
        added, status, wake_us, unread, rows, outcome, waits, i)
),
ready AS MATERIALIZED (
    SELECT asked.*, workers.id AS worker,
        workers.id IS NOT NULL AND asked.added IS NOT NULL AND coalesce(asked.deadline_us > moment.now_us, true) AS turns,
        workers.id IS NOT NULL AND asked.added IS NOT NULL AND coalesce(asked.deadline_us > moment.now_us, true)
            AND asked.status IN ('completed', 'failed', 'compensation_failed', 'cancelled') AS ends
    FROM asked CROSS JOIN moment
    LEFT JOIN redrive.workers ON workers.id = asked.claim_for AND workers.expires_us > moment.now_us
        AND coalesce(asked.not_before_us, moment.now_us) <= moment.now_us
),
made AS (
    INSERT INTO redrive.executions (id, workflow, run, length, status, owner, fence, wake_us, stored_us, updated_us, created_us,
        deadline_us, attributes, unread, outcome, waits)
    SELECT id, workflow, run, CASE WHEN turns THEN 1 + added ELSE 1 END, CASE WHEN turns THEN status ELSE 'pending' END,
        CASE WHEN NOT ends THEN worker END, CASE WHEN worker IS NULL THEN 0 ELSE 1 END,
        CASE WHEN ends THEN NULL WHEN turns THEN wake_us ELSE coalesce(not_before_us, now_us) END, now_us, now_us, now_us,
        deadline_us, attributes, CASE WHEN turns THEN unread ELSE 0 END, CASE WHEN ends THEN outcome END,
        CASE WHEN turns THEN coalesce(waits, '') ELSE '' END
    FROM ready CROSS JOIN moment ORDER BY id
    ON CONFLICT (id) DO NOTHING
    RETURNING n, id
),
begun AS (
    INSERT INTO redrive.history (n, number, upto, at_us, rows, input)
    SELECT made.n, 1, 1, moment.now_us, ready.started, ready.input FROM made JOIN ready USING (id) CROSS JOIN moment
),
turned AS (
    INSERT INTO redrive.history (n, number, upto, at_us, rows)
    SELECT made.n, 1, 1 + ready.added, moment.now_us, ready.rows FROM made JOIN ready USING (id) CROSS JOIN moment
    WHERE ready.turns AND ready.rows IS NOT NULL
)
SELECT ready.i, moment.now_us, ready.worker IS NOT NULL, ready.turns FROM made JOIN ready USING (id) CROSS JOIN moment;

-- name: begin_one
WITH moment AS MATERIALIZED (SELECT redrive.now_us() AS now_us),
ready AS MATERIALIZED (
    SELECT moment.now_us, workers.id AS worker,
        workers.id IS NOT NULL AND $10::integer IS NOT NULL AND coalesce($6::bigint > moment.now_us, true) AS turns
    FROM moment LEFT JOIN redrive.workers ON workers.id = $4 AND workers.expires_us > moment.now_us
        AND coalesce($5::bigint, moment.now_us) <= moment.now_us
),
made AS (
    INSERT INTO redrive.executions (id, workflow, run, length, status, owner, fence, wake_us, stored_us, updated_us, created_us,
        deadline_us, attributes, unread, outcome, waits)
    SELECT $1, $2, $3, CASE WHEN turns THEN 1 + $10 ELSE 1 END, CASE WHEN turns THEN $11 ELSE 'pending' END,
        CASE WHEN NOT (turns AND $16::boolean) THEN worker END, CASE WHEN worker IS NULL THEN 0 ELSE 1 END,
        CASE WHEN turns AND $16 THEN NULL WHEN turns THEN $12::bigint ELSE coalesce($5, now_us) END, now_us, now_us, now_us,
        $6::bigint, $7, CASE WHEN turns THEN $13::integer ELSE 0 END, CASE WHEN turns AND $16 THEN $15 END,
        CASE WHEN turns THEN $17 ELSE '' END
    FROM ready
    ON CONFLICT (id) DO NOTHING
    RETURNING n
),
begun AS (
    INSERT INTO redrive.history (n, number, upto, at_us, rows, input)
    SELECT made.n, 1, 1, ready.now_us, $8, $9 FROM made CROSS JOIN ready
),
turned AS (
    INSERT INTO redrive.history (n, number, upto, at_us, rows)
    SELECT made.n, 1, 1 + $10, ready.now_us, $14 FROM made CROSS JOIN ready WHERE ready.turns AND $14::text IS NOT NULL
)
SELECT 1, ready.now_us, ready.worker IS NOT NULL, ready.turns FROM made CROSS JOIN ready;

-- name: insert_executions
-- In the order of their ids, so that two who start the same ones do not wait in a circle.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(
        string_to_array($1, E'\x1e'), string_to_array($2, E'\x1e'), string_to_array($3, E'\x1e'), string_to_array($4, E'\x1e', ''),
        string_to_array($5, ',')::bigint[], string_to_array($6, ',', '')::bigint[], string_to_array($8, ',', '')::bigint[],
        string_to_array($9, E'\x1e', ''), string_to_array($10, E'\x1e', ''), string_to_array($11, E'\x1e', ''),
        string_to_array($12, E'\x1e'), string_to_array($13, E'\x1e'), string_to_array($14, E'\x1e'),
        string_to_array($15, E'\x1e', ''), string_to_array($16, E'\x1e', ''), string_to_array($17, E'\x1e', ''),
        string_to_array($18, ',', '')::bigint[]
    ) AS asked (id, workflow, run, owner, fence, wake_us, deadline_us, creator_id, creator_run, creator_key, attributes, started, input,
        root_id, queue, partition, host)
),
made AS (
    INSERT INTO redrive.executions (id, workflow, run, owner, fence, wake_us, stored_us, updated_us, created_us, deadline_us,
        creator_id, creator_run, creator_key, attributes, root_id, waits, queue, partition, queued, host)
    SELECT id, workflow, run, owner, fence, wake_us, $7, $7, $7, deadline_us, creator_id, coalesce(creator_run, CASE WHEN creator_id IS NOT NULL THEN '' END),
        coalesce(creator_key, CASE WHEN creator_id IS NOT NULL THEN '' END), attributes, root_id, '', queue,
        CASE WHEN queue IS NOT NULL THEN coalesce(partition, '') END, CASE WHEN queue IS NULL THEN 0 ELSE 1 END, host
    FROM asked ORDER BY id
    ON CONFLICT (id) DO NOTHING
    RETURNING n, id
),
begun AS (
    INSERT INTO redrive.history (n, number, upto, at_us, rows, input)
    SELECT made.n, 1, 1, $7, asked.started, asked.input FROM made JOIN asked USING (id)
)
SELECT id, n FROM made;

-- name: begin_again
-- The next run of what has ended; the rest is saved with the others.
UPDATE redrive.executions SET deadline_us = $2, creator_id = $3, creator_run = $4, creator_key = $5, attributes = $6,
    first_run = $7, root_id = $8, outcome = NULL, queue = $9, partition = $10, host = $11, awaits = NULL
WHERE n = $1;

-- name: begin_history
INSERT INTO redrive.history (n, number, upto, at_us, rows, input) VALUES ($1, $2, 1, $3, $4, $5);

-- name: forget_inbox
DELETE FROM redrive.inbox WHERE n = ANY (string_to_array($1, ',')::bigint[]);

-- name: forget_landed
DELETE FROM redrive.landed WHERE n = ANY (string_to_array($1, ',')::bigint[]);

-- ── rewrites ──────────────────────────────────────────────────────────────────────────────────

-- name: set_deadline
UPDATE redrive.executions SET deadline_us = $2 WHERE n = $1;

-- name: renumber_events
-- The run goes on under another number: what it emitted under the one before has landed.
UPDATE redrive.events SET number = $3 WHERE n = $1 AND number = $2;

-- name: has_audit
SELECT 1 FROM redrive.audit WHERE execution = $1 AND key = $2;

-- name: insert_audit
INSERT INTO redrive.audit (execution, at_us, operator, verb, reason, detail, key) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING;

-- name: newest_act
SELECT coalesce((SELECT seq FROM redrive.audit WHERE seq > 0 ORDER BY seq DESC LIMIT 1), 0);

-- name: operated
SELECT seq, execution FROM redrive.audit WHERE seq > $1 ORDER BY seq LIMIT 1000;

-- name: audit
SELECT seq, execution, at_us, operator, verb, reason, detail, key FROM redrive.audit WHERE seq > 0 ORDER BY seq DESC LIMIT $1;

-- name: audit_of
SELECT seq, execution, at_us, operator, verb, reason, detail, key FROM redrive.audit WHERE execution = $1 ORDER BY seq + 0 DESC LIMIT $2;

-- ── inboxes ───────────────────────────────────────────────────────────────────────────────────

-- name: landed
-- Which of these messages landed before. Asked under the locks of their executions.
SELECT asked.id, asked.dedup
FROM unnest(string_to_array($1, E'\x1e'), string_to_array($2, E'\x1e')) AS asked (id, dedup)
JOIN redrive.executions e ON e.id = ANY (ARRAY[asked.id])
CROSS JOIN LATERAL (SELECT FROM redrive.landed WHERE landed.n = e.n AND landed.dedup = asked.dedup OFFSET 0) AS found;

-- name: insert_landed
INSERT INTO redrive.landed (n, dedup)
SELECT new.n, new.dedup FROM unnest(string_to_array($1, ',')::bigint[], string_to_array($2, E'\x1e')) AS new (n, dedup);

-- name: insert_messages
-- In this order: so their seqs rise.
INSERT INTO redrive.inbox (n, kind, name, data, stored_us)
SELECT new.n, new.kind, coalesce(new.name, ''), new.data, new.stored_us
FROM unnest(
    string_to_array($1, ',')::bigint[], string_to_array($2, ','), string_to_array($3, E'\x1e'), string_to_array($4, E'\x1e'),
    string_to_array($5, ',')::bigint[]
) WITH ORDINALITY AS new (n, kind, name, data, stored_us, i)
ORDER BY new.i;

-- name: inboxes
SELECT e.id, inbox.seq, inbox.kind, inbox.name, inbox.data, inbox.stored_us
FROM unnest(string_to_array($1, E'\x1e')) AS wanted (id) JOIN redrive.executions e ON e.id = ANY (ARRAY[wanted.id])
JOIN redrive.inbox ON inbox.n = ANY (ARRAY[e.n])
ORDER BY inbox.seq;

-- name: inboxes_after
-- What lies there behind a seq; all of it where a cancel may be among it.
SELECT e.id, inbox.seq, inbox.kind, inbox.name, inbox.data, inbox.stored_us
FROM unnest(string_to_array($1, E'\x1e'), string_to_array($2, ',')::bigint[]) AS wanted (id, after)
JOIN redrive.executions e ON e.id = ANY (ARRAY[wanted.id])
JOIN redrive.inbox ON inbox.n = ANY (ARRAY[e.n]) AND inbox.seq > CASE WHEN e.cancelled_run > 0 THEN 0 ELSE wanted.after END
ORDER BY inbox.seq;

-- name: send
-- Many signals at once, in this order. Where one cannot simply be stored, nothing is, and the long way says why.
WITH moment AS MATERIALIZED (SELECT redrive.now_us() AS now_us),
asked AS MATERIALIZED (
    SELECT * FROM unnest(
        string_to_array($1, E'\x1e'), string_to_array($2, E'\x1e'), string_to_array($3, E'\x1e'), string_to_array($4, E'\x1e', '')
    ) WITH ORDINALITY AS asked (id, name, data, dedup, i)
),
held AS MATERIALIZED (
    SELECT n, id, stored_us FROM redrive.executions
    WHERE id = ANY (string_to_array($1, E'\x1e')) AND status NOT IN ('completed', 'failed', 'compensation_failed', 'cancelled')
    ORDER BY n + 0 FOR NO KEY UPDATE
),
fresh AS (
    INSERT INTO redrive.landed (n, dedup) SELECT held.n, asked.dedup FROM asked JOIN held USING (id) WHERE asked.dedup IS NOT NULL
    ON CONFLICT DO NOTHING
    RETURNING n, dedup
),
stored AS (
    INSERT INTO redrive.inbox (n, kind, name, data, stored_us)
    -- Now, not when the statement began: the holder of the lock may have fired a timer meanwhile.
    SELECT held.n, 'signal', asked.name, asked.data, greatest(held.stored_us, redrive.now_us())
    FROM asked JOIN held USING (id) LEFT JOIN fresh ON fresh.n = held.n AND fresh.dedup = asked.dedup
    WHERE asked.dedup IS NULL OR fresh.n IS NOT NULL
    ORDER BY asked.i
    RETURNING n, seq, stored_us
),
woken AS (
    UPDATE redrive.executions e
    SET newest = last.seq, stored_us = last.stored_us, updated_us = moment.now_us,
        wake_us = CASE WHEN e.status IN ('pending', 'paused') THEN e.wake_us ELSE least(e.wake_us, moment.now_us) END
    FROM (SELECT n, max(seq) AS seq, max(stored_us) AS stored_us FROM stored GROUP BY n) AS last CROSS JOIN moment WHERE e.n = ANY (ARRAY[last.n])
)
SELECT asked.i, moment.now_us, asked.dedup IS NULL OR fresh.n IS NOT NULL
FROM asked JOIN held USING (id) CROSS JOIN moment LEFT JOIN fresh ON fresh.n = held.n AND fresh.dedup = asked.dedup;

-- name: poll_inboxes
-- What a worker has not taken yet. The newest seq, and the oldest transaction that this look may have been too early for.
SELECT moment.last, moment.oldest, found.*
FROM (SELECT coalesce(pg_sequence_last_value('redrive.messages'), 0) AS last, pg_snapshot_xmin(pg_current_snapshot())::text AS oldest OFFSET 0) AS moment
LEFT JOIN LATERAL (
    SELECT e.id, inbox.seq, inbox.kind, inbox.name, inbox.data, inbox.stored_us
    FROM redrive.executions e JOIN redrive.inbox ON inbox.n = ANY (ARRAY[e.n])
    WHERE e.owner = $1 AND inbox.seq > $2
) AS found ON true
ORDER BY found.seq;

-- name: mail_since
-- The same from where an earlier look ended: what was not visible then has that transaction's number or a higher one.
-- (From it to the highest there can be: by the planner's guess that is little, everything above a number a third of all.)
SELECT moment.last, moment.oldest, found.*
FROM (SELECT coalesce(pg_sequence_last_value('redrive.messages'), 0) AS last, pg_snapshot_xmin(pg_current_snapshot())::text AS oldest OFFSET 0) AS moment
LEFT JOIN LATERAL (
    SELECT e.id, inbox.seq, inbox.kind, inbox.name, inbox.data, inbox.stored_us
    FROM redrive.inbox JOIN redrive.executions e ON e.n = ANY (ARRAY[inbox.n])
    WHERE coalesce(e.owner, '') = $1 AND inbox.xact BETWEEN $2::text::xid8 AND '18446744073709551615'
) AS found ON true
ORDER BY found.seq;

-- ── claims ────────────────────────────────────────────────────────────────────────────────────

-- name: owners
-- Who owns something: one look into the index for each.
WITH RECURSIVE found AS (
    (SELECT owner FROM redrive.executions WHERE owner IS NOT NULL ORDER BY owner LIMIT 1)
    UNION ALL
    SELECT (SELECT e.owner FROM redrive.executions e WHERE e.owner > found.owner ORDER BY e.owner LIMIT 1)
    FROM found WHERE found.owner IS NOT NULL
)
SELECT owner FROM found WHERE owner IS NOT NULL;

-- name: due_workflows
-- What has something due, now or later: one look into the index for each.
WITH RECURSIVE found AS (
    (SELECT workflow FROM redrive.executions WHERE due_us IS NOT NULL ORDER BY workflow, due_us LIMIT 1)
    UNION ALL
    SELECT (SELECT e.workflow FROM redrive.executions e WHERE e.due_us IS NOT NULL AND e.workflow > found.workflow ORDER BY e.workflow, e.due_us LIMIT 1)
    FROM found WHERE found.workflow IS NOT NULL
)
SELECT workflow FROM found WHERE workflow IS NOT NULL;

-- name: heartbeat
-- Nothing is written where the last one is fresh enough: no wait for the disk for a claim that finds nothing.
INSERT INTO redrive.workers (id, expires_us, lease_us, beat_us, build, workflows, started_us, life, server_us, stalls_us, evidence,
    queues, release)
SELECT $1, $2::bigint + $3::bigint, $3, $2, $4, $5, $2, $6::bigint, $7::bigint, $2::bigint + $8::bigint, $9, $10, 1
WHERE NOT EXISTS (
    SELECT 1 FROM redrive.workers
    WHERE id = $1 AND build = $4 AND workflows = $5 AND beat_us <= $2 AND expires_us BETWEEN $2 + $3 * 3 / 4 AND $2 + $3
        AND life IS NOT DISTINCT FROM $6 AND server_us IS NOT DISTINCT FROM $7 AND queues = $10 AND release = 1
)
ON CONFLICT (id) DO UPDATE SET expires_us = excluded.expires_us, lease_us = excluded.lease_us, beat_us = excluded.beat_us,
    build = excluded.build, workflows = excluded.workflows, life = excluded.life, server_us = excluded.server_us,
    stalls_us = excluded.stalls_us, evidence = excluded.evidence, queues = excluded.queues, release = 1
RETURNING xmax::text = '0';

-- name: take_back_deaths
-- Of a worker that was taken for dead, and is not.
UPDATE redrive.deaths d SET count = greatest(d.count - 1, 0), worker = NULL
FROM (
    SELECT e.n FROM redrive.deaths died JOIN redrive.executions e ON e.n = ANY (ARRAY[died.n])
    WHERE died.worker = $1 ORDER BY e.n + 0 FOR NO KEY UPDATE OF e
) AS held
WHERE d.n = ANY (ARRAY[held.n]) AND coalesce(d.worker, '') = $1;

-- name: beat
-- From a thread, while the worker's event loop is not to be heard: nothing but the lease.
UPDATE redrive.workers w SET expires_us = clock.us + $1::bigint, beat_us = clock.us
FROM (SELECT redrive.now_us() AS us) AS clock WHERE w.id = $2;

-- name: hold_life
-- Held by the session until it ends; gives the time at which the server was started.
SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint FROM (SELECT pg_advisory_lock($1)) AS held;

-- name: latest_beat
SELECT coalesce(max(beat_us), 0) FROM redrive.workers WHERE id >= '';

-- name: workers
-- The lock of a worker's session can be had where that has ended; it is given back with the transaction.
SELECT id, expires_us, life, stalls_us, evidence,
    CASE WHEN life IS NULL OR server_us IS DISTINCT FROM (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint THEN false
        ELSE pg_try_advisory_xact_lock_shared(life) END,
    workflows
FROM redrive.workers WHERE id >= '';

-- name: worker_details
SELECT id, build, started_us, beat_us, (SELECT count(*) FROM (SELECT 1 FROM redrive.executions WHERE owner = workers.id LIMIT 10000) owned)
FROM redrive.workers WHERE id >= '';

-- name: clock_went_back
-- Nobody lives longer for it.
UPDATE redrive.workers SET expires_us = least(expires_us, $1::bigint + lease_us), beat_us = least(beat_us, $1) WHERE id >= '';

-- name: keep_due
-- What was due by then stays due, and so does what was due when it was written. To wake a sleeper early is harmless.
UPDATE redrive.executions e SET wake_us = $1
FROM (
    SELECT n FROM redrive.executions
    WHERE id >= '' AND wake_us > $1 AND (wake_us <= $2 OR wake_us <= updated_us + CASE WHEN owner IS NULL THEN 0 ELSE 1000000 END)
        AND queued <> 1
    ORDER BY n + 0 FOR NO KEY UPDATE
) AS held
WHERE e.n = ANY (ARRAY[held.n]);

-- name: expire
-- Who is just telling that he lives is not dead, and who is just being buried need not be once more: both hold the row.
DELETE FROM redrive.workers WHERE id = (
    SELECT id FROM redrive.workers WHERE id = $1 AND expires_us <= $2 FOR UPDATE SKIP LOCKED
)
RETURNING id, build;

-- name: expire_dead
-- The same before its lease has passed, where its death is certain.
DELETE FROM redrive.workers WHERE id = (
    SELECT id FROM redrive.workers WHERE id = $1 AND life = $2 FOR UPDATE SKIP LOCKED
)
RETURNING id, build;

-- name: remove_worker
DELETE FROM redrive.workers WHERE id = $1;

-- name: disown_dead
-- Of all of them at once, in the order of `n`; a death counts for what was due.
WITH dead AS MATERIALIZED (
    SELECT id, coalesce(build, '') AS build FROM unnest(string_to_array($1, E'\x1e'), string_to_array($3, E'\x1e')) AS dead (id, build)
),
held AS MATERIALIZED (
    SELECT e.n, e.number, e.length, e.owner, e.wake_us <= $2 AS was_due FROM redrive.executions e
    WHERE e.owner = ANY (string_to_array($1, E'\x1e')) ORDER BY e.n + 0 FOR NO KEY UPDATE
),
counted AS (
    INSERT INTO redrive.deaths AS d (n, build, number, length, count, worker)
    SELECT held.n, dead.build, held.number, held.length, 1, held.owner FROM held JOIN dead ON dead.id = held.owner WHERE held.was_due
    ON CONFLICT (n, build) DO UPDATE SET
        count = CASE WHEN d.number = excluded.number AND d.length = excluded.length THEN d.count + 1 ELSE 1 END,
        parks = CASE WHEN d.number = excluded.number AND d.length = excluded.length THEN d.parks ELSE 0 END,
        number = excluded.number, length = excluded.length, worker = excluded.worker
)
UPDATE redrive.executions e SET owner = NULL, recoveries = e.recoveries + CASE WHEN held.was_due THEN 1 ELSE 0 END
FROM held WHERE e.n = ANY (ARRAY[held.n]);

-- name: forget_old_deaths
DELETE FROM redrive.deaths d USING redrive.executions e
WHERE d.n >= 0 AND e.n = ANY (ARRAY[d.n]) AND e.status IN ('completed', 'failed', 'compensation_failed', 'cancelled');

-- name: disown
UPDATE redrive.executions e SET owner = NULL
FROM (SELECT n FROM redrive.executions WHERE owner = $1 ORDER BY n + 0 FOR NO KEY UPDATE) AS held
WHERE e.n = ANY (ARRAY[held.n]);

-- name: let_go
-- What a worker owns and does not know of.
UPDATE redrive.executions e SET owner = NULL
FROM (
    SELECT n FROM redrive.executions
    WHERE owner = $1 AND id NOT IN (SELECT unnest(string_to_array($2, E'\x1e')))
    ORDER BY n + 0 FOR NO KEY UPDATE
) AS held
WHERE e.n = ANY (ARRAY[held.n]);

-- name: park_due
WITH held AS MATERIALIZED (
    SELECT n, id, queued FROM redrive.executions WHERE workflow = $1 AND due_us <= $2 ORDER BY n + 0 FOR NO KEY UPDATE
),
shown AS (
    UPDATE redrive.executions e SET status = 'parked', updated_us = $2 FROM held WHERE e.n = ANY (ARRAY[held.n])
),
parks AS (
    INSERT INTO redrive.parked (n, build, kind, reason, parked_us) SELECT n, '*', 'unknown_workflow', $3, $2 FROM held
    ON CONFLICT (n, build) DO UPDATE SET reason = excluded.reason, parked_us = excluded.parked_us
)
SELECT count(*), array_to_string((array_agg(held.id))[1:10], E'\x1e'), array_to_string(array_agg(held.n) FILTER (WHERE held.queued = 2), ',')
FROM held;

-- name: raise_parks
UPDATE redrive.counters SET value = value + 1 WHERE name = 'parks';

-- name: parks
SELECT value FROM redrive.counters WHERE name = 'parks';

-- name: claim_due
-- Whether this build parked it is asked of each found, by the primary key: as a join it might be planned as one over all.
WITH due AS MATERIALIZED (
    SELECT found.n, found.due_us FROM unnest(string_to_array($2, E'\x1e')) AS listed (workflow)
    CROSS JOIN LATERAL (
        SELECT e.n, e.due_us FROM redrive.executions e
        WHERE e.workflow = listed.workflow AND e.due_us <= $3
            AND CASE WHEN (SELECT parked.n FROM redrive.parked WHERE parked.n = e.n AND coalesce(parked.build, '') = $4) IS NULL THEN true END
        ORDER BY e.due_us LIMIT $5 FOR NO KEY UPDATE OF e SKIP LOCKED
    ) AS found
    ORDER BY found.due_us LIMIT $5
)
UPDATE redrive.executions e SET owner = $1, fence = e.fence + 1
FROM due LEFT JOIN LATERAL (SELECT number, length, count, parks FROM redrive.deaths WHERE deaths.n = due.n AND build = $4 OFFSET 0) AS d ON true
WHERE e.n = ANY (ARRAY[due.n])
RETURNING due.due_us, e.id, e.workflow, e.run, e.number, e.length, e.fence - 1, e.recoveries, e.rested, e.queued > 0 OR e.host IS NOT NULL, CASE WHEN e.queued > 0 THEN e.queue END, e.partition, NULL, 0, d.number, d.length, d.count, d.parks;

-- name: claim_turns
-- The same without those that only want a body run.
-- Whether this build parked it is asked of each found, by the primary key: as a join it might be planned as one over all.
WITH due AS MATERIALIZED (
    SELECT found.n, found.due_us FROM unnest(string_to_array($2, E'\x1e')) AS listed (workflow)
    CROSS JOIN LATERAL (
        SELECT e.n, e.due_us FROM redrive.executions e
        WHERE e.workflow = listed.workflow AND e.due_us <= $3
            AND CASE WHEN (SELECT parked.n FROM redrive.parked WHERE parked.n = e.n AND coalesce(parked.build, '') = $4) IS NULL THEN true END
            AND CASE
                WHEN e.deadline_us <= $3 OR e.status NOT IN ('pending', 'running') THEN true
                WHEN e.status = 'running' THEN (SELECT i.n FROM redrive.inbox i WHERE i.n = e.n LIMIT 1) IS NOT NULL
                ELSE (SELECT i.n FROM redrive.inbox i WHERE i.n = e.n AND i.kind = 'cancel' LIMIT 1) IS NOT NULL
            END
        ORDER BY e.due_us LIMIT $5 FOR NO KEY UPDATE OF e SKIP LOCKED
    ) AS found
    ORDER BY found.due_us LIMIT $5
)
UPDATE redrive.executions e SET owner = $1, fence = e.fence + 1
FROM due LEFT JOIN LATERAL (SELECT number, length, count, parks FROM redrive.deaths WHERE deaths.n = due.n AND build = $4 OFFSET 0) AS d ON true
WHERE e.n = ANY (ARRAY[due.n])
RETURNING due.due_us, e.id, e.workflow, e.run, e.number, e.length, e.fence - 1, e.recoveries, e.rested, e.queued > 0 OR e.host IS NOT NULL, CASE WHEN e.queued > 0 THEN e.queue END, e.partition, NULL, 0, d.number, d.length, d.count, d.parks;

-- name: claim_parked
WITH due AS MATERIALIZED (
    SELECT found.n, found.due_us FROM unnest(string_to_array($2, E'\x1e')) AS listed (workflow)
    CROSS JOIN LATERAL (
        SELECT e.n, e.parked_due_us AS due_us FROM redrive.executions e
        WHERE e.workflow = listed.workflow AND e.parked_due_us <= $3
            AND CASE WHEN (SELECT parked.n FROM redrive.parked WHERE parked.n = e.n AND coalesce(parked.build, '') = $4) IS NULL THEN true END
        ORDER BY e.parked_due_us LIMIT $5 FOR NO KEY UPDATE OF e SKIP LOCKED
    ) AS found
    ORDER BY found.due_us LIMIT $5
)
UPDATE redrive.executions e SET owner = $1, fence = e.fence + 1
FROM due LEFT JOIN LATERAL (SELECT number, length, count, parks FROM redrive.deaths WHERE deaths.n = due.n AND build = $4 OFFSET 0) AS d ON true
WHERE e.n = ANY (ARRAY[due.n])
RETURNING due.due_us, e.id, e.workflow, e.run, e.number, e.length, e.fence - 1, e.recoveries, e.rested, e.queued > 0 OR e.host IS NOT NULL, CASE WHEN e.queued > 0 THEN e.queue END, e.partition, NULL, 0, d.number, d.length, d.count, d.parks;

-- name: claim_retries
-- What this build has parked: before the worker was first heard of, or so long ago that the others may try again.
WITH by_start AS MATERIALIZED (
    SELECT e.n, p.parked_us, p.kind, p.tries FROM redrive.parked p JOIN redrive.executions e ON e.n = ANY (ARRAY[p.n])
    WHERE p.build = $4 AND p.parked_us < (SELECT started_us FROM redrive.workers WHERE id = $1) AND p.rest_us <= $3
        AND NOT $1 = ANY (p.tried) AND coalesce(e.owner, '') = '' AND e.wake_us <= $3 AND e.workflow = ANY (string_to_array($2, E'\x1e'))
    ORDER BY p.parked_us LIMIT $5 FOR NO KEY UPDATE OF e SKIP LOCKED
),
by_time AS MATERIALIZED (
    SELECT e.n, p.parked_us, p.kind, p.tries FROM redrive.parked p JOIN redrive.executions e ON e.n = ANY (ARRAY[p.n])
    WHERE p.build = $4 AND p.retry_us <= $3
        AND NOT $1 = ANY (p.tried) AND coalesce(e.owner, '') = '' AND e.wake_us <= $3 AND e.workflow = ANY (string_to_array($2, E'\x1e'))
    ORDER BY p.retry_us LIMIT $5 FOR NO KEY UPDATE OF e SKIP LOCKED
),
due AS MATERIALIZED (
    SELECT DISTINCT found.parked_us, found.n, found.kind, found.tries
    FROM (SELECT * FROM by_start UNION ALL SELECT * FROM by_time) AS found ORDER BY found.parked_us LIMIT $5
)
UPDATE redrive.executions e SET owner = $1, fence = e.fence + 1, status = 'parked'
FROM due LEFT JOIN LATERAL (SELECT number, length, count, parks FROM redrive.deaths WHERE deaths.n = due.n AND build = $4 OFFSET 0) AS d ON true
WHERE e.n = ANY (ARRAY[due.n])
RETURNING due.parked_us, e.id, e.workflow, e.run, e.number, e.length, e.fence - 1, e.recoveries, e.rested, e.queued > 0 OR e.host IS NOT NULL, CASE WHEN e.queued > 0 THEN e.queue END, e.partition, due.kind, due.tries, d.number, d.length, d.count, d.parks;

-- name: forget_old_parks
-- Of what has ended: nobody asks any more who could not go on with it.
DELETE FROM redrive.parked p USING redrive.executions e
WHERE p.build = $1 AND e.n = ANY (ARRAY[p.n]) AND e.status IN ('completed', 'failed', 'compensation_failed', 'cancelled');

-- name: release
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(
        string_to_array($1, E'\x1e'), string_to_array($2, ',')::bigint[], string_to_array($3, E'\x1e')
    ) AS asked (id, fence, owner)
),
held AS MATERIALIZED (
    SELECT e.n, e.status = 'parked' AS was_parked FROM asked JOIN redrive.executions e ON e.id = ANY (ARRAY[asked.id])
    WHERE e.fence = asked.fence AND coalesce(e.owner, '') = asked.owner
    ORDER BY e.n + 0 FOR NO KEY UPDATE OF e
),
released AS (
    UPDATE redrive.executions e SET owner = NULL, rested = CASE WHEN $4::boolean THEN e.fence ELSE e.rested END
    FROM held WHERE e.n = ANY (ARRAY[held.n])
)
UPDATE redrive.counters SET value = value + 1 WHERE name = 'parks' AND EXISTS (SELECT 1 FROM held WHERE was_parked);

-- name: hold_to_park
-- What a worker parks, while it is the worker's.
SELECT e.n, e.number, e.length, asked.owner, e.queued
FROM unnest(string_to_array($1, E'\x1e'), string_to_array($2, ',')::bigint[], string_to_array($3, E'\x1e')) AS asked (id, fence, owner)
JOIN redrive.executions e ON e.id = ANY (ARRAY[asked.id]) AND e.fence = asked.fence AND coalesce(e.owner, '') = asked.owner
ORDER BY e.n + 0 FOR NO KEY UPDATE OF e;

-- name: parks_of_build
SELECT n, kind, reason, parked_us, rest_us, retry_us, tries, array_to_string(tried, E'\x1e')
FROM redrive.parked WHERE n = ANY (string_to_array($1, ',')::bigint[]) AND build = $2;

-- name: deaths_of_build
SELECT n, number, length, count, parks FROM redrive.deaths WHERE n = ANY (string_to_array($1, ',')::bigint[]) AND build = $2;

-- name: workers_of_build
SELECT id FROM redrive.workers WHERE id >= '' AND build = $1;

-- name: park
INSERT INTO redrive.parked (n, build, kind, reason, parked_us, rest_us, retry_us, tries, tried)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, string_to_array($9, E'\x1e'))
ON CONFLICT (n, build) DO UPDATE SET kind = excluded.kind, reason = excluded.reason, parked_us = excluded.parked_us,
    rest_us = excluded.rest_us, retry_us = excluded.retry_us, tries = excluded.tries, tried = excluded.tried;

-- name: release_parked
UPDATE redrive.executions SET owner = NULL, status = CASE WHEN status = 'paused' THEN status ELSE 'parked' END, updated_us = $2
WHERE n = ANY (string_to_array($1, ',')::bigint[]);

-- name: forget_deaths
DELETE FROM redrive.deaths WHERE n = ANY (string_to_array($1, ',')::bigint[]) AND build = $2;

-- name: set_deaths
INSERT INTO redrive.deaths (n, build, number, length, count, parks) VALUES ($1, $2, $3, $4, $5, $6);

-- name: next_wake
-- The earliest due, the earliest that dead workers have still, the count of parks, and the earliest parked unless that is $3.
-- Then, unless the count is $5: whether this build has parked anything, and when worker $4 may first retry some of it.
SELECT redrive.now_us(),
    (
        SELECT min(found.due_us) FROM unnest(string_to_array($1, E'\x1e')) AS listed (workflow)
        CROSS JOIN LATERAL (
            SELECT e.due_us FROM redrive.executions e
            WHERE e.workflow = listed.workflow AND e.due_us IS NOT NULL
                AND CASE WHEN (SELECT parked.n FROM redrive.parked WHERE parked.n = e.n AND coalesce(parked.build, '') = $2) IS NULL THEN true END
            ORDER BY e.due_us LIMIT 1
        ) AS found
    ),
    (
        SELECT min(found.wake_us) FROM redrive.workers
        CROSS JOIN LATERAL (
            SELECT min(e.wake_us) AS wake_us FROM redrive.executions e
            WHERE e.owner = workers.id AND coalesce(e.workflow, '') = ANY (string_to_array($1, E'\x1e'))
                AND CASE WHEN (SELECT parked.n FROM redrive.parked WHERE parked.n = e.n AND coalesce(parked.build, '') = $2) IS NULL THEN true END
        ) AS found
        WHERE workers.id >= '' AND workers.expires_us <= (SELECT redrive.now_us())
    ),
    counters.value,
    (
        SELECT min(found.due_us) FROM unnest(string_to_array($1, E'\x1e')) AS listed (workflow)
        CROSS JOIN LATERAL (
            SELECT e.parked_due_us AS due_us FROM redrive.executions e
            WHERE e.workflow = listed.workflow AND e.parked_due_us IS NOT NULL AND counters.value <> $3
                AND CASE WHEN (SELECT parked.n FROM redrive.parked WHERE parked.n = e.n AND coalesce(parked.build, '') = $2) IS NULL THEN true END
            ORDER BY e.parked_due_us LIMIT 1
        ) AS found
    ),
    CASE WHEN counters.value <> $5 THEN EXISTS (SELECT 1 FROM redrive.parked WHERE parked.build = $2) END,
    CASE WHEN counters.value <> $5 THEN least(
        (
            SELECT min(greatest(p.rest_us, e.wake_us)) FROM redrive.parked p JOIN redrive.executions e ON e.n = ANY (ARRAY[p.n])
            WHERE p.build = $2 AND p.parked_us < (SELECT started_us FROM redrive.workers WHERE id = $4) AND NOT $4 = ANY (p.tried)
                AND coalesce(e.owner, '') = '' AND e.wake_us IS NOT NULL AND e.workflow = ANY (string_to_array($1, E'\x1e'))
        ),
        (
            SELECT min(greatest(p.retry_us, e.wake_us)) FROM redrive.parked p JOIN redrive.executions e ON e.n = ANY (ARRAY[p.n])
            WHERE p.build = $2 AND p.retry_us IS NOT NULL AND NOT $4 = ANY (p.tried)
                AND coalesce(e.owner, '') = '' AND e.wake_us IS NOT NULL AND e.workflow = ANY (string_to_array($1, E'\x1e'))
        )
    ) END
FROM redrive.counters WHERE counters.name = 'parks';

-- name: alive
SELECT 1 FROM redrive.workers WHERE id = $1 AND expires_us > (SELECT redrive.now_us());

-- ── reading ───────────────────────────────────────────────────────────────────────────────────

-- name: snapshot
SELECT id, workflow, status, run, number, length,
    (SELECT input FROM redrive.history h WHERE h.n = e.n AND h.number = e.first_run AND h.upto = 1),
    created_us, updated_us, wake_us, deadline_us, owner, recoveries, attributes, outcome, unread, creator_id, creator_run, creator_key,
    waits, ended_us, error_type, queue, partition,
    (SELECT json_agg(json_build_array(build, kind, reason, parked_us, tries, retry_us))::text FROM redrive.parked WHERE parked.n = e.n),
    (SELECT max(data) FROM redrive.inbox WHERE inbox.n = e.n AND inbox.kind = 'cancel'), fence
FROM redrive.executions e WHERE id = $1;

-- name: snapshots
-- Many of them, each with its place among those that were asked for.
SELECT asked.i, e.id, workflow, status, run, number, length,
    (SELECT input FROM redrive.history h WHERE h.n = e.n AND h.number = e.first_run AND h.upto = 1),
    created_us, updated_us, wake_us, deadline_us, owner, recoveries, attributes, outcome, unread, creator_id, creator_run, creator_key,
    waits, ended_us, error_type, queue, partition,
    (SELECT json_agg(json_build_array(build, kind, reason, parked_us, tries, retry_us))::text FROM redrive.parked WHERE parked.n = e.n),
    (SELECT max(data) FROM redrive.inbox WHERE inbox.n = e.n AND inbox.kind = 'cancel'), fence
FROM unnest(string_to_array($1, E'\x1e')) WITH ORDINALITY AS asked (id, i) JOIN redrive.executions e ON e.id = ANY (ARRAY[asked.id]);

-- name: ends
-- Those of many that have ended.
SELECT e.id, status, outcome
FROM unnest(string_to_array($1, E'\x1e')) AS asked (id) JOIN redrive.executions e ON e.id = ANY (ARRAY[asked.id])
WHERE (CASE WHEN status IN ('completed', 'failed', 'compensation_failed', 'cancelled') THEN 1 END) = 1;

-- name: found
-- Of a list of numbers, in no order.
SELECT n, id, workflow, status, run, number, length,
    (SELECT input FROM redrive.history h WHERE h.n = e.n AND h.number = e.first_run AND h.upto = 1),
    created_us, updated_us, wake_us, deadline_us, owner, recoveries, attributes, outcome, unread, creator_id, creator_run, creator_key,
    waits, ended_us, error_type, queue, partition,
    (SELECT json_agg(json_build_array(build, kind, reason, parked_us, tries, retry_us))::text FROM redrive.parked WHERE parked.n = e.n),
    (SELECT max(data) FROM redrive.inbox WHERE inbox.n = e.n AND inbox.kind = 'cancel'), fence
FROM unnest(string_to_array($1, ',')::bigint[]) AS wanted (place) JOIN redrive.executions e ON e.n = ANY (ARRAY[wanted.place]);

-- name: behind_attribute
-- Those with an attribute that an older release stored.
SELECT e.id, e.n, e.attributes FROM redrive.attributes a JOIN redrive.executions e ON e.n = ANY (ARRAY[a.n])
WHERE a.name = $1 AND a.value >= '!' AND a.value <= '!' ORDER BY a.value, a.n LIMIT $2;

-- name: behind_from
SELECT value FROM redrive.counters WHERE name = 'behind';

-- name: behind
-- Those up to a number that have not ended, newest first, and whether a release without waits wrote their last turn.
SELECT id, n, waits IS NULL FROM redrive.executions WHERE open_n <= $1 ORDER BY open_n DESC LIMIT $2;

-- name: set_waits
UPDATE redrive.executions SET waits = $2 WHERE n = $1 AND waits IS NULL;

-- name: hold_behind
-- Whether an attribute is still what an older release stored, under the lock of its execution.
SELECT e.n FROM unnest(string_to_array($1, ',')::bigint[], string_to_array($2, E'\x1e')) AS asked (n, name)
JOIN redrive.executions e ON e.n = ANY (ARRAY[asked.n])
WHERE (SELECT 1 FROM redrive.attributes a WHERE a.n = e.n AND a.name = asked.name AND a.value = '!') = 1
ORDER BY e.n + 0 FOR NO KEY UPDATE OF e;

-- name: behind_upto
UPDATE redrive.counters SET value = $1 WHERE name = 'behind';

-- name: load
SELECT asked.i, e.id, (SELECT string_agg(rows, ',' ORDER BY upto) FROM redrive.history h WHERE h.n = e.n AND h.number = e.number),
    e.status = 'paused'
FROM unnest(string_to_array($1, E'\x1e'), string_to_array($2, ',')::bigint[], string_to_array($3, E'\x1e'))
    WITH ORDINALITY AS asked (id, fence, owner, i)
JOIN redrive.executions e ON e.id = ANY (ARRAY[asked.id])
WHERE e.fence = asked.fence AND coalesce(e.owner, '') = asked.owner;

-- name: history
SELECT (
    SELECT string_agg(rows, ',' ORDER BY upto) FROM redrive.history h
    WHERE h.n = e.n AND h.number = CASE WHEN $2::integer = -1 THEN e.number WHEN $2 >= e.oldest_run THEN $2 END
), e.oldest_run
FROM redrive.executions e WHERE id = $1;

-- ── for those who only look ───────────────────────────────────────────────────────────────────

-- name: living
SELECT n, id, workflow, status, number FROM redrive.executions WHERE open_n IS NOT NULL ORDER BY open_n DESC LIMIT $1;

-- name: ever
SELECT n, id, workflow, status, number FROM redrive.executions WHERE (workflow = $1 OR number > 1) AND n < $2 ORDER BY n DESC LIMIT $3;

-- name: workflows
-- One look into the index for each.
WITH RECURSIVE found AS (
    (SELECT workflow FROM redrive.executions ORDER BY workflow LIMIT 1)
    UNION ALL
    SELECT (SELECT e.workflow FROM redrive.executions e WHERE e.workflow > found.workflow ORDER BY e.workflow LIMIT 1)
    FROM found WHERE found.workflow IS NOT NULL
)
SELECT workflow FROM found WHERE workflow IS NOT NULL;

-- name: rows_of
SELECT string_agg(rows, ',' ORDER BY upto) FROM redrive.history WHERE n = $1 AND number = $2;

-- ── events ────────────────────────────────────────────────────────────────────────────────────

-- name: emit
-- The events of turns; the counter's lock is the last that their transaction takes.
WITH new AS MATERIALIZED (
    SELECT asked.*, row_number() OVER (ORDER BY asked.i) AS place
    FROM unnest(
        string_to_array($1, E'\x1e'), string_to_array($2, E'\x1e'), string_to_array($3, E'\x1e'), string_to_array($4, E'\x1e'),
        string_to_array($5, ',')::bigint[], string_to_array($6, ',')::integer[]
    ) WITH ORDINALITY AS asked (name, payload, key, execution, n, number, i)
    WHERE (SELECT events.seq FROM redrive.events WHERE events.n = asked.n AND events.number = asked.number AND events.key = asked.key) IS NULL
),
counted AS (
    UPDATE redrive.counters SET value = value + (SELECT count(*) FROM new) WHERE name = 'events' RETURNING value
)
INSERT INTO redrive.events (seq, name, payload, execution, n, number, key, at_us)
SELECT counted.value - (SELECT count(*) FROM new) + new.place, coalesce(new.name, ''), new.payload, new.execution, new.n, new.number,
    new.key, $7
FROM new CROSS JOIN counted;

-- name: newest_event
SELECT value FROM redrive.counters WHERE name = 'events';

-- name: events_after
SELECT found.seq, found.name, found.payload, found.execution, found.at_us
FROM unnest(string_to_array($1, E'\x1e')) AS wanted (name)
CROSS JOIN LATERAL (
    SELECT seq, name, payload, execution, at_us FROM redrive.events
    WHERE events.name = wanted.name AND events.seq > $2 ORDER BY events.seq LIMIT $3
) AS found
ORDER BY found.seq LIMIT $3;

-- name: handler
SELECT event, done, worker, EXISTS (SELECT 1 FROM redrive.workers w WHERE w.id = handlers.worker AND w.expires_us > (SELECT redrive.now_us()))
FROM redrive.handlers WHERE id = $1;

-- name: new_handler
INSERT INTO redrive.handlers (id, event, done, worker)
SELECT $1, $2, value, $3 FROM redrive.counters WHERE name = 'events'
ON CONFLICT (id) DO NOTHING;

-- name: take_handler
UPDATE redrive.handlers h SET event = $2, worker = $3
WHERE id = $1
    AND (h.worker = $3 OR NOT EXISTS (SELECT 1 FROM redrive.workers w WHERE w.id = h.worker AND w.expires_us > (SELECT redrive.now_us())))
RETURNING done;

-- name: events_done
UPDATE redrive.handlers SET done = $3 WHERE id = $1 AND worker = $2 AND done < $3;

-- name: prune_due
-- Says whether it is time; only one of those who ask at once is told so.
UPDATE redrive.counters SET value = $1 WHERE name = 'pruned_us' AND value <= $1 - $2::bigint RETURNING 1;

-- name: prune_events
DELETE FROM redrive.events WHERE seq IN (
    SELECT seq FROM redrive.events
    WHERE at_us <= $1 AND NOT EXISTS (SELECT 1 FROM redrive.handlers WHERE handlers.id >= '' AND handlers.event = events.name AND done < events.seq)
    ORDER BY at_us LIMIT 10000);

-- ── what is kept for people ───────────────────────────────────────────────────────────────────

-- name: keep_aside
-- In this order: so their seqs rise.
INSERT INTO redrive.aside (n, name, data, sent_us, error, at_us)
SELECT new.n, new.name, new.data, new.sent_us, new.error, $6
FROM unnest(
    string_to_array($1, ',')::bigint[], string_to_array($2, E'\x1e'), string_to_array($3, E'\x1e'), string_to_array($4, ',')::bigint[],
    string_to_array($5, E'\x1e')
) WITH ORDINALITY AS new (n, name, data, sent_us, error, i)
ORDER BY new.i;

-- name: all_aside
SELECT a.seq, e.id, a.name, a.data, a.sent_us, a.error, a.at_us FROM redrive.aside a JOIN redrive.executions e ON e.n = ANY (ARRAY[a.n])
ORDER BY a.seq LIMIT $1;

-- name: aside_of
SELECT a.seq, e.id, a.name, a.data, a.sent_us, a.error, a.at_us FROM redrive.executions e JOIN redrive.aside a ON a.n = ANY (ARRAY[e.n])
WHERE e.id = $1 ORDER BY a.seq + 0 LIMIT $2::bigint;

-- name: forget_aside
DELETE FROM redrive.aside USING redrive.executions e
WHERE e.id = $1 AND aside.n = ANY (ARRAY[e.n]) AND aside.seq = ANY (string_to_array($2, ',')::bigint[]);

-- name: drop_aside
-- Whether there is such an execution, and how many it had.
WITH gone AS (
    DELETE FROM redrive.aside USING redrive.executions e
    WHERE e.id = $1 AND aside.n = ANY (ARRAY[e.n]) AND ($2::text IS NULL OR aside.seq = ANY (string_to_array($2::text, ',')::bigint[]))
    RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM redrive.executions WHERE id = $1), (SELECT count(*) FROM gone);

-- name: lock_handler
SELECT done FROM redrive.handlers WHERE id = $1 AND worker = $2 FOR UPDATE;

-- name: hold
INSERT INTO redrive.held_events (handler, seq, event, payload, execution, at_us, dead, attempts, first_us, due_us, error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: change_held
UPDATE redrive.held_events SET dead = $3, attempts = $4, first_us = $5, due_us = $6, error = $7 WHERE handler = $1 AND seq = $2;

-- name: held_events
-- The oldest of each execution.
SELECT held.handler, held.seq, held.event, held.payload, held.execution, held.at_us, held.dead, held.attempts, held.first_us, held.due_us,
    held.error
FROM redrive.held_events held JOIN redrive.handlers h ON h.id = held.handler
WHERE held.handler = $1 AND held.event = $2 AND h.worker = $3 AND NOT held.dead AND NOT EXISTS (
    SELECT 1 FROM redrive.held_events older
    WHERE older.handler = held.handler AND older.execution = held.execution AND older.seq < held.seq AND NOT older.dead
        AND older.event = held.event)
ORDER BY coalesce(held.due_us, 0), held.seq LIMIT $4;

-- name: held_done
DELETE FROM redrive.held_events WHERE handler = $1 AND seq = $3
    AND EXISTS (SELECT 1 FROM redrive.handlers h WHERE h.id = $1 AND h.worker = $2);

-- name: list_held
SELECT handler, seq, event, payload, execution, at_us, dead, attempts, first_us, due_us, error FROM redrive.held_events
WHERE ($1::text IS NULL OR handler = $1::text) AND ($2::boolean IS NULL OR dead = $2::boolean) ORDER BY handler, seq LIMIT $3;

-- name: retry_held
WITH again AS (
    UPDATE redrive.held_events SET dead = false, attempts = 0, first_us = NULL, due_us = NULL
    WHERE handler = $1 AND CASE WHEN $2::text IS NULL THEN dead ELSE seq = ANY (string_to_array($2::text, ',')::bigint[]) END
    RETURNING 1
)
SELECT count(*) FROM again;

-- name: drop_held
WITH gone AS (
    DELETE FROM redrive.held_events
    WHERE handler = $1 AND CASE WHEN $2::text IS NULL THEN dead ELSE seq = ANY (string_to_array($2::text, ',')::bigint[]) END
    RETURNING 1
)
SELECT count(*) FROM gone;

-- ── news ──────────────────────────────────────────────────────────────────────────────────────

-- name: tell
SELECT pg_notify($1, $2);

-- ── purging ───────────────────────────────────────────────────────────────────────────────────

-- name: ended
SELECT n, id, workflow, status, number, length, ended_us FROM redrive.executions
WHERE ended_us IS NOT NULL AND ended_us < $1 AND (ended_us, n) > ($2, $3) ORDER BY ended_us, n LIMIT $4;

-- name: with_old_runs
-- Of each execution the runs that are followed by another one, as many as are asked for, and when that one began.
SELECT e.n, e.id, e.workflow, e.oldest_run, run, (
    SELECT at_us FROM redrive.history h WHERE h.n = e.n AND h.number = run + 1 ORDER BY upto LIMIT 1
) FROM (
    SELECT n, id, workflow, oldest_run, number FROM redrive.executions WHERE oldest_run < number AND n > $1 ORDER BY n LIMIT $2
) e CROSS JOIN LATERAL generate_series(e.oldest_run, least(e.number - 1, e.oldest_run + $3 - 1)) run
ORDER BY e.n, run;

-- name: lock_ended
-- What another transaction has locked is left for the next time.
SELECT n, id, number, status, ended_us, oldest_run FROM redrive.executions
WHERE id = ANY (string_to_array($1, E'\x1e')) AND (CASE WHEN ended_us IS NOT NULL THEN 1 END) = 1
ORDER BY n + 0 FOR UPDATE SKIP LOCKED;

-- name: purge
-- What is left of these executions, histories and events apart.
WITH gone AS (SELECT * FROM unnest(string_to_array($1, ',')::bigint[], string_to_array($2, E'\x1e')) AS gone (n, id)),
executions AS (DELETE FROM redrive.executions WHERE n = ANY (string_to_array($1, ',')::bigint[])),
inbox AS (DELETE FROM redrive.inbox WHERE n = ANY (string_to_array($1, ',')::bigint[])),
landed AS (DELETE FROM redrive.landed WHERE n = ANY (string_to_array($1, ',')::bigint[])),
attributes AS (DELETE FROM redrive.attributes WHERE n = ANY (string_to_array($1, ',')::bigint[])),
parked AS (DELETE FROM redrive.parked WHERE n = ANY (string_to_array($1, ',')::bigint[])),
deaths AS (DELETE FROM redrive.deaths WHERE n = ANY (string_to_array($1, ',')::bigint[])),
aside AS (DELETE FROM redrive.aside WHERE n = ANY (string_to_array($1, ',')::bigint[])),
letters AS (DELETE FROM redrive.held_events WHERE execution = ANY (string_to_array($2, E'\x1e')) AND dead),
audit AS (DELETE FROM redrive.audit WHERE execution = ANY (string_to_array($2, E'\x1e')))
SELECT count(*) FROM gone;

-- name: purge_events
-- But for those that a handler has not done.
WITH mine AS MATERIALIZED (
    SELECT events.ctid AS place, seq, name
    FROM unnest(string_to_array($1, ',')::bigint[]) AS gone (n) JOIN redrive.events ON events.n = ANY (ARRAY[gone.n])
)
DELETE FROM redrive.events WHERE ctid = ANY (ARRAY(
    SELECT place FROM mine WHERE NOT EXISTS (
        SELECT 1 FROM redrive.handlers WHERE id >= '' AND handlers.event = mine.name AND done < mine.seq
    )
));

-- name: purge_history
DELETE FROM redrive.history WHERE n = ANY (string_to_array($1, ',')::bigint[]);

-- name: throw_away
-- Of longer histories the room is freed later.
INSERT INTO redrive.garbage (n, first, last, kept)
SELECT * FROM unnest(
    string_to_array($1, ',')::bigint[], string_to_array($2, ',')::integer[], string_to_array($3, ',')::integer[], string_to_array($4, ',')::integer[]
) ON CONFLICT DO NOTHING;

-- name: audit_purges
INSERT INTO redrive.audit (execution, at_us, operator, verb, reason, detail, key)
SELECT id, redrive.now_us(), $3, $4, $5, detail, gen_random_uuid()::text
FROM unnest(string_to_array($1, E'\x1e'), string_to_array($2, E'\x1e')) AS gone (id, detail);

-- name: lock_runs
SELECT n, id, oldest_run, number, first_run FROM redrive.executions
WHERE id = ANY (string_to_array($1, E'\x1e')) ORDER BY n + 0 FOR NO KEY UPDATE SKIP LOCKED;

-- name: set_oldest_runs
UPDATE redrive.executions e SET oldest_run = gone.oldest
FROM unnest(string_to_array($1, ',')::bigint[], string_to_array($2, ',')::integer[]) AS gone (n, oldest)
WHERE e.n = ANY (ARRAY[gone.n]);

-- name: collect
-- But for the input, which is with the first chunk of the run that the last start began.
WITH heaps AS (SELECT * FROM redrive.garbage ORDER BY n, first LIMIT 100),
chunks AS (
    SELECT h.n, h.number, h.upto FROM heaps CROSS JOIN LATERAL (
        SELECT * FROM redrive.history WHERE history.n = heaps.n AND number BETWEEN heaps.first AND heaps.last
            AND NOT (number = heaps.kept AND input IS NOT NULL) LIMIT $1
    ) h LIMIT $1
),
gone AS (DELETE FROM redrive.history h USING chunks c WHERE h.n = ANY (ARRAY[c.n]) AND h.number = c.number AND h.upto = c.upto RETURNING 1)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM heaps), (SELECT string_agg(n || ':' || first, ',') FROM heaps);

-- name: collected
-- Those of which there is nothing left.
DELETE FROM redrive.garbage g WHERE n || ':' || first = ANY (string_to_array($1, ',')) AND NOT EXISTS (
    SELECT 1 FROM redrive.history h WHERE h.n = g.n AND h.number BETWEEN g.first AND g.last AND NOT (h.number = g.kept AND h.input IS NOT NULL)
);

-- name: state_retention
WITH old AS (DELETE FROM redrive.retentions WHERE worker >= '' AND stated_us < redrive.now_us() - $4)
INSERT INTO redrive.retentions (worker, stated_us, workflows, keep) VALUES ($1, redrive.now_us(), $2, $3)
ON CONFLICT (worker) DO UPDATE SET stated_us = excluded.stated_us, workflows = excluded.workflows, keep = excluded.keep;

-- name: forget_retention
DELETE FROM redrive.retentions WHERE worker = $1;

-- name: retentions
SELECT r.workflows, r.keep FROM redrive.retentions r LEFT JOIN redrive.workers w ON w.id = r.worker
WHERE r.worker >= '' AND (w.expires_us > redrive.now_us() OR r.stated_us >= redrive.now_us() - $1);

-- ── what may be stuck ─────────────────────────────────────────────────────────────────────────

-- name: suspects
SELECT n, id, coalesce(status IN ('parked', 'cancelling') OR unread > 0 OR recoveries >= $1 OR wake_us < $2
    OR (owner IS NOT NULL AND updated_us < $3)
    OR (status = 'suspended' AND wake_us IS NOT NULL AND (waits LIKE 'step:%' OR waits LIKE 'undo:%' OR waits IS NULL)), false)
FROM redrive.executions WHERE open_n IS NOT NULL AND open_n > $4 ORDER BY open_n LIMIT $5;
-- ── schedules ─────────────────────────────────────────────────────────────────────────────────

-- name: schedules
SELECT id, workflow, due_us, record FROM redrive.schedules WHERE id > $1 ORDER BY id LIMIT $2;

-- name: schedules_of
SELECT id, workflow, due_us, record FROM redrive.schedules WHERE id = ANY (string_to_array($1, E'\x1e')) ORDER BY id;

-- name: lock_schedules
-- After the executions, in one order.
SELECT id, workflow, due_us, record FROM redrive.schedules WHERE id = ANY (string_to_array($1, E'\x1e')) ORDER BY id FOR NO KEY UPDATE;

-- name: due_schedules
SELECT id, workflow, due_us, record FROM redrive.schedules
WHERE due_us IS NOT NULL AND due_us <= redrive.now_us() AND workflow = ANY (string_to_array($1, E'\x1e')) ORDER BY due_us LIMIT $2;

-- name: next_schedule
SELECT due_us FROM redrive.schedules
WHERE due_us IS NOT NULL AND workflow = ANY (string_to_array($1, E'\x1e')) AND due_us > coalesce($2, redrive.now_us())
ORDER BY due_us LIMIT 1;

-- name: insert_schedule
INSERT INTO redrive.schedules (id, workflow, due_us, record) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING RETURNING 1;

-- name: save_schedules
UPDATE redrive.schedules SET workflow = new.workflow, due_us = new.due_us, record = new.record
FROM unnest(string_to_array($1, E'\x1e'), string_to_array($2, E'\x1e'), string_to_array($3, ',', '')::bigint[], string_to_array($4, E'\x1e'))
    AS new (id, workflow, due_us, record)
WHERE schedules.id = ANY (ARRAY[new.id]);

-- name: remove_schedule
DELETE FROM redrive.schedules WHERE id = $1;

-- name: left_out
SELECT record, at_us FROM redrive.left_out WHERE schedule = $1 ORDER BY seq DESC LIMIT $2;

-- name: leave_out
INSERT INTO redrive.left_out (schedule, at_us, record)
SELECT new.schedule, $3, new.record FROM unnest(string_to_array($1, E'\x1e'), string_to_array($2, E'\x1e')) WITH ORDINALITY
    AS new (schedule, record, i) ORDER BY i;

-- name: forget_left_out
-- All but the last ones.
DELETE FROM redrive.left_out WHERE schedule = $1
    AND seq <= (SELECT seq FROM redrive.left_out WHERE schedule = $1 ORDER BY seq DESC OFFSET $2 LIMIT 1);

-- name: forget_builds
DELETE FROM redrive.app_builds WHERE app = $1 AND last_us < redrive.now_us() - $2;

-- name: show_build
INSERT INTO redrive.app_builds (app, build, first_us, last_us) VALUES ($1, $2, redrive.now_us(), redrive.now_us())
ON CONFLICT (app, build) DO UPDATE SET last_us = greatest(app_builds.last_us, excluded.last_us);

-- name: declaring_build
SELECT build FROM redrive.app_builds WHERE app = $1 ORDER BY first_us DESC, build DESC LIMIT 1;
