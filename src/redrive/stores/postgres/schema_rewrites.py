"""The verbs of operators on PostgreSQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

from redrive.ports.rewrites import Audit, Hold, Rewrite
from redrive.ports.store import Snapshot
from redrive.stores.postgres import rewrite_statements
from redrive.stores.postgres.session import Sessions


class PostgresRewrites(ABC):
    """See `RewritesHistories`."""

    @property
    @abstractmethod
    def _sessions(self) -> Sessions:
        """The open store's sessions."""

    @abstractmethod
    def _told(self, now_us: int, news: int) -> None:
        """Take note of what was written, when, and whom it concerns."""

    async def rewrite(self, id: str, change: Rewrite) -> Snapshot:
        snapshot, news, now_us = await self._sessions.transact(partial(rewrite_statements.rewrite, id=id, change=change))
        self._told(now_us, news)
        return snapshot

    async def hold(self, id: str, change: Hold) -> bool:
        done, news, now_us = await self._sessions.transact(partial(rewrite_statements.hold, id=id, change=change))
        self._told(now_us, news)
        return done

    async def operated(self, after: int | None) -> tuple[int, Sequence[str]]:
        return await rewrite_statements.operated(self._sessions, after)

    async def audit(self, id: str | None, limit: int) -> Sequence[Audit]:
        return await rewrite_statements.audit(self._sessions, id, limit)
