-- Queues (stores/ledger/admission.py has the rules). Executions without a queue have no row in any of these tables.
--
-- 1. A ticket waits (`held_us` is null), is held, and is deleted in the commit that ends its execution. What is under way is
--    counted by the indexes of held tickets, which have as many entries as a queue's limit at most.
-- 2. A lane is a partition in which something waits, or did. Its state and level are hints: who admits counts the tickets.
--    idle: nothing waits. ready: something waits, and may be admitted. full, later: something waits, and nothing may be admitted
--    before a ticket ends, or before `due_us`.
-- 3. `floor` is the virtual time of a queue, `tag` that of a lane; `turn` counts admissions.

ALTER TABLE executions ADD COLUMN queue TEXT;
ALTER TABLE executions ADD COLUMN partition TEXT;
-- 0: in no queue (any more), 1: waits for a place, 2: has one.
ALTER TABLE executions ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;
-- The nearest execution above it that is in a queue.
ALTER TABLE executions ADD COLUMN host INTEGER;
-- The children that it waits for, a JSON array of ids; only in families with a queue.
ALTER TABLE executions ADD COLUMN awaits TEXT;

-- The schema that a worker was made for: 0 before there were queues.
ALTER TABLE workers ADD COLUMN release INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN queues TEXT NOT NULL DEFAULT '[]';

CREATE TABLE queues (
    name TEXT PRIMARY KEY,
    limits TEXT NOT NULL DEFAULT '{}',
    override TEXT,
    paused TEXT,
    floor INTEGER NOT NULL DEFAULT 0,
    turn INTEGER NOT NULL DEFAULT 0,
    due_us INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE declarations (
    queue TEXT NOT NULL,
    build TEXT NOT NULL,
    limits TEXT NOT NULL,
    first_us INTEGER NOT NULL,
    seen_us INTEGER NOT NULL,
    PRIMARY KEY (queue, build)
) WITHOUT ROWID;

CREATE TABLE workflow_queues (
    workflow TEXT PRIMARY KEY,
    queue TEXT,
    partitioned INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE lanes (
    queue TEXT NOT NULL,
    partition TEXT NOT NULL,
    state TEXT NOT NULL,
    level INTEGER NOT NULL,
    tag INTEGER NOT NULL,
    oldest_us INTEGER NOT NULL,
    due_us INTEGER,
    PRIMARY KEY (queue, partition)
) WITHOUT ROWID;
CREATE INDEX ready_lanes ON lanes (queue, level, tag, partition) WHERE state = 'ready';
CREATE INDEX old_lanes ON lanes (queue, oldest_us) WHERE state = 'ready';
CREATE INDEX later_lanes ON lanes (queue, due_us) WHERE state = 'later';

CREATE TABLE tickets (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    partition TEXT NOT NULL,
    priority INTEGER NOT NULL,
    n INTEGER NOT NULL,
    since_us INTEGER NOT NULL,
    due_us INTEGER,                     -- it does not wait before this
    held_us INTEGER,
    idle INTEGER NOT NULL DEFAULT 0,    -- held, and its place in the queue is free: it is parked
    again INTEGER NOT NULL DEFAULT 0,   -- idle, and waits for its place in the queue
    borrowed INTEGER NOT NULL DEFAULT 0,
    lender INTEGER,                     -- the ticket whose place it uses, or may
    lent_to INTEGER                     -- the ticket that uses its place
);
CREATE UNIQUE INDEX tickets_of ON tickets (n);
CREATE INDEX waiting_tickets ON tickets (queue, partition, priority, seq) WHERE held_us IS NULL AND due_us IS NULL;
CREATE INDEX old_tickets ON tickets (queue, partition, seq) WHERE held_us IS NULL AND due_us IS NULL;
CREATE INDEX later_tickets ON tickets (queue, due_us) WHERE held_us IS NULL AND due_us IS NOT NULL;
CREATE INDEX held_tickets ON tickets (queue, partition) WHERE held_us IS NOT NULL AND borrowed < 2;
CREATE INDEX active_tickets ON tickets (queue) WHERE held_us IS NOT NULL AND borrowed = 0 AND idle = 0;
CREATE INDEX again_tickets ON tickets (queue, priority, seq) WHERE again = 1;
CREATE INDEX borrowing_tickets ON tickets (queue, lender, priority, seq) WHERE lender IS NOT NULL AND held_us IS NULL AND due_us IS NULL;
CREATE INDEX lenders ON tickets (lender) WHERE lender IS NOT NULL;

-- What began in the last window of a rate: 0 of the queue, 1 of a partition.
CREATE TABLE begun (
    queue TEXT NOT NULL,
    scope INTEGER NOT NULL,
    partition TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (queue, scope, partition, since_us)
) WITHOUT ROWID;
CREATE INDEX begun_late ON begun (queue, at_us);

CREATE TABLE dedups (
    queue TEXT NOT NULL,
    dedup TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (queue, dedup)
) WITHOUT ROWID;
CREATE INDEX dedups_of ON dedups (n);
