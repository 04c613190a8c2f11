"""A connection that does jobs in transactions.

1. Several jobs share a transaction, and its one fsync: group commit. None is answered before the commit.
2. They do not harm each other: when one fails in an unforeseen way, all is rolled back, and each runs again alone.
3. What may pass (a locked database, a full disk) is tried again for a while, then it is a `StoreError`. A job's patience begins when
   it is asked for, not when its turn comes: while a stranger holds the database, all that waits is told in time, not one after another.
4. A file that was deleted can still be written to, and is gone with the process: each transaction looks whether it is there.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

from redrive.ports.store import UnusableStore
from redrive.stores.sqlite.jobs import Job, Memo, Transaction
from redrive.stores.sqlite.sqlite_errors import PASSING, as_store_error, primary_code
from redrive_interpreter.errors import RedriveError

_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.02


class _Tainted(Exception):
    """A job of several in a transaction refused after it had written."""


class Session:
    """Used by one thread at a time. *patience* in seconds."""

    def __init__(
        self,
        db: sqlite3.Connection,
        path: str,
        *,
        begin: Literal["BEGIN", "BEGIN IMMEDIATE"],
        clock_us: Callable[[], int],
        memo: Memo,
        patience: float,
    ) -> None:
        self._db, self._path, self._begin, self._clock_us, self._patience = db, path, begin, clock_us, patience
        self._tx = Transaction(db.execute, memo, path)
        self._hurry: float | None = None
        """When patience ends for all jobs: the store is being closed."""
        self._file = os.path.abspath(path)
        self._identity: tuple[int, int] | None = None
        self._identity = self._look_at_the_file()

    def do(self, jobs: Sequence[Job], over: Callable[[Job], None]) -> int:
        """Do *jobs*, and say what kinds of news there are. Where they are done one by one, *over* is called after each: it is
        answered before the next one, whose patience may last."""
        self._tx.news = 0
        if len(jobs) == 1 or not self._all_at_once(jobs, self._gives_up(jobs[0])):
            for job in jobs:
                self._patiently(job)
                if len(jobs) > 1:
                    over(job)
        return self._tx.news

    def do_now(self, jobs: Sequence[Job]) -> int | None:
        """Do *jobs* if nothing is in the way, and say what kinds of news there are; None: none was done."""
        self._tx.news = 0
        if len(jobs) > 1:
            return self._tx.news if self._all_at_once(jobs, None) else None
        try:
            self._alone(jobs[0])
        except sqlite3.Error:
            return None
        return self._tx.news

    def hurry(self, seconds: float) -> None:
        """Be patient for *seconds* more at most, with all that is asked for. May be called from another thread."""
        self._hurry = time.monotonic() + seconds

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def checkpoint(self) -> None:
        """Bring the log into the database, as far as nobody needs it; it is then written over from its start."""
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def data_version(self) -> int:
        """Another number whenever another connection has written."""
        try:
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return -1
        return int(version)

    def _gives_up(self, job: Job) -> Callable[[], bool]:
        """A function that says whether to give up trying *job*; it is tried once in any case."""
        until = job.asked + self._patience

        def is_over() -> bool:
            now = time.monotonic()
            return now >= until or (self._hurry is not None and now >= self._hurry)

        return is_over

    def _all_at_once(self, jobs: Sequence[Job], is_over: Callable[[], bool] | None) -> bool:
        tx, db = self._tx, self._db
        try:
            self._begin_patiently(is_over)
            self._look_around()
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

    def _look_around(self) -> None:
        if self._look_at_the_file() != self._identity:
            raise UnusableStore(f"{self._path}: it was deleted or replaced while in use; what comes now would be lost: open it again")
        tx = self._tx
        tx.now_us = self._clock_us()
        if tx.memo.latest_us:
            tx.memo.latest_us = max(tx.memo.latest_us, tx.now_us)

    def _look_at_the_file(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._file)
        except FileNotFoundError:
            return None
        except OSError:
            return self._identity  # it cannot be told
        return found.st_dev, found.st_ino

    def _begin_patiently(self, is_over: Callable[[], bool] | None) -> None:
        """Wait until others let go of the database, None: not at all. Jobs that came together stay together."""
        pause = _FIRST_PAUSE
        while True:
            try:
                self._tx.execute(self._begin)
                return
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or is_over is None or is_over():
                    raise
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _alone(self, job: Job) -> None:
        """Raises `sqlite3.Error`, and then nothing was written."""
        tx = self._tx
        try:
            tx.execute(self._begin)
            self._look_around()
            job.result, job.error = job.run(tx, *job.args), None
            tx.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()
            raise
        except Exception as error:
            self._roll_back()
            job.error = error

    def _patiently(self, job: Job) -> None:
        is_over = self._gives_up(job)
        pause = _FIRST_PAUSE
        while True:
            try:
                return self._alone(job)
            except sqlite3.Error as error:
                job.error = as_store_error(error, self._path)
                if primary_code(error) not in PASSING or is_over():
                    return None
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _roll_back(self) -> None:
        self._tx.memo.nothing_parked.clear()
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
