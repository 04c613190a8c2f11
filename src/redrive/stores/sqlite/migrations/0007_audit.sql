-- What operators did, by the id of the execution: it stays when that is gone. *key* makes an act land once.

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    execution TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    operator TEXT NOT NULL,
    verb TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    key TEXT NOT NULL,
    UNIQUE (execution, key)
) STRICT;
