-- What keeps executions. The rules:
--
-- 1. Times are integers: microseconds since 1970, UTC. Ids and names are text as in values.py, data is JSON text.
-- 2. A turn that only adds rows to a running execution writes to `history` alone. All others write `executions` too, so
--    that its rows are short; the input, which may be long, is with the first chunk of the history.
-- 3. An execution is due when nobody owns it and `wake_us` has come. What has ended has neither owner nor `wake_us`.
--    Owned executions are in none of the indexes by time: a turn of their owner changes no index at all.
-- 4. `newest` is the seq of the last message in the inbox (0: it is empty), so that a turn that takes it needs no
--    look at the inbox; `stored_us` is the time of the last one that was ever there.
-- 5. A history is a sequence of chunks, one for each turn: rows as JSON texts joined by commas. `upto` is the number of
--    rows in the run up to the chunk's end; that of the last chunk is the length of the run.

CREATE TABLE executions (
    n INTEGER PRIMARY KEY,                -- in the order of creation
    id TEXT NOT NULL UNIQUE,
    workflow TEXT NOT NULL,
    run TEXT NOT NULL,
    number INTEGER NOT NULL,              -- of the current run, from 1
    status TEXT NOT NULL,
    owner TEXT,
    fence INTEGER NOT NULL DEFAULT 0,     -- raised by every claim
    wake_us INTEGER,
    recoveries INTEGER NOT NULL DEFAULT 0,
    unread INTEGER NOT NULL DEFAULT 0,
    newest INTEGER NOT NULL DEFAULT 0,
    stored_us INTEGER NOT NULL,
    cancelled_run INTEGER NOT NULL DEFAULT 0, -- the number of the run that a cancel was accepted for
    updated_us INTEGER NOT NULL,          -- the last chunk may have been written later
    created_us INTEGER NOT NULL,
    deadline_us INTEGER,
    first_run INTEGER NOT NULL DEFAULT 1, -- the number of the run that the last start, or restart, began
    creator_id TEXT,
    creator_run TEXT,
    creator_key TEXT,
    attributes TEXT NOT NULL,
    outcome TEXT
) STRICT;
CREATE INDEX due ON executions (workflow, wake_us) WHERE owner IS NULL AND wake_us IS NOT NULL AND status <> 'parked';
CREATE INDEX parked_due ON executions (workflow, wake_us) WHERE owner IS NULL AND wake_us IS NOT NULL AND status = 'parked';
CREATE INDEX owned ON executions (owner) WHERE owner IS NOT NULL;

CREATE TABLE history (
    n INTEGER NOT NULL,
    number INTEGER NOT NULL,
    upto INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    rows TEXT NOT NULL,
    input TEXT,                           -- where an execution starts or restarts
    PRIMARY KEY (n, number, upto)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: `mail` goes by it
    n INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    stored_us INTEGER NOT NULL
) STRICT;
CREATE INDEX inbox_of ON inbox (n);

-- Dedup keys of all messages that an execution ever got.
CREATE TABLE landed (
    n INTEGER NOT NULL,
    dedup TEXT NOT NULL,
    PRIMARY KEY (n, dedup)
) STRICT, WITHOUT ROWID;

-- The builds that cannot go on with the current run; '*' stands for all workers alive.
CREATE TABLE parked (
    n INTEGER NOT NULL,
    build TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (n, build)
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    expires_us INTEGER NOT NULL,
    lease_us INTEGER NOT NULL,
    build TEXT NOT NULL,
    workflows TEXT NOT NULL               -- a JSON array
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: subscribers go by it
    name TEXT NOT NULL,
    payload TEXT NOT NULL,
    execution TEXT NOT NULL,
    run TEXT NOT NULL,
    key TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    UNIQUE (execution, run, key)
) STRICT;
CREATE INDEX events_by_name ON events (name);
CREATE INDEX events_by_age ON events (at_us);

-- Durable event handlers: *done* is the seq up to which a handler has done its events.
CREATE TABLE handlers (
    id TEXT PRIMARY KEY,
    event TEXT NOT NULL,
    done INTEGER NOT NULL,
    worker TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- parks: raised whenever something parked becomes claimable for somebody. pruned_us: when events were last pruned.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('parks', 0), ('pruned_us', 0);
