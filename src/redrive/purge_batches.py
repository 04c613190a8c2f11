"""Purges, batch by batch: what has ended, and runs before the last of what has not (F10).

1.  A batch takes as long as `BATCH`, not as many as there are: its size follows from what the one before took. No lock is held longer.
2.  After each batch the purge rests for a multiple of the time that it took: those who work have the store for themselves meanwhile.
3.  What another transaction has locked is left, and found by the next purge.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redrive.patience import patiently
from redrive.ports.purging import EndedExecution, EndedRuns, Purges
from redrive.ports.store import StoreError

if TYPE_CHECKING:
    from datetime import datetime

    from redrive.ports.rewrites import NewAudit

T = TypeVar("T", EndedExecution, EndedRuns)
BATCH: Final = 0.025
"""Seconds that a transaction may take."""
MOST: Final = 500
"""Executions in a transaction."""
_FIRST: Final = 100
_LEAST: Final = 100
"""Executions in a transaction, if there are so many, however long it had to wait for the store: they take some milliseconds."""
_MOST_ROWS: Final = 5_000
"""Rows of the histories in one transaction; one execution may have more."""
PAGE: Final = 1_000
RUNS_PAGE: Final = 100
CHUNKS: Final = 500
"""Chunks of history that are freed at a time."""


class Batches:
    """Purges by way of *store*, in the name of *act*. *rest*: times that a batch took, to rest after it."""

    def __init__(self, store: Purges, act: NewAudit, rest: float) -> None:
        self._store, self._act, self._rest = store, act, rest
        self._size = float(_FIRST)

    async def executions(self, chosen: Sequence[EndedExecution]) -> AsyncIterator[int]:
        """Purge *chosen*; how many were, after each batch."""
        for batch in self._cut(chosen, lambda one: one.rows):
            yield len(await self._timed(len(batch), partial(self._store.purge, batch, self._act)))

    async def runs(self, chosen: Sequence[EndedRuns]) -> AsyncIterator[int]:
        """The same of runs before the last."""
        for batch in self._cut([one for one in chosen if one.last >= one.first], lambda one: one.last - one.first):
            yield await self._timed(len(batch), partial(self._store.purge_runs, batch, self._act))

    async def collect(self) -> None:
        """Free the room of what was purged."""
        while await self._timed(0, lambda: self._store.collect(CHUNKS)):
            pass

    def _cut(self, chosen: Sequence[T], rows: Callable[[T], int]) -> Iterator[list[T]]:
        batch: list[T] = []
        weight = 0
        for one in chosen:
            if batch and (len(batch) >= min(self._size, MOST) or weight + rows(one) > _MOST_ROWS):
                yield batch
                batch, weight = [], 0
            batch.append(one)
            weight += rows(one)
        if batch:
            yield batch

    async def _timed(self, count: int, purge: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        done = await patiently(purge)
        took = time.perf_counter() - began
        if count:
            self._size = max(float(_LEAST), min(float(MOST), count * BATCH / max(took, 0.0001), self._size * 2))
        await asyncio.sleep(took * self._rest)
        return done


async def ended(store: Purges, before: datetime) -> AsyncIterator[Sequence[EndedExecution]]:
    """The executions that ended before that time, the longest ago first, in pages."""
    page = await patiently(lambda: store.ended(before, None, PAGE))
    while page:
        yield page
        place = page[-1].place
        page = await patiently(partial(store.ended, before, place, PAGE))


async def ended_runs(store: Purges, before: datetime) -> AsyncIterator[Sequence[EndedRuns]]:
    """Runs before the last that ended before that time, in pages."""
    page = await patiently(lambda: store.ended_runs(before, None, RUNS_PAGE))
    while page:
        yield page
        place = page[-1].place
        page = await patiently(partial(store.ended_runs, before, place, RUNS_PAGE))


def purging(store: Any) -> Purges:
    """*store*, which can forget. Raises `StoreError` if it cannot."""
    if not isinstance(store, Purges):
        raise StoreError(f"{type(store).__name__} cannot purge: it keeps everything")
    return store
