"""The verbs of `Purges` and `KnowsSuspects`, for a PostgreSQL store that has the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING

from redrive.ports.suspects import Suspects
from redrive.stores.change_notifier import ENDS
from redrive.stores.postgres import purge_statements
from redrive.stores.postgres.limits import LONG
from redrive.stores.postgres.parameters import from_text, to_us

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from redrive.ports.purging import EndedExecution, EndedRuns, Retention
    from redrive.ports.rewrites import NewAudit
    from redrive.ports.suspects import Suspicion
    from redrive.stores.postgres.session import Sessions


class PurgesPostgres(ABC):
    @property
    @abstractmethod
    def _sessions(self) -> Sessions: ...

    @abstractmethod
    def _told(self, now_us: int, news: int) -> None: ...

    async def ended(self, before: datetime, after: str | None, limit: int) -> Sequence[EndedExecution]:
        return await purge_statements.ended(self._sessions, before, after, limit)

    async def ended_runs(self, before: datetime, after: str | None, limit: int) -> Sequence[EndedRuns]:
        return await purge_statements.ended_runs(self._sessions, before, after, limit)

    async def purge(self, chosen: Sequence[EndedExecution], act: NewAudit) -> Sequence[str]:
        gone = await self._sessions.transact(partial(purge_statements.purge, chosen=chosen, act=act))
        self._told(0, ENDS if gone else 0)  # those who wait for its end look, and find nothing
        return gone

    async def purge_runs(self, chosen: Sequence[EndedRuns], act: NewAudit) -> int:
        return await self._sessions.transact(partial(purge_statements.purge_runs, chosen=chosen, act=act))

    async def collect(self, limit: int) -> bool:
        return await self._sessions.transact(partial(purge_statements.collect, limit=limit))

    async def state_retention(self, worker: str, stated: Retention | None) -> None:
        await purge_statements.state_retention(self._sessions, worker, stated)

    async def retentions(self) -> Sequence[Retention]:
        return await purge_statements.retentions(self._sessions)

    async def suspects(self, suspicion: Suspicion, after: int, most: int) -> Suspects:
        times = (to_us(suspicion.due_before), to_us(suspicion.silent_since))
        rows = await self._sessions.rows("suspects", suspicion.recoveries, *times, after, most, seconds=LONG)
        return Suspects([from_text(id) for _, id, suspect in rows if suspect], rows[-1][0] if len(rows) == most else None)
