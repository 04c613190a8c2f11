"""The rules of turns, and of messages that end an execution without a worker."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from redrive.ports.store import FINAL, Claim, LostClaim, NewMessage, Overdue, Stale
from redrive.status import CANCELLING, FAILED, HELD_BACK, PAUSED, PENDING
from redrive.stores.ledger import schedule_rules
from redrive.stores.ledger.answers import OK, child_result, refusal
from redrive.stores.ledger.changes import ENDS, EVENTS, WORK
from redrive.stores.ledger.locked_execution import WAITING
from redrive.stores.ledger.place_rules import keep_place
from redrive.stores.ledger.unit_of_work import Chunk, EmittedEvents, UnitOfWork
from redrive.stores.times import maybe_us, to_us
from redrive_interpreter.errors import ExecutionFinished

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redrive.ports.store import Message, NewChild, Outgoing, Turn
    from redrive.stores.ledger.locked_execution import LockedExecution
    from redrive.stores.ledger.reach import AskedTurn


def possible_repeats(work: UnitOfWork, asked: Iterable[AskedTurn]) -> list[Chunk]:
    """The rows of turns that do not continue the history: if one is the last chunk of its run, the store answers it as before.
    The store puts the chunks that are into `UnitOfWork.stored_chunks`."""
    found: list[Chunk] = []
    for claim, turn in asked:
        execution, chunk = work.executions.get(claim.id), _chunk(claim, turn)
        if execution is None or not turn.rows or claim.fence != execution.fence:
            continue
        if claim.number < execution.number or (claim.number == execution.number and execution.length == chunk.end):
            found.append(chunk)
    return found


def apply(work: UnitOfWork, claim: Claim, turn: Turn, *, alone: bool = False) -> bool:
    """Work *turn* out; False if it has to wait for the next transaction. Refuses (`LostClaim`, `Stale`) before it changes anything.

    A turn waits if another request of the transaction has changed its execution, unless it is *alone* with it.
    """
    execution = work.executions.get(claim.id)
    if execution is None or execution.fence != claim.fence:
        raise LostClaim(f"execution {claim.id!r} belongs to another worker now")
    if execution.changed and not alone:
        return False
    if turn.rows and _chunk(claim, turn) in work.stored_chunks:
        return True
    if execution.owner != claim.worker:
        raise LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more")
    if claim.number != execution.number or turn.expects != execution.length:
        raise Stale(f"execution {claim.id!r} has {execution.length} rows in run {execution.number}, not {turn.expects}")
    if turn.held:
        for message in turn.held:
            work.deliver(execution, message)
        return True
    if execution.status == PAUSED:
        raise Stale(f"execution {claim.id!r} is paused")
    check(claim, turn, [message for message in execution.inbox if message.seq > turn.seen], work.now_us)
    if execution.queued == WAITING and turn.status not in FINAL:
        raise Stale(f"execution {claim.id!r} has no place in queue {execution.queue!r}: it can only end")

    for child in turn.children:
        _start_child(work, execution, child)
    for outgoing in turn.outgoing:
        post(work, execution, outgoing)
    _change(work, execution, turn)
    work.changes |= (EVENTS if turn.events else 0) | (ENDS if turn.status in FINAL else 0)
    if turn.outgoing or turn.children or (turn.status in FINAL and execution.creator is not None):
        work.changes |= WORK
    return True


def check(claim: Claim, turn: Turn, unseen: Sequence[Message], now_us: int) -> None:
    """Raises `Overdue` if *turn* goes on past its execution's deadline (E4), `Stale` if it must not be applied without *unseen*."""
    if turn.deadline is not None and to_us(turn.deadline) <= now_us:
        raise Overdue(f"execution {claim.id!r} goes on, but its deadline has passed: {turn.deadline.isoformat()}")

    ends = turn.status in FINAL or turn.next_run is not None
    if (ends or turn.expects == 1) and any(message.kind == "cancel" for message in unseen):
        raise Stale(f"execution {claim.id!r} was asked to cancel before it {'ended' if ends else 'began'}")
    if turn.not_after is not None and any(message.stored_at <= turn.not_after for message in unseen):
        raise Stale(f"execution {claim.id!r} got a message before its timer was due")


def send(work: UnitOfWork, target: LockedExecution, message: NewMessage) -> bool:
    """`UnitOfWork.deliver`; but an execution that never began is cancelled without a worker, if the message brings the turn."""
    parent = None if target.creator is None or target.creator.schedule is not None else target.creator.id
    if message.unbegun is None or not target.never_began or (parent is not None and parent not in work.executions):
        return work.deliver(target, message)
    target.status = PENDING  # if it was paused, its end ends that
    target.owner, target.fence, target.cancelled_run = "", target.fence + 1, target.number
    apply(work, target.claim(""), message.unbegun, alone=True)
    work.unpark(target, for_all=True)
    work.changes |= WORK
    return True


def _chunk(claim: Claim, turn: Turn) -> Chunk:
    return Chunk(claim.id, claim.number, turn.expects + len(turn.rows), ",".join(turn.rows))


def _change(work: UnitOfWork, execution: LockedExecution, turn: Turn) -> None:
    if turn.rows:
        execution.length += len(turn.rows)
        execution.recoveries = 0
        work.append(execution, ",".join(turn.rows))
    if turn.attributes is not None:
        work.attributes[execution.id] = (execution, turn.attributes)
    if turn.searchable:
        work.index(execution, turn.searchable)
    if turn.taken:
        work.taken.append((execution, turn.taken))
    if turn.events:
        work.events.append(EmittedEvents(execution, execution.number, execution.run, turn.events))
    work.aside += [(execution, one) for one in turn.aside]
    work.unpark(execution, for_all=turn.next_run is not None)
    was_held_back = execution.status in HELD_BACK
    _settle(work, execution, turn)
    if turn.awaits is not None and not execution.ended:
        work.awaits.append((execution, turn.awaits))
    if turn.next_run is not None:
        execution.run, execution.workflow = turn.next_run.run, turn.next_run.workflow
        execution.number, execution.length, execution.recoveries = execution.number + 1, 1, 0
        work.append(execution, turn.next_run.started)
    keep_place(work, execution, was_held_back=was_held_back)
    if turn.status in FINAL:
        execution.end(turn.outcome)
        tell_of_the_end(work, execution, turn.status, turn.outcome)


def _settle(work: UnitOfWork, execution: LockedExecution, turn: Turn) -> None:
    """Set what the turn makes of the execution, with the messages that are left in the inbox."""
    left = execution.left(turn.taken)
    execution.wake_us, execution.status, execution.unread, execution.changed = maybe_us(turn.wake_at), turn.status, turn.unread, True
    execution.waits = turn.waits
    if execution.has_messages_after(turn.taken):
        execution.wake_us = work.now_us if execution.wake_us is None else min(execution.wake_us, work.now_us)
    if execution.ended:
        execution.unread += sum(message.kind == "signal" for message in left)
    elif any(message.kind == "cancel" for message in left):
        execution.status = CANCELLING


def tell_of_the_end(work: UnitOfWork, execution: LockedExecution, status: str, outcome: str | None) -> None:
    """Tell the parent, or the schedule, of an execution that it has ended."""
    schedule_rules.ended(work, execution, status)
    parent = None if execution.creator is None else work.executions.get(execution.creator.id)
    if parent is not None:
        result = NewMessage(kind="child", name=execution.id, data=child_result(status, outcome))
        with contextlib.suppress(ExecutionFinished):  # a parent that has ended is not told
            work.deliver(parent, result)


def post(work: UnitOfWork, sender: LockedExecution, outgoing: Outgoing) -> None:
    answer, target = OK, work.executions.get(outgoing.target)
    if target is None:
        answer = refusal("ExecutionNotFound", outgoing.target)
    else:
        try:
            send(work, target, outgoing.message)
        except ExecutionFinished:
            answer = refusal("ExecutionFinished", outgoing.target)
    if outgoing.answer_to is not None:
        work.deliver(sender, NewMessage(kind="answer", name=outgoing.answer_to, data=answer))


def _start_child(work: UnitOfWork, parent: LockedExecution, child: NewChild) -> None:
    new, answer = child.execution, OK
    known = work.executions.get(new.id)
    if known is None:
        work.begin(new, None)
    elif known.creator is None or known.creator != new.creator:
        answer = refusal("ExecutionConflict", new.id)
        if child.answer_to is None:
            work.deliver(parent, NewMessage(kind="child", name=new.id, data=child_result(FAILED, answer)))
    elif known.run != new.run and known.status in new.restart:
        work.begin_again(known, new, None)
    if child.answer_to is not None:
        work.deliver(parent, NewMessage(kind="answer", name=child.answer_to, data=answer))
