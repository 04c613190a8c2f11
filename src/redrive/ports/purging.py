"""Forgetting executions that have ended, and runs before the last of those that have not (F10): what a store is asked.

1.  Only what has ended is purged, and runs that another one followed. Its parent was told by the commit that ended it.
2.  A purge takes everything of the execution that the store keeps: history, inbox, dedup keys, parks, signals set aside, attributes,
    its audit, its dead letters, and its events but for those that a handler still has to do. An act in the audit stays: who purged
    it, when and why. Its id may be started anew, and what was sent to it before is no repeat.
3.  A purge does not wait: executions that another transaction has locked are left for the next time. It is
    short, if its caller asks for little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from redrive.ports.rewrites import NewAudit
    from redrive.ports.store import ExecutionStatus


@attrs.frozen(kw_only=True)
class EndedExecution:
    """An execution that ended at *ended_at* (None: whenever that was), as *status*, in run *number*, which has *rows* rows.
    *place* is where the next page begins."""

    id: str
    workflow: str
    status: ExecutionStatus
    number: int
    rows: int
    ended_at: datetime | None
    place: str


@attrs.frozen(kw_only=True)
class EndedRuns:
    """Runs *first* to *last* of an execution that has a later one; the last of them ended at *ended_at*. *place* as above."""

    id: str
    workflow: str
    first: int
    last: int
    ended_at: datetime
    place: str


@attrs.frozen
class Retention:
    """How long a worker that lists *workflows* wants what has ended to be kept, by status. A status without an entry: for ever."""

    workflows: frozenset[str]
    keep: Mapping[str, timedelta]


@runtime_checkable
class Purges(Protocol):
    """The part of a `Store` that forgets."""

    async def ended(self, before: datetime, after: str | None, limit: int) -> Sequence[EndedExecution]:
        """Up to *limit* executions that ended before that time, the longest ago first, from the place *after* on."""
        ...

    async def ended_runs(self, before: datetime, after: str | None, limit: int) -> Sequence[EndedRuns]:
        """The runs that are followed by another one since before that time, of up to *limit* executions; fifty runs of each at most."""
        ...

    async def purge(self, chosen: Sequence[EndedExecution], act: NewAudit) -> Sequence[str]:
        """Forget, in one transaction, those of *chosen* that are still as they are described and that nobody has locked; their ids.
        *act* goes into the audit of each, with what was purged as its detail."""
        ...

    async def purge_runs(self, chosen: Sequence[EndedRuns], act: NewAudit) -> int:
        """Forget those runs, as far as nobody has locked their executions; how many. Their numbers are not used again."""
        ...

    async def collect(self, limit: int) -> bool:
        """Free the room of up to *limit* chunks of history that were purged before; whether there may be more."""
        ...

    async def state_retention(self, worker: str, stated: Retention | None) -> None:
        """Note how long *worker* wants executions to be kept, for as long as it lives; None: it says nothing about it any more."""
        ...

    async def retentions(self) -> Sequence[Retention]:
        """The retentions that live workers have stated, and workers of the last minute."""
        ...
