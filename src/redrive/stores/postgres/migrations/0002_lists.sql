-- Lists of one workflow, of one status and of all that is not over, newest first, read no more than they give back.
--
-- An index on the status itself would change with every turn. These columns keep their value from turn to turn: one until the
-- execution is over, the other until something happens to it that an operator asks for. To add them, the table is written
-- anew, once; who works on it waits that long.

ALTER TABLE redrive.executions
    ADD COLUMN open_n bigint GENERATED ALWAYS AS (
        CASE WHEN status NOT IN ('completed', 'failed', 'compensation_failed', 'cancelled') THEN n END
    ) STORED,
    ADD COLUMN notable text COLLATE "C" GENERATED ALWAYS AS (
        CASE WHEN status NOT IN ('pending', 'running', 'suspended') THEN status END
    ) STORED;
CREATE INDEX by_workflow ON redrive.executions (workflow, n);
CREATE INDEX by_open ON redrive.executions (open_n) WHERE open_n IS NOT NULL;
CREATE INDEX by_notable ON redrive.executions (notable, n) WHERE notable IS NOT NULL;
