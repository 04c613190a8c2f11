"""A worker's evidence of life in a database file: see `redrive.ports.liveness` and lock_witness.py."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from redrive.ports.store import StoreError
from redrive.stores.kernel import Process, kernel, ticks_us
from redrive.stores.sqlite.column_values import to_text
from redrive.stores.sqlite.lock_witness import Evidence, Fate, WorkerRow, evidence_text, fate
from redrive.stores.sqlite.locks import Lock, lock_file
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.sqlite_errors import as_store_error

log: Final = logging.getLogger("redrive.stores.sqlite")
CROWD: Final = 16
"""So many workers look as often as one would alone."""
_PATIENCE: Final = 1.0
"""Seconds that a heartbeat waits for the file; it is tried again soon."""


class SQLiteLifeline:
    """See `Lifeline`. *show* gives the store what the worker's claims write, and None when there is nothing any more."""

    look_every = 0.2

    def __init__(
        self,
        path: str,
        synchronous: str,
        worker: str,
        lease: timedelta,
        max_stall: timedelta,
        clock_us: Callable[[], int],
        show: Callable[[str, Evidence | None], None],
    ) -> None:
        self._path, self._synchronous, self._worker, self._clock_us, self._show = path, synchronous, worker, clock_us, show
        self._lease_us, self._stall_us = lease // timedelta(microseconds=1), max_stall // timedelta(microseconds=1)
        self._lock: Lock | None = None
        self._next_look = 0.0
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        try:
            self._lock = Lock(lock_file(self._path))
        except OSError as error:
            # The process table is looked at then, which is as good but for other containers.
            log.info("%s: no lock can be held next to it: %s", self._path, error)
        lock = self._lock
        text = evidence_text(Process.here(), None if lock is None else lock.file, 0 if lock is None else lock.byte)
        self._show(self._worker, Evidence(kernel=kernel(), text=text, stall_us=self._stall_us))

    def beat(self) -> bool:
        values = (self._clock_us() + self._lease_us, ticks_us() + self._lease_us, to_text(self._worker))
        return self._ask("beat", values).rowcount > 0

    def somebody_died(self) -> bool:
        now = time.monotonic()
        if now < self._next_look:
            return False
        me, now_us = to_text(self._worker), self._clock_us()
        rows = [WorkerRow(*row) for row in self._ask("workers", ()).fetchall()]
        # All look at all: the more there are, the less often each one looks.
        self._next_look = now + self.look_every * max(1.0, len(rows) / CROWD)
        return any(row.id != me and fate(self._path, row, now_us) is Fate.DEAD for row in rows)

    def close(self) -> None:
        self._show(self._worker, None)
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release(remove=self._was_the_last())
        self._hang_up()

    def _was_the_last(self) -> bool:
        try:
            return not self._ask("workers", ()).fetchall()
        except StoreError:
            return False

    def _ask(self, name: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        try:
            if self._db is None:
                self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE)
                self._db.execute(f"PRAGMA synchronous = {self._synchronous}")
            return self._db.execute(SQL[name], values)
        except sqlite3.Error as error:
            self._hang_up()
            raise as_store_error(error, self._path) from error

    def _hang_up(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()
