-- Lists of one workflow and of one status, newest first, read no more than they give back.
--
-- An index on the status itself would change with every turn. These do not from turn to turn: an execution is in `open` from its
-- start to its end, and in `notable` from when something happens to it that people ask for.

CREATE INDEX by_workflow ON executions (workflow);
CREATE INDEX open ON executions (n) WHERE status IN ('pending', 'running', 'suspended');
CREATE INDEX notable ON executions (status) WHERE status NOT IN ('pending', 'running', 'suspended');
