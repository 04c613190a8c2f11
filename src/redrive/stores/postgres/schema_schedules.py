"""The verbs of schedules on PostgreSQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from redrive.ports.stored_schedules import Firing, LeftOut, StoredSchedule
from redrive.stores.change_notifier import SCHEDULES
from redrive.stores.postgres import schedule_statements
from redrive.stores.postgres.session import Sessions

_MICROSECOND: Final = timedelta(microseconds=1)


class PostgresSchedules(ABC):
    """See `KeepsSchedules`."""

    @property
    @abstractmethod
    def _sessions(self) -> Sessions:
        """The open store's sessions."""

    @abstractmethod
    def _told(self, now_us: int, news: int) -> None:
        """Take note of what was written, when, and whom it concerns."""

    async def schedules(self, ids: Sequence[str] | None = None, *, after: str = "", limit: int = 1000) -> Sequence[StoredSchedule]:
        return await schedule_statements.schedules(self._sessions, ids, after, limit)

    async def due_schedules(self, workflows: Sequence[str], limit: int) -> tuple[Sequence[StoredSchedule], datetime | None]:
        return await schedule_statements.due_schedules(self._sessions, workflows, limit)

    async def put_schedule(self, new: StoredSchedule, expects: int | None) -> bool:
        stored = await self._sessions.transact(partial(schedule_statements.put_schedule, new=new, expects=expects))
        self._told(0, SCHEDULES if stored else 0)
        return stored

    async def remove_schedule(self, id: str, expects: int) -> bool:
        removed = await self._sessions.transact(partial(schedule_statements.remove_schedule, id=id, expects=expects))
        self._told(0, SCHEDULES if removed else 0)
        return removed

    async def fire(self, firings: Sequence[Firing]) -> Sequence[bool]:
        fired, news, now_us = await self._sessions.transact(partial(schedule_statements.fire, firings=firings))
        self._told(now_us, news)
        return fired

    async def left_out(self, id: str, limit: int) -> Sequence[LeftOut]:
        return await schedule_statements.left_out(self._sessions, id, limit)

    async def declaring_build(self, app: str, build: str, keep: timedelta) -> str:
        asked = partial(schedule_statements.declaring_build, app=app, build=build, keep_us=keep // _MICROSECOND)
        return await self._sessions.transact(asked)
