-- Evidence of life, so that a worker's death is known before its lease has passed: see witness.py. All null where a worker gave
-- none, as older ones and those behind a pooler do; the lease decides then.
--
-- life: the key of the advisory lock that a session of the worker holds. server_us: when the server that gave it was started.
-- stalls_us: until when a process that is seen to run keeps its lease without a heartbeat. evidence: JSON, the process.

ALTER TABLE redrive.workers
    ADD COLUMN life bigint,
    ADD COLUMN server_us bigint,
    ADD COLUMN stalls_us bigint,
    ADD COLUMN evidence text COLLATE "C";
