"""The timers of the live executions: a heap of moments, oldest first."""

from __future__ import annotations

import heapq
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from redrive.worker.active_execution import ActiveExecution

_ROOM: Final = 1024
"""So many dead entries cost nothing worth a sweep."""


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
