"""Schedules in the memory store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import attrs

from redrive.ports.stored_schedules import Firing, LeftOut, StoredSchedule
from redrive.stores.change_notifier import SCHEDULES
from redrive.stores.ledger import schedule_rules
from redrive.stores.ledger.reach import reach_of_firings
from redrive.stores.memory.aside_lists import AsideInMemory
from redrive.stores.memory.unit_records import lock, write

if TYPE_CHECKING:
    from redrive.stores.memory.schedule_table import ScheduleTable


class SchedulesInMemory(AsideInMemory):
    """The verbs of `KeepsSchedules`, for a store that has the rest."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self._builds: dict[str, dict[str, _Seen]] = {}
        """By app and build."""

    @property
    def _table(self) -> ScheduleTable:
        return self._tables.schedules

    async def schedules(self, ids: Sequence[str] | None = None, *, after: str = "", limit: int = 1000) -> Sequence[StoredSchedule]:
        with self._lock:
            by_id = self._table.by_id
            if ids is not None:
                return [by_id[id] for id in sorted(set(ids) & by_id.keys())]
            return [by_id[id] for id in sorted(id for id in by_id if id > after)[:limit]]

    async def due_schedules(self, workflows: Sequence[str], limit: int) -> tuple[Sequence[StoredSchedule], datetime | None]:
        with self._lock:
            mine = sorted(_due(self._table.by_id.values(), frozenset(workflows)), key=lambda found: found[0])
            now = self._clock()
            due = [schedule for at, schedule in mine if at <= now]
            following = next((at for at, _ in mine[min(limit, len(due)) :]), None)
            return due[:limit], following

    async def put_schedule(self, new: StoredSchedule, expects: int | None) -> bool:
        with self._lock:
            stored = schedule_rules.put(self._table.by_id.get(new.id), new, expects)
            if stored is None:
                return False
            self._table.by_id[new.id] = stored
        self._notifier.ring(SCHEDULES)
        return True

    async def remove_schedule(self, id: str, expects: int) -> bool:
        with self._lock:
            standing = self._table.by_id.get(id)
            if standing is None or standing.version != expects:
                return False
            del self._table.by_id[id]
            self._table.left_out.pop(id, None)
        self._notifier.ring(SCHEDULES)
        return True

    async def fire(self, firings: Sequence[Firing]) -> Sequence[bool]:
        fired: list[bool] = []
        changes = 0
        with self._lock:
            for firing in firings:
                work = lock(self._tables, reach_of_firings([firing]), self._now_us())
                fired.append(schedule_rules.fire(work, firing))
                write(self._tables, work)
                changes |= work.changes
        if changes:
            self._notifier.ring(changes)
        return fired

    async def left_out(self, id: str, limit: int) -> Sequence[LeftOut]:
        with self._lock:
            return list(reversed(self._table.left_out.get(id, deque())))[:limit]

    async def declaring_build(self, app: str, build: str, keep: timedelta) -> str:
        with self._lock:
            now = self._clock()
            seen = {name: it for name, it in self._builds.get(app, {}).items() if it.last >= now - keep}
            seen.setdefault(build, _Seen(now, now)).last = now
            self._builds[app] = seen
            return max(seen, key=lambda name: (seen[name].first, name))


@attrs.define
class _Seen:
    """When the first worker of a build came, and the last one was there."""

    first: datetime
    last: datetime


def _due(schedules: Iterable[StoredSchedule], workflows: frozenset[str]) -> Iterable[tuple[datetime, StoredSchedule]]:
    for schedule in schedules:
        if schedule.due is not None and schedule.workflow in workflows:
            yield schedule.due, schedule
