-- The sources of searches: what an index has, as rows of a key and a number. A name, what it is for, the statement.
-- Those that come in an order are read in it, from a place on. Parameters are numbered when a statement is put together.
--
-- What is to be equal is asked for from it up to it, together with the place: so only one index has the order that is asked for, and is
-- entered at the place.

-- name: from_every
SELECT n AS key, n FROM redrive.executions WHERE n < ? ORDER BY n DESC LIMIT ?;

-- name: from_id
SELECT n AS key, n FROM redrive.executions WHERE id = ? AND n < ? LIMIT ?;

-- name: from_prefix
-- In the order of ids.
SELECT n AS key, n FROM redrive.executions WHERE id >= ? AND id < ? LIMIT ?;

-- name: from_workflow
SELECT n AS key, n FROM redrive.executions
WHERE workflow >= ?1 AND workflow <= ?1 AND (workflow, (-n)) > (?1, (-?2::bigint)) ORDER BY workflow, (-n) LIMIT ?3;

-- name: from_open
SELECT n AS key, n FROM redrive.executions WHERE open_n < ? ORDER BY open_n DESC LIMIT ?;

-- name: from_status
SELECT n AS key, n FROM redrive.executions
WHERE notable >= ?1 AND (notable, n) < (?1, ?2::bigint) ORDER BY notable DESC, n DESC LIMIT ?3;

-- name: from_parent
SELECT n AS key, n FROM redrive.executions
WHERE creator_id >= ?1 AND (creator_id, n) < (?1, ?2::bigint) ORDER BY creator_id DESC, n DESC LIMIT ?3;

-- name: from_root
SELECT n AS key, n FROM redrive.executions
WHERE root_id >= ?1 AND (root_id, n) < (?1, ?2::bigint) ORDER BY root_id DESC, n DESC LIMIT ?3;

-- name: from_created
SELECT created_us AS key, n FROM redrive.executions
WHERE created_us > -1 AND created_us >= ? AND created_us < ? AND (created_us, n) < (?::bigint, ?::bigint) ORDER BY created_us DESC, n DESC LIMIT ?;

-- name: from_ended
SELECT ended_us AS key, n FROM redrive.executions
WHERE ended_us >= ? AND ended_us < ? AND (ended_us, n) < (?::bigint, ?::bigint) ORDER BY ended_us DESC, n DESC LIMIT ?;

-- name: from_attribute
SELECT n AS key, n FROM redrive.attributes
WHERE name = ?1 AND value >= ?2 AND (value, n) < (?2, ?3::bigint) ORDER BY value DESC, n DESC LIMIT ?4;

-- name: from_range
-- In the order of values.
SELECT n AS key, n FROM redrive.attributes WHERE name = ? AND value >= ? AND value < ? ORDER BY value LIMIT ?;

-- name: workflows
-- One look into the index for each.
WITH RECURSIVE found AS (
    (SELECT workflow FROM redrive.executions ORDER BY workflow LIMIT 1)
    UNION ALL
    SELECT (SELECT e.workflow FROM redrive.executions e WHERE e.workflow > found.workflow ORDER BY e.workflow LIMIT 1)
    FROM found WHERE found.workflow IS NOT NULL
)
SELECT workflow FROM found WHERE workflow IS NOT NULL LIMIT ?;

-- name: texts
-- The texts of an attribute, one look into the index for each.
WITH RECURSIVE found AS (
    (SELECT value FROM redrive.attributes WHERE name = ? ORDER BY value LIMIT 1)
    UNION ALL
    SELECT (SELECT a.value FROM redrive.attributes a WHERE a.name = ? AND a.value > found.value ORDER BY a.value LIMIT 1)
    FROM found WHERE found.value IS NOT NULL
)
SELECT value FROM found WHERE value IS NOT NULL LIMIT ?;
