"""The rules of purges (F10): what may be forgotten, and what the audit keeps of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from redrive.status import FINAL
from redrive.stores.times import to_us

if TYPE_CHECKING:
    from redrive.ports.purging import EndedExecution, EndedRuns
    from redrive.ports.store import Json

STATED_FOR: Final = timedelta(minutes=1)
"""How long a statement counts of a worker that is not known (yet)."""
FORGOTTEN_AFTER: Final = timedelta(days=1)
"""How long after it was stated a statement is deleted; live workers state theirs again and again."""
MOST_RUNS: Final = 50
"""Runs of one execution that are purged at a time."""


def is_as_described(chosen: EndedExecution, number: int, status: str, ended_us: int | None) -> bool:
    """Whether an execution is still the one that was chosen: it may have been restarted, and have ended again, since."""
    at_its_time = chosen.ended_at is None or to_us(chosen.ended_at) == ended_us
    return status in FINAL and (number, status) == (chosen.number, chosen.status) and at_its_time


def runs_before(runs: Sequence[tuple[int, int]], before_us: int) -> tuple[int, int, int] | None:
    """The first and the last of *runs*, number and end of each in order, that ended up to that time, and when that one did."""
    found = [(number, ended_us) for number, ended_us in runs if ended_us <= before_us]
    if not found:
        return None
    # In order: one that ended later, by a clock that went back, keeps those behind it.
    kept = next((at for at, (number, _) in enumerate(found) if number != runs[at][0]), len(found))
    return (found[0][0], found[kept - 1][0], found[kept - 1][1]) if kept else None


def detail_of(one: EndedExecution) -> Json:
    """The detail that the audit keeps of a purged execution."""
    ended = {} if one.ended_at is None else {"ended_at": one.ended_at.isoformat(timespec="microseconds")}
    return json.dumps({"workflow": one.workflow, "status": one.status, "number": one.number, **ended})


def detail_of_runs(one: EndedRuns) -> Json:
    return json.dumps({"workflow": one.workflow, "runs": [one.first, one.last]})


def no_run(run: int, oldest: int) -> str:
    """Why there are no rows of *run*."""
    return f"its run {run} was purged" if 1 <= run < oldest else f"it has no run {run}"
