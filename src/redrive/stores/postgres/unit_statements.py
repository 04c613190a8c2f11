"""Units of work on PostgreSQL: locked and read before the rules of the ledger run, written after, each kind by one statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redrive.ports.store import Creator, Message
from redrive.ports.stored_schedules import StoredSchedule
from redrive.stores.ledger.locked_execution import LockedExecution
from redrive.stores.ledger.reach import Reach
from redrive.stores.ledger.unit_of_work import Chunk, StoredMessage, UnitOfWork
from redrive.stores.postgres.event_statements import emit
from redrive.stores.postgres.parameters import SEPARATOR, from_text, from_us, joined, maybe_text, maybe_us, numbers, to_key, to_text, to_us
from redrive.stores.postgres.session import Again, Session
from redrive.stores.postgres.ticket_statements import lock_lanes, read_places, require_lanes, write_tickets
from redrive.stores.schedule_records import SLOTS_KEPT, dump_left_out, dump_schedule, load_schedule
from redrive.stores.snapshots import creator_of


# ── before the rules run ────────────────────────────────────────────────────────────────────────
async def lock(session: Session, reach: Reach) -> UnitOfWork:
    """Lock what exists of *reach* in one order, and read it. Raises `Again` if an execution began meanwhile."""
    keys = [(to_text(id), to_key(message.dedup)) for id, message in reach.messages if message.dedup is not None]
    await lock_lanes(session, reach)
    rows = await session.run("lock", _list(reach.ids), _list(reach.parents_of))
    now = await session.run("now")
    found = await session.run("inboxes_after", _list(reach.inboxes), numbers(reach.inboxes.values()))
    audits = [await (await session.run("has_audit", to_text(id), to_text(key))).fetchall() for id, key in reach.audits]
    stored = None
    if keys:
        stored = await session.run("landed", SEPARATOR.join(id for id, _ in keys), SEPARATOR.join(key for _, key in keys))
    locked = [_locked(row) for row in await rows.fetchall()]
    ((now_us,),) = await now.fetchall()
    work = UnitOfWork(now_us)
    work.add(locked)
    for id, *message in await found.fetchall():
        execution = work.executions.get(from_text(id))
        if execution is None:
            raise Again("an execution was started since its lock was asked for")
        execution.inbox.append(read_message(*message))
    work.stored_audits = {asked for asked, rows in zip(reach.audits, audits, strict=True) if rows}
    if stored is not None:
        work.dedup_keys = {(from_text(id), from_text(key)) for id, key in await stored.fetchall()}
    if wanted := [*reach.schedules, *work.schedule_ids]:
        work.add_schedules(await lock_schedules(session, wanted))
    require_lanes(session, reach, work)
    if reach.dedups or work.held_back:
        await read_places(session, work, reach.dedups)
    return work


async def lock_schedules(session: Session, ids: Iterable[str]) -> list[StoredSchedule]:
    """Lock the schedules with these *ids*, in the order of their ids; executions are locked before."""
    return [read_schedule(*row) for row in await (await session.run("lock_schedules", _list(ids))).fetchall()]


def read_schedule(id: str, workflow: str, due_us: int | None, record: str) -> StoredSchedule:
    return load_schedule(from_text(id), from_text(workflow), due_us, record)


async def look_for(session: Session, work: UnitOfWork, chunks: Iterable[Chunk]) -> None:
    """Note which of *chunks* are the last ones of their runs."""
    for chunk in chunks:
        cursor = await session.run("same_chunk", work.executions[chunk.id].n, chunk.number, chunk.end, chunk.rows)
        if await cursor.fetchall() == [(True,)]:
            work.stored_chunks.add(chunk)


async def inboxes(session: Session, after: Mapping[str, int]) -> dict[str, list[Message]]:
    """The messages in inboxes by now, at least those behind a seq in each."""
    found: dict[str, list[Message]] = {}
    for id, *message in await (await session.run("inboxes_after", _list(after), numbers(after.values()))).fetchall():
        found.setdefault(from_text(id), []).append(read_message(*message))
    return found


def read_message(seq: int, kind: str, name: str, data: str, stored_us: int) -> Message:
    return Message(seq=seq, kind=kind, name=from_text(name), data=data, stored_at=from_us(stored_us))


# ── after ───────────────────────────────────────────────────────────────────────────────────────
async def write(session: Session, work: UnitOfWork) -> None:
    """Raises `Again` if another transaction has started what *work* begins."""
    if work.begun:
        await _begin(session, work)
    for restart in work.restarts:
        n, new, root = restart.execution.n, restart.new, maybe_text(restart.execution.root)
        for forget in ("forget_inbox", "forget_landed", "forget_parks", "forget_attributes"):
            await session.run(forget, str(n))
        place = (maybe_text(new.queue), None if new.queue is None else to_text(new.partition), restart.execution.host)
        creator = _creator(restart.execution.creator)
        await session.run("begin_again", n, maybe_us(new.deadline), *creator, new.attributes, restart.number, root, *place)
        await session.run("begin_history", n, restart.number, work.now_us, new.started, new.input)
    for refilled in work.refilled:
        await session.run("forget_inbox", str(refilled.execution.n))
        if refilled.messages:
            await _store_messages(session, refilled.messages)
    for execution, number in work.renumbered:
        await session.run("renumber_events", execution.n, number, execution.number)
    for execution, deadline_us in work.deadlines:
        await session.run("set_deadline", execution.n, deadline_us)
    for id, act in work.audits:
        texts = map(to_text, (act.by, act.verb, act.reason, act.detail, act.key))
        await session.run("insert_audit", to_text(id), work.now_us, *texts)
    if work.chunks:
        chunks = [chunk for _, chunk in work.chunks]
        run_numbers, ends = numbers(chunk.number for chunk in chunks), numbers(chunk.end for chunk in chunks)
        ns, rows = _ns(execution for execution, _ in work.chunks), joined(chunk.rows for chunk in chunks)
        await session.run("append", ns, run_numbers, ends, work.now_us, rows)
    if work.taken:
        await session.run("take", _ns(execution for execution, _ in work.taken), numbers(seq for _, seq in work.taken))
    for execution, attributes in work.attributes.values():
        await session.run("set_attributes", execution.n, attributes)
    if work.reindexed:
        await session.run("forget_attributes", _ns(work.reindexed))
    if work.texts:
        await _index(session, work)
    if work.unparked:
        owners = SEPARATOR.join(to_text(owner or "") for _, owner in work.unparked)
        await session.run("forget_park", _ns(execution for execution, _ in work.unparked), owners)
    if work.hurried:
        await session.run("hurry", _ns(work.hurried), work.now_us)
    if work.unparked_for_all:
        await session.run("forget_parks", _ns(work.unparked_for_all))
    if work.messages:
        await _store_messages(session, work.messages)
    if work.aside:
        await _keep_aside(session, work)
    if changed := work.changed:
        await _save(session, changed, work.now_us)
    if schedules := work.changed_schedules:
        await save_schedules(session, schedules)
    if work.left_out:
        await _leave_out(session, work)
    if work.concerns_queues:
        await write_tickets(session, work)
    if work.events:
        await emit(session, work.events, work.now_us)


async def save_schedules(session: Session, schedules: Sequence[StoredSchedule]) -> None:
    await session.run(
        "save_schedules",
        _list(schedule.id for schedule in schedules),
        SEPARATOR.join(to_text(schedule.workflow) for schedule in schedules),
        numbers(maybe_us(schedule.due) for schedule in schedules),
        SEPARATOR.join(dump_schedule(schedule) for schedule in schedules),
    )


async def _leave_out(session: Session, work: UnitOfWork) -> None:
    schedules = [to_text(id) for id, _ in work.left_out]
    records = SEPARATOR.join(dump_left_out(slots) for _, slots in work.left_out)
    await session.run("leave_out", SEPARATOR.join(schedules), records, work.now_us)
    for schedule in dict.fromkeys(schedules):
        await session.run("forget_left_out", schedule, SLOTS_KEPT)


async def _begin(session: Session, work: UnitOfWork) -> None:
    begun, news = [execution for execution, _ in work.begun], [new for _, new in work.begun]
    creators = [_creator(new.creator) for new in news]
    made = await session.run(
        "insert_executions",
        SEPARATOR.join(to_text(new.id) for new in news),
        SEPARATOR.join(to_text(new.workflow) for new in news),
        SEPARATOR.join(to_text(new.run) for new in news),
        joined(maybe_text(execution.owner) for execution in begun),
        numbers(execution.fence for execution in begun),
        numbers(work.wake_us(new) for new in news),
        work.now_us,
        numbers(maybe_us(new.deadline) for new in news),
        *(joined(creator[part] for creator in creators) for part in range(3)),
        SEPARATOR.join(new.attributes for new in news),
        SEPARATOR.join(new.started for new in news),
        SEPARATOR.join(new.input for new in news),
        joined(maybe_text(execution.root) for execution in begun),
        joined(maybe_text(new.queue) for new in news),
        joined(to_text(new.partition) for new in news),
        numbers(execution.host for execution in begun),
    )
    for id, n in await made.fetchall():
        work.executions[from_text(id)].n = n
    if any(execution.is_new for execution in begun):
        raise Again("an execution was started by two at once")


async def _index(session: Session, work: UnitOfWork) -> None:
    last = {(execution.n, name): texts for execution, name, texts in work.texts}
    rows = [(n, name, text) for (n, name), texts in last.items() for text in texts or (None,)]
    ns, names = numbers(n for n, _, _ in rows), SEPARATOR.join(to_text(name) for _, name, _ in rows)
    await session.run("index", ns, names, joined(text for *_, text in rows))


async def _store_messages(session: Session, stored: Sequence[StoredMessage]) -> None:
    keys = [(one.execution, to_text(one.dedup)) for one in stored if one.dedup is not None]
    if keys:
        await session.run("insert_landed", _ns(execution for execution, _ in keys), SEPARATOR.join(key for _, key in keys))
    await session.run(
        "insert_messages",
        _ns(one.execution for one in stored),
        ",".join(one.message.kind for one in stored),
        SEPARATOR.join(to_text(one.message.name) for one in stored),
        SEPARATOR.join(one.message.data for one in stored),
        numbers(one.stored_us for one in stored),
    )


async def _keep_aside(session: Session, work: UnitOfWork) -> None:
    new = [one for _, one in work.aside]
    await session.run(
        "keep_aside",
        _ns(execution for execution, _ in work.aside),
        SEPARATOR.join(to_text(one.name) for one in new),
        SEPARATOR.join(one.data for one in new),
        numbers(to_us(one.sent_at) for one in new),
        SEPARATOR.join(to_text(one.error) or "?" for one in new),
        work.now_us,
    )


async def _save(session: Session, changed: Sequence[LockedExecution], now_us: int) -> None:
    await session.run(
        "save",
        _ns(changed),
        SEPARATOR.join(to_text(it.workflow) for it in changed),
        SEPARATOR.join(to_text(it.run) for it in changed),
        numbers(it.number for it in changed),
        numbers(it.length for it in changed),
        ",".join(it.status for it in changed),
        joined(maybe_text(it.owner) for it in changed),
        numbers(it.fence for it in changed),
        numbers(it.wake_us for it in changed),
        numbers(it.recoveries for it in changed),
        numbers(it.unread for it in changed),
        numbers(it.stored_us for it in changed),
        numbers(it.cancelled_run for it in changed),
        now_us,
        numbers(int(it.has_outcome) for it in changed),
        joined(it.outcome for it in changed),
        numbers(int(it.waits is not None) for it in changed),
        joined(maybe_text(it.waits) for it in changed),
        numbers(it.queued for it in changed),
    )


def _locked(row: Sequence[Any]) -> LockedExecution:
    n, id, workflow, run, number, length, status, owner, fence, wake_us, recoveries, unread, stored_us, cancelled_run = row[:14]
    return LockedExecution(
        n=n,
        id=from_text(id),
        workflow=from_text(workflow),
        run=from_text(run),
        number=number,
        length=length,
        status=status,
        owner=None if owner is None else from_text(owner),
        fence=fence,
        wake_us=wake_us,
        recoveries=recoveries,
        unread=unread,
        stored_us=stored_us,
        cancelled_run=cancelled_run,
        creator=creator_of(row[14:17], from_text),
        first_run=row[17],
        last_message_seq=row[18],
        root=None if row[19] is None else from_text(row[19]),
        queue=None if row[20] is None else from_text(row[20]),
        partition=from_text(row[21] or ""),
        queued=row[22],
        host=row[23],
    )


def _list(ids: Iterable[str]) -> str:
    return SEPARATOR.join({to_text(id): None for id in ids})


def _ns(executions: Iterable[LockedExecution]) -> str:
    return ",".join(str(execution.n) for execution in executions)


def _creator(creator: Creator | None) -> tuple[str | None, str | None, str | None]:
    if creator is None:
        return (None, None, None)
    return (to_text(creator.id), to_text(creator.run), to_text(creator.key))
