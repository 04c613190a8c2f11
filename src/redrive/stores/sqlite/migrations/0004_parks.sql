-- A park says what kind it is, and who may try again; deaths of workers are counted for each build (stores/parking.py).

ALTER TABLE parked ADD COLUMN kind TEXT NOT NULL DEFAULT 'error';
ALTER TABLE parked ADD COLUMN parked_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE parked ADD COLUMN rest_us INTEGER NOT NULL DEFAULT 0; -- from when a worker that came later may retry
ALTER TABLE parked ADD COLUMN retry_us INTEGER;                   -- from when those that were there already may
ALTER TABLE parked ADD COLUMN tries INTEGER NOT NULL DEFAULT 1;
ALTER TABLE parked ADD COLUMN tried TEXT NOT NULL DEFAULT '[]';   -- the live workers that met it: a JSON array
UPDATE parked SET kind = CASE
    WHEN build = '*' THEN 'unknown_workflow'
    WHEN reason LIKE 'its worker died %' THEN 'killed'
    WHEN reason LIKE 'a turn was broken off %' THEN 'cut_off'
    ELSE 'error'
END;
CREATE INDEX parked_by_build ON parked (build, parked_us);
CREATE INDEX parked_again ON parked (build, retry_us) WHERE retry_us IS NOT NULL;

ALTER TABLE workers ADD COLUMN started_us INTEGER NOT NULL DEFAULT 0; -- when it was first heard of

-- Workers of a build that died in a row while they owned an execution whose run *number* had *length* rows.
CREATE TABLE deaths (
    n INTEGER NOT NULL,
    build TEXT NOT NULL,
    number INTEGER NOT NULL,
    length INTEGER NOT NULL,
    count INTEGER NOT NULL,
    parks INTEGER NOT NULL DEFAULT 0,     -- how often the build parked it for them
    worker TEXT,                          -- that died last
    PRIMARY KEY (n, build)
) STRICT, WITHOUT ROWID;
CREATE INDEX deaths_of ON deaths (worker) WHERE worker IS NOT NULL;
