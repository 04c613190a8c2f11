"""The threads that run sync bodies: few, daemons, and cheap to hand work to.

`concurrent.futures` joins its threads at exit, so one body that never returns would keep the process for ever;
and it wakes the loop once per result, where this pool wakes it once for all that have ended meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue
from typing import Any

Done = Callable[[Any, BaseException | None], None]


class Threads:
    """Up to *limit* daemon threads, started as they are needed. Use it from one event loop."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self._limit = limit
        self._loop = loop
        self._queue: SimpleQueue[tuple[Callable[[], Any], Context, Done] | None] = SimpleQueue()
        self._ended: deque[tuple[Done, Any, BaseException | None]] = deque()
        self._woken = False
        self._started = 0
        self._under_way = 0
        """Bodies that were handed over and whose end was not told yet."""

    def run(self, body: Callable[[], Any], context: Context, done: Done) -> None:
        """Run *body* in *context*; *done* is called on the loop, with its result or what it raised."""
        self._queue.put((body, context, done))
        self._under_way += 1
        if self._started < min(self._under_way, self._limit):
            self._started += 1
            threading.Thread(target=self._work, name=f"redrive-step-{self._started}", daemon=True).start()

    def close(self) -> None:
        """Let idle threads end, and those that are busy end after their body."""
        for _ in range(self._started):
            self._queue.put(None)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            body, context, done = job
            result: Any = None
            error: BaseException | None = None
            try:
                result = context.run(body)
            except BaseException as raised:
                error = raised
            self._ended.append((done, result, error))
            del job, body, context, done, result, error
            if not self._woken:
                self._woken = True
                try:
                    self._loop.call_soon_threadsafe(self._collect)
                except RuntimeError:  # the loop is closed: nobody waits for it any more
                    return

    def _collect(self) -> None:
        # Down before the queue is emptied: what ends after this line rings again.
        self._woken = False
        ended = self._ended
        while ended:
            done, result, error = ended.popleft()
            self._under_way -= 1
            done(result, error)
