"""Waking those who wait for news, across threads and event loops."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable


class Bell:
    """Counts what was told, and wakes whoever waits; may be rung from any thread. *on_wait* is called when somebody begins to."""

    def __init__(self, on_wait: Callable[[], None] | None = None) -> None:
        self._on_wait = on_wait
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}
        self.rung = 0

    @property
    def awaited(self) -> bool:
        return bool(self._waiting)

    def ring(self) -> None:
        with self._lock:
            self.rung += 1
            waiting, self._waiting = self._waiting, {}
        for future, loop in waiting.items():
            with contextlib.suppress(RuntimeError):  # a loop that was closed with a waiter on it: nobody to wake
                loop.call_soon_threadsafe(_finish, future)

    async def wait(self, seconds: float, since: int = -1) -> int:
        """Return the count when it is not *since* any more (-1: what it is now), at the latest after *seconds*."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if seconds <= 0 or (since >= 0 and since != self.rung):
                return self.rung
            future = loop.create_future()
            self._waiting[future] = loop
        if self._on_wait is not None:
            self._on_wait()
        try:
            await asyncio.wait([future], timeout=seconds)
        finally:
            with self._lock:
                self._waiting.pop(future, None)
        return self.rung


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
