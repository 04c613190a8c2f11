-- Executions are found by attributes, by what they wait for, by their family, and by when they began and ended.
--
-- The columns of the end have their values from those that are there: nothing until the end, so that turns touch no index of theirs.
-- To add them, the table is written anew, once; who works on it waits that long. *error_type* is as it stands in the JSON of the outcome.

ALTER TABLE redrive.executions
    ADD COLUMN waits text COLLATE "C",                    -- what it waits for, in lines; null: an older release wrote its last turn
    ADD COLUMN root_id text COLLATE "C",                  -- the execution at the top of the family, of one that another one started
    ADD COLUMN ended_us bigint GENERATED ALWAYS AS (
        CASE WHEN status IN ('completed', 'failed', 'compensation_failed', 'cancelled') THEN updated_us END
    ) STORED,
    ADD COLUMN error_type text COLLATE "C" GENERATED ALWAYS AS (
        CASE WHEN status IN ('failed', 'compensation_failed', 'cancelled')
        THEN substring(outcome FROM '^\{"err": ?\{"type": ?"((?:[^"\\]|\\.)*)"') END
    ) STORED;
UPDATE redrive.executions e SET root_id = (
    WITH RECURSIVE above (id, top) AS (
        SELECT e.creator_id, (SELECT p.creator_id FROM redrive.executions p WHERE p.id = e.creator_id)
        UNION
        SELECT above.top, (SELECT p.creator_id FROM redrive.executions p WHERE p.id = above.top) FROM above WHERE above.top IS NOT NULL
    )
    SELECT above.id FROM above WHERE above.top IS NULL
) WHERE creator_id IS NOT NULL;
CREATE INDEX by_end ON redrive.executions (ended_us, n) WHERE ended_us IS NOT NULL;
-- Without its condition it would do for a look at one *n* as well, by the planner's count, and be read from end to end.
CREATE INDEX by_created ON redrive.executions (created_us, n) WHERE created_us > -1;
CREATE INDEX by_creator ON redrive.executions (creator_id, n) WHERE creator_id IS NOT NULL;
CREATE INDEX by_root ON redrive.executions (root_id, n) WHERE root_id IS NOT NULL;
INSERT INTO redrive.counters SELECT 'behind', coalesce(max(n), 0) FROM redrive.executions; -- those up to this number may have no waits

-- *value* is a text in the order of values (codec/searchable.py); '!' stands for one that an older release stored.
CREATE TABLE redrive.attributes (
    n bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    PRIMARY KEY (n, name, value)
);
CREATE INDEX attributes_by_value ON redrive.attributes (name, value, n);

-- JSON that PostgreSQL cannot read (a lone surrogate is one to it, and data may be damaged) keeps nobody from the others' names.
CREATE FUNCTION redrive.names_of(attributes text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT json_object_keys(attributes::json);
EXCEPTION WHEN OTHERS THEN
    BEGIN
        RETURN QUERY SELECT json_object_keys(regexp_replace(attributes, '\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '', 'g')::json);
    EXCEPTION WHEN OTHERS THEN
        RETURN;
    END;
END $$;
INSERT INTO redrive.attributes (n, name, value)
SELECT DISTINCT e.n, named.name, '!' FROM redrive.executions e CROSS JOIN LATERAL redrive.names_of(e.attributes) AS named (name)
WHERE e.attributes <> '{}';
DROP FUNCTION redrive.names_of(text);
