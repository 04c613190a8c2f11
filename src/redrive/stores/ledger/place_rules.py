"""What becomes of a place in a queue: given back at the end, lent while its execution is parked, waited for by what begins again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redrive.status import CANCELLING, PENDING
from redrive.stores.ledger.changes import WORK
from redrive.stores.ledger.locked_execution import UNQUEUED, WAITING

if TYPE_CHECKING:
    from redrive.stores.ledger.locked_execution import LockedExecution
    from redrive.stores.ledger.unit_of_work import UnitOfWork


def keep_place(work: UnitOfWork, execution: LockedExecution, *, was_held_back: bool) -> None:
    """After a change of *execution*: one that has ended gives its place back; one that was held back has lent it, and needs one."""
    if execution.queued == UNQUEUED:
        return
    assert execution.queue is not None
    if execution.ended:
        execution.queued = UNQUEUED
        work.left.append(execution)
        work.changes |= WORK
    elif was_held_back and execution.id in work.idle:
        free = work.free_places.get(execution.queue)
        if free is None or free > 0:
            work.free_places.update({} if free is None else {execution.queue: free - 1})
            work.resumed.append(execution)
        else:
            wait_again(work, execution)
            work.again.append(execution)


def wait_again(work: UnitOfWork, execution: LockedExecution) -> None:
    """It had begun, and nothing but a place wakes it; a cancel that was accepted makes it the first of its partition."""
    cancelling = execution.status == CANCELLING
    execution.queued, execution.owner, execution.wake_us = WAITING, None, None
    execution.status = CANCELLING if cancelling else PENDING
    work.first_in_line += [execution] if cancelling else []


def begin_again(work: UnitOfWork, execution: LockedExecution) -> None:
    """What had ended goes on in its queue: it waits for a place, ahead of all that wait, as it was before them."""
    if execution.queue is not None and execution.queued == UNQUEUED and not execution.ended:
        wait_again(work, execution)
        work.rejoin(execution)
