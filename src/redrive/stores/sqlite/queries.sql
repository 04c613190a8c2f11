-- Every statement of the SQLite store but its schema. A name, what it is for, the statement.

-- ── starting ──────────────────────────────────────────────────────────────────────────────────

-- name: started
SELECT n, run, status FROM executions WHERE id = ?;

-- name: insert_execution
INSERT INTO executions (id, workflow, run, number, status, owner, fence, wake_us, stored_us, updated_us, created_us, deadline_us,
    creator_id, creator_run, creator_key, attributes, root_id, queue, partition, queued, host)
VALUES (?, ?, ?, 1, 'pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: begin_again
-- The next run of what has ended; the rest is saved with what changes.
UPDATE executions SET first_run = ?, deadline_us = ?, creator_id = ?, creator_run = ?, creator_key = ?, attributes = ?, root_id = ?,
    outcome = NULL, queue = ?, partition = ?, host = ?, awaits = NULL
WHERE n = ?;

-- name: locked
-- What the rules must know of an execution that they may change.
SELECT n, workflow, run, number,
    (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number),
    status, owner, fence, wake_us, recoveries, unread, stored_us, cancelled_run, first_run, newest, creator_id, creator_run, creator_key,
    root_id, queue, partition, queued, host
FROM executions WHERE id = ?;

-- name: save
UPDATE executions SET workflow = ?, run = ?, number = ?, status = ?, owner = ?, fence = ?, wake_us = ?, recoveries = ?, unread = ?,
    stored_us = ?, cancelled_run = ?, newest = ?, updated_us = ?, queued = ?, outcome = CASE WHEN ? THEN ? ELSE outcome END
WHERE n = ?;

-- name: begin_history
INSERT INTO history (n, number, upto, at_us, rows, input, waits) VALUES (?, ?, 1, ?, ?, ?, '');

-- name: forget_inbox
DELETE FROM inbox WHERE n = ?;

-- name: forget_landed
DELETE FROM landed WHERE n = ?;

-- name: forget_parked
DELETE FROM parked WHERE n = ?;

-- name: forget_attributes
DELETE FROM attributes WHERE n = ?;

-- ── inboxes ───────────────────────────────────────────────────────────────────────────────────

-- name: has_landed
SELECT 1 FROM landed WHERE n = ? AND dedup = ?;

-- name: receives
-- What a signal to an execution changes.
SELECT n, status, wake_us, stored_us FROM executions WHERE id = ?;

-- name: received
UPDATE executions SET wake_us = ?, stored_us = ?, newest = ?, updated_us = ? WHERE n = ?;

-- name: insert_landed
INSERT OR IGNORE INTO landed (n, dedup) VALUES (?, ?);

-- name: insert_message
INSERT INTO inbox (n, kind, name, data, stored_us) VALUES (?, ?, ?, ?, ?);

-- name: inbox
SELECT seq, kind, name, data, stored_us FROM inbox WHERE n = ? AND seq > ? ORDER BY seq;

-- name: poll_inboxes
SELECT executions.id, seq, kind, name, data, inbox.stored_us FROM inbox CROSS JOIN executions USING (n)
WHERE seq > ? AND owner = ? ORDER BY seq;

-- name: newest
-- The last seq that the table ever gave out.
SELECT seq FROM sqlite_sequence WHERE name = ?;

-- ── turns ─────────────────────────────────────────────────────────────────────────────────────

-- name: append
INSERT INTO history (n, number, upto, at_us, rows, waits) VALUES (?, ?, ?, ?, ?, ?);

-- name: standing
-- What a turn is checked against.
SELECT n, number,
    (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number),
    fence, owner, status, unread, wake_us, recoveries, newest, creator_id, cancelled_run, queued
FROM executions WHERE id = ?;

-- name: last_chunk
SELECT upto, rows FROM history WHERE n = ? AND number = ? ORDER BY upto DESC LIMIT 1;

-- name: take
DELETE FROM inbox WHERE n = ? AND seq <= ?;

-- name: turn
UPDATE executions SET status = ?, wake_us = ?, unread = ?, recoveries = ?, newest = ?, updated_us = ? WHERE n = ?;

-- name: set_attributes
UPDATE executions SET attributes = ? WHERE n = ?;

-- name: forget_text
-- By which an attribute was searched: all but one.
DELETE FROM attributes WHERE n = ? AND name = ? AND value <> ?;

-- name: forget_texts
-- The same, all but those of a JSON array.
DELETE FROM attributes WHERE n = ? AND name = ? AND value NOT IN (SELECT value FROM json_each(?));

-- name: add_text
INSERT OR IGNORE INTO attributes (n, name, value) VALUES (?, ?, ?);

-- name: end
UPDATE executions SET status = ?, wake_us = NULL, owner = NULL, unread = ?, recoveries = ?, newest = ?, updated_us = ?, outcome = ? WHERE n = ?;

-- ── rewrites ──────────────────────────────────────────────────────────────────────────────────

-- name: set_deadline
UPDATE executions SET deadline_us = ? WHERE n = ?;

-- name: has_audit
SELECT 1 FROM audit WHERE execution = ? AND key = ?;

-- name: insert_audit
INSERT OR IGNORE INTO audit (execution, at_us, operator, verb, reason, detail, key) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: operated
SELECT seq, execution FROM audit WHERE seq > ? ORDER BY seq LIMIT 1000;

-- name: audit
SELECT seq, execution, at_us, operator, verb, reason, detail, key FROM audit ORDER BY seq DESC LIMIT ?;

-- name: audit_of
SELECT seq, execution, at_us, operator, verb, reason, detail, key FROM audit WHERE execution = ? ORDER BY seq DESC LIMIT ?;

-- ── claims ────────────────────────────────────────────────────────────────────────────────────

-- name: worker
SELECT expires_us, expires_ticks, build, workflows, evidence, started_us, queues FROM workers WHERE id = ?;

-- name: heartbeat
INSERT INTO workers (id, expires_us, lease_us, build, workflows, kernel, expires_ticks, stalls_until, evidence, started_us, queues, release)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
ON CONFLICT (id) DO UPDATE SET expires_us = excluded.expires_us, lease_us = excluded.lease_us, build = excluded.build,
    workflows = excluded.workflows, kernel = excluded.kernel, expires_ticks = excluded.expires_ticks,
    stalls_until = excluded.stalls_until, evidence = excluded.evidence, queues = excluded.queues, release = 1;

-- name: beat
-- From a thread, while the worker's event loop is not to be heard: nothing but the lease.
UPDATE workers SET expires_us = ?, expires_ticks = ? WHERE id = ?;

-- name: workers
SELECT id, expires_us, lease_us, workflows, kernel, expires_ticks, stalls_until, evidence, build FROM workers;

-- name: worker_details
SELECT id, build, started_us, expires_us - lease_us,
    (SELECT count(*) FROM (SELECT 1 FROM executions WHERE owner = workers.id LIMIT 10000))
FROM workers;

-- name: worker_row
SELECT id, expires_us, lease_us, workflows, kernel, expires_ticks, stalls_until, evidence, build FROM workers WHERE id = ?;

-- name: shorten_lease
UPDATE workers SET expires_us = ? WHERE id = ?;

-- name: remove_worker
DELETE FROM workers WHERE id = ?;

-- name: count_recoveries
UPDATE executions SET recoveries = recoveries + 1 WHERE owner = ? AND wake_us <= ?;

-- name: count_deaths
INSERT INTO deaths (n, build, number, length, count, worker)
SELECT n, ?, number, (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number), 1, owner
FROM executions WHERE owner = ? AND wake_us <= ?
ON CONFLICT (n, build) DO UPDATE SET
    count = CASE WHEN number = excluded.number AND length = excluded.length THEN count + 1 ELSE 1 END,
    parks = CASE WHEN number = excluded.number AND length = excluded.length THEN parks ELSE 0 END,
    number = excluded.number, length = excluded.length, worker = excluded.worker;

-- name: forget_old_deaths
DELETE FROM deaths WHERE n IN (
    SELECT deaths.n FROM deaths CROSS JOIN executions USING (n) WHERE status IN ('completed', 'failed', 'compensation_failed', 'cancelled')
);

-- name: take_back_deaths
UPDATE deaths SET count = max(count - 1, 0), worker = NULL WHERE worker = ?;

-- name: deaths
SELECT number, length, count, parks FROM deaths WHERE n = ? AND build = ?;

-- name: set_deaths
INSERT OR REPLACE INTO deaths (n, build, number, length, count, parks) VALUES (?, ?, ?, ?, ?, ?);

-- name: forget_deaths
DELETE FROM deaths WHERE n = ? AND build = ?;

-- name: disown
UPDATE executions SET owner = NULL WHERE owner = ?;

-- name: due_before
-- The clock went back: what was due by then stays due. To wake a sleeper early is harmless.
UPDATE executions SET wake_us = ? WHERE wake_us > ? AND wake_us <= ? AND queued <> 1;

-- name: due_still
-- The same where nobody here saw the clock go back: what was due when it was written is due at once.
UPDATE executions SET wake_us = ?
WHERE workflow = ? AND owner IS NULL AND wake_us IS NOT NULL AND status <> 'parked' AND wake_us > ? AND wake_us <= updated_us
    AND queued <> 1;

-- name: parked_due_still
UPDATE executions SET wake_us = ?
WHERE workflow = ? AND owner IS NULL AND wake_us IS NOT NULL AND status = 'parked' AND wake_us > ? AND wake_us <= updated_us;

-- name: owned_due_still
-- A worker's clock may have been a little ahead of the store's.
UPDATE executions SET wake_us = ? WHERE owner = ? AND wake_us > ? AND wake_us <= updated_us + 1000000;

-- name: due
SELECT wake_us, n, id, run, number,
    (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number),
    fence, recoveries, rested, queued > 0 OR host IS NOT NULL, CASE WHEN queued > 0 THEN queue END, partition
FROM executions
WHERE workflow = ? AND owner IS NULL AND wake_us IS NOT NULL AND status <> 'parked' AND wake_us <= ?
    AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.n = executions.n AND build = ?)
ORDER BY wake_us LIMIT ?;

-- name: turns_due
-- The same without those that only want a body run.
SELECT wake_us, n, id, run, number,
    (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number),
    fence, recoveries, rested, queued > 0 OR host IS NOT NULL, CASE WHEN queued > 0 THEN queue END, partition
FROM executions
WHERE workflow = ? AND owner IS NULL AND wake_us IS NOT NULL AND status <> 'parked' AND wake_us <= ?
    AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.n = executions.n AND build = ?)
    AND (deadline_us <= ? OR status NOT IN ('pending', 'running')
        OR EXISTS (SELECT 1 FROM inbox WHERE inbox.n = executions.n AND (executions.status = 'running' OR kind = 'cancel')))
ORDER BY wake_us LIMIT ?;

-- name: parked_due
SELECT wake_us, n, id, run, number,
    (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number),
    fence, recoveries, rested, queued > 0 OR host IS NOT NULL, CASE WHEN queued > 0 THEN queue END, partition
FROM executions
WHERE workflow = ? AND owner IS NULL AND wake_us IS NOT NULL AND status = 'parked' AND wake_us <= ?
    AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.n = executions.n AND build = ?)
ORDER BY wake_us LIMIT ?;

-- name: give
UPDATE executions SET owner = ?, fence = fence + 1 WHERE n = ?;

-- name: hurry
-- A cancel came: what says nothing of the code may be tried again at once.
UPDATE parked SET retry_us = ? WHERE n = ? AND kind IN ('killed', 'cut_off');

-- name: unpark
-- The build of the worker can continue, and the workflow has a worker.
DELETE FROM parked WHERE n = ? AND (build = '*' OR build = (SELECT build FROM workers WHERE id = ?));

-- name: has_parked
SELECT 1 FROM parked WHERE build = ? LIMIT 1;

-- name: retry_started
-- What a build parked before one of its workers was first heard of.
SELECT wake_us, executions.n, id, run, number,
    (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number),
    fence, recoveries, rested, queued > 0 OR host IS NOT NULL, CASE WHEN queued > 0 THEN queue END, partition, workflow, kind, tries, parked_us
FROM parked CROSS JOIN executions USING (n)
WHERE build = ? AND parked_us < ? AND rest_us <= ? AND instr(tried, ?) = 0 AND owner IS NULL AND wake_us <= ?
    AND workflow IN (SELECT value FROM json_each(?))
ORDER BY parked_us LIMIT ?;

-- name: retry_due
-- What a build parked, and its workers may try again by now.
SELECT wake_us, executions.n, id, run, number,
    (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number),
    fence, recoveries, rested, queued > 0 OR host IS NOT NULL, CASE WHEN queued > 0 THEN queue END, partition, workflow, kind, tries, parked_us
FROM parked CROSS JOIN executions USING (n)
WHERE build = ? AND retry_us <= ? AND instr(tried, ?) = 0 AND owner IS NULL AND wake_us <= ?
    AND workflow IN (SELECT value FROM json_each(?))
ORDER BY retry_us LIMIT ?;

-- name: next_retry_started
SELECT min(max(rest_us, wake_us)) FROM parked CROSS JOIN executions USING (n)
WHERE build = ? AND parked_us < ? AND instr(tried, ?) = 0 AND owner IS NULL AND workflow IN (SELECT value FROM json_each(?));

-- name: next_retry_due
SELECT min(max(retry_us, wake_us)) FROM parked CROSS JOIN executions USING (n)
WHERE build = ? AND retry_us IS NOT NULL AND instr(tried, ?) = 0 AND owner IS NULL AND workflow IN (SELECT value FROM json_each(?));

-- name: forget_old_parks
-- Of what has ended: nobody asks any more who could not go on with it.
DELETE FROM parked WHERE build = ? AND n IN (
    SELECT parked.n FROM parked CROSS JOIN executions USING (n)
    WHERE build = ? AND status IN ('completed', 'failed', 'compensation_failed', 'cancelled')
);

-- name: next_due_workflow
-- The next workflow by name that has something due: one look into the index for each.
SELECT workflow FROM executions WHERE owner IS NULL AND wake_us IS NOT NULL AND status <> 'parked' AND workflow > ?
ORDER BY workflow LIMIT 1;

-- name: some_due
SELECT id FROM executions WHERE workflow = ? AND owner IS NULL AND wake_us IS NOT NULL AND status <> 'parked' AND wake_us <= ? LIMIT 10;

-- name: park_due
INSERT OR REPLACE INTO parked (n, build, kind, reason, parked_us)
SELECT n, '*', 'unknown_workflow', ?, ? FROM executions WHERE workflow = ? AND owner IS NULL AND wake_us IS NOT NULL AND status <> 'parked' AND wake_us <= ?;

-- name: show_parked
UPDATE executions SET status = 'parked', updated_us = ?
WHERE workflow = ? AND owner IS NULL AND wake_us IS NOT NULL AND status <> 'parked' AND wake_us <= ?;

-- name: owned
SELECT n, id FROM executions WHERE owner = ?;

-- name: held
SELECT n, status, number, (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number), queued
FROM executions WHERE id = ? AND fence = ? AND owner = ?;

-- name: release
UPDATE executions SET owner = NULL WHERE n = ?;

-- name: release_at_rest
UPDATE executions SET owner = NULL, rested = fence WHERE n = ?;

-- name: release_parked
UPDATE executions SET owner = NULL, status = CASE WHEN status = 'paused' THEN status ELSE 'parked' END, updated_us = ? WHERE n = ?;

-- name: retry
UPDATE executions SET owner = ?, fence = fence + 1, status = 'parked' WHERE n = ?;

-- name: park_of
SELECT kind, reason, parked_us, rest_us, retry_us, tries, tried FROM parked WHERE n = ? AND build = ?;

-- name: workers_of_build
SELECT id FROM workers WHERE build = ?;

-- name: park
INSERT OR REPLACE INTO parked (n, build, kind, reason, parked_us, rest_us, retry_us, tries, tried) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: counter
SELECT value FROM counters WHERE name = ?;

-- name: set_counter
UPDATE counters SET value = ? WHERE name = ?;

-- name: raise_counter
UPDATE counters SET value = value + 1 WHERE name = ?;

-- name: next_wake
SELECT wake_us FROM executions
WHERE workflow = ? AND owner IS NULL AND wake_us IS NOT NULL AND status <> 'parked'
    AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.n = executions.n AND build = ?)
ORDER BY wake_us LIMIT 1;

-- name: next_parked_wake
SELECT wake_us FROM executions
WHERE workflow = ? AND owner IS NULL AND wake_us IS NOT NULL AND status = 'parked'
    AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.n = executions.n AND build = ?)
ORDER BY wake_us LIMIT 1;

-- name: orphans_wake
-- What a dead worker owns still.
SELECT wake_us, workflow FROM executions WHERE owner = ? AND wake_us IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.n = executions.n AND build = ?);

-- ── reading ───────────────────────────────────────────────────────────────────────────────────

-- name: snapshot
SELECT n, id, workflow, status, run, number,
    (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number),
    (SELECT input FROM history WHERE history.n = executions.n AND history.number = first_run AND upto = 1),
    created_us, updated_us,
    (SELECT at_us FROM history WHERE history.n = executions.n AND history.number = executions.number ORDER BY upto DESC LIMIT 1),
    wake_us, deadline_us, owner, recoveries, attributes, outcome, unread, creator_id, creator_run, creator_key,
    (SELECT waits FROM history WHERE history.n = executions.n AND history.number = executions.number ORDER BY upto DESC LIMIT 1),
    ended_us, error_type, queue, partition
FROM executions WHERE id = ?;

-- name: ends
-- Those of a JSON array of ids that have ended.
SELECT executions.id, status, outcome FROM json_each(?) CROSS JOIN executions ON executions.id = json_each.value
WHERE status IN ('completed', 'failed', 'compensation_failed', 'cancelled');

-- name: snapshots
-- Of a JSON array of numbers, in no order.
SELECT n, executions.id, workflow, status, run, number,
    (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number),
    (SELECT input FROM history WHERE history.n = executions.n AND history.number = first_run AND upto = 1),
    created_us, updated_us,
    (SELECT at_us FROM history WHERE history.n = executions.n AND history.number = executions.number ORDER BY upto DESC LIMIT 1),
    wake_us, deadline_us, owner, recoveries, attributes, outcome, unread, creator_id, creator_run, creator_key,
    (SELECT waits FROM history WHERE history.n = executions.n AND history.number = executions.number ORDER BY upto DESC LIMIT 1),
    ended_us, error_type, queue, partition
FROM json_each(?) CROSS JOIN executions ON executions.n = json_each.value;

-- name: behind_attribute
-- Those with an attribute that an older release stored.
SELECT id, n, attributes FROM attributes INDEXED BY attributes_by_value CROSS JOIN executions USING (n)
WHERE name = ? AND value = '!' ORDER BY n LIMIT ?;

-- name: is_behind
SELECT 1 FROM attributes WHERE n = ? AND name = ? AND value = '!';

-- name: behind
-- Those up to a number that have not ended, newest first, and whether a release without waits wrote their last chunk.
SELECT id, n, (SELECT waits IS NULL FROM history WHERE history.n = executions.n AND history.number = executions.number ORDER BY upto DESC LIMIT 1)
FROM executions WHERE n <= ? AND status NOT IN ('completed', 'failed', 'compensation_failed', 'cancelled') ORDER BY n DESC LIMIT ?;

-- name: set_waits
UPDATE history SET waits = ? WHERE n = ? AND waits IS NULL AND upto = (
    SELECT max(upto) FROM history last WHERE last.n = history.n AND last.number = history.number
) AND number = (SELECT number FROM executions WHERE executions.n = history.n);

-- name: parks_of
SELECT build, kind, reason, parked_us, tries, retry_us FROM parked WHERE n = ?;

-- name: cancel_of
SELECT data FROM inbox WHERE n = ? AND kind = 'cancel' LIMIT 1;

-- name: runs
SELECT n, number, oldest_run FROM executions WHERE id = ?;

-- name: history
SELECT rows FROM history WHERE n = ? AND number = ? ORDER BY upto;

-- ── events ────────────────────────────────────────────────────────────────────────────────────

-- name: emit
INSERT OR IGNORE INTO events (name, payload, execution, run, key, at_us) VALUES (?, ?, ?, ?, ?, ?);

-- name: events_after
SELECT seq, name, payload, execution, at_us FROM events WHERE name = ? AND seq > ? ORDER BY seq LIMIT ?;

-- name: handler
SELECT event, done, worker FROM handlers WHERE id = ?;

-- name: set_handler
INSERT OR REPLACE INTO handlers (id, event, done, worker) VALUES (?, ?, ?, ?);

-- name: events_done
UPDATE handlers SET done = ? WHERE id = ? AND worker = ? AND done < ?;

-- name: prune_events
DELETE FROM events WHERE seq IN (
    SELECT seq FROM events WHERE at_us <= ?
        AND NOT EXISTS (SELECT 1 FROM handlers WHERE handlers.event = events.name AND done < events.seq)
    ORDER BY at_us LIMIT 10000);

-- ── what is kept for people ───────────────────────────────────────────────────────────────────

-- name: keep_aside
INSERT INTO aside (n, name, data, sent_us, error, at_us) VALUES (?, ?, ?, ?, ?, ?);

-- name: all_aside
SELECT seq, id, name, data, sent_us, error, at_us FROM aside CROSS JOIN executions USING (n) ORDER BY seq LIMIT ?;

-- name: aside_of
SELECT seq, id, name, data, sent_us, error, at_us FROM executions CROSS JOIN aside USING (n) WHERE id = ? ORDER BY seq LIMIT ?;

-- name: forget_aside
DELETE FROM aside WHERE n = ? AND seq = ?;

-- name: hold
INSERT INTO held_events (handler, seq, event, payload, execution, at_us, dead, attempts, first_us, due_us, error)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: change_held
UPDATE held_events SET dead = ?, attempts = ?, first_us = ?, due_us = ?, error = ? WHERE handler = ? AND seq = ?;

-- name: held_events
-- The oldest of each execution.
SELECT handler, seq, held_events.event, payload, execution, at_us, dead, attempts, first_us, due_us, error
FROM held_events JOIN handlers ON handlers.id = held_events.handler
WHERE handler = ? AND held_events.event = ? AND worker = ? AND dead = 0 AND NOT EXISTS (
    SELECT 1 FROM held_events older
    WHERE older.handler = held_events.handler AND older.execution = held_events.execution AND older.seq < held_events.seq
        AND older.dead = 0 AND older.event = held_events.event)
ORDER BY coalesce(due_us, 0), seq LIMIT ?;

-- name: held_done
DELETE FROM held_events WHERE handler = ? AND seq = ? AND EXISTS (SELECT 1 FROM handlers WHERE handlers.id = handler AND worker = ?);

-- name: list_held
SELECT handler, seq, event, payload, execution, at_us, dead, attempts, first_us, due_us, error FROM held_events
WHERE (:handler IS NULL OR handler = :handler) AND (:dead IS NULL OR dead = :dead) ORDER BY handler, seq LIMIT :limit;

-- name: retry_held
UPDATE held_events SET dead = 0, attempts = 0, first_us = NULL, due_us = NULL WHERE handler = ? AND seq = ?;

-- name: retry_held_dead
UPDATE held_events SET dead = 0, attempts = 0, first_us = NULL, due_us = NULL WHERE handler = ? AND dead = 1;

-- name: drop_held
DELETE FROM held_events WHERE handler = ? AND seq = ?;

-- name: drop_held_dead
DELETE FROM held_events WHERE handler = ? AND dead = 1;

-- ── purging ───────────────────────────────────────────────────────────────────────────────────

-- name: ended
SELECT n, id, workflow, status, number,
    (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number), ended_us
FROM executions INDEXED BY by_end
WHERE ended_us IS NOT NULL AND ended_us < ? AND (ended_us, n) > (?, ?) ORDER BY ended_us, n LIMIT ?;

-- name: with_old_runs
SELECT n, id, workflow, oldest_run, number FROM executions INDEXED BY with_old_runs
WHERE oldest_run < number AND n > ? ORDER BY n LIMIT ?;

-- name: run_began
SELECT at_us FROM history WHERE n = ? AND number = ? ORDER BY upto LIMIT 1;

-- name: to_purge
SELECT n, number, status, ended_us FROM executions WHERE id = ?;

-- name: purge_execution
DELETE FROM executions WHERE n = ?;

-- name: purge_history
DELETE FROM history WHERE n = ?;

-- name: purge_deaths
DELETE FROM deaths WHERE n = ?;

-- name: purge_aside
DELETE FROM aside WHERE n = ?;

-- name: purge_attributes
DELETE FROM attributes WHERE n = ?;

-- name: purge_audit
DELETE FROM audit WHERE execution = ?;

-- name: purge_events
-- But for those that a handler has not done.
DELETE FROM events WHERE execution = ?
    AND NOT EXISTS (SELECT 1 FROM handlers WHERE handlers.event = events.name AND done < events.seq);

-- name: purge_dead_letters
DELETE FROM held_events WHERE execution = ? AND dead = 1;

-- name: runs_to_purge
SELECT n, oldest_run, number, first_run FROM executions WHERE id = ?;

-- name: purge_runs
-- But for the input, which is with the first chunk of the run that the last start began.
DELETE FROM history WHERE n = ? AND number BETWEEN ? AND ? AND NOT (number = ? AND input IS NOT NULL);

-- name: set_oldest_run
UPDATE executions SET oldest_run = ? WHERE n = ?;

-- name: state_retention
INSERT OR REPLACE INTO retentions (worker, stated_us, workflows, keep) VALUES (?, ?, ?, ?);

-- name: forget_old_retentions
DELETE FROM retentions WHERE stated_us < ?;

-- name: forget_retention
DELETE FROM retentions WHERE worker = ?;

-- name: retentions
SELECT worker, stated_us, retentions.workflows, keep, workers.id IS NOT NULL FROM retentions LEFT JOIN workers ON workers.id = worker;

-- ── what may be stuck ─────────────────────────────────────────────────────────────────────────

-- name: suspects
SELECT n, id,
    unread > 0 OR recoveries >= ? OR wake_us < ? OR (owner IS NOT NULL AND updated_us < ?)
    OR (status = 'suspended' AND wake_us IS NOT NULL AND (
        SELECT waits LIKE 'step:%' OR waits LIKE 'undo:%' OR waits IS NULL FROM history
        WHERE history.n = executions.n AND history.number = executions.number ORDER BY upto DESC LIMIT 1))
FROM executions INDEXED BY living
WHERE status NOT IN ('completed', 'failed', 'compensation_failed', 'cancelled') AND status IN ('pending', 'running', 'suspended') AND n > ?
ORDER BY n LIMIT ?;

-- name: notable_suspects
SELECT id FROM executions INDEXED BY notable
WHERE status NOT IN ('pending', 'running', 'suspended') AND status IN ('parked', 'cancelling') LIMIT ?;
-- ── schedules ─────────────────────────────────────────────────────────────────────────────────

-- name: schedule
SELECT id, workflow, due_us, record FROM schedules WHERE id = ?;

-- name: schedules
SELECT id, workflow, due_us, record FROM schedules WHERE id > ? ORDER BY id LIMIT ?;

-- name: due_schedules
SELECT id, workflow, due_us, record FROM schedules INDEXED BY schedules_due
WHERE due_us IS NOT NULL AND workflow IN (SELECT value FROM json_each(?)) AND due_us <= ? ORDER BY due_us LIMIT ?;

-- name: next_schedule
SELECT min(due_us) FROM schedules INDEXED BY schedules_due
WHERE due_us IS NOT NULL AND workflow IN (SELECT value FROM json_each(?)) AND due_us > ?;

-- name: save_schedule
INSERT INTO schedules (id, workflow, due_us, record) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET workflow = excluded.workflow, due_us = excluded.due_us, record = excluded.record;

-- name: remove_schedule
DELETE FROM schedules WHERE id = ?;

-- name: left_out
SELECT record, at_us FROM left_out WHERE schedule = ? ORDER BY seq DESC LIMIT ?;

-- name: leave_out
INSERT INTO left_out (schedule, at_us, record) VALUES (?, ?, ?);

-- name: forget_left_out
-- All but the last ones.
DELETE FROM left_out WHERE seq IN (SELECT seq FROM left_out WHERE schedule = ? ORDER BY seq DESC LIMIT -1 OFFSET ?);

-- name: forget_builds
DELETE FROM app_builds WHERE app = ? AND last_us < ?;

-- name: show_build
INSERT INTO app_builds (app, build, first_us, last_us) VALUES (?1, ?2, ?3, ?3)
ON CONFLICT (app, build) DO UPDATE SET last_us = max(last_us, excluded.last_us);

-- name: declaring_build
SELECT build FROM app_builds WHERE app = ? ORDER BY first_us DESC, build DESC LIMIT 1;
-- ── queues: joining and leaving ───────────────────────────────────────────────────────────────

-- name: join_lane
-- One more waits in a lane: it is ready, unless what waited there already cannot be admitted.
INSERT INTO lanes (queue, partition, state, level, tag, oldest_us)
VALUES (:queue, :partition, 'ready', :priority, coalesce((SELECT floor FROM queues WHERE name = :queue), 0), :now)
ON CONFLICT (queue, partition) DO UPDATE SET
    level = CASE WHEN state = 'idle' THEN excluded.level ELSE min(level, excluded.level) END,
    tag = CASE WHEN state = 'idle' THEN max(tag, excluded.tag) ELSE tag END,
    oldest_us = CASE WHEN state = 'idle' THEN excluded.oldest_us ELSE oldest_us END,
    state = CASE WHEN state = 'idle' THEN 'ready' ELSE state END
WHERE state = 'idle' OR excluded.level < level;

-- name: insert_ticket
INSERT INTO tickets (queue, partition, priority, n, since_us, due_us) VALUES (?, ?, ?, ?, ?, ?);

-- name: insert_dedup
INSERT OR REPLACE INTO dedups (queue, dedup, n) VALUES (?, ?, ?);

-- name: dedup_holder
SELECT executions.id FROM dedups CROSS JOIN executions ON executions.n = dedups.n WHERE dedups.queue = ? AND dedups.dedup = ?;

-- name: ticket
SELECT seq, queue, partition, priority, held_us, due_us, idle, again, borrowed, lender, lent_to FROM tickets WHERE n = ?;

-- name: ticket_by_seq
SELECT seq, idle, borrowed, lender FROM tickets WHERE seq = ?;

-- name: delete_ticket
DELETE FROM tickets WHERE n = ?;

-- name: delete_dedup
DELETE FROM dedups WHERE n = ?;

-- name: open_lane
-- A place has become free: what waits in the lane may be admitted.
UPDATE lanes SET state = 'ready' WHERE queue = ? AND partition = ? AND state = 'full';

-- name: idle_lane
-- The last that waited in the lane is gone.
UPDATE lanes SET state = 'idle' WHERE queue = :queue AND partition = :partition AND NOT EXISTS (
    SELECT 1 FROM tickets WHERE tickets.queue = :queue AND tickets.partition = :partition AND held_us IS NULL AND due_us IS NULL);

-- name: heir_of
-- Who uses the place of a ticket that goes: the eldest.
SELECT seq, partition FROM tickets WHERE lender = ? AND held_us IS NOT NULL ORDER BY seq LIMIT 1;

-- name: inherit
UPDATE tickets SET borrowed = ?, lender = ? WHERE seq = ?;

-- name: lend_to
UPDATE tickets SET lent_to = ? WHERE seq = ?;

-- name: lend_no_more
UPDATE tickets SET lender = NULL WHERE lender = ?;

-- name: idle_ticket
-- It is parked: its place in the queue is free, that in its partition is not. Unless somebody uses it.
UPDATE tickets SET idle = 1, again = 0 WHERE n = ? AND held_us IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM tickets user WHERE user.seq = tickets.lent_to AND user.idle = 0);

-- name: idle_lent_ticket
UPDATE tickets SET idle = 1 WHERE seq = ?;

-- name: parked_tickets
SELECT executions.n FROM executions INDEXED BY notable
WHERE status NOT IN ('pending', 'running', 'suspended') AND status = 'parked' AND queued = 2 AND workflow = ?;

-- name: returned
-- Nobody uses its place any more; that is free if it is parked.
UPDATE tickets SET lent_to = NULL, idle = (SELECT status IN ('parked', 'paused') FROM executions WHERE executions.n = tickets.n) WHERE seq = ?;

-- name: resume_ticket
UPDATE tickets SET idle = 0, again = 0 WHERE seq = ?;

-- name: await_place_again
UPDATE tickets SET again = 1 WHERE n = ?;

-- name: come_first
UPDATE tickets SET priority = ? WHERE n = ?;

-- ── queues: admission ─────────────────────────────────────────────────────────────────────────

-- name: queue
SELECT limits, override, paused, floor, turn, due_us FROM queues WHERE name = ?;

-- name: insert_queue
INSERT OR IGNORE INTO queues (name) VALUES (?);

-- name: due_tickets
SELECT seq, partition, priority FROM tickets WHERE queue = ? AND held_us IS NULL AND due_us IS NOT NULL AND due_us <= ? ORDER BY due_us LIMIT 100;

-- name: wait_now
UPDATE tickets SET due_us = NULL, since_us = ? WHERE seq = ?;

-- name: open_later_lanes
-- Also those that are due later than any token can be: the clock went back.
UPDATE lanes SET state = 'ready' WHERE queue = ? AND state = 'later' AND (due_us <= ? OR due_us > ?);

-- name: begun_no_later
UPDATE begun SET at_us = :now, since_us = min(since_us, :now) WHERE queue = :queue AND at_us > :now;

-- name: forget_begun
DELETE FROM begun WHERE queue = ? AND at_us <= ?;

-- name: begun
SELECT since_us, at_us, count FROM begun WHERE queue = ? AND scope = ? AND partition = ?;

-- name: count_begun
INSERT OR REPLACE INTO begun (queue, scope, partition, since_us, at_us, count) VALUES (?, ?, ?, ?, ?, ?);

-- name: active
SELECT count(*) FROM (
    SELECT 1 FROM tickets INDEXED BY active_tickets WHERE queue = ? AND held_us IS NOT NULL AND borrowed = 0 AND idle = 0 LIMIT ?);

-- name: ready_lanes
SELECT partition, level, tag, oldest_us FROM lanes INDEXED BY ready_lanes WHERE queue = ? AND state = 'ready' ORDER BY level, tag LIMIT ?;

-- name: old_lanes
SELECT partition, level, tag, oldest_us FROM lanes INDEXED BY old_lanes WHERE queue = ? AND state = 'ready' ORDER BY oldest_us LIMIT ?;

-- name: lane
SELECT partition, level, tag, oldest_us FROM lanes WHERE queue = ? AND partition = ?;

-- name: lane_held
SELECT count(*) FROM (
    SELECT 1 FROM tickets INDEXED BY held_tickets WHERE queue = ? AND partition = ? AND held_us IS NOT NULL AND borrowed < 2 LIMIT ?);

-- name: lane_heads
SELECT seq, priority, since_us FROM tickets INDEXED BY waiting_tickets
WHERE queue = ? AND partition = ? AND held_us IS NULL AND due_us IS NULL ORDER BY priority, seq LIMIT ?;

-- name: lane_elders
SELECT seq, priority, since_us FROM tickets INDEXED BY old_tickets
WHERE queue = ? AND partition = ? AND held_us IS NULL AND due_us IS NULL ORDER BY seq LIMIT ?;

-- name: again_tickets
SELECT seq FROM tickets INDEXED BY again_tickets WHERE queue = ? AND again = 1 ORDER BY priority, seq LIMIT ?;

-- name: next_borrower
-- The first of the next lender.
SELECT seq, partition, priority, lender FROM tickets INDEXED BY borrowing_tickets
WHERE queue = ? AND lender IS NOT NULL AND lender > ? AND held_us IS NULL AND due_us IS NULL ORDER BY lender, priority, seq LIMIT 1;

-- name: may_lend
SELECT partition FROM tickets WHERE seq = ? AND queue = ? AND held_us IS NOT NULL AND lent_to IS NULL;

-- name: hold_ticket
UPDATE tickets SET held_us = ?, lender = ?, borrowed = ? WHERE seq = ? RETURNING n;

-- name: place_again
UPDATE tickets SET idle = 0, again = 0 WHERE seq = ? RETURNING n;

-- name: save_lane
UPDATE lanes SET state = ?, level = ?, tag = ?, oldest_us = ?, due_us = ? WHERE queue = ? AND partition = ?;

-- name: save_queue
UPDATE queues SET floor = ?, turn = ?, due_us = ? WHERE name = ?;

-- name: admit_execution
-- What has ended, or has no place to get, is not woken.
UPDATE executions SET queued = 2, wake_us = CASE WHEN status = 'paused' THEN wake_us ELSE ? END, updated_us = ?
WHERE n = ? AND queued = 1 AND status NOT IN ('completed', 'failed', 'compensation_failed', 'cancelled');

-- name: is_held_back
SELECT 1 FROM executions WHERE n = ? AND status IN ('paused', 'parked');

-- name: admitted
SELECT n, id, run, number,
    (SELECT max(upto) FROM history WHERE history.n = executions.n AND history.number = executions.number),
    fence, recoveries, rested, queued > 0 OR host IS NOT NULL, CASE WHEN queued > 0 THEN queue END, partition, workflow
FROM executions WHERE n = ? AND owner IS NULL AND status NOT IN ('parked', 'paused') AND wake_us <= ?
    AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.n = executions.n AND build = ?);

-- name: next_admission
-- Of one queue: whether it is paused, its limits, when its next token is due, whether something waits, and when something will.
SELECT paused, limits, override, due_us,
    EXISTS (SELECT 1 FROM lanes INDEXED BY ready_lanes WHERE queue = :queue AND state = 'ready'),
    EXISTS (SELECT 1 FROM tickets INDEXED BY again_tickets WHERE queue = :queue AND again = 1),
    EXISTS (SELECT 1 FROM tickets t INDEXED BY borrowing_tickets CROSS JOIN tickets l ON l.seq = t.lender
        WHERE t.queue = :queue AND t.lender IS NOT NULL AND t.held_us IS NULL AND t.due_us IS NULL AND l.held_us IS NOT NULL AND l.lent_to IS NULL),
    (SELECT min(due_us) FROM lanes INDEXED BY later_lanes WHERE queue = :queue AND state = 'later'),
    (SELECT min(due_us) FROM tickets INDEXED BY later_tickets WHERE queue = :queue AND held_us IS NULL AND due_us IS NOT NULL)
FROM queues WHERE name = :queue;

-- ── queues: what each execution waits for ─────────────────────────────────────────────────────

-- name: set_awaits
UPDATE executions SET awaits = ? WHERE n = ?;

-- name: kin
SELECT e.n, e.awaits, e.creator_id, t.seq, t.queue, t.held_us FROM executions e LEFT JOIN tickets t ON t.n = e.n WHERE e.id = ?;

-- name: set_lender
UPDATE tickets SET lender = ? WHERE n = ? AND held_us IS NULL AND lender IS NOT ?;

-- ── queues: sweeping ──────────────────────────────────────────────────────────────────────────

-- name: ended_tickets
-- A page of tickets, and which are of executions that were ended by a release that knows of no queues, or that are gone.
SELECT t.seq, t.n, e.n IS NULL OR e.status IN ('completed', 'failed', 'compensation_failed', 'cancelled')
FROM tickets t LEFT JOIN executions e ON e.n = t.n WHERE t.seq > ? ORDER BY t.seq LIMIT ?;

-- name: lanes_page
SELECT partition FROM lanes WHERE queue = ? AND partition >= ? ORDER BY partition LIMIT ?;

-- name: look_again
-- A page of the lanes of a queue: whatever they say, the next admission counts.
UPDATE lanes SET state = 'ready', oldest_us = min(oldest_us, :now)
WHERE queue = :queue AND partition >= :first AND partition <= :last AND state <> 'ready' AND EXISTS (
    SELECT 1 FROM tickets INDEXED BY waiting_tickets
    WHERE tickets.queue = lanes.queue AND tickets.partition = lanes.partition AND held_us IS NULL AND due_us IS NULL);

-- name: forget_lanes
-- Those without a ticket that waits or has a place; none while some of the queue's tickets are due later.
DELETE FROM lanes WHERE queue = :queue AND partition >= :first AND partition <= :last AND state = 'idle'
    AND NOT EXISTS (SELECT 1 FROM tickets INDEXED BY later_tickets WHERE tickets.queue = :queue AND held_us IS NULL AND due_us IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM tickets INDEXED BY waiting_tickets
        WHERE tickets.queue = lanes.queue AND tickets.partition = lanes.partition AND held_us IS NULL AND due_us IS NULL)
    AND NOT EXISTS (SELECT 1 FROM tickets INDEXED BY held_tickets
        WHERE tickets.queue = lanes.queue AND tickets.partition = lanes.partition AND held_us IS NOT NULL AND borrowed < 2);

-- ── queues: what is declared, and what people see ─────────────────────────────────────────────

-- name: old_workers
SELECT id, expires_us, lease_us, workflows, kernel, expires_ticks, stalls_until, evidence, build FROM workers WHERE release = 0;

-- name: declarations
SELECT build, limits, first_us, seen_us FROM declarations WHERE queue = ?;

-- name: set_declaration
INSERT OR REPLACE INTO declarations (queue, build, limits, first_us, seen_us) VALUES (?, ?, ?, ?, ?);

-- name: forget_declarations
DELETE FROM declarations WHERE queue = ? AND seen_us < ?;

-- name: set_limits
UPDATE queues SET limits = ?, due_us = 0 WHERE name = ?;

-- name: set_override
UPDATE queues SET override = ?, due_us = 0 WHERE name = ?;

-- name: set_paused
UPDATE queues SET paused = ? WHERE name = ?;

-- name: open_lanes
-- The limits have changed: what was full may not be.
UPDATE lanes SET state = 'ready' WHERE queue = ? AND state IN ('full', 'later');

-- name: set_workflow_queue
INSERT INTO workflow_queues (workflow, queue, partitioned) VALUES (?, ?, ?)
ON CONFLICT (workflow) DO UPDATE SET queue = excluded.queue, partitioned = excluded.partitioned
WHERE queue IS NOT excluded.queue OR partitioned <> excluded.partitioned;

-- name: workflow_queue
SELECT queue, partitioned FROM workflow_queues WHERE workflow = ?;

-- name: queue_names
SELECT name FROM queues UNION SELECT DISTINCT queue FROM lanes ORDER BY 1;

-- name: queue_counts
SELECT count(*), coalesce(sum(held_us IS NOT NULL), 0), coalesce(sum(held_us IS NOT NULL AND idle), 0),
    min(CASE WHEN held_us IS NULL AND due_us IS NULL THEN since_us END)
FROM tickets WHERE queue = ?;

-- name: begun_since
SELECT coalesce(sum(count), 0) FROM begun WHERE queue = ? AND scope = ? AND at_us > ?;

-- name: serving
SELECT id, expires_us, lease_us, workflows, kernel, expires_ticks, stalls_until, evidence, build, queues FROM workers WHERE queues <> '[]';

-- name: partitions
SELECT partition, sum(held_us IS NULL), sum(held_us IS NOT NULL), min(CASE WHEN held_us IS NULL THEN since_us END) AS oldest
FROM tickets WHERE queue = ? GROUP BY partition ORDER BY oldest IS NULL, oldest, partition;

-- name: ahead
SELECT count(*) FROM (
    SELECT 1 FROM tickets INDEXED BY waiting_tickets
    WHERE queue = ? AND partition = ? AND held_us IS NULL AND due_us IS NULL AND (priority, seq) < (?, ?) LIMIT ?);

-- name: waiting
SELECT count(*) FROM (
    SELECT 1 FROM tickets INDEXED BY waiting_tickets WHERE queue = ? AND partition = ? AND held_us IS NULL AND due_us IS NULL LIMIT ?);
