"""What is due when, in the memory store: a heap with an entry for each time that an execution was put into it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping

import attrs

from redrive.stores.memory.record import Record


@attrs.define
class DueQueue:
    """Executions that nobody owns and that have a time to wake at; of several entries the newest ticket counts."""

    records: Mapping[str, Record]
    _heap: list[tuple[int, int, str]] = attrs.Factory(list[tuple[int, int, str]])
    _tickets: Iterator[int] = attrs.Factory(lambda: itertools.count(1))
    latest_us: int = 0
    """The latest time that was seen."""

    def put(self, record: Record) -> None:
        record.ticket = 0
        if record.owner is None and record.wake_us is not None:
            record.ticket = next(self._tickets)
            heapq.heappush(self._heap, (record.wake_us, record.ticket, record.id))

    def take(self, now_us: int) -> Record | None:
        """The execution that has been due the longest by *now_us*; None if none is."""
        while self._heap and self._heap[0][0] <= now_us:
            _, ticket, id = heapq.heappop(self._heap)
            if self.records[id].ticket == ticket:
                return self.records[id]
        return None

    def first(self, fits: Callable[[Record], bool]) -> int | None:
        """When the first that *fits* is due."""
        while self._heap and not self._counts(self._heap[0]):
            heapq.heappop(self._heap)
        if self._heap and fits(self.records[self._heap[0][2]]):
            return self._heap[0][0]
        return min((entry[0] for entry in self._heap if self._counts(entry) and fits(self.records[entry[2]])), default=None)

    def keep(self, now_us: int) -> None:
        """If the clock went back: what was due by then stays due. To wake a sleeper early is harmless."""
        latest_us, self.latest_us = self.latest_us, now_us
        if now_us < latest_us:
            for record in self.records.values():
                if record.wake_us is not None and now_us < record.wake_us <= latest_us:
                    record.wake_us = now_us
                    self.put(record)

    def _counts(self, entry: tuple[int, int, str]) -> bool:
        return self.records[entry[2]].ticket == entry[1]
