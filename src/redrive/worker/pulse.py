"""The worker's duties to those outside, on a thread of their own: user code may hold up the event loop, not these.

1.  The loop is asked for a sign of life now and then. While it gives none, the thread renews the lease in its place, on
    a connection of its own, for `max_stall` seconds; then it stops, and others take over (W2).
2.  While the loop is to be heard, its own claims renew the lease, and the thread writes nothing.
3.  A loop that gives no sign is an incident: it is logged once, with the body that holds it up and its stack. So is a
    time in which no thread ran, once it is over.
4.  The thread looks for workers whose death is certain, and has their work claimed at once.
5.  The evidence ends with the worker: when the loop is closed, or somebody has cancelled the worker's tasks.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from redrive.ports.liveness import HasLifelines
from redrive.ports.store import StoreError
from redrive.worker.stalls import report_silence, report_stall

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from redrive.ports.liveness import Lifeline
    from redrive.ports.store import Store

log: Final = logging.getLogger("redrive.worker")
ASK_EVERY: Final = 0.5
"""Seconds between two questions to the loop."""
WARN_AFTER: Final = 2.0
_OVERDUE: Final = 5 / 12
"""So much of the lease after its last renewal, the loop is late with the next one: it is due after a third."""

_TRY_AGAIN_AFTER: Final = 1.0


class Worked(Protocol):
    """The worker, as far as its pulse knows it; `look_for_orphans` is called on the loop."""

    @property
    def id(self) -> str: ...

    def is_alive(self) -> bool: ...

    def look_for_orphans(self) -> None: ...

    def under_way(self) -> Sequence[object]:
        """The attempts under way, and those that ended last; called on the thread."""
        ...


class _NoLifeline:
    """For a store that takes heartbeats from the loop alone."""

    look_every = ASK_EVERY

    def open(self) -> None: ...

    def beat(self) -> bool:
        return True

    def somebody_died(self) -> bool:
        return False

    def close(self) -> None: ...


def lifeline_of(store: Store, worker: str, lease: timedelta, max_stall: timedelta) -> Lifeline:
    return store.lifeline(worker, lease, max_stall) if isinstance(store, HasLifelines) else _NoLifeline()


_JOINED_WITHIN: Final = 1.0
"""Seconds that the thread gets to end when its worker has stopped."""


class Pulse:
    """Made and closed on the event loop of *worker*, which must have called `claim` when `start` is called."""

    def __init__(self, worker: Worked, lifeline: Lifeline, lease: timedelta, max_stall: timedelta) -> None:
        self._worker = worker
        self._lifeline = lifeline
        self._lease = lease.total_seconds()
        self._max_stall = max_stall.total_seconds()
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._closed = threading.Event()
        self._beaten = time.monotonic()
        self._asked: float | None = None
        """When the loop was asked for the sign that it has not given yet."""
        self._told = False
        """Whether the incident under way was logged."""
        self._gave_up = False
        self._thread = threading.Thread(target=self._run, name="redrive-pulse", daemon=True)

    async def open(self) -> None:
        """Before the worker's first claim."""
        await asyncio.to_thread(self._lifeline.open)

    def start(self) -> None:
        self.beaten()
        self._thread.start()

    def beaten(self) -> None:
        """The loop itself has renewed the lease."""
        self._beaten = time.monotonic()

    async def close(self) -> None:
        """After the worker has retired."""
        self._closed.set()
        if self._thread.ident is None:
            await asyncio.to_thread(self._end)
        else:
            # A thread that waits for a store which does not answer ends by itself, and holds nobody up.
            await asyncio.to_thread(self._thread.join, _JOINED_WITHIN)

    # ── on the thread ───────────────────────────────────────────────────────────────────────────
    def _run(self) -> None:
        try:
            every = min(self._lifeline.look_every, self._lease / 8)
            asked_next = 0.0
            while True:
                slept = time.monotonic()
                if self._closed.wait(every):
                    return
                now = time.monotonic()
                if now - slept - every > WARN_AFTER:
                    report_silence(self._worker.id, now - slept - every, self._worker.under_way())
                if not self._loop_lives():
                    return
                if self._asked is None and now >= asked_next:
                    asked_next = now + ASK_EVERY
                    self._asked = now
                    self._loop.call_soon_threadsafe(self._answer)
                self._renew(now)
                self._look()
        except RuntimeError:
            return  # the loop was closed meanwhile
        finally:
            self._end()

    def _loop_lives(self) -> bool:
        return not self._loop.is_closed() and self._worker.is_alive()

    def _renew(self, now: float) -> None:
        asked = self._asked
        silent = 0.0 if asked is None else now - asked
        if silent > WARN_AFTER and not self._told:
            self._told = True
            report_stall(self._worker.id, silent, self._loop_thread, self._loop)
        if silent > self._max_stall:
            if not self._gave_up:
                self._gave_up = True
                why = "the event loop has given no sign for %.0f s: the lease is not renewed any more, and others take over"
                log.error("worker %s: " + why, self._worker.id, silent)
            return
        if now - self._beaten > self._lease * _OVERDUE:
            try:
                self._lifeline.beat()
                self._beaten = now
            except StoreError as error:
                log.warning("worker %s: heartbeat: %s", self._worker.id, error)
                self._beaten += _TRY_AGAIN_AFTER

    def _look(self) -> None:
        try:
            died = self._lifeline.somebody_died()
        except StoreError as error:
            log.debug("worker %s: others cannot be looked at: %s", self._worker.id, error)
        else:
            if died:
                self._loop.call_soon_threadsafe(self._worker.look_for_orphans)

    def _end(self) -> None:
        try:
            self._lifeline.close()
        except StoreError as error:
            log.debug("worker %s: %s", self._worker.id, error)

    # ── on the loop ─────────────────────────────────────────────────────────────────────────────
    def _answer(self) -> None:
        asked, self._asked = self._asked, None
        if self._told and asked is not None:
            log.warning("worker %s: the event loop is to be heard again, after %.1f s", self._worker.id, time.monotonic() - asked)
        self._told = self._gave_up = False
