-- An index of all that have not ended, in place of one of the routine statuses: searches read it for what waits, too.

CREATE INDEX living ON executions (n) WHERE status NOT IN ('completed', 'failed', 'compensation_failed', 'cancelled');
DROP INDEX open;
