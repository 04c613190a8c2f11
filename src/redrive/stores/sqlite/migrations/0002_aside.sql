-- What nobody could take up, for people to look at: signals that a wait could not read, and events that a durable handler
-- has passed by without having done them.

CREATE TABLE aside (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    n INTEGER NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    sent_us INTEGER NOT NULL,             -- when it was stored in the inbox
    error TEXT NOT NULL,
    at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX aside_of ON aside (n);

-- With its event, which is pruned in `events`. *seq* is the event's. A row counts as done in `handlers`.
CREATE TABLE held_events (
    handler TEXT NOT NULL,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    payload TEXT NOT NULL,
    execution TEXT NOT NULL,
    at_us INTEGER NOT NULL,               -- when it was emitted
    dead INTEGER NOT NULL,
    attempts INTEGER NOT NULL,            -- 0: it waits behind an older one of its execution
    first_us INTEGER,                     -- of the first attempt that failed
    due_us INTEGER,
    error TEXT NOT NULL,
    PRIMARY KEY (handler, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX held_in_order ON held_events (handler, execution, seq) WHERE dead = 0;
