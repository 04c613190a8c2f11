-- Evidence of life, for workers on one machine: see witness.py. All null where a worker gave none; its lease by the wall
-- clock decides then, as it does for those who look from another machine.
--
-- kernel: the name of the boot by which the rest is to be read. expires_ticks: `expires_us` on that kernel's own clock.
-- stalls_until: until when, on the same clock, a process that is seen to run keeps its lease without a heartbeat.
-- evidence: JSON, the process and the byte that it holds locked.

ALTER TABLE workers ADD COLUMN kernel TEXT;
ALTER TABLE workers ADD COLUMN expires_ticks INTEGER;
ALTER TABLE workers ADD COLUMN stalls_until INTEGER;
ALTER TABLE workers ADD COLUMN evidence TEXT;
