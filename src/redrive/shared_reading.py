"""Subscribers that ask at once for the same events get them from one read of the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive.ports.store import Event, Store

    Found: TypeAlias = "tuple[int, Sequence[Event]]"


AT_ONCE: Final = 100


class SharedReading:
    """Reads events from *store*, up to `AT_ONCE`, on one event loop.

    Who asks joins a read only before it has begun: one under way may have missed the event whose news made them ask.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: dict[tuple[str, int], asyncio.Future[Found]] = {}
        self._reads: set[asyncio.Task[None]] = set()

    async def events(self, after: int, name: str) -> Found:
        """The events called *name* behind the position *after*, and the position they reach to, as `Store.events` gives them."""
        key = name, after
        asked = self._asked.get(key)
        if asked is None:
            loop = asyncio.get_running_loop()
            asked = self._asked[key] = loop.create_future()
            read = loop.create_task(self._read(key, asked))  # it begins when all that was woken together has asked
            self._reads.add(read)
            read.add_done_callback(self._reads.discard)
        return await asyncio.shield(asked)

    async def _read(self, key: tuple[str, int], asked: asyncio.Future[Found]) -> None:
        await asyncio.sleep(0)
        del self._asked[key]
        name, after = key
        try:
            found = await self._store.events(after, [name], AT_ONCE)
        except asyncio.CancelledError:
            asked.cancel()
            raise
        except Exception as error:
            asked.set_exception(error)
            asked.exception()  # who asked may have gone away
        else:
            asked.set_result(found)
