"""Decisions about the slots that are due: a pure function of the schedule, the time and what still runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import attrs

from redrive.scheduling.cadence import COUNTED, slots_between

if TYPE_CHECKING:
    from redrive.scheduling.cadence import Cadence
    from redrive.scheduling.spec import Spec

LATE: Final = timedelta(minutes=1)
"""A slot that starts this much later than it was due counts as missed, unless it waited for an execution to end."""
KEPT: Final = 100
"""Slots that wait for an execution to end; of more, the oldest are skipped."""
CAUGHT_UP: Final = 1000
"""Missed slots that ``catch_up="all"`` runs; the rest is skipped."""
MISSED: Final = "no worker was there for it"
REPLACED: Final = "a newer slot took its place while the execution before was asked to end"
TOO_MANY: Final = f"more than {KEPT} slots waited"


@attrs.frozen
class Skipped:
    """*count* slots in a row, from *first* to *last*, that were not started; at least so many where the count stopped."""

    first: datetime
    last: datetime
    count: int
    why: str


@attrs.frozen
class Decision:
    """Changes to store in one transaction.

    *skipped* are recorded, *slots* started in this order. With *alone* they may start only while no execution of the schedule
    runs. With *waits* the schedule is left until the execution that runs, or is started here, has ended; with *cancel* it is
    asked to. *next* is the first slot that is left.
    """

    next: datetime | None
    slots: tuple[datetime, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    alone: bool = False
    waits: bool = False
    cancel: bool = False


def decide(id: str, spec: Spec, slot: datetime, now: datetime, *, busy: str | None, waited: bool) -> Decision | None:
    """The decision about the schedule *id* whose first slot that is left is *slot*; None if nothing is due.

    *busy* names an execution of the schedule that has not ended. *waited*: the schedule waited for one, so that its slots are
    late for that reason.
    """
    due = spec.due(id, slot)
    if due is None or due > now:
        return None
    cadence = spec.cadence()
    newest = _newest_due(id, spec, cadence, slot, now)
    if spec.overlap in ("queue", "cancel") and (waited or busy is not None):
        return _after_the_one_before(spec, cadence, slot, newest, busy)
    missed_to = _last_missed(id, spec, cadence, slot, newest, now)
    if missed_to is None:
        return _fire(spec, cadence, slot, busy)
    return _catch_up(spec, cadence, slot, missed_to, newest, busy)


def _newest_due(id: str, spec: Spec, cadence: Cadence, slot: datetime, now: datetime) -> datetime:
    """The last slot whose execution is due, *slot* at least: slots may be due in another order than they come in, by their jitter,
    and none is before the one before it."""
    newest = cadence.last(now)
    while newest is not None and newest > slot and (due := spec.due(id, newest)) is not None and due > now:
        newest = cadence.last(newest - timedelta(microseconds=1))
    return slot if newest is None or newest < slot else newest


def _last_missed(id: str, spec: Spec, cadence: Cadence, slot: datetime, newest: datetime, now: datetime) -> datetime | None:
    """The last slot that was missed: one a minute late, or whose successor is due."""
    due = spec.due(id, newest)
    assert due is not None
    if now - due >= LATE:
        return newest
    return cadence.last(newest - timedelta(microseconds=1)) if newest > slot else None


def _fire(spec: Spec, cadence: Cadence, slot: datetime, busy: str | None) -> Decision:
    """Start *slot*, which is on time."""
    following = cadence.after(slot)
    if busy is not None and spec.overlap == "skip":
        return Decision(following, skipped=(Skipped(slot, slot, 1, f"{busy} had not ended"),))
    return Decision(following, slots=(slot,), alone=spec.overlap != "allow")


def _catch_up(spec: Spec, cadence: Cadence, slot: datetime, missed_to: datetime, newest: datetime, busy: str | None) -> Decision:
    """Handle the missed slots up to *missed_to*; the one that is on time is left for the next look."""
    following = cadence.after(missed_to)
    if spec.catch_up == "skip":
        return Decision(following, skipped=_skipped(cadence, slot, missed_to, MISSED))
    if spec.catch_up == "once":
        before = cadence.last(missed_to - timedelta(microseconds=1))
        skipped = () if before is None or before < slot else _skipped(cadence, slot, before, MISSED)
        fired = _fire(spec, cadence, missed_to, busy)
        return attrs.evolve(fired, skipped=skipped + fired.skipped)
    run = slots_between(cadence, slot, missed_to, CAUGHT_UP)
    rest = cadence.after(run[-1])
    left = () if rest is None or rest > missed_to else _skipped(cadence, rest, missed_to, MISSED)
    if spec.overlap == "allow":
        return Decision(following, slots=tuple(run), skipped=left)
    if spec.overlap == "skip":
        fired = _fire(spec, cadence, run[0], busy)
        if len(run) > 1:
            why = f"{busy or 'the execution of an earlier slot'} had not ended"
            left = (*_skipped(cadence, run[1], run[-1], why), *left)
        return attrs.evolve(fired, next=following, skipped=fired.skipped + left)
    return _after_the_one_before(spec, cadence, slot, newest, busy)


def _after_the_one_before(spec: Spec, cadence: Cadence, slot: datetime, newest: datetime, busy: str | None) -> Decision:
    """``queue`` and ``cancel``: wait for the execution before, and then go on with the oldest, or with the newest alone."""
    cancel = spec.overlap == "cancel"
    if busy is not None:
        return Decision(slot, waits=True, cancel=cancel)
    skipped: tuple[Skipped, ...] = ()
    if cancel and newest > slot:
        before = cadence.last(newest - timedelta(microseconds=1))
        assert before is not None
        skipped, slot = _skipped(cadence, slot, before, REPLACED), newest
    elif not cancel:
        kept = _oldest_kept(cadence, slot, newest)
        before = cadence.last(kept - timedelta(microseconds=1)) if kept > slot else None
        if before is not None:
            skipped, slot = _skipped(cadence, slot, before, TOO_MANY), kept
    following = cadence.after(slot)
    return Decision(following, (slot,), skipped, alone=True, waits=following is not None and following <= newest)


def _oldest_kept(cadence: Cadence, slot: datetime, newest: datetime) -> datetime:
    """The first of the last `KEPT` slots up to *newest*, or *slot* if there are not so many."""
    kept = newest
    for _ in range(KEPT - 1):
        before = cadence.last(kept - timedelta(microseconds=1))
        if before is None or before < slot:
            return slot
        kept = before
    return kept


def _skipped(cadence: Cadence, first: datetime, last: datetime, why: str) -> tuple[Skipped, ...]:
    return (Skipped(first, last, len(slots_between(cadence, first, last, COUNTED)), why),)
