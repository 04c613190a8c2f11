-- Schedules: what is looked up has a column, the rest is in *record* (JSON). *due_us* is when somebody has to look at one.

CREATE TABLE schedules (
    id TEXT PRIMARY KEY,
    workflow TEXT NOT NULL,
    due_us INTEGER,
    record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX schedules_due ON schedules (due_us) WHERE due_us IS NOT NULL;

-- Slots of which no execution was started, the last 1,000 of each schedule; *record* (JSON) says why.
CREATE TABLE left_out (
    seq INTEGER PRIMARY KEY,
    schedule TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX left_out_of ON left_out (schedule, seq);

-- The builds whose workers declare the schedules of an app: when the first one of each came, and the last one was there.
CREATE TABLE app_builds (
    app TEXT NOT NULL,
    build TEXT NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    PRIMARY KEY (app, build)
) STRICT, WITHOUT ROWID;
