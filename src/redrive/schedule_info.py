"""How a schedule stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import attrs

from redrive.scheduling.spec import Spec

if TYPE_CHECKING:
    from redrive.ports.store import ExecutionStatus
    from redrive.ports.stored_schedules import LeftOut, StoredSchedule
    from redrive.scheduling.spec import CatchUp, Overlap

STUCK_AFTER: Final = 5
"""Slots that were skipped in a row before a schedule counts as stuck (H6)."""


class LastSlot(NamedTuple):
    """The execution that a schedule started last. *slot* is None of a trigger, *status* of one that is forgotten."""

    slot: datetime | None
    execution: str
    status: ExecutionStatus | None


@attrs.frozen(kw_only=True)
class SkippedSlots:
    """Slots from *first* to *last*, *count* of them (1,000 at most are counted), of which no execution was started, and *why*.

    *failed* says that a start was refused; *at* is when that was stored.
    """

    first: datetime
    last: datetime
    count: int
    why: str
    failed: bool
    at: datetime | None


@attrs.frozen(kw_only=True)
class ScheduleInfo:
    """A schedule as it stands. All times are aware and in UTC.

    *next* is its next slot, *lag* how late that is by now (zero while it is to come, or waits for an execution to end). *last* is
    what it started last, *running* are its executions that have not ended, *waiting* the ids of those that were asked for by
    hand and begin when these have ended. *skipped* are the last slots without an execution, newest first, *skips* how many
    there were in a row and *failures* how many executions in a row failed. *paused* is the reason (None: it is not paused).
    *app* declares it, by *declared_by* (a build); *off*: it does not declare it any more.
    """

    id: str
    workflow: str
    cron: str | None
    every: timedelta | None
    timezone: str
    overlap: Overlap
    catch_up: CatchUp
    next: datetime | None
    lag: timedelta
    last: LastSlot | None
    running: Sequence[str]
    waiting: Sequence[str]
    skipped: Sequence[SkippedSlots]
    skips: int
    failures: int
    paused: str | None
    app: str | None
    declared_by: str | None
    off: bool

    @property
    def is_stuck(self) -> bool:
        """Whether it skipped five slots in a row."""
        return self.skips >= STUCK_AFTER


def info_of(
    stored: StoredSchedule, left_out: Sequence[LeftOut], last: ExecutionStatus | None, running: Sequence[str], now: datetime
) -> ScheduleInfo:
    """*stored* as its users see it. *last* is the status of its last execution, *running* are those that have not ended."""
    spec = Spec.load(stored.spec)
    late = timedelta(0) if stored.due is None or stored.waits or stored.by_hand else max(timedelta(0), now - stored.due)
    return ScheduleInfo(
        id=stored.id,
        workflow=stored.workflow,
        cron=spec.cron,
        every=spec.every,
        timezone=spec.zone,
        overlap=spec.overlap,
        catch_up=spec.catch_up,
        next=None if stored.off else stored.next,
        lag=late,
        last=None if stored.last_execution is None else LastSlot(stored.last_slot, stored.last_execution, last),
        running=tuple(running),
        waiting=tuple(one.id for one in stored.by_hand),
        skipped=tuple(
            SkippedSlots(first=it.first, last=it.last, count=it.count, why=it.why, failed=it.outcome == "failed", at=it.at)
            for it in left_out
        ),
        skips=stored.skips,
        failures=stored.failures,
        paused=stored.paused,
        app=stored.app,
        declared_by=stored.declared_by,
        off=stored.off,
    )
