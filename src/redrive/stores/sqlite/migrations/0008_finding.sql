-- Executions are found by attributes, by what they wait for, by their family, and by when they began and ended.
--
-- The columns of the end have their values from those that are there: nothing until the end, so that turns touch no index of theirs.
-- What an execution waits for is with the last chunk of its history, which every turn writes; null: an older release wrote it.

ALTER TABLE executions ADD COLUMN ended_us INTEGER GENERATED ALWAYS AS (
    CASE WHEN status IN ('completed', 'failed', 'compensation_failed', 'cancelled') THEN updated_us END
) VIRTUAL;
ALTER TABLE executions ADD COLUMN error_type TEXT GENERATED ALWAYS AS (
    CASE WHEN status IN ('failed', 'compensation_failed', 'cancelled') AND json_valid(outcome)
    THEN CAST(json_extract(outcome, '$.err.type') AS TEXT) END
) VIRTUAL;
CREATE INDEX by_end ON executions (ended_us) WHERE ended_us IS NOT NULL;
CREATE INDEX by_created ON executions (created_us);
CREATE INDEX by_creator ON executions (creator_id) WHERE creator_id IS NOT NULL;

ALTER TABLE executions ADD COLUMN root_id TEXT;       -- the execution at the top of the family, of one that another one started
UPDATE executions SET root_id = (
    WITH RECURSIVE above (id, top) AS (
        SELECT executions.creator_id, (SELECT p.creator_id FROM executions p WHERE p.id = executions.creator_id)
        UNION ALL
        SELECT above.top, (SELECT p.creator_id FROM executions p WHERE p.id = above.top) FROM above WHERE above.top IS NOT NULL LIMIT 10000
    )
    SELECT id FROM above WHERE top IS NULL
) WHERE creator_id IS NOT NULL;
CREATE INDEX by_root ON executions (root_id) WHERE root_id IS NOT NULL;

ALTER TABLE history ADD COLUMN waits TEXT;
INSERT INTO counters SELECT 'behind', coalesce(max(n), 0) FROM executions; -- those up to this number may have chunks without waits

-- *value* is a text in the order of values (codec/searchable.py); '!' stands for one that an older release stored.
CREATE TABLE attributes (
    n INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (n, name, value)
) STRICT, WITHOUT ROWID;
INSERT INTO attributes (n, name, value)
SELECT e.n, each.key, '!' FROM executions e, json_each(CASE WHEN json_valid(e.attributes) THEN e.attributes ELSE '{}' END) AS each
WHERE e.attributes <> '{}' AND typeof(each.key) = 'text';
CREATE INDEX attributes_by_value ON attributes (name, value, n);
