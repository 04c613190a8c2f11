"""Waking those who wait for news, across threads and event loops."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final

from redrive.ports.store import ChangeCounts
from redrive.stores.ledger.changes import ENDS, EVENTS, EVERYTHING, SCHEDULES, WORK

__all__ = ["BACK_WITHIN", "ENDS", "EVENTS", "EVERYTHING", "SCHEDULES", "WORK", "ChangeNotifier"]

BACK_WITHIN: Final = 0.5
"""Seconds within which who was told something and looked waits again."""


class ChangeNotifier:
    """Counts what was told, by kind, and wakes waiting tasks; may be rung from any thread. *on_wait* is called when somebody begins to."""

    def __init__(self, on_wait: Callable[[], None] | None = None) -> None:
        self._on_wait = on_wait
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}
        self._until = 0.0
        self.told = ChangeCounts()

    @property
    def awaited(self) -> bool:
        """Whether somebody waits, or did a moment ago and may be back."""
        return bool(self._waiting) or time.monotonic() < self._until

    def ring(self, kinds: int = EVERYTHING) -> None:
        with self._lock:
            work, ends, events, schedules = self.told
            self.told = ChangeCounts(
                work + (kinds & WORK),
                ends + (kinds & ENDS) // ENDS,
                events + (kinds & EVENTS) // EVENTS,
                schedules + (kinds & SCHEDULES) // SCHEDULES,
            )
            waiting, self._waiting = self._waiting, {}
        here = asyncio._get_running_loop() if waiting else None
        for future, loop in waiting.items():
            if loop is here:  # nothing to wake: it is us
                _finish(future)
                continue
            with contextlib.suppress(RuntimeError):  # a loop that was closed with a waiter on it: nobody to wake
                loop.call_soon_threadsafe(_finish, future)

    async def wait(self, seconds: float, since: ChangeCounts | None = None) -> ChangeCounts:
        """Return the counts when they are not *since* any more (None: what they are now), at the latest after *seconds*."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if seconds <= 0 or (since is not None and since != self.told):
                return self.told
            future = loop.create_future()
            self._waiting[future] = loop
        if self._on_wait is not None:
            self._on_wait()
        try:
            await asyncio.wait([future], timeout=seconds)
        finally:
            self._until = time.monotonic() + BACK_WITHIN
            with self._lock:
                self._waiting.pop(future, None)
        return self.told


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
