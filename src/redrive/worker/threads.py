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
        self._waiting = 0
        self._started = 0
        self._idle = threading.Semaphore(0)
        self._closed = False

    def run(self, body: Callable[[], Any], context: Context, done: Done) -> None:
        """Run *body* in *context*; *done* is called on the loop, with its result or what it raised."""
        self._queue.put((body, context, done))
        if not self._idle.acquire(blocking=False) and self._started < self._limit:
            self._started += 1
            threading.Thread(target=self._work, name=f"redrive-step-{self._started}", daemon=True).start()

    def close(self) -> None:
        """Let idle threads end, and those that are busy end after their body."""
        self._closed = True
        for _ in range(self._started):
            self._queue.put(None)

    def _work(self) -> None:
        queue, idle = self._queue, self._idle
        while True:
            job = queue.get() if not queue.empty() else self._wait(queue, idle)
            if job is None:
                return
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

    @staticmethod
    def _wait(queue: SimpleQueue[Any], idle: threading.Semaphore) -> Any:
        idle.release()
        return queue.get()

    def _collect(self) -> None:
        # Down before the queue is emptied: what ends after this line rings again.
        self._woken = False
        ended = self._ended
        while ended:
            done, result, error = ended.popleft()
            done(result, error)
