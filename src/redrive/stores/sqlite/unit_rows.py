"""Units of work on SQLite: read before the rules of the ledger run, written after. The transaction is the lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redrive.stores.common import short_key
from redrive.stores.ledger.locked_execution import LockedExecution
from redrive.stores.ledger.unit_of_work import UnitOfWork
from redrive.stores.snapshots import creator_of
from redrive.stores.sqlite.beginning import begin, begin_again, index
from redrive.stores.sqlite.column_values import from_text, to_text, to_us
from redrive.stores.sqlite.event_rows import emit
from redrive.stores.sqlite.inbox_rows import inbox
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.schedule_rows import leave_out, save_schedule, schedules_of
from redrive.stores.sqlite.ticket_rows import read_places, write_tickets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redrive.stores.ledger.reach import Reach
    from redrive.stores.ledger.unit_of_work import Chunk, StoredMessage
    from redrive.stores.sqlite.jobs import Transaction

_LOCKED = SQL["locked"]
_SAVE = SQL["save"]


# ── before the rules run ────────────────────────────────────────────────────────────────────────
def lock(tx: Transaction, reach: Reach) -> UnitOfWork:
    work = UnitOfWork(tx.now_us)
    held = work.executions
    for id in reach.ids:
        _lock(tx, work, id)
    for id in reach.parents_of:
        if id in held and (creator := held[id].creator) is not None:
            _lock(tx, work, creator.id)
    work.add_schedules(schedules_of(tx, [*reach.schedules, *work.schedule_ids]))
    for id, after in reach.inboxes.items():
        if (execution := held.get(id)) is not None:
            after = 0 if execution.cancelled_run else after
            if execution.last_message_seq > after:
                execution.inbox = list(inbox(tx, execution.n, after))
    for id, message in reach.messages:
        if message.dedup is not None and id in held:
            key = short_key(message.dedup)
            if tx.execute(SQL["has_landed"], (held[id].n, to_text(key))).fetchone():
                work.dedup_keys.add((id, key))
    for id, key in reach.audits:
        if tx.execute(SQL["has_audit"], (to_text(id), to_text(key))).fetchone():
            work.stored_audits.add((id, key))
    if reach.dedups or work.held_back:
        read_places(tx, work, reach.dedups)
    return work


def look_for(tx: Transaction, work: UnitOfWork, chunks: Iterable[Chunk]) -> None:
    """Note which of *chunks* are the last ones of their runs."""
    for chunk in chunks:
        last = tx.execute(SQL["last_chunk"], (work.executions[chunk.id].n, chunk.number)).fetchone()
        if last == (chunk.end, chunk.rows):
            work.stored_chunks.add(chunk)


def _lock(tx: Transaction, work: UnitOfWork, id: str) -> None:
    if id not in work.executions:
        row = tx.execute(_LOCKED, (to_text(id),)).fetchone()
        if row is not None:
            work.executions[id] = _locked(id, row)


def _locked(id: str, row: Sequence[Any]) -> LockedExecution:
    n, workflow, run, number, length, status, owner, fence, wake_us, recoveries, unread = row[:11]
    stored_us, cancelled_run, first_run, newest, *creator, root, queue, partition, queued, host = row[11:]
    return LockedExecution(
        n=n,
        id=id,
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
        creator=creator_of(creator, from_text),
        first_run=first_run,
        last_message_seq=newest,
        root=None if root is None else from_text(root),
        queue=None if queue is None else from_text(queue),
        partition=from_text(partition or ""),
        queued=queued,
        host=host,
    )


# ── after ───────────────────────────────────────────────────────────────────────────────────────
def write(tx: Transaction, work: UnitOfWork) -> None:
    for execution, new in work.begun:
        execution.n = begin(tx, new, execution.owner, execution.root, execution.host)
    for restart in work.restarts:
        begin_again(tx, restart)
    for refilled in work.refilled:
        tx.execute(SQL["forget_inbox"], (refilled.execution.n,))
        refilled.execution.last_message_seq = 0
        _store_messages(tx, refilled.messages)
    for execution, chunk in work.chunks:
        tx.execute(SQL["append"], (execution.n, chunk.number, chunk.end, tx.now_us, chunk.rows, to_text(execution.waits or "")))
    for execution, seq in work.taken:
        tx.execute(SQL["take"], (execution.n, seq))
        execution.last_message_seq = execution.last_message_seq if execution.last_message_seq > seq else 0
    for execution, attributes in work.attributes.values():
        tx.execute(SQL["set_attributes"], (attributes, execution.n))
    for execution in work.reindexed:
        tx.execute(SQL["forget_attributes"], (execution.n,))
    for execution, name, of_attribute in work.texts:
        index(tx, execution.n, name, of_attribute)
    for execution, owner in work.unparked:
        tx.execute(SQL["unpark"], (execution.n, to_text(owner or "")))
    for execution in work.hurried:
        tx.execute(SQL["hurry"], (tx.now_us, execution.n))
    for execution in work.unparked_for_all:
        tx.execute(SQL["forget_parked"], (execution.n,))
    _store_messages(tx, work.messages)
    for execution, deadline_us in work.deadlines:
        tx.execute(SQL["set_deadline"], (deadline_us, execution.n))
    for id, act in work.audits:
        texts = map(to_text, (act.by, act.verb, act.reason, act.detail, act.key))
        tx.execute(SQL["insert_audit"], (to_text(id), tx.now_us, *texts))
    for execution, one in work.aside:
        signal = (to_text(one.name), one.data, to_us(one.sent_at), to_text(one.error))
        tx.execute(SQL["keep_aside"], (execution.n, *signal, tx.now_us))
    for execution in work.changed:
        _save(tx, execution)
    if work.concerns_queues:
        write_tickets(tx, work)
    for emitted in work.events:
        emit(tx, emitted.execution.id, to_text(emitted.run), emitted.events)
    for schedule in work.changed_schedules:
        save_schedule(tx, schedule)
    for id, slots in work.left_out:
        leave_out(tx, id, slots)
    tx.news |= work.changes


def _store_messages(tx: Transaction, messages: Iterable[StoredMessage]) -> None:
    for stored in messages:
        n, message = stored.execution.n, stored.message
        if stored.dedup is not None:
            tx.execute(SQL["insert_landed"], (n, to_text(stored.dedup)))
        row = (n, message.kind, to_text(message.name), message.data, stored.stored_us)
        stored.execution.last_message_seq = tx.execute(SQL["insert_message"], row).lastrowid or 0


def _save(tx: Transaction, it: LockedExecution) -> None:
    owner = None if it.owner is None else to_text(it.owner)
    names = (to_text(it.workflow), to_text(it.run), it.number, it.status, owner, it.fence, it.wake_us)
    counts = (it.recoveries, it.unread, it.stored_us, it.cancelled_run, it.last_message_seq, tx.now_us, it.queued)
    tx.execute(_SAVE, (*names, *counts, it.has_outcome, it.outcome, it.n))
