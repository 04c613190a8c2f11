"""Parks: why a build could not go on with an execution, and who may try again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import attrs

ParkKind: TypeAlias = Literal["diverged", "undecodable", "error", "killed", "cut_off", "unknown_workflow"]
"""``diverged``: the code asks for something else than the history says. ``undecodable``: its types cannot read a stored
value. ``error``: it raised where no error belongs to the workflow. ``killed``: its workers died. ``cut_off``: a turn was
broken off. ``unknown_workflow``: no live worker has the workflow."""

EVERYBODY: Final = "*"
"""The build of a park that holds for all workers alive."""
AT_ONCE: Final = timedelta(0)


@attrs.frozen(kw_only=True)
class NewPark:
    """The worker that holds an execution cannot go on with it; *build* is that of its code.

    After *retry_after*, workers of the same build that have not met the park may try the execution; with *anew*, because
    the park says nothing of the code, all of them may, also the one that parks it. A worker that starts later may try
    after *rest*.
    """

    build: str
    kind: ParkKind
    reason: str
    retry_after: timedelta = timedelta(seconds=1)
    rest: timedelta = AT_ONCE
    anew: bool = False


@attrs.frozen(kw_only=True)
class Park:
    """*build* could not go on: *tries* times so far, the last time *at*, for *reason*. *retry_at* is when workers that run
    already may try again; None: only others and later ones may. Workers of other builds may at any time."""

    build: str
    kind: ParkKind
    reason: str
    at: datetime
    tries: int = 1
    retry_at: datetime | None = None
