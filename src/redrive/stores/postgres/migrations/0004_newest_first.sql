-- Newest first, by an index that cannot be taken for one of `n`: while a table is small, all indexes that have a column of that
-- name look as good as the primary key, and a plan that was made then is kept. Older releases that are
-- still there read such a list by the primary key, which is slower, and right.

DROP INDEX redrive.by_workflow;
CREATE INDEX by_workflow ON redrive.executions (workflow, (-n));
