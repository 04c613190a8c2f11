"""Units of work on executions that are kept as `Record`s: read before the rules of the ledger run, written after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from redrive.ports.aside_values import Aside
from redrive.ports.rewrites import Audit
from redrive.ports.store import Message
from redrive.stores.common import short_key
from redrive.stores.ledger.unit_of_work import UnitOfWork
from redrive.stores.memory.record import Record
from redrive.stores.times import from_us

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from redrive.ports.rewrites import NewAudit
    from redrive.stores.ledger.locked_execution import LockedExecution
    from redrive.stores.ledger.reach import Reach
    from redrive.stores.ledger.unit_of_work import Chunk, StoredMessage
    from redrive.stores.memory.event_log import EventLog
    from redrive.stores.memory.park_index import ParkIndex
    from redrive.stores.memory.queue_tables import QueueTables
    from redrive.stores.memory.schedule_table import ScheduleTable


class Records(Protocol):
    """The records by the ids of their executions."""

    def __getitem__(self, id: str, /) -> Record: ...
    def __setitem__(self, id: str, record: Record, /) -> None: ...
    def get(self, id: str, /) -> Record | None: ...


class Tables(Protocol):
    """The data of a store that a unit of work may read or change."""

    newest_message: int
    audits: list[Audit]

    @property
    def records(self) -> Records: ...
    @property
    def events(self) -> EventLog: ...
    @property
    def parks(self) -> ParkIndex: ...
    @property
    def schedules(self) -> ScheduleTable: ...
    @property
    def queues(self) -> QueueTables | None:
        """None of a store without queues."""
        ...

    def next_number(self) -> int:
        """The number of the next execution that is new."""
        ...

    def next_aside(self) -> int:
        """The seq of the next signal that is set aside."""
        ...

    def give(self, record: Record, owner: str | None) -> None:
        """Note that *owner* owns *record* now, or that nobody does, and when it is due."""
        ...


# ── before the rules run ────────────────────────────────────────────────────────────────────────
def lock(tables: Tables, reach: Reach, now_us: int) -> UnitOfWork:
    work, records = UnitOfWork(now_us), tables.records
    held = work.executions
    for id in reach.ids:
        _lock(records, held, id)
    for id in reach.parents_of:
        if id in held and (creator := held[id].creator) is not None:
            _lock(records, held, creator.id)
    by_id = tables.schedules.by_id
    work.add_schedules(by_id[id] for id in {*reach.schedules, *work.schedule_ids} if id in by_id)
    for id, after in reach.inboxes.items():
        if (execution := held.get(id)) is not None:
            execution.inbox = list(records[id].messages_after(0 if execution.cancelled_run else after))
    for id, message in reach.messages:
        if message.dedup is not None and id in held and (key := short_key(message.dedup)) in records[id].dedup_keys:
            work.dedup_keys.add((id, key))
    if reach.audits:
        work.stored_audits = {(one.execution, one.key) for one in tables.audits} & set(reach.audits)
    if tables.queues is not None and (reach.dedups or work.held_back):
        tables.queues.read_places(work)
    return work


def _lock(records: Records, held: dict[str, LockedExecution], id: str) -> None:
    if id not in held and (record := records.get(id)) is not None:
        held[id] = record.locked()


def look_for(tables: Tables, work: UnitOfWork, chunks: Iterable[Chunk]) -> None:
    """Note which of *chunks* are the last ones of their runs."""
    for chunk in chunks:
        run = tables.records[chunk.id].runs[chunk.number - 1]
        if (run.length, run.chunks[-1]) == (chunk.end, chunk.rows):
            work.stored_chunks.add(chunk)


# ── after ───────────────────────────────────────────────────────────────────────────────────────
def write(tables: Tables, work: UnitOfWork) -> None:
    records, now_us = tables.records, work.now_us
    for execution, new in work.begun:
        records[new.id] = Record.begin(new, work.wake_us(new), now_us, tables.next_number(), execution.root)
        execution.changed = True
    for restart in work.restarts:
        record = records[restart.execution.id]
        tables.parks.end_all(record)
        record.begin_again(restart.new, restart.execution.creator, restart.execution.root, now_us)
    for refilled in work.refilled:
        records[refilled.execution.id].inbox.clear()
        _store(tables, refilled.messages)
    for emitted in work.events:
        record = records[emitted.execution.id]
        tables.events.emit(record.id, record.emitted, emitted.events, from_us(now_us))
    for execution, chunk in work.chunks:
        record = records[execution.id]
        if chunk.number > record.number:
            record.begin_run(chunk.rows, chunk.end, now_us)
        else:
            record.current.append(chunk.rows, chunk.end)
    for execution, seq in work.taken:
        inbox = records[execution.id].inbox
        while inbox and inbox[0].seq <= seq:
            inbox.popleft()
    for execution, attributes in work.attributes.values():
        records[execution.id].attributes = attributes
    for execution in work.reindexed:
        records[execution.id].texts = {}
    for execution, name, texts in work.texts:
        records[execution.id].index(name, texts)
    for execution, owner in work.unparked:
        tables.parks.goes_on(records[execution.id], owner or "")
    for execution in work.hurried:
        tables.parks.hurry(records[execution.id], now_us)
    for execution in work.unparked_for_all:
        tables.parks.end_all(records[execution.id])
    _store(tables, work.messages)
    for execution, deadline_us in work.deadlines:
        records[execution.id].deadline_us = deadline_us
    for id, act in work.audits:
        note(tables, id, act, from_us(now_us))
    for execution, one in work.aside:
        aside = Aside(
            seq=tables.next_aside(),
            execution=execution.id,
            name=one.name,
            data=one.data,
            sent_at=one.sent_at,
            error=one.error,
            at=from_us(now_us),
        )
        records[execution.id].aside.append(aside)
    tables.schedules.write(work, from_us(now_us))
    for execution in work.changed:
        _save(tables, execution, now_us)
    if tables.queues is not None and work.concerns_queues:
        tables.queues.write(work)


def _store(tables: Tables, messages: Iterable[StoredMessage]) -> None:
    for stored in messages:
        record, message = tables.records[stored.execution.id], stored.message
        if stored.dedup is not None:
            record.dedup_keys.add(stored.dedup)
        tables.newest_message += 1
        at = from_us(stored.stored_us)
        record.inbox.append(Message(seq=tables.newest_message, kind=message.kind, name=message.name, data=message.data, stored_at=at))


def note(tables: Tables, id: str, act: NewAudit, at: datetime) -> None:
    texts = {"by": act.by, "verb": act.verb, "reason": act.reason, "detail": act.detail, "key": act.key}
    tables.audits.append(Audit(seq=len(tables.audits) + 1, execution=id, at=at, **texts))


def _save(tables: Tables, it: LockedExecution, now_us: int) -> None:
    record = tables.records[it.id]
    stays = record.ticket and (record.wake_us, record.owner, record.status) == (it.wake_us, it.owner, it.status)
    if it.run != record.run:
        record.emitted.clear()
    record.workflow, record.run, record.status, record.fence, record.wake_us = it.workflow, it.run, it.status, it.fence, it.wake_us
    record.recoveries, record.unread, record.stored_us, record.cancelled_run = it.recoveries, it.unread, it.stored_us, it.cancelled_run
    record.updated_us = now_us
    if it.waits is not None:
        record.waits = it.waits
    record.queue, record.partition, record.queued, record.host = it.queue, it.partition, it.queued, it.host
    if it.has_outcome:
        record.outcome = it.outcome
    if not stays:
        tables.give(record, it.owner)
