"""The rules of rewrites: an edited history becomes the next number of its execution, and what the world said goes back into the inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redrive.ports.store import FINAL, NewMessage, Stale
from redrive.status import CANCELLING, HELD_BACK, PAUSED, PENDING
from redrive.stores.ledger.changes import ENDS, WORK
from redrive.stores.ledger.locked_execution import PLACED, WAITING
from redrive.stores.ledger.place_rules import begin_again, keep_place
from redrive.stores.ledger.reach import Reach
from redrive.stores.ledger.search import unknown_texts
from redrive.stores.ledger.turn_rules import post, tell_of_the_end
from redrive.stores.ledger.unit_of_work import Refilled, StoredMessage
from redrive.stores.times import maybe_us, to_us
from redrive_interpreter.errors import ExecutionFinished, ExecutionNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive.ports.rewrites import Hold, PutBack, Rewrite
    from redrive.ports.store import Message
    from redrive.stores.ledger.locked_execution import LockedExecution
    from redrive.stores.ledger.unit_of_work import UnitOfWork


def reach_of_rewrite(id: str, change: Rewrite) -> Reach:
    reach = Reach(ids=[id], audits=[(id, change.audit.key)], may_leave={id})
    reach.read(id)
    if change.status in FINAL:
        reach.parents_of.append(id)
    for outgoing in change.outgoing:
        reach.add_message(outgoing.target, outgoing.message)
    return reach


def rewrite(work: UnitOfWork, id: str, change: Rewrite) -> None:
    """Work *change* out. Refuses (`ExecutionNotFound`, `Stale`) before it changes anything."""
    execution = work.executions.get(id)
    if execution is None:
        raise ExecutionNotFound(id)
    if (id, change.audit.key) in work.stored_audits:
        return
    found = (execution.number, execution.length, execution.status)
    if found != (change.number, change.length, change.before):
        number, length, status = found
        raise Stale(f"execution {id!r} has gone on: it has {length} rows in run {number}, and is {status}")
    for outgoing in change.outgoing:
        post(work, execution, outgoing)
    _begin_number(work, execution, change)
    left = _refill(work, execution, change)
    _settle(work, execution, change, left)
    work.deadlines.append((execution, maybe_us(change.deadline)))
    if change.attributes is not None:
        work.attributes[id] = (execution, change.attributes)
        work.reindexed.append(execution)
        work.index(execution, change.searchable or unknown_texts(change.attributes))
    work.unpark(execution, for_all=True)
    work.audits.append((id, change.audit))
    work.changes |= WORK | (ENDS if change.status in FINAL else 0)


def back_into(execution: LockedExecution, back: Sequence[PutBack], unread: Sequence[Message]) -> list[StoredMessage]:
    """*back*, then *unread*, with times that never decrease; a message that comes before another is never later than that."""
    messages: list[PutBack | Message] = [*back, *unread]
    stored = [_stored(execution, message) for message in messages]
    for at in range(len(stored) - 2, -1, -1):
        if stored[at].stored_us > stored[at + 1].stored_us:
            stored[at] = StoredMessage(execution, stored[at].message, None, stored[at + 1].stored_us)
    return stored


def _stored(execution: LockedExecution, message: PutBack | Message) -> StoredMessage:
    new = NewMessage(kind=message.kind, name=message.name, data=message.data)  # type: ignore[arg-type]
    return StoredMessage(execution, new, None, to_us(message.stored_at))


def _begin_number(work: UnitOfWork, execution: LockedExecution, change: Rewrite) -> None:
    if change.run == execution.run:
        work.renumbered.append((execution, execution.number))
    execution.number, execution.length, execution.run = execution.number + 1, len(change.rows), change.run
    execution.fence, execution.owner, execution.recoveries = execution.fence + 1, None, 0
    execution.waits = change.waits
    work.append(execution, ",".join(change.rows))


def _refill(work: UnitOfWork, execution: LockedExecution, change: Rewrite) -> list[StoredMessage]:
    """Put back messages that the new history has not taken, and delete those that it does not ask for."""
    unread = [message for message in execution.inbox if _is_wanted(message, change)]
    messages = back_into(execution, change.back, unread)
    if change.back or len(unread) < len(execution.inbox):
        work.refilled.append(Refilled(execution, messages))
    return messages


def _is_wanted(message: Message, change: Rewrite) -> bool:
    if message.kind in ("answer", "retrying", "attempt"):
        return message.name in change.asked
    return message.kind != "child" or message.name in change.children


def _settle(work: UnitOfWork, execution: LockedExecution, change: Rewrite, left: Sequence[StoredMessage]) -> None:
    paused = execution.status == PAUSED and change.status not in FINAL
    was_held_back, had_ended = execution.status in HELD_BACK, execution.ended
    cancel = any(stored.message.kind == "cancel" for stored in left)
    execution.cancelled_run = execution.number if cancel or change.cancelled else 0
    execution.outcome, execution.has_outcome, execution.changed = None, True, True
    execution.unread = change.unread
    if change.before in FINAL:
        work.reopen(execution)
    if change.status in FINAL:
        execution.status = change.status
        execution.unread += sum(stored.message.kind == "signal" for stored in left)
        execution.end(change.outcome)
        tell_of_the_end(work, execution, change.status, change.outcome)
    elif paused:
        execution.status, execution.wake_us = PAUSED, None
    else:
        execution.status = CANCELLING if cancel else change.status
        execution.wake_us = work.now_us if left or change.wake_at is None else maybe_us(change.wake_at)
    if had_ended:
        begin_again(work, execution)
    else:
        keep_place(work, execution, was_held_back=was_held_back and not paused)


def reach_of_hold(id: str, change: Hold) -> Reach:
    return Reach(ids=[id], audits=[(id, change.audit.key)])


def hold(work: UnitOfWork, id: str, change: Hold) -> bool:
    """Pause an execution, or end its pause; False where it is so already, or is being cancelled."""
    execution = work.executions.get(id)
    if execution is None:
        raise ExecutionNotFound(id)
    if execution.ended:
        raise ExecutionFinished(id, f"it is {execution.status}")
    if (id, change.audit.key) in work.stored_audits:
        return True
    if (execution.status == PAUSED) == change.paused or execution.status == CANCELLING:
        return False
    if change.paused:
        execution.status, execution.wake_us = PAUSED, None
        work.idled += [execution] if execution.queued == PLACED else []
    elif execution.queued == WAITING:
        execution.status, execution.wake_us = PENDING, maybe_us(change.wake_at)
    else:
        execution.status = change.status
        waits = change.status == PENDING and change.wake_at is not None
        execution.wake_us = maybe_us(change.wake_at) if waits else work.now_us
    execution.changed = True
    if not change.paused:
        keep_place(work, execution, was_held_back=True)
    work.audits.append((id, change.audit))
    work.changes |= WORK
    return True
