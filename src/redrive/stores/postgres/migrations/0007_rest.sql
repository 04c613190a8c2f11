-- The fence of the owner that gave the execution back and said that no body which it asks for had begun. With any other fence
-- it says nothing: somebody else has owned the execution since.

ALTER TABLE redrive.executions ADD COLUMN rested bigint NOT NULL DEFAULT 0;
