-- The sources of searches: what an index has, as rows of a key and a number. A name, what it is for, the statement.
-- Those that come in an order are read in it, from a place on.

-- name: from_every
SELECT n AS key, n FROM executions WHERE n < ? ORDER BY n DESC LIMIT ?;

-- name: from_id
SELECT n AS key, n FROM executions WHERE id = ? AND n < ? LIMIT ?;

-- name: from_prefix
-- In the order of ids.
SELECT n AS key, n FROM executions WHERE id >= ? AND id < ? LIMIT ?;

-- name: from_workflow
SELECT n AS key, n FROM executions INDEXED BY by_workflow WHERE workflow = ? AND n < ? ORDER BY n DESC LIMIT ?;

-- name: from_open
SELECT n AS key, n FROM executions INDEXED BY living
WHERE status NOT IN ('completed', 'failed', 'compensation_failed', 'cancelled') AND n < ? ORDER BY n DESC LIMIT ?;

-- name: from_status
SELECT n AS key, n FROM executions INDEXED BY notable
WHERE status NOT IN ('pending', 'running', 'suspended') AND status = ? AND n < ? ORDER BY n DESC LIMIT ?;

-- name: from_parent
SELECT n AS key, n FROM executions INDEXED BY by_creator WHERE creator_id = ? AND n < ? ORDER BY n DESC LIMIT ?;

-- name: from_root
SELECT n AS key, n FROM executions INDEXED BY by_root WHERE root_id = ? AND n < ? ORDER BY n DESC LIMIT ?;

-- name: from_created
SELECT created_us AS key, n FROM executions INDEXED BY by_created
WHERE created_us >= ? AND created_us < ? AND (created_us, n) < (?, ?) ORDER BY created_us DESC, n DESC LIMIT ?;

-- name: from_ended
SELECT ended_us AS key, n FROM executions INDEXED BY by_end
WHERE ended_us >= ? AND ended_us < ? AND (ended_us, n) < (?, ?) ORDER BY ended_us DESC, n DESC LIMIT ?;

-- name: from_attribute
SELECT n AS key, n FROM attributes INDEXED BY attributes_by_value WHERE name = ? AND value = ? AND n < ? ORDER BY n DESC LIMIT ?;

-- name: from_range
-- In the order of values.
SELECT n AS key, n FROM attributes INDEXED BY attributes_by_value WHERE name = ? AND value >= ? AND value < ? LIMIT ?;

-- name: workflows
-- One look into the index for each.
WITH RECURSIVE found (workflow) AS (
    SELECT * FROM (SELECT workflow FROM executions INDEXED BY by_workflow ORDER BY workflow LIMIT 1)
    UNION ALL
    SELECT (SELECT e.workflow FROM executions e INDEXED BY by_workflow WHERE e.workflow > found.workflow ORDER BY e.workflow LIMIT 1)
    FROM found WHERE found.workflow IS NOT NULL
)
SELECT workflow FROM found WHERE workflow IS NOT NULL LIMIT ?;

-- name: texts
-- The texts of an attribute, one look into the index for each.
WITH RECURSIVE found (value) AS (
    SELECT * FROM (SELECT value FROM attributes INDEXED BY attributes_by_value WHERE name = ? ORDER BY value LIMIT 1)
    UNION ALL
    SELECT (SELECT a.value FROM attributes a INDEXED BY attributes_by_value WHERE a.name = ? AND a.value > found.value ORDER BY a.value LIMIT 1)
    FROM found WHERE found.value IS NOT NULL
)
SELECT value FROM found WHERE value IS NOT NULL LIMIT ?;
