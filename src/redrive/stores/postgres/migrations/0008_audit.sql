-- What operators did, by the id of the execution: it stays when that is gone. *key* makes an act land once.

CREATE TABLE redrive.audit (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    execution text COLLATE "C" NOT NULL,
    at_us bigint NOT NULL,
    operator text COLLATE "C" NOT NULL,
    verb text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    detail text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    UNIQUE (execution, key)
);
