"""The threads that own connections: jobs go in from any event loop, answers come back to it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Concatenate, Final, ParamSpec, TypeVar

from redrive.ports.answer import Answer
from redrive.ports.store import StoreError
from redrive.stores.change_notifier import ChangeNotifier
from redrive.stores.sqlite.jobs import Job, Transaction, answer_all
from redrive.stores.sqlite.transactions import Session

P = ParamSpec("P")
T = TypeVar("T")

MOST_AT_ONCE: Final = 1_000
"""Jobs in one transaction at most: others wait no longer than these take."""
POLL_EVERY: Final = 0.025
"""Seconds between two looks whether another process wrote, while somebody waits for that."""
POLL_SOON: Final = 0.003
"""The same while something is going on: an answer may come at any moment."""
BUSY_FOR: Final = 1.0
"""Seconds since the last job, or the last write of another process, for which something counts as going on."""
CHECKPOINT_EVERY: Final = 500
"""Jobs; each leaves two or three pages of 4 KiB in the log."""
FAST: Final = 0.001
"""Seconds: what takes less may hold up an event loop."""
LAST_PATIENCE: Final = 1.0
"""Seconds that what was asked for before `close` may still wait for a locked database."""
FEW: Final = 32
"""Jobs that are done on the spot together; with more, the writer's thread costs less than they do."""


class ConnectionThread:
    """A thread with a connection of its own, which does whatever jobs are there in one transaction.

    On a fast disk, short jobs are done on the spot, on the caller's event loop: waking a thread and being woken by it
    costs as much as a commit. What comes while the thread is at work goes to it, and so does all where jobs have lately
    taken longer than `FAST`.
    """

    def __init__(self, name: str, connect: Callable[[], Session], *, on_the_spot: bool) -> None:
        self.name, self._connect, self._on_the_spot = name, connect, on_the_spot
        self._queue: SimpleQueue[list[Job] | Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._gate = threading.Lock()
        self._closed = False
        self._busy = threading.Lock()
        """Held by the thread that uses the session."""
        self._took = FAST * 10
        self._session: Session

    async def open(self) -> None:
        self._opened = Job(self._connect, (), asyncio.get_running_loop())
        self._thread.start()
        self._session = await self._opened

    async def close(self) -> None:
        """Do what was asked for before, then close the connection."""
        with self._gate:
            first, self._closed = not self._closed, True
        if first:
            self._session.hurry(LAST_PATIENCE)
            self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def do(self, run: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> Answer[T]:
        """Run a job on the thread; it takes positional arguments only."""
        assert not kwargs
        job = Job(run, args, asyncio.get_running_loop())
        self._put([job])
        return job

    def do_at_once(self, run: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> Answer[T]:
        """Run a short job, on the spot where that is faster."""
        assert not kwargs
        job = Job(run, args, asyncio.get_running_loop())
        if self._are_done_here([job]):
            job.come()
        else:
            self._put([job])
        return job

    def call(self, function: Callable[[], None]) -> None:
        """Run *function* on the thread, between transactions."""
        self._queue.put(function)

    def _put(self, jobs: list[Job]) -> None:
        with self._gate:
            if not self._closed:
                self._queue.put(jobs)
                return
        for job in jobs:
            job.error = StoreError(f"{self.name}: the store is closed")
            job.come()

    def _are_done_here(self, jobs: list[Job]) -> bool:
        """Do *jobs* on the spot, if that is quick and nothing is in the way; whether they are done."""
        if not self._on_the_spot or self._took > FAST or self._closed or not self._busy.acquire(blocking=False):
            return False
        try:
            return self._queue.empty() and self._at_once(jobs)
        finally:
            self._busy.release()

    def _at_once(self, jobs: list[Job]) -> bool:
        began = time.perf_counter()
        news = self._session.do_now(jobs)
        if news is None:
            return False
        self._account(began, len(jobs), news)
        return True

    def _account(self, began: float, jobs: int, news: int) -> None:
        """Take note of what was done."""
        if jobs <= FEW:
            self._took += (time.perf_counter() - began - self._took) / 5

    # ── on the thread ───────────────────────────────────────────────────────────────────────────
    def _live(self) -> None:
        opened = self._opened
        try:
            session = self._session = self._connect()
        except BaseException as error:
            self._closed, opened.error = True, error
            _tell([opened])
            return
        opened.result = session
        _tell([opened])
        try:
            while self._turn():
                pass
        finally:
            with self._busy:  # another loop may be doing something on the spot
                session.close()

    def _turn(self) -> bool:
        """Wait for something to do and do it; False when the end has come."""
        jobs: list[Job] = []
        waiting = self._wait()
        going_on = True
        while True:
            if isinstance(waiting, list):
                jobs += waiting
            elif waiting is None:
                going_on = False
            else:
                waiting()
            if len(jobs) >= MOST_AT_ONCE:
                break
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                break
        if jobs:
            self._serve(jobs)
        return going_on

    def _wait(self) -> list[Job] | Callable[[], None] | None:
        return self._queue.get()

    def _serve(self, jobs: list[Job]) -> None:
        told: list[Job] = []

        def over(job: Job) -> None:
            told.append(job)
            _tell([job])

        with self._busy:
            began = time.perf_counter()
            news = self._session.do(jobs, over)
        if not told:
            _tell(jobs)
        self._account(began, len(jobs), news)


class WriterThread(ConnectionThread):
    """The thread that writes, with up to a `FEW` jobs that come together on the spot. It rings *bell* when there is news,
    also from other processes."""

    def __init__(
        self, name: str, connect: Callable[[], Session], bell: ChangeNotifier, *, on_the_spot: bool, reader: ConnectionThread
    ) -> None:
        super().__init__(name, connect, on_the_spot=on_the_spot)
        self._notifier, self._reader = bell, reader
        self._arrived: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        self._polling = False
        self._version: int | None = None
        self._polled = self._active = 0.0
        self._since_checkpoint = 0

    def do_soon(self, run: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> Answer[T]:
        """Run a short job, together with what else is asked for now, or on the spot where that is faster."""
        assert not kwargs
        loop = asyncio.get_running_loop()
        job = Job(run, args, loop)
        company = self._arrived.get(loop)
        if company is None:
            # Whatever else is ready on this loop runs before the flush, and may bring more jobs.
            self._arrived[loop] = [job]
            loop.call_soon(self._flush, loop)
        else:
            company.append(job)
        return job

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        jobs = self._arrived.pop(loop)
        if len(jobs) <= FEW and self._are_done_here(jobs):
            answer_all(jobs)
            return
        for first in range(0, len(jobs), MOST_AT_ONCE):
            self._put(jobs[first : first + MOST_AT_ONCE])

    def _account(self, began: float, jobs: int, news: int) -> None:
        super()._account(began, jobs, news)
        self._since_checkpoint += jobs
        if self._since_checkpoint >= CHECKPOINT_EVERY:
            self._since_checkpoint = 0
            self._reader.call(self._checkpoint_elsewhere)
        if news:
            self._active = time.monotonic()
            self._notifier.ring(news)

    # ── on the threads ──────────────────────────────────────────────────────────────────────────
    def _checkpoint_elsewhere(self) -> None:
        """On the reader's thread, while writing goes on: most of the work. What was written meanwhile is left to the
        writer's, since the log begins anew only when all of it is in the database."""
        with self._reader._busy:
            self._reader._session.checkpoint()
        self.call(self._checkpoint)

    def _checkpoint(self) -> None:
        with self._busy:
            self._session.checkpoint()

    def _wait(self) -> list[Job] | Callable[[], None] | None:
        while True:
            self._polling = True
            while self._notifier.awaited:
                with contextlib.suppress(Empty):
                    busy = time.monotonic() - self._active < BUSY_FOR
                    return self._queue.get(timeout=POLL_SOON if busy else POLL_EVERY)
                self._poll()
            self._polling = False
            if not self._notifier.awaited:  # who began to wait in between saw that we polled, and did not wake us
                return self._queue.get()

    def watch(self) -> None:
        """Have it looked whether other processes write, while somebody waits on the bell."""
        if not self._polling:
            self.call(_nothing)

    def _serve(self, jobs: list[Job]) -> None:
        super()._serve(jobs)
        if time.monotonic() - self._polled > POLL_EVERY:
            self._poll()

    def _poll(self) -> None:
        """Look whether another process wrote."""
        self._polled = time.monotonic()
        with self._busy:
            version = self._session.data_version()
        if version != self._version:
            first, self._version = self._version is None, version
            if not first:
                self._active = self._polled
                self._notifier.ring()


def _nothing() -> None:
    return


def _tell(jobs: list[Job]) -> None:
    """Answer *jobs*, with one wake-up for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, done in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(answer_all, done)
