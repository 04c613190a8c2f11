"""A SQLite file as a whole: everything in it, and an empty one filled.

A file that was moved away, or is not filled yet, has a schema version that no release knows: each refuses it, this one
says why.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from redrive.ports.archive import Archived, ArchivedEvent, ArchivedHandler, ArchivedRun, Chunk
from redrive.ports.store import Creator, Message, StoreError, UnusableStore
from redrive.stores.sqlite.connecting import MOVED, UNFINISHED, connect, migrations
from redrive.stores.sqlite.failures import as_store_error
from redrive.stores.sqlite.queries import read_queries
from redrive.stores.sqlite.values import from_text, from_us, maybe_from_us, maybe_us, to_text, to_us

_SQL: Final = read_queries(Path(__file__).with_name("archive.sql").read_text(encoding="utf-8"))
_PAGE: Final = 200
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
                page = [self._archived(*row) for row in rows]
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
            yield [_event(*row) for row in rows]
            after = rows[-1][0]

    async def handlers(self) -> Sequence[ArchivedHandler]:
        with self._errors():
            rows = self._db.execute(_SQL["handlers"]).fetchall()
        return [ArchivedHandler(id=from_text(id), event=from_text(event), done=done) for id, event, done in rows]

    def _archived(self, n: int, id: str, workflow: str, run: str, *rest: Any) -> Archived:
        number, first_run, status, fence, recoveries, unread, cancelled_run = rest[:7]
        wake_us, created_us, updated_us, stored_us, deadline_us, creator_id, creator_run, creator_key, attributes, outcome = rest[7:]
        creator = None
        if creator_id is not None:
            creator = Creator(id=from_text(creator_id), run=from_text(creator_run), key=from_text(creator_key))
        return Archived(
            id=from_text(id),
            workflow=from_text(workflow),
            run=from_text(run),
            number=number,
            first_run=first_run,
            status=status,
            fence=fence,
            recoveries=recoveries,
            unread=unread,
            cancelled_run=cancelled_run,
            wake_at=maybe_from_us(wake_us),
            created_at=from_us(created_us),
            updated_at=from_us(updated_us),
            stored_at=from_us(stored_us),
            deadline=maybe_from_us(deadline_us),
            creator=creator,
            attributes=attributes,
            outcome=outcome,
            runs=list(_runs(self._db.execute(_SQL["chunks"], (n,)))),
            inbox=[_message(*row) for row in self._db.execute(_SQL["inbox"], (n,))],
            landed=sorted(from_text(dedup) for (dedup,) in self._db.execute(_SQL["landed"], (n,))),
            parked={from_text(build): from_text(reason) for build, reason in self._db.execute(_SQL["parked"], (n,))},
        )

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    async def begin_writing(self) -> None:
        if self._is_there():
            raise UnusableStore(f"{self.path}: it is there already; name a file that is not")
        self._connection = connect(self.path, synchronous="full", patience=_PATIENCE)
        with self._errors():
            self._db.execute(f"PRAGMA user_version = {UNFINISHED}")

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
            self._db.execute(_SQL["events_begun"])
            self._db.execute(_SQL["events_from"], (max((handler.done for handler in handlers), default=0),))

    async def finish_writing(self) -> None:
        with self._errors():
            self._db.execute(f"PRAGMA user_version = {len(migrations())}")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    async def seal(self) -> None:
        with self._errors():
            self._db.execute(f"PRAGMA user_version = {MOVED}")
            self._db.execute("COMMIT")

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _write(self, it: Archived) -> None:
        creator = (None, None, None) if it.creator is None else tuple(map(to_text, (it.creator.id, it.creator.run, it.creator.key)))
        counts = (it.number, it.first_run, it.status, it.fence, it.recoveries, it.unread, it.cancelled_run)
        times = (maybe_us(it.wake_at), to_us(it.created_at), to_us(it.updated_at), to_us(it.stored_at), maybe_us(it.deadline))
        newest = it.inbox[-1].seq if it.inbox else 0
        row = (to_text(it.id), to_text(it.workflow), to_text(it.run), *counts, *times, *creator, it.attributes, it.outcome, newest)
        n = self._db.execute(_SQL["write_execution"], row).lastrowid
        for run in it.runs:
            for at, chunk in enumerate(run.chunks):
                values = (n, run.number, chunk.upto, to_us(chunk.at), chunk.rows, None if at else run.input)
                self._db.execute(_SQL["write_chunk"], values)
        for message in it.inbox:
            said = (message.seq, n, message.kind, to_text(message.name), message.data, to_us(message.stored_at))
            self._db.execute(_SQL["write_message"], said)
        self._db.executemany(_SQL["write_landed"], [(n, to_text(dedup)) for dedup in it.landed])
        self._db.executemany(_SQL["write_parked"], [(n, to_text(build), to_text(reason)) for build, reason in it.parked.items()])

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
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _runs(chunks: sqlite3.Cursor) -> Iterator[ArchivedRun]:
    for number, of_run in groupby(chunks, key=lambda row: row[0]):
        rows = list(of_run)
        stored = [Chunk(upto=upto, at=from_us(at_us), rows=text) for _, upto, at_us, text, _ in rows]
        yield ArchivedRun(number=number, input=rows[0][4], chunks=stored)


def _message(seq: int, kind: str, name: str, data: str, stored_us: int) -> Message:
    return Message(seq=seq, kind=kind, name=from_text(name), data=data, stored_at=from_us(stored_us))


def _event(seq: int, name: str, payload: str, execution: str, at_us: int) -> ArchivedEvent:
    return ArchivedEvent(seq=seq, name=from_text(name), payload=payload, execution=from_text(execution), at=from_us(at_us))
