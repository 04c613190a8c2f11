"""The timers of a worker's executions: a heap of moments, oldest first, and the one timer of the event loop that it needs."""

from __future__ import annotations

import asyncio
import heapq
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from redrive.worker.gc_pause import CROWD, no_collection_for_a_moment
from redrive.worker.life.events import TimerDue

if TYPE_CHECKING:
    from redrive.worker.clock import Clock
    from redrive.worker.life.actions import SetAlarm
    from redrive.worker.life.active_execution import ActiveExecution
    from redrive_interpreter.history.requests import SetTimer

_ROOM: Final = 1024
"""So many dead entries cost nothing worth a sweep."""
FIRED_AT_ONCE: Final = 2000
"""Maximum timers fired per loop iteration, so that a backlog cannot starve other work."""
_LONGEST: Final = 3600.0
"""Seconds after which the clock is read again, for a timer that is due later."""


class Timers:
    """Entries are never taken out early: one is dead when its execution no longer has that timer at that moment.

    Dead ones are swept once they may be the greater part.
    """

    __slots__ = ("_added", "_heap", "_limit")

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, ActiveExecution, str]] = []
        self._added = 0
        self._limit = _ROOM

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, due: datetime, live: ActiveExecution, key: str) -> None:
        self._added += 1
        heapq.heappush(self._heap, (due, self._added, live, key))
        if len(self._heap) > self._limit:
            self._heap = [entry for entry in self._heap if entry[2].timer(entry[3]) == entry[0]]
            heapq.heapify(self._heap)
            self._limit = 2 * len(self._heap) + _ROOM

    def next(self) -> datetime | None:
        """When the earliest one that still counts is due."""
        heap = self._heap
        while heap and heap[0][2].timer(heap[0][3]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: datetime, limit: int) -> list[tuple[datetime, ActiveExecution, str]]:
        """Take out those that are due at *now*, oldest first, at most *limit*."""
        found: list[tuple[datetime, ActiveExecution, str]] = []
        heap = self._heap
        while heap and heap[0][0] <= now and len(found) < limit:
            due, _, live, key = heapq.heappop(heap)
            if live.timer(key) == due:
                found.append((due, live, key))
        return found


class Told(Protocol):
    """The shell, as far as timers know it."""

    def tell(self, live: ActiveExecution, event: Any) -> None: ...


class TimerLoop:
    """Tells executions that their timers are due, by *clock*."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers = Timers()
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._handle_due: datetime | None = None
        self._shell: Told

    def connect(self, shell: Told) -> None:
        """Tell *shell* what is due. To be called once, before `set`."""
        self._shell = shell

    def set(self, live: ActiveExecution, timer: SetTimer | SetAlarm) -> None:
        """Fire *timer* of *live* when it is due."""
        self._timers.set(timer.due, live, timer.key)
        if self._handle_due is None or timer.due < self._handle_due:
            self._arm()

    def rearm(self) -> None:
        """The clock was set: what was armed by the old one is armed anew."""
        self.close()
        self._arm()

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._handle_due = None

    def _arm(self) -> None:
        due = self._timers.next()
        if due is None or (self._handle_due is not None and self._handle_due <= due):
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle_due = due
        self._handle = self._loop.call_later(min(self._clock.seconds_to(due), _LONGEST), self._fire)

    def _fire(self) -> None:
        self._handle = self._handle_due = None
        fired = self._timers.due(self._clock.now(), FIRED_AT_ONCE)
        if len(fired) >= CROWD:
            no_collection_for_a_moment()
        for due, live, key in fired:
            self._shell.tell(live, TimerDue(due, key))
        if len(fired) == FIRED_AT_ONCE:
            self._handle_due = self._clock.now()
            self._handle = self._loop.call_later(0, self._fire)
        else:
            self._arm()
