"""The queue of due executions in the memory store: heaps with an entry for each time that an execution was put into one."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import attrs

from redrive.status import PARKED
from redrive.stores.ledger.locked_execution import WAITING
from redrive.stores.memory.record import Record

Entry: TypeAlias = tuple[int, int, str]
"""When it is due, the ticket, and the id."""
Key: TypeAlias = tuple[str, bool]
"""The workflow, and whether the executions are parked."""


@attrs.define
class DueQueue:
    """Executions that nobody owns and that have a time to wake at; of several entries the newest ticket counts."""

    records: Mapping[str, Record]
    _heaps: dict[Key, list[Entry]] = attrs.Factory(dict[Key, list[Entry]])
    _tickets: Iterator[int] = attrs.Factory(lambda: itertools.count(1))
    latest_us: int = 0
    """The latest time that was seen."""

    def put(self, record: Record) -> None:
        record.ticket = 0
        if record.owner is None and record.wake_us is not None:
            record.ticket = next(self._tickets)
            heap = self._heaps.setdefault((record.workflow, record.status == PARKED), [])
            heapq.heappush(heap, (record.wake_us, record.ticket, record.id))

    def take(self, now_us: int, workflows: Iterable[str]) -> Iterator[Record]:
        """The executions of *workflows* that are due by *now_us*, those due longest first. Those that nobody owns afterwards have to
        be put in again."""
        return self._take(now_us, [(workflow, parked) for workflow in workflows for parked in (False, True)])

    def take_unlisted(self, now_us: int, listed: frozenset[str]) -> Iterator[Record]:
        """The same of all workflows but *listed*, and of what is not parked."""
        return self._take(now_us, [key for key in self._heaps if key[0] not in listed and not key[1]])

    def first(self, workflows: Iterable[str], fits: Callable[[Record], bool]) -> int | None:
        """When the first execution of *workflows* that *fits* is due."""
        found = [self._first(heap, fits) for name in workflows for key in ((name, False), (name, True)) if (heap := self._heaps.get(key))]
        return min((us for us in found if us is not None), default=None)

    def keep(self, now_us: int) -> None:
        """If the clock went back: what was due by then stays due. To wake a sleeper early is harmless."""
        latest_us, self.latest_us = self.latest_us, now_us
        if now_us < latest_us:
            for record in self.records.values():
                if record.wake_us is not None and now_us < record.wake_us <= latest_us and record.queued != WAITING:
                    record.wake_us = now_us
                    self.put(record)

    def _take(self, now_us: int, keys: list[Key]) -> Iterator[Record]:
        heads = [(heap[0], key) for key in keys if (heap := self._cleaned(key))]
        heapq.heapify(heads)
        while heads and heads[0][0][0] <= now_us:
            (_, _, id), key = heads[0]
            heapq.heappop(self._heaps[key])
            heap = self._cleaned(key)
            if heap:
                heapq.heapreplace(heads, (heap[0], key))
            else:
                heapq.heappop(heads)
            yield self.records[id]

    def _first(self, heap: list[Entry], fits: Callable[[Record], bool]) -> int | None:
        while heap and not self._counts(heap[0]):
            heapq.heappop(heap)
        if heap and fits(self.records[heap[0][2]]):
            return heap[0][0]
        return min((entry[0] for entry in heap if self._counts(entry) and fits(self.records[entry[2]])), default=None)

    def _cleaned(self, key: Key) -> list[Entry] | None:
        """The heap of *key* with an entry that counts at its top; None, and none any more, if it has none."""
        heap = self._heaps.get(key)
        while heap and not self._counts(heap[0]):
            heapq.heappop(heap)
        if heap is not None and not heap:
            del self._heaps[key]
        return heap or None

    def _counts(self, entry: Entry) -> bool:
        record = self.records.get(entry[2])
        return record is not None and record.ticket == entry[1]
