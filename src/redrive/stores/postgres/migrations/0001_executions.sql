-- What keeps executions. The rules:
--
-- 1. Times are integers: microseconds since 1970, UTC, and come from `now_us`, never from a worker. Ids and names are
--    text as in values.py, data is JSON text: jsonb would sort keys and refuse a NUL.
-- 2. Who changes an execution, or writes to its inbox or history, holds its row's lock; who needs several locks takes
--    them in the order of `n`. So a turn's check of `newest` sees every message, and nobody waits in a circle.
-- 3. A turn changes no indexed column, so that its update stays in its page (HOT): the two that say when an execution is
--    due are null while somebody owns it. What has ended has neither owner nor `wake_us`.
-- 4. `newest` is the seq of the last message in the inbox (0: it is empty); `stored_us` the time of the last that ever was.
-- 5. A history is a sequence of chunks, one for each turn: rows as JSON texts joined by commas. `upto` is the number of rows
--    in the run up to the chunk's end. The input, which may be long, is with the first chunk.
-- 6. `n` rises with time, and history is found by it alone: both can be partitioned by ranges of it.

CREATE FUNCTION redrive.now_us() RETURNS bigint LANGUAGE sql VOLATILE
    AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

CREATE TABLE redrive.executions (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of creation
    id text COLLATE "C" NOT NULL UNIQUE,
    workflow text COLLATE "C" NOT NULL,
    run text COLLATE "C" NOT NULL,
    number integer NOT NULL DEFAULT 1,    -- of the current run, from 1
    length integer NOT NULL DEFAULT 1,    -- rows in the current run
    status text COLLATE "C" NOT NULL DEFAULT 'pending',
    owner text COLLATE "C",
    fence bigint NOT NULL DEFAULT 0,      -- raised by every claim
    wake_us bigint,
    due_us bigint GENERATED ALWAYS AS (CASE WHEN owner IS NULL AND status <> 'parked' THEN wake_us END) STORED,
    parked_due_us bigint GENERATED ALWAYS AS (CASE WHEN owner IS NULL AND status = 'parked' THEN wake_us END) STORED,
    recoveries integer NOT NULL DEFAULT 0,
    unread integer NOT NULL DEFAULT 0,
    newest bigint NOT NULL DEFAULT 0,
    stored_us bigint NOT NULL,
    cancelled_run integer NOT NULL DEFAULT 0, -- the number of the run that a cancel was accepted for
    updated_us bigint NOT NULL,
    created_us bigint NOT NULL,
    deadline_us bigint,
    first_run integer NOT NULL DEFAULT 1, -- the number of the run that the last start, or restart, began
    creator_id text COLLATE "C",
    creator_run text COLLATE "C",
    creator_key text COLLATE "C",
    attributes text COLLATE "C" NOT NULL,
    outcome text COLLATE "C"
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX due ON redrive.executions (workflow, due_us) WHERE due_us IS NOT NULL;
CREATE INDEX parked_due ON redrive.executions (workflow, parked_due_us) WHERE parked_due_us IS NOT NULL;
CREATE INDEX owned ON redrive.executions (owner) WHERE owner IS NOT NULL;

CREATE TABLE redrive.history (
    n bigint NOT NULL,
    number integer NOT NULL,
    upto integer NOT NULL,
    at_us bigint NOT NULL,
    rows text COLLATE "C" NOT NULL,
    input text COLLATE "C",               -- where an execution starts or restarts
    PRIMARY KEY (n, number, upto)
);

-- A message is visible when its sender has committed, not in the order of seq: readers go by `xact` (see `mail`).
CREATE SEQUENCE redrive.messages;
CREATE TABLE redrive.inbox (
    n bigint NOT NULL,
    seq bigint NOT NULL DEFAULT nextval('redrive.messages'),
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    data text COLLATE "C" NOT NULL,
    stored_us bigint NOT NULL,
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (n, seq)
);
CREATE INDEX inbox_by_xact ON redrive.inbox (xact);

-- Dedup keys of all messages that an execution ever got.
CREATE TABLE redrive.landed (
    n bigint NOT NULL,
    dedup text COLLATE "C" NOT NULL,
    PRIMARY KEY (n, dedup)
);

-- The builds that cannot go on with the current run; '*' stands for all workers alive.
CREATE TABLE redrive.parked (
    n bigint NOT NULL,
    build text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    PRIMARY KEY (n, build)
);

CREATE TABLE redrive.workers (
    id text COLLATE "C" PRIMARY KEY,
    expires_us bigint NOT NULL,
    lease_us bigint NOT NULL,
    beat_us bigint NOT NULL,              -- of its last heartbeat: later than now if the clock went back
    build text COLLATE "C" NOT NULL,
    workflows text COLLATE "C" NOT NULL   -- a JSON array
) WITH (fillfactor = 50);

-- Numbered under the lock of the counter `events`, so that they become visible in the order of seq: subscribers go by it.
CREATE TABLE redrive.events (
    seq bigint PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    payload text COLLATE "C" NOT NULL,
    execution text COLLATE "C" NOT NULL,
    n bigint NOT NULL,
    number integer NOT NULL,
    key text COLLATE "C" NOT NULL,
    at_us bigint NOT NULL,
    UNIQUE (n, number, key)
);
CREATE INDEX events_by_name ON redrive.events (name, seq);
CREATE INDEX events_by_age ON redrive.events (at_us);

-- Durable event handlers: *done* is the seq up to which a handler has done its events.
CREATE TABLE redrive.handlers (
    id text COLLATE "C" PRIMARY KEY,
    event text COLLATE "C" NOT NULL,
    done bigint NOT NULL,
    worker text COLLATE "C" NOT NULL
) WITH (fillfactor = 50);

-- events: the last seq. parks: raised whenever something parked becomes claimable for somebody. pruned_us: when events were last pruned.
CREATE TABLE redrive.counters (
    name text COLLATE "C" PRIMARY KEY,
    value bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO redrive.counters VALUES ('events', 0), ('parks', 0), ('pruned_us', 0);
