-- Queues (stores/ledger/admission.py has the rules). Executions without a queue have no row in any of these tables.
--
-- 1. A ticket waits (`held_us` is null), is held, and is deleted in the commit that ends its execution. What is under way is
--    counted by the indexes of held tickets, which have as many entries as a queue's limit at most.
-- 2. A lane is a partition in which something waits, or did. Its state and level are hints: who admits counts the tickets.
--    idle: nothing waits. ready: something waits, and may be admitted. full, later: something waits, and nothing may be admitted
--    before a ticket ends, or before `due_us`.
-- 3. Who takes several locks takes queues first, then lanes by (queue, partition), then executions by `n`, then the lock of
--    lending (only where a place is lent), then tickets. Who ends what has a place locks its lane before it deletes the ticket, so
--    that an admission which counted it is over, or has not begun. Who says that nothing waits in a lane holds it FOR UPDATE:
--    starts hold it FOR KEY SHARE until they have committed, and are seen then.
-- 4. A start that holds its lane FOR KEY SHARE never changes it: two would wait for each other. It gives the lock back first.
-- 5. `floor` is the virtual time of a queue, `tag` that of a lane; `turn` counts admissions.

ALTER TABLE redrive.executions
    ADD COLUMN queue text COLLATE "C",
    ADD COLUMN partition text COLLATE "C",
    ADD COLUMN queued smallint NOT NULL DEFAULT 0, -- 0: in no queue (any more), 1: waits for a place, 2: has one
    ADD COLUMN host bigint,                        -- the nearest execution above it that is in a queue
    ADD COLUMN awaits text COLLATE "C";             -- the children that it waits for, a JSON array of ids; only in families with a queue

-- The schema that a worker was made for: 0 before there were queues.
ALTER TABLE redrive.workers
    ADD COLUMN release integer NOT NULL DEFAULT 0,
    ADD COLUMN queues text COLLATE "C" NOT NULL DEFAULT '[]';

CREATE TABLE redrive.queues (
    name text COLLATE "C" PRIMARY KEY,
    limits text COLLATE "C" NOT NULL DEFAULT '{}',
    override text COLLATE "C",
    paused text COLLATE "C",
    floor bigint NOT NULL DEFAULT 0,
    turn bigint NOT NULL DEFAULT 0,
    due_us bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE redrive.declarations (
    queue text COLLATE "C" NOT NULL,
    build text COLLATE "C" NOT NULL,
    limits text COLLATE "C" NOT NULL,
    first_us bigint NOT NULL,
    seen_us bigint NOT NULL,
    PRIMARY KEY (queue, build)
);

CREATE TABLE redrive.workflow_queues (
    workflow text COLLATE "C" PRIMARY KEY,
    queue text COLLATE "C",
    partitioned boolean NOT NULL
);

CREATE TABLE redrive.lanes (
    queue text COLLATE "C" NOT NULL,
    partition text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    level integer NOT NULL,
    tag bigint NOT NULL,
    oldest_us bigint NOT NULL,
    due_us bigint,
    PRIMARY KEY (queue, partition)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX ready_lanes ON redrive.lanes (queue, level, tag) WHERE state = 'ready';
CREATE INDEX old_lanes ON redrive.lanes (queue, oldest_us) WHERE state = 'ready';
CREATE INDEX later_lanes ON redrive.lanes (queue, due_us) WHERE state = 'later';

CREATE TABLE redrive.tickets (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    partition text COLLATE "C" NOT NULL,
    priority integer NOT NULL,
    n bigint NOT NULL,
    since_us bigint NOT NULL,
    due_us bigint,                       -- it does not wait before this
    held_us bigint,
    idle boolean NOT NULL DEFAULT false, -- held, and its place in the queue is free: it is parked
    again boolean NOT NULL DEFAULT false, -- idle, and waits for its place in the queue
    borrowed smallint NOT NULL DEFAULT 0,
    lender bigint,                       -- the ticket whose place it uses, or may
    lent_to bigint                       -- the ticket that uses its place
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX tickets_of ON redrive.tickets (n);
CREATE INDEX waiting_tickets ON redrive.tickets (queue, partition, priority, seq) WHERE held_us IS NULL AND due_us IS NULL;
CREATE INDEX old_tickets ON redrive.tickets (queue, partition, seq) WHERE held_us IS NULL AND due_us IS NULL;
CREATE INDEX later_tickets ON redrive.tickets (queue, due_us) WHERE held_us IS NULL AND due_us IS NOT NULL;
CREATE INDEX held_tickets ON redrive.tickets (queue, partition) WHERE held_us IS NOT NULL AND borrowed < 2;
CREATE INDEX active_tickets ON redrive.tickets (queue) WHERE held_us IS NOT NULL AND borrowed = 0 AND NOT idle;
CREATE INDEX again_tickets ON redrive.tickets (queue, priority, seq) WHERE again;
CREATE INDEX borrowing_tickets ON redrive.tickets (queue, lender, priority, seq) WHERE lender IS NOT NULL AND held_us IS NULL AND due_us IS NULL;
CREATE INDEX lenders ON redrive.tickets (lender) WHERE lender IS NOT NULL;

-- What began in the last window of a rate: scope 0 of the queue, 1 of a partition.
CREATE TABLE redrive.begun (
    queue text COLLATE "C" NOT NULL,
    scope smallint NOT NULL,
    partition text COLLATE "C" NOT NULL,
    since_us bigint NOT NULL,
    at_us bigint NOT NULL,
    count integer NOT NULL,
    PRIMARY KEY (queue, scope, partition, since_us)
) WITH (fillfactor = 70);
CREATE INDEX begun_late ON redrive.begun (queue, at_us);

CREATE TABLE redrive.dedups (
    queue text COLLATE "C" NOT NULL,
    dedup text COLLATE "C" NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (queue, dedup)
);
CREATE INDEX dedups_of ON redrive.dedups (n);

-- One more will wait in a lane: it is ready, unless what waits there already cannot be admitted.
CREATE FUNCTION redrive.open_lane(its_queue text, its_partition text, its_priority integer, now_us bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO redrive.lanes AS l (queue, partition, state, level, tag, oldest_us)
    VALUES (its_queue, its_partition, 'ready', its_priority, coalesce((SELECT floor FROM redrive.queues WHERE name = its_queue), 0), now_us)
    ON CONFLICT (queue, partition) DO UPDATE SET
        level = CASE WHEN l.state = 'idle' THEN excluded.level ELSE least(l.level, excluded.level) END,
        tag = CASE WHEN l.state = 'idle' THEN greatest(l.tag, excluded.tag) ELSE l.tag END,
        oldest_us = CASE WHEN l.state = 'idle' THEN excluded.oldest_us ELSE l.oldest_us END,
        state = CASE WHEN l.state = 'idle' THEN 'ready' ELSE l.state END
    WHERE l.state = 'idle' OR excluded.level < l.level;
$$;

-- The same for starts: those of one lane neither wait for each other nor write to its row, unless it is idle, or they come first.
CREATE FUNCTION redrive.join_lane(its_queue text, its_partition text, its_priority integer, now_us bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE found_state text; found_level integer;
BEGIN
    SELECT state, level INTO found_state, found_level FROM redrive.lanes WHERE queue = its_queue AND partition = its_partition;
    IF found_state <> 'idle' AND found_level <= its_priority THEN
        BEGIN
            SELECT state, level INTO found_state, found_level FROM redrive.lanes
            WHERE queue = its_queue AND partition = its_partition FOR KEY SHARE;
            IF found_state <> 'idle' AND found_level <= its_priority THEN
                RETURN;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'RD001'; -- which gives the lock back
        EXCEPTION WHEN SQLSTATE 'RD001' THEN
            NULL;
        END;
    END IF;
    PERFORM redrive.open_lane(its_queue, its_partition, its_priority, now_us);
END $$;

-- An execution has ended, or waits no more: its ticket and its dedup key are deleted, under the lock of its lane.
CREATE FUNCTION redrive.leave_queue(its_n bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE t redrive.tickets%ROWTYPE; heir bigint;
BEGIN
    DELETE FROM redrive.dedups WHERE n = its_n;
    SELECT * INTO t FROM redrive.tickets WHERE n = its_n;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF t.lender IS NOT NULL OR t.lent_to IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('redrive.lending', 7238835));
    END IF;
    DELETE FROM redrive.tickets WHERE seq = t.seq RETURNING * INTO t;
    IF t.held_us IS NULL THEN
        UPDATE redrive.lanes l SET state = 'idle' WHERE l.queue = t.queue AND l.partition = t.partition AND NOT EXISTS (
            SELECT 1 FROM redrive.tickets w
            WHERE w.queue = t.queue AND w.partition = t.partition AND w.held_us IS NULL AND w.due_us IS NULL);
        RETURN;
    END IF;
    SELECT w.seq INTO heir FROM redrive.tickets w WHERE w.lender = t.seq AND w.held_us IS NOT NULL ORDER BY w.seq + 0 LIMIT 1;
    IF heir IS NOT NULL THEN -- the place is passed on
        UPDATE redrive.tickets SET borrowed = t.borrowed, lender = t.lender WHERE seq = heir;
        UPDATE redrive.tickets SET lent_to = heir WHERE seq = t.lender;
    ELSIF t.lender IS NOT NULL THEN
        UPDATE redrive.tickets w SET lent_to = NULL,
            idle = coalesce((SELECT e.status IN ('parked', 'paused') FROM redrive.executions e WHERE e.n = w.n), false)
        WHERE w.seq = t.lender;
    END IF;
    UPDATE redrive.tickets SET lender = NULL WHERE lender = t.seq;
    UPDATE redrive.lanes l SET state = 'ready' WHERE l.queue = t.queue AND l.partition = t.partition AND l.state = 'full';
END $$;

-- An execution is parked: nobody need wait for its place in the queue, unless somebody uses it.
CREATE FUNCTION redrive.idle_ticket(its_n bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE t redrive.tickets%ROWTYPE;
BEGIN
    SELECT * INTO t FROM redrive.tickets WHERE n = its_n AND held_us IS NOT NULL;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF t.lender IS NOT NULL OR t.lent_to IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('redrive.lending', 7238835));
    END IF;
    UPDATE redrive.tickets w SET idle = true, again = false WHERE w.seq = t.seq
        AND NOT EXISTS (SELECT 1 FROM redrive.tickets u WHERE u.seq = w.lent_to AND NOT u.idle);
    WHILE t.borrowed > 0 AND t.lender IS NOT NULL LOOP
        SELECT * INTO t FROM redrive.tickets WHERE seq = t.lender;
        EXIT WHEN NOT FOUND;
        IF t.borrowed = 0 THEN
            UPDATE redrive.tickets SET idle = true WHERE seq = t.seq;
        END IF;
    END LOOP;
END $$;

-- The ticket whose place in the queue the one of an execution uses, in the end.
CREATE FUNCTION redrive.place_of(its_n bigint) RETURNS redrive.tickets LANGUAGE plpgsql AS $$
DECLARE t redrive.tickets%ROWTYPE;
BEGIN
    SELECT * INTO t FROM redrive.tickets WHERE n = its_n;
    WHILE t.borrowed > 0 AND t.lender IS NOT NULL LOOP
        SELECT * INTO t FROM redrive.tickets WHERE seq = t.lender;
    END LOOP;
    RETURN t;
END $$;
