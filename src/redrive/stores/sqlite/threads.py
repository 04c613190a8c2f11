"""The threads that own connections: jobs go in from any event loop, answers come back to it.

1. A job is a function of a `Transaction`. It checks before it writes, and says no by raising a `RedriveError`.
2. The writer takes all jobs that wait into one transaction: one fsync for all of them (group commit). None is
   answered before the commit.
3. Jobs in one transaction do not harm each other: when one fails in an unforeseen way, all is rolled back and each
   runs again alone.
4. What may pass (a locked database, a full disk) is tried again for a while, then it is a `StoreError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Concatenate, Final, ParamSpec, TypeAlias, TypeVar

import attrs

from redrive.ports.store import StoreError
from redrive.stores.sqlite.failures import PASSING, as_store_error, primary_code
from redrive_interpreter.errors import RedriveError

P = ParamSpec("P")
T = TypeVar("T")

MOST_AT_ONCE: Final = 1_000
"""Jobs in one transaction at most: others wait no longer than these take."""


@attrs.define(eq=False)
class Memo:
    """What a store remembers between transactions to save itself a look; may be forgotten at any time."""

    pruned_us: int = 0
    nothing_parked: dict[tuple[str, tuple[str, ...]], int] = attrs.Factory(dict[tuple[str, tuple[str, ...]], int])
    """By build and workflows: the count of parks at which nothing parked was claimable for them."""


@attrs.define(eq=False)
class Transaction:
    """What a job may use. *now_us* is one moment for all of a transaction; *news*: somebody else may want to know."""

    execute: Callable[..., sqlite3.Cursor]
    memo: Memo
    now_us: int = 0
    news: bool = False


@attrs.define(eq=False)
class _Job:
    run: Callable[..., Any]
    args: tuple[Any, ...]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    result: Any = None
    error: BaseException | None = None


_Queue: TypeAlias = "SimpleQueue[_Job | Callable[[], object] | None]"


class _Tainted(Exception):
    """A job of several in a transaction failed after it had written."""


class ConnectionThread:
    """A thread with a connection of its own, which runs jobs in transactions.

    *begin* is the statement that begins one; *patience* in seconds; *after* is called behind each transaction that
    brought news, and *idle* every *every* seconds while it says that somebody waits.
    """

    def __init__(
        self,
        name: str,
        path: str,
        connect: Callable[[], sqlite3.Connection],
        *,
        begin: str,
        clock_us: Callable[[], int],
        memo: Memo,
        patience: float,
        news: Callable[[], None] | None = None,
        awaited: Callable[[], bool] | None = None,
        poll_every: float = 0.025,
    ) -> None:
        self._path, self._connect, self._begin, self._clock_us, self._patience = path, connect, begin, clock_us, patience
        self._memo, self._news, self._awaited, self._poll_every = memo, news, awaited, poll_every
        self._queue: _Queue = SimpleQueue()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._opened: asyncio.Future[None] | None = None
        self._closing = threading.Lock()
        self._closed = False

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        opened = loop.create_future()

        def tell(problem: BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_tell, opened, problem)

        self._tell_opened = tell
        self._thread.start()
        await opened

    async def close(self) -> None:
        """Finish what was submitted, then close the connection."""
        with self._closing:
            first, self._closed = not self._closed, True
        if first:
            self._queue.put(None)
        if self._thread.is_alive():
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    async def do(self, run: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        assert not kwargs, "jobs take positional arguments only"
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._closing:
            if self._closed:
                raise StoreError(f"{self._path}: the store is closed")
            self._queue.put(_Job(run, args, future, loop))
        return await future

    def kick(self) -> None:
        """Have the thread look whether somebody waits."""
        self._queue.put(_nothing)

    # ── on the thread ───────────────────────────────────────────────────────────────────────────
    def _live(self) -> None:
        try:
            self._db = db = self._connect()
            self._tx = Transaction(db.execute, self._memo)
            self._version = self._data_version()
        except BaseException as error:
            self._closed = True
            self._tell_opened(error)
            return
        self._tell_opened(None)
        try:
            while self._turn():
                pass
        finally:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _turn(self) -> bool:
        """Wait for jobs and do them; False when the end has come."""
        try:
            first = self._queue.get(timeout=self._poll_every) if self._awaited is not None and self._awaited() else self._queue.get()
        except Empty:
            self._poll()
            return True
        going_on, jobs = True, list[_Job]()
        waiting = first
        while True:
            if isinstance(waiting, _Job):
                jobs.append(waiting)
            elif waiting is None:
                going_on = False
            if len(jobs) >= MOST_AT_ONCE:
                break
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                break
        if jobs:
            self._serve(jobs)
            self._poll()
        return going_on

    def _serve(self, jobs: list[_Job]) -> None:
        self._tx.news = False
        if len(jobs) == 1 or not self._all_at_once(jobs):
            for job in jobs:
                self._alone(job)
        by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
        for job in jobs:
            by_loop.setdefault(job.loop, []).append(job)
        for loop, done in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_answer, done)
        if self._tx.news and self._news is not None:
            self._news()

    def _all_at_once(self, jobs: list[_Job]) -> bool:
        tx, db = self._tx, self._db
        try:
            tx.execute(self._begin)
            tx.now_us = self._clock_us()
            for job in jobs:
                written = db.total_changes
                try:
                    job.result, job.error = job.run(tx, *job.args), None
                except RedriveError as refused:
                    if db.total_changes != written:
                        raise _Tainted from refused
                    job.error = refused
            tx.execute("COMMIT")
        except Exception:
            self._roll_back()
            return False
        return True

    def _alone(self, job: _Job) -> None:
        tx = self._tx
        give_up = time.monotonic() + self._patience
        pause = 0.002
        while True:
            try:
                tx.execute(self._begin)
                tx.now_us = self._clock_us()
                job.result, job.error = job.run(tx, *job.args), None
                tx.execute("COMMIT")
                return
            except sqlite3.Error as error:
                self._roll_back()
                job.error = as_store_error(error, self._path)
                if primary_code(error) not in PASSING or time.monotonic() > give_up:
                    return
                time.sleep(pause)
                pause = min(pause * 2, 0.25)
            except Exception as error:
                self._roll_back()
                job.error = error
                return

    def _roll_back(self) -> None:
        self._memo.nothing_parked.clear()
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def _poll(self) -> None:
        """Look whether another connection wrote."""
        if self._news is None:
            return
        with contextlib.suppress(sqlite3.Error):
            version = self._data_version()
            if version != self._version:
                self._version = version
                self._news()

    def _data_version(self) -> int:
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return int(version)


def _nothing() -> None:
    pass


def _tell(opened: asyncio.Future[None], problem: BaseException | None) -> None:
    if opened.done():
        return
    if problem is None:
        opened.set_result(None)
    else:
        opened.set_exception(problem)


def _answer(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
