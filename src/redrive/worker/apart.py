"""Turns that are computed in threads of their own: those that were too long for the event loop, and replays of long histories.

The thread has the execution to itself: events that come for it meanwhile wait until the turn is back. A worker has few such
threads, for they take processor time from its loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redrive.worker.threads import Threads

if TYPE_CHECKING:
    from redrive.worker.watchdog import Watch, Watchdog

T = TypeVar("T")
THREADS: Final = 3
LONG: Final = 100_000
"""Characters of a history from which on it is read and replayed in a thread: that takes some 20 ms."""


class Gone(BaseException):
    """The worker stopped before the turn was computed: the execution is as the store has it."""


class Apart:
    """Runs what takes long in threads that the watchdog watches."""

    def __init__(self, watchdog: Watchdog, loop: asyncio.AbstractEventLoop) -> None:
        self._watchdog = watchdog
        self._loop = loop
        self._threads = Threads(THREADS, loop)
        self._pending: set[asyncio.Future[Any]] = set()
        self._closed = False

    async def run(self, work: Callable[[Watch], T], context: Context) -> T:
        """The result of *work*, called in a thread, in *context*. Raises what it raises, and `Gone`."""
        if self._closed:
            raise Gone
        future: asyncio.Future[T] = self._loop.create_future()

        def body() -> T:
            watch = self._watchdog.watch(on_loop=False)
            try:
                return work(watch)
            finally:
                self._watchdog.unwatch(watch)

        def done(value: Any, error: BaseException | None) -> None:
            if not future.done():
                if error is None:
                    future.set_result(value)
                else:
                    # A future takes no StopIteration; and what ends a process is for the caller to judge.
                    future.set_exception(error if not isinstance(error, StopIteration) else RuntimeError(repr(error)))

        self._threads.run(body, context, done)
        self._pending.add(future)
        try:
            return await future
        finally:
            self._pending.discard(future)

    def close(self) -> None:
        """Wait for nothing any more; the watchdog breaks off what is under way."""
        self._closed = True
        for future in self._pending:
            if not future.done():
                future.set_exception(Gone())
        self._threads.close()
