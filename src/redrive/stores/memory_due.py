"""What is due when, in the memory store: a heap with an entry for each time that an execution was put into it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import attrs

from redrive.stores.memory_records import Record


@attrs.define
class DueQueue:
    """Executions that nobody owns and that have a time to wake at; of several entries the newest ticket counts."""

    records: Mapping[str, Record]
    _heap: list[tuple[datetime, int, str]] = attrs.Factory(list[tuple[datetime, int, str]])
    _tickets: Iterator[int] = attrs.Factory(lambda: itertools.count(1))
    _latest: datetime = attrs.field(factory=lambda: datetime.min.replace(tzinfo=UTC))

    def put(self, record: Record) -> None:
        record.ticket = 0
        if record.owner is None and record.wake_at is not None:
            record.ticket = next(self._tickets)
            heapq.heappush(self._heap, (record.wake_at, record.ticket, record.id))

    def take(self, now: datetime) -> Record | None:
        """What is due by *now* the longest; None if nothing is."""
        while self._heap and self._heap[0][0] <= now:
            _, ticket, id = heapq.heappop(self._heap)
            if self.records[id].ticket == ticket:
                return self.records[id]
        return None

    def first(self, fits: Callable[[Record], bool]) -> datetime | None:
        """When the first that *fits* is due."""
        while self._heap and not self._counts(self._heap[0]):
            heapq.heappop(self._heap)
        if self._heap and fits(self.records[self._heap[0][2]]):
            return self._heap[0][0]
        return min((entry[0] for entry in self._heap if self._counts(entry) and fits(self.records[entry[2]])), default=None)

    def saw(self, now: datetime) -> None:
        if now > self._latest:
            self._latest = now

    def keep(self, now: datetime) -> None:
        """If the clock went back: what was due by then stays due. To wake a sleeper early is harmless."""
        latest, self._latest = self._latest, now
        if now < latest:
            for record in self.records.values():
                if record.wake_at is not None and now < record.wake_at <= latest:
                    record.wake_at = now
                    self.put(record)

    def _counts(self, entry: tuple[datetime, int, str]) -> bool:
        return self.records[entry[2]].ticket == entry[1]
