"""Puts a cancel or a passed deadline before what it is older than, although it was seen later.

1.  Facts are taken by their stored times (O2, O3). A turn that would end the run, although a cancel lies in the inbox or
    the deadline has passed, is thrown away and computed again with that first (E3, E4).
2.  Where nothing of the run was called yet, a cancel or a passed deadline is taken before its code: nothing ever runs.
3.  The fact says which bodies and children had been asked for and had not begun (``unbegun``). They never begin.
4.  A commit hands back what was stored before it: a cancel, say. So where there is news, or the deadline has passed, bodies that
    are about to begin are *held* until the worker has computed the turn of that; those that it does not cut begin then, before
    that turn is stored.
5.  A body whose branch was cut by something else (a lost race, a failed sibling) before it began is answered: not begun.

A body counts as begun if the worker has called it (it is under way, or what it gave waits to be taken), or if a worker
before this one may have (`ActiveExecution.uncertain`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from redrive.worker.life.inbox_facts import fact_of
from redrive_interpreter.history.rows import THE_RUN, Answered, CancelRequested, DeadlinePassed
from redrive_interpreter.keys import DEADLINE, Key
from redrive_interpreter.outcomes import Err, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redrive.ports.store import Message
    from redrive.worker.life.active_execution import ActiveExecution
    from redrive.worker.life.turn import Draft
    from redrive_interpreter.history.rows import Fact
    from redrive_interpreter.machine.machine import Machine


def is_waiting(live: ActiveExecution, deadline: datetime | None, now: datetime) -> bool:
    """Whether a cancel lies in the inbox of *live*, or *deadline* has passed."""
    return (deadline is not None and (deadline <= now or live.overdue)) or _cancel(live) is not None


def note_deadline(live: ActiveExecution, machine: Machine[Any], now: datetime) -> datetime | None:
    """Count the run's deadline as due if it has passed, whether its alarm has rung or not; gives it back then.

    It has passed, whatever the worker's clock says, if the store refused a turn for it (`Overdue`).
    """
    deadline = machine.timers.get(DEADLINE) if machine.timers else None
    if deadline is None or (deadline > now and not live.overdue):
        return None
    if (deadline, DEADLINE) not in (live.due or ()):
        live.add_due(deadline, DEADLINE)
    return deadline


def first(live: ActiveExecution, machine: Machine[Any], draft: Draft, now: datetime) -> Fact | None:
    """Take the cancel that lies in the inbox, or the deadline that has passed, before anything else; the older of the two."""
    message, deadline = _cancel(live), note_deadline(live, machine, now)
    if message is not None and (deadline is None or message.stored_at <= deadline):
        live.take(message)
        draft.taken = max(draft.taken, message.seq)
        fact = fact_of(message, now)
        mark(live, machine, draft, fact, message.stored_at)
        return fact
    if deadline is not None:
        passed = DeadlinePassed(at=max(now, deadline))
        draft.not_after = deadline
        mark(live, machine, draft, passed, deadline)
        return passed
    return None


def mark(live: ActiveExecution, machine: Machine[Any], draft: Draft, fact: Fact, moment: datetime) -> None:
    """Say in *fact*, if it interrupts the run, what had not begun at *moment*; and see to it that it does not."""
    if not isinstance(fact, (CancelRequested, DeadlinePassed)):
        return
    if live.untouched:
        live.untouched, fact.unbegun = False, (THE_RUN,)
    elif machine.started is not None and not machine.cancel_requested and machine.finished is None:
        fact.unbegun = tuple(dict.fromkeys(_unbegun(live, machine, draft, moment)))


def not_begun(live: ActiveExecution, machine: Machine[Any], draft: Draft, now: datetime) -> list[Answered]:
    """The answers to those steps that were cut before they began, and that would otherwise be awaited (S10)."""
    found: list[Answered] = []
    if machine.finished is not None or live.facts:
        return found
    for performs in (draft.performs, live.held):
        for key in performs or ():
            wait = machine.pending.get(key)  # type: ignore[call-overload]
            if wait is None or wait.ended_by != "body" or not wait.is_cut:
                continue
            if not _may_have_begun(live, key, now):
                failure = Failure("StepNotBegun", "its branch was cut before it began")
                found.append(Answered(wait.key, Err(failure), at=now))
    for answered in found:
        draft.performs.pop(answered.key, None)
        if live.held:
            live.held.pop(answered.key, None)
    return found


def _cancel(live: ActiveExecution) -> Message | None:
    return next((message for message in live.inbox if message.kind == "cancel"), None)


def _unbegun(live: ActiveExecution, machine: Machine[Any], draft: Draft, moment: datetime) -> Iterator[Key]:
    told = {getattr(fact, "key", None) for fact in live.facts or ()}
    for key in (*draft.performs, *(live.held or ()), *(live.waiting or ())):
        if _would_be_cut(machine, key) and key not in told and not _may_have_begun(live, key, moment):
            yield Key(key)
    for key, run in tuple((live.bodies or {}).items()):
        if _would_be_cut(machine, key) and not _had_begun_before(live, key, moment) and run.withdraw():
            live.stops = [*(live.stops or ()), run]
            yield Key(key)
    for child in draft.children:
        if child.answer_to is not None:
            yield Key(child.answer_to)


def _would_be_cut(machine: Machine[Any], key: str) -> bool:
    wait = machine.pending.get(key)  # type: ignore[call-overload]
    return wait is not None and wait.ended_by == "body" and wait.can_be_cut


def _may_have_begun(live: ActiveExecution, key: str, moment: datetime) -> bool:
    """Whether an attempt of *key* is under way, or may have been under another worker."""
    return bool(live.bodies and key in live.bodies) or _had_begun_before(live, key, moment)


def _had_begun_before(live: ActiveExecution, key: str, moment: datetime) -> bool:
    """Whether an attempt of *key* may have been under way under another worker at *moment*."""
    if not live.uncertain or key not in live.uncertain:
        return False
    due = live.uncertain[key]
    # A further attempt that was due only after *moment* was begun by nobody, unless a worker died on it.
    return due is None or due <= moment or live.claim.recoveries > 0
