"""The verbs of the PostgreSQL store about what it keeps for people: signals set aside, and events that handlers gave up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

from redrive.ports.aside_values import Aside, HeldEvent
from redrive.stores.change_notifier import EVENTS
from redrive.stores.postgres import aside_statements
from redrive.stores.postgres.session import Sessions


class KeptVerbs(ABC):
    """The verbs of `KeepsAside` and `HoldsEvents`, for a store that has connections and announces changes."""

    @property
    @abstractmethod
    def _sessions(self) -> Sessions: ...

    @abstractmethod
    def _told(self, now_us: int, news: int) -> None: ...

    async def set_aside(self, id: str | None, limit: int) -> Sequence[Aside]:
        return await aside_statements.set_aside(self._sessions, id, limit)

    async def redeliver(self, id: str, seqs: Sequence[int] | None) -> int:
        found, news, now_us = await self._sessions.transact(partial(aside_statements.redeliver, id=id, seqs=seqs))
        self._told(now_us, news)
        return found

    async def drop_aside(self, id: str, seqs: Sequence[int] | None) -> int:
        return await aside_statements.drop_aside(self._sessions, id, seqs)

    async def hold_events(self, worker: str, held: Sequence[HeldEvent]) -> None:
        await aside_statements.hold_events(self._sessions, worker, held)

    async def held_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[HeldEvent]:
        return await aside_statements.held_events(self._sessions, handler, event, worker, limit)

    async def held_done(self, handler: str, worker: str, seq: int) -> None:
        await aside_statements.held_done(self._sessions, handler, worker, seq)

    async def list_held(self, handler: str | None, dead: bool | None, limit: int) -> Sequence[HeldEvent]:
        return await aside_statements.list_held(self._sessions, handler, dead, limit)

    async def retry_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        found = await aside_statements.retry_held(self._sessions, handler, seqs)
        self._told(0, EVENTS if found else 0)
        return found

    async def drop_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        return await aside_statements.drop_held(self._sessions, handler, seqs)
