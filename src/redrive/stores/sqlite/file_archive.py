"""A SQLite file as a whole: everything in it, and an empty one filled.

A file that was moved away, or is not filled yet, has a schema version that no release knows: each refuses it, this one
says why.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Generator, Sequence
from pathlib import Path
from typing import Any, Final

from redrive.ports.archive import Archived, ArchivedEvent, ArchivedHandler
from redrive.ports.rewrites import Audit
from redrive.ports.store import StoreError, UnusableStore
from redrive.stores.archiving import Archiving, Parts, newest_message
from redrive.stores.sqlite.column_values import from_text, to_text, to_us
from redrive.stores.sqlite.database_file import MOVED, UNFINISHED, connect, migrations
from redrive.stores.sqlite.queries import read_queries
from redrive.stores.sqlite.sqlite_errors import as_store_error

_SQL: Final = read_queries(Path(__file__).with_name("archive.sql").read_text(encoding="utf-8"))
_PAGE: Final = 200
_ARCHIVING: Final = Archiving(to_text, from_text)
_PARTS: Final = ("chunks", "inbox", "landed", "parked", "aside")
_WRITTEN: Final = {
    "write_chunk": _ARCHIVING.chunks,
    "write_message": _ARCHIVING.messages,
    "write_landed": _ARCHIVING.landed,
    "write_parked": _ARCHIVING.parked,
    "write_aside": _ARCHIVING.aside,
}
_PATIENCE: Final = 10.0


class SQLiteArchive:
    """An `Archive` of the file at *path*."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    async def begin_reading(self, *, alone: bool) -> int:
        if not self._is_there():
            raise UnusableStore(f"{self.path}: there is no such database")
        self._connection = connect(self.path, synchronous="full", patience=_PATIENCE)
        with self._errors():
            self._db.execute("PRAGMA busy_timeout = 10000")
            self._db.execute("BEGIN IMMEDIATE" if alone else "BEGIN")
            alive = self._db.execute(_SQL["alive"], (time.time_ns() // 1000,)).fetchone() if alone else None
            if alive is not None:
                raise StoreError(f"{self.path}: worker {from_text(alive[0])} is at work on it; stop all workers, then move it")
            (count,) = self._db.execute(_SQL["count"]).fetchone()
            return int(count)

    async def executions(self) -> AsyncIterator[Sequence[Archived]]:
        after = 0
        while True:
            with self._errors():
                rows = self._db.execute(_SQL["executions"], (after, _PAGE)).fetchall()
                page = [self._archived(row) for row in rows]
            if not page:
                return
            yield page
            after = rows[-1][0]

    async def events(self) -> AsyncIterator[Sequence[ArchivedEvent]]:
        after = 0
        while True:
            with self._errors():
                rows = self._db.execute(_SQL["events"], (after, _PAGE)).fetchall()
            if not rows:
                return
            yield [_ARCHIVING.event(*row) for row in rows]
            after = rows[-1][0]

    async def handlers(self) -> Sequence[ArchivedHandler]:
        with self._errors():
            return _ARCHIVING.handlers(self._db.execute(_SQL["handlers"]).fetchall(), self._db.execute(_SQL["held_events"]).fetchall())

    async def audits(self) -> AsyncIterator[Sequence[Audit]]:
        after = 0
        while True:
            with self._errors():
                rows = self._db.execute(_SQL["audits"], (after, _PAGE)).fetchall()
            if not rows:
                return
            yield [_ARCHIVING.audit(*row) for row in rows]
            after = rows[-1][0]

    def _archived(self, row: tuple[Any, ...]) -> Archived:
        return _ARCHIVING.archived(row, Parts(**{name: self._db.execute(_SQL[name], (row[0],)).fetchall() for name in _PARTS}))

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    async def begin_writing(self) -> None:
        there = UnusableStore(f"{self.path}: it is there already; name a file that is not")
        if self._is_there():
            raise there
        self._connection = connect(self.path, synchronous="full", patience=_PATIENCE, made_as=UNFINISHED)
        with self._errors():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version != UNFINISHED:  # somebody made it in between
            raise there

    async def write_executions(self, executions: Sequence[Archived]) -> None:
        with self._errors(), self._transaction():
            for execution in executions:
                self._write(execution)

    async def write_events(self, events: Sequence[ArchivedEvent]) -> None:
        with self._errors(), self._transaction():
            for event in events:
                row = (event.seq, to_text(event.name), event.payload, to_text(event.execution), f"moved {event.seq}", to_us(event.at))
                self._db.execute(_SQL["write_event"], row)

    async def write_handlers(self, handlers: Sequence[ArchivedHandler]) -> None:
        with self._errors(), self._transaction():
            for handler in handlers:
                self._db.execute(_SQL["write_handler"], (to_text(handler.id), to_text(handler.event), handler.done))
            self._db.executemany(_SQL["write_held"], _ARCHIVING.held(handlers))
            self._db.execute(_SQL["events_begun"])
            self._db.execute(_SQL["events_from"], (max((handler.done for handler in handlers), default=0),))

    async def write_audits(self, audits: Sequence[Audit]) -> None:
        with self._errors(), self._transaction():
            self._db.executemany(_SQL["write_audits"], _ARCHIVING.audits(audits))

    async def finish_writing(self) -> None:
        with self._errors():
            # First what may find the disk full: a target that says it is finished is.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._db.execute(f"PRAGMA user_version = {len(migrations())}")

    async def seal(self) -> None:
        with self._errors():
            for refusal in ("refuse_starts", "refuse_changes", "refuse_workers"):
                self._db.execute(_SQL[refusal])
            self._db.execute(f"PRAGMA user_version = {MOVED}")
            self._db.execute("COMMIT")

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _write(self, it: Archived) -> None:
        n = self._db.execute(_SQL["write_execution"], (*_ARCHIVING.columns(it), newest_message(it))).lastrowid
        assert n is not None
        for name, rows_of in _WRITTEN.items():
            self._db.executemany(_SQL[name], rows_of(n, it))

    def _is_there(self) -> bool:
        return Path(self.path).exists()

    # ── the connection ──────────────────────────────────────────────────────────────────────────
    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.path}: the archive is not open")
        return self._connection

    @contextlib.contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise as_store_error(error, self.path) from error

    @contextlib.contextmanager
    def _transaction(self) -> Generator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # SQLite itself takes back what finds the disk full
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
