"""Events, for those who listen now: live iterators. Those who must not miss one are `handlers`.

An iterator keeps no buffer: it reads on from where it is, so a slow one costs nobody anything (G5).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from redrive.codec import from_json
from redrive.entrances import checked_event
from redrive.news import News, wait_for
from redrive_interpreter.errors import CodecError

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.home import Home
    from redrive.ports.store import Event as StoredEvent
    from redrive.ports.store import Store
    from redrive.shared_reading import SharedReading
    from redrive_interpreter.commands.messages import Source

T = TypeVar("T")
log: Final = logging.getLogger("redrive.events")
POLL: Final = 1.0


def payload_of(event: StoredEvent, source: Source[Any], codec: JsonCodec) -> Any:
    return codec.load(from_json(event.payload), source.type, f"event {source.name}")


class Subscription(Generic[T]):
    """The payloads of an event, from when it was subscribed to: ``async for``, until `aclose` or for ever."""

    def __init__(self, source: Source[T], store: Store, codec: JsonCodec, news: News, home: Home, reading: SharedReading) -> None:
        self._source = checked_event("subscribe", source)
        self._store = store
        self._codec = codec
        self._news = news
        self._home = home
        self._reading = reading
        self._ready: list[StoredEvent] = []
        self._done = False
        # StartResult at once: what is emitted between `subscribe` and the first `anext` counts.
        self._place: asyncio.Future[int] = asyncio.get_running_loop().create_task(self._begin())

    async def _begin(self) -> int:
        place, _ = await self._store.events(None, [self._source.stored], 0)
        return place

    async def begun(self) -> None:
        """Wait until it is certain where the subscription begins."""
        await asyncio.shield(self._place)

    async def settled(self) -> None:
        """Wait until it is known where it begins, or that this cannot be known: then the iteration raises."""
        await asyncio.wait([self._place])

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._home.is_open:
            self._home.check()
        after = await asyncio.shield(self._place)
        while not self._done and self._home.is_open:
            while self._ready:
                event = self._ready.pop(0)
                try:
                    value: T = payload_of(event, self._source, self._codec)
                    return value
                except CodecError as error:
                    log.error("an event was passed over: %s", error)
            news = self._news.waiter()
            after, found = await self._reading.events(after, self._source.stored)
            self._place = _known(after)
            self._ready = list(found)
            if not found:
                await wait_for(news, POLL)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the subscription: its iteration stops."""
        self._done = True
        self._news.tell()


def _known(place: int) -> asyncio.Future[int]:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(place)
    return future
