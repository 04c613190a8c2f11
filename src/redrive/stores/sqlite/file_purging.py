"""The verbs of `Purges` and `KnowsSuspects`, for a SQLite store that has the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from redrive.stores.sqlite import purge_rows, suspect_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from redrive.ports.purging import EndedExecution, EndedRuns, Retention
    from redrive.ports.rewrites import NewAudit
    from redrive.ports.suspects import Suspects, Suspicion
    from redrive.stores.sqlite.connection_threads import ConnectionThread, WriterThread


class PurgesSQLite(ABC):
    @property
    @abstractmethod
    def _writer(self) -> WriterThread: ...

    @property
    @abstractmethod
    def _reader(self) -> ConnectionThread: ...

    async def ended(self, before: datetime, after: str | None, limit: int) -> Sequence[EndedExecution]:
        return await self._reader.do(purge_rows.ended, before, after, limit)

    async def ended_runs(self, before: datetime, after: str | None, limit: int) -> Sequence[EndedRuns]:
        return await self._reader.do(purge_rows.ended_runs, before, after, limit)

    async def purge(self, chosen: Sequence[EndedExecution], act: NewAudit) -> Sequence[str]:
        return await self._writer.do(purge_rows.purge, chosen, act)

    async def purge_runs(self, chosen: Sequence[EndedRuns], act: NewAudit) -> int:
        return await self._writer.do(purge_rows.purge_runs, chosen, act)

    async def collect(self, limit: int) -> bool:
        return False

    async def state_retention(self, worker: str, stated: Retention | None) -> None:
        await self._writer.do(purge_rows.state_retention, worker, stated)

    async def retentions(self) -> Sequence[Retention]:
        return await self._reader.do(purge_rows.retentions)

    async def suspects(self, suspicion: Suspicion, after: int, most: int) -> Suspects:
        return await self._reader.do(suspect_rows.suspects, suspicion, after, most)
