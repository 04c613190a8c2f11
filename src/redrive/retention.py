"""How long what has ended is kept (F10).

1.  It goes once it was kept for the longest time that a live worker states which lists its workflow. A status that none of them
    states is kept for ever.
2.  A run that another one followed counts as completed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from redrive.status import COMPLETED, FINAL
from redrive_interpreter.errors import InvalidDefinition

if TYPE_CHECKING:
    from redrive.ports.purging import EndedExecution, EndedRuns, Retention

Keep: TypeAlias = "timedelta | Mapping[str, timedelta] | None"
"""What ``retention=`` takes."""
Cutoffs: TypeAlias = "Mapping[str, Mapping[str, datetime]]"
"""By workflow and status: what ended up to this time may go."""


def by_status(retention: Keep) -> dict[str, timedelta] | None:
    """*retention* by status; None: everything is kept for ever. Raises `InvalidDefinition`."""
    if retention is None:
        return None
    keep: dict[str, Any] = {**dict.fromkeys(sorted(FINAL), retention)} if isinstance(retention, timedelta) else dict(retention)
    for status, kept in keep.items():
        if status not in FINAL:
            raise InvalidDefinition(f"retention= is for what has ended: {', '.join(sorted(FINAL))}, not {status!r}")
        if not isinstance(kept, timedelta) or kept <= timedelta(0):
            raise InvalidDefinition(f"retention= is a timedelta of more than zero, not {kept!r}")
    return keep


def cutoffs(stated: Iterable[Retention], workflows: Iterable[str], now: datetime) -> Cutoffs:
    """Up to when executions of *workflows* must have ended to go."""
    every = list(stated)
    return {workflow: {status: now - keep for status, keep in longest(every, workflow).items()} for workflow in workflows}


def longest(stated: Iterable[Retention], workflow: str) -> dict[str, timedelta]:
    """By status, the longest time that somebody states who lists *workflow*."""
    found: dict[str, timedelta] = {}
    for one in stated:
        if workflow in one.workflows:
            for status, keep in one.keep.items():
                found[status] = max(keep, found.get(status, keep))
    return found


def latest(cutoffs: Cutoffs) -> datetime | None:
    """A time before which all ended that may go; None: nothing may."""
    found = [at for by_status in cutoffs.values() for at in by_status.values()]
    return max(found) + timedelta(microseconds=1) if found else None


def may_go(cutoffs: Cutoffs, one: EndedExecution) -> bool:
    """Whether *one* was kept long enough."""
    return one.ended_at is not None and _is_over(cutoffs, one.workflow, one.status, one.ended_at)


def runs_may_go(cutoffs: Cutoffs, one: EndedRuns) -> bool:
    """Whether the last of *one*, and so all of them, was kept long enough."""
    return _is_over(cutoffs, one.workflow, COMPLETED, one.ended_at)


def _is_over(cutoffs: Cutoffs, workflow: str, status: str, ended_at: datetime) -> bool:
    cutoff = cutoffs.get(workflow, {}).get(status)
    return cutoff is not None and ended_at <= cutoff
