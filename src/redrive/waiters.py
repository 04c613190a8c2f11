"""Waiters for the end of an execution, told by the worker here, or by looking when something changed."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from redrive.errors import stopped_by
from redrive.ports.ends import ends_of
from redrive_interpreter.errors import ExecutionNotFound

if TYPE_CHECKING:
    from redrive.ports.store import ExecutionStatus, Json, Store


_AT_ONCE: Final = 500
"""Executions that a store is asked for at once: others wait no longer than these take."""
_LOOK_EVERY: Final = 1.0
"""Seconds between two looks for what was purged."""
_LOOKED_AT: Final = 10


@attrs.frozen
class End:
    """How an execution ended."""

    status: ExecutionStatus
    outcome: Json


class Waiters:
    """Futures by execution id."""

    def __init__(self) -> None:
        self._futures: dict[str, list[asyncio.Future[End]]] = {}
        self._look_at = 0.0
        self._looked = 0
        """Where among those that are waited for it was looked last whether they are there."""

    def add(self, id: str) -> asyncio.Future[End]:
        future: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(id, []).append(future)
        return future

    def remove(self, id: str, future: asyncio.Future[End]) -> None:
        futures = self._futures.get(id)
        if futures is not None and future in futures:
            futures.remove(future)
            if not futures:
                del self._futures[id]

    def tell(self, id: str, end: End) -> None:
        for future in self._futures.pop(id, ()):
            if not future.done():
                future.set_result(end)

    def execution_ended(self, id: str, status: ExecutionStatus, outcome: Json) -> None:
        """The worker here has stored the end of the execution *id*."""
        if id in self._futures:
            self.tell(id, End(status, outcome))

    def worker_broke(self, error: BaseException) -> None:
        """A body raised *error*, which ends the worker here."""
        self.fail(stopped_by(error))

    def fail(self, error: BaseException) -> None:
        """Nobody here will ever be told: say so."""
        futures, self._futures = self._futures, {}
        for waiting in futures.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(error)

    async def look(self, store: Store, but: Container[str]) -> None:
        """Ask for the ends of the executions that are waited for, except *but*, of which we hear otherwise; those that were
        asked for last come first."""
        ids = [id for id in reversed(self._futures) if id not in but]
        for first in range(0, len(ids), _AT_ONCE):
            for id, status, outcome in await ends_of(store, ids[first : first + _AT_ONCE]):
                self.tell(id, End(status, outcome or "{}"))
            await asyncio.sleep(0)  # who was told goes on before the rest is looked at
        await self._look_for_purged(store, ids)

    async def _look_for_purged(self, store: Store, ids: Sequence[str]) -> None:
        """Tell those who wait for what is there no more: it was purged before they saw its end. A few are looked at each time."""
        clock = asyncio.get_running_loop().time()
        if clock < self._look_at or not ids:
            return
        self._look_at = clock + _LOOK_EVERY
        at = self._looked % len(ids)
        self._looked = at + _LOOKED_AT
        for id in ids[at : at + _LOOKED_AT]:
            if id in self._futures and await store.read(id) is None:
                for future in self._futures.pop(id, ()):
                    if not future.done():
                        future.set_exception(ExecutionNotFound(id, "it has ended, and was purged"))
