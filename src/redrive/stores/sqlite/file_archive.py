"""A SQLite file as a whole: everything in it, and an empty one filled.

A file that was moved away, or is not filled yet, has a schema version that no release knows: each refuses it, this one
says why.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from redrive.ports.archive import Archived, ArchivedHandler
from redrive.ports.store import StoreError, UnusableStore
from redrive.stores.archived_tables import Row, Texts
from redrive.stores.sqlite.column_values import from_text, to_text
from redrive.stores.sqlite.database_file import MOVED, UNFINISHED, connect, migrations
from redrive.stores.sqlite.queries import read_queries
from redrive.stores.sqlite.sqlite_errors import as_store_error
from redrive.stores.table_archive import Own, TableArchive, moved_key, newest_message

_SQL: Final = read_queries(Path(__file__).with_name("archive.sql").read_text(encoding="utf-8"))
_MARK: Final = re.compile(r"\$\d+")
_PATIENCE: Final = 10.0


class SQLiteArchive(TableArchive):
    """An `Archive` of the file at *path*."""

    texts = Texts(to_text, from_text)
    own: ClassVar[Own] = {
        "executions": {"newest": newest_message},
        "events": {"run": lambda event: "", "key": moved_key},
        "handlers": {"worker": lambda handler: ""},
    }
    elsewhere: ClassVar[Mapping[str, str]] = {
        "waits": "(SELECT waits FROM history h WHERE h.n = executions.n AND h.number = executions.number ORDER BY upto DESC LIMIT 1)"
    }

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self._connection: sqlite3.Connection | None = None

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    async def begin_reading(self, *, alone: bool) -> int:
        if not self._is_there():
            raise UnusableStore(f"{self.path}: there is no such database")
        self._connection = connect(self.path, synchronous="full", patience=_PATIENCE)
        async with self._errors():
            self._db.execute("PRAGMA busy_timeout = 10000")
            self._db.execute("BEGIN IMMEDIATE" if alone else "BEGIN")
            alive = self._db.execute(_SQL["alive"], (time.time_ns() // 1000,)).fetchone() if alone else None
            if alive is not None:
                raise StoreError(f"{self.path}: worker {from_text(alive[0])} is at work on it; stop all workers, then move it")
            return await self.count()

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    async def begin_writing(self) -> None:
        there = UnusableStore(f"{self.path}: it is there already; name a file that is not")
        if self._is_there():
            raise there
        self._connection = connect(self.path, synchronous="full", patience=_PATIENCE, made_as=UNFINISHED)
        async with self._errors():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version != UNFINISHED:  # somebody made it in between
            raise there

    async def write_executions(self, executions: Sequence[Archived]) -> None:
        first = self._written + 1
        await super().write_executions(executions)
        async with self._errors(), self._transaction():
            for n, one in enumerate(executions, first):
                waits = None if one.waits is None else to_text(one.waits)
                self._db.execute(_SQL["write_waits"], (waits, n, one.number, n, one.number))

    async def write_handlers(self, handlers: Sequence[ArchivedHandler]) -> None:
        await super().write_handlers(handlers)
        async with self._errors(), self._transaction():
            self._db.execute(_SQL["events_begun"])
            self._db.execute(_SQL["events_from"], (max((handler.done for handler in handlers), default=0),))

    async def finish_writing(self) -> None:
        async with self._errors():
            self._db.execute(_SQL["behind_upto"])
            # First what may find the disk full: a target that says it is finished is.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._db.execute(f"PRAGMA user_version = {len(migrations())}")

    async def seal(self) -> None:
        async with self._errors():
            for refusal in ("refuse_starts", "refuse_changes", "refuse_workers"):
                self._db.execute(_SQL[refusal])
            self._db.execute(f"PRAGMA user_version = {MOVED}")
            self._db.execute("COMMIT")

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _is_there(self) -> bool:
        return Path(self.path).exists()

    # ── the connection ──────────────────────────────────────────────────────────────────────────
    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.path}: the archive is not open")
        return self._connection

    async def _rows(self, sql: str, *values: object) -> Sequence[Row]:
        return self._db.execute(_MARK.sub("?", sql), values).fetchall()

    async def _insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        marks = ", ".join("?" * len(columns))
        self._db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    async def _fill_lanes(self, sql: str) -> None:
        self._db.execute(sql)

    @contextlib.asynccontextmanager
    async def _errors(self) -> AsyncGenerator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise as_store_error(error, self.path) from error

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # SQLite itself takes back what finds the disk full
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
