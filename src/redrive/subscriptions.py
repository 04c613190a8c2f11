"""Events, for those who listen: live iterators, and durable handlers.

An iterator keeps no buffer: it reads on from where it is, so a slow one costs nobody anything. A handler's place is
stored under its name; it gets each event at least once, on one worker at a time (G5).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from redrive.codec import from_json
from redrive.news import News, wait_for
from redrive.ports.store import StoreError
from redrive_interpreter.errors import CodecError

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.home import Home
    from redrive.ports.store import Event as StoredEvent
    from redrive.ports.store import Store
    from redrive_interpreter.messages import Source

T = TypeVar("T")
log: Final = logging.getLogger("redrive.events")
AT_ONCE: Final = 100
POLL: Final = 1.0
TRIES: Final = 4
FIRST_WAIT: Final = 0.1


def payload_of(event: StoredEvent, source: Source[Any], codec: JsonCodec) -> Any:
    return codec.load(from_json(event.payload), source.type, f"event {event.name}")


class Subscription(Generic[T]):
    """The payloads of an event, from when it was subscribed to: ``async for``, until `aclose` or for ever."""

    def __init__(self, source: Source[T], store: Store, codec: JsonCodec, news: News, home: Home) -> None:
        self._source = source
        self._store = store
        self._codec = codec
        self._news = news
        self._home = home
        self._ready: list[StoredEvent] = []
        self._done = False
        # Begun at once: what is emitted between `subscribe` and the first `anext` counts.
        self._place: asyncio.Future[int] = asyncio.get_running_loop().create_task(self._begin())

    async def _begin(self) -> int:
        place, _ = await self._store.events(None, [self._source.name], 0)
        return place

    async def begun(self) -> None:
        """Wait until it is certain where the subscription begins."""
        await asyncio.shield(self._place)

    async def settled(self) -> None:
        """Wait until it is known where it begins, or that this cannot be known: then whoever iterates is told."""
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
            after, found = await self._store.events(after, [self._source.name], AT_ONCE)
            self._place = _known(after)
            self._ready = list(found)
            if not found:
                await wait_for(news, POLL)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End it: whoever iterates is told that there is no more."""
        self._done = True
        self._news.tell()


def _known(place: int) -> asyncio.Future[int]:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(place)
    return future


@attrs.frozen
class Handler:
    """A function that gets the payloads of an event; *name* is what its place is stored under."""

    source: Source[Any]
    function: Callable[[Any], Any]
    name: str


def handler_of(source: Source[Any], function: Callable[..., Any], name: str | None) -> Handler:
    if not callable(function):
        raise TypeError(f"@on({source.name!r}): {function!r} cannot be called")
    plain = inspect.unwrap(function)
    chosen = name or f"{getattr(plain, '__module__', '')}.{getattr(plain, '__qualname__', repr(plain))}"
    return Handler(source, function, chosen)


class Handlers:
    """Runs durable handlers, each in a task of its own, sync ones in threads."""

    def __init__(self, store: Store, codec: JsonCodec, news: News, worker: str) -> None:
        self._store = store
        self._codec = codec
        self._news = news
        self._worker = worker
        self._tasks: list[asyncio.Task[None]] = []
        self._busy = 0
        """Handlers that have begun with an event, and whose place is not stored yet."""
        self._quiet: asyncio.Future[None] | None = None
        """There when it closes: done once none is busy."""

    def __bool__(self) -> bool:
        return bool(self._tasks)

    async def add(self, handler: Handler) -> None:
        """Begin: the handler's place is known to the store when this returns."""
        found = await self._store.take_events(handler.name, handler.source.name, self._worker, AT_ONCE)
        self._tasks.append(asyncio.get_running_loop().create_task(self._work(handler, list(found))))

    async def close(self, seconds: float) -> None:
        """Stop: who has begun with an event may end it for *seconds*, or it is heard again."""
        self._quiet = asyncio.get_running_loop().create_future()
        if self._busy:
            await asyncio.wait([self._quiet], timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _work(self, handler: Handler, found: list[StoredEvent]) -> None:
        while True:
            news = self._news.waiter()
            try:
                for event in found:
                    if self._quiet is not None:
                        return
                    await self._do(handler, event)
                if not found:
                    await wait_for(news, POLL)
                found = list(await self._store.take_events(handler.name, handler.source.name, self._worker, AT_ONCE))
            except StoreError as error:
                log.warning("handler %s: %s", handler.name, error)
                found = []
                await asyncio.sleep(POLL)

    async def _do(self, handler: Handler, event: StoredEvent) -> None:
        self._busy += 1
        try:
            await self._handle(handler, event)
            await self._store.events_done(handler.name, self._worker, event.seq)
        finally:
            self._busy -= 1
            if not self._busy and self._quiet is not None and not self._quiet.done():
                self._quiet.set_result(None)

    async def _handle(self, handler: Handler, event: StoredEvent) -> None:
        """Call the handler; a few times if it fails, then pass the event over."""
        for attempt in range(1, TRIES + 1):
            try:
                payload = payload_of(event, handler.source, self._codec)  # a copy of its own for each call
                if inspect.iscoroutinefunction(inspect.unwrap(handler.function)):
                    await handler.function(payload)
                else:
                    made = await asyncio.to_thread(handler.function, payload)
                    if inspect.isawaitable(made):
                        await made
            except Exception:
                if attempt == TRIES:
                    log.exception(
                        "handler %s failed %d times on event %d of %s, which is passed over",
                        handler.name,
                        TRIES,
                        event.seq,
                        event.execution,
                    )
                else:
                    await asyncio.sleep(FIRST_WAIT * 2 ** (attempt - 1))
            else:
                return
