-- A park says what kind it is, and who may try again; deaths of workers are counted for each build (stores/parking.py).

ALTER TABLE redrive.parked
    ADD COLUMN kind text COLLATE "C" NOT NULL DEFAULT 'error',
    ADD COLUMN parked_us bigint NOT NULL DEFAULT 0,
    ADD COLUMN rest_us bigint NOT NULL DEFAULT 0,         -- from when a worker that came later may retry
    ADD COLUMN retry_us bigint,                           -- from when those that were there already may
    ADD COLUMN tries integer NOT NULL DEFAULT 1,
    ADD COLUMN tried text[] COLLATE "C" NOT NULL DEFAULT '{}'; -- the live workers that met it
UPDATE redrive.parked SET kind = CASE
    WHEN build = '*' THEN 'unknown_workflow'
    WHEN reason LIKE 'its worker died %' THEN 'killed'
    WHEN reason LIKE 'a turn was broken off %' THEN 'cut_off'
    ELSE 'error'
END;
CREATE INDEX parked_by_build ON redrive.parked (build, parked_us);
CREATE INDEX parked_again ON redrive.parked (build, retry_us) WHERE retry_us IS NOT NULL;

ALTER TABLE redrive.workers ADD COLUMN started_us bigint NOT NULL DEFAULT 0; -- when it was first heard of

-- Workers of a build that died in a row while they owned an execution whose run *number* had *length* rows.
CREATE TABLE redrive.deaths (
    n bigint NOT NULL,
    build text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    length integer NOT NULL,
    count integer NOT NULL,
    parks integer NOT NULL DEFAULT 0,     -- how often the build parked it for them
    worker text COLLATE "C",              -- that died last
    PRIMARY KEY (n, build)
);
CREATE INDEX deaths_of ON redrive.deaths (worker) WHERE worker IS NOT NULL;
