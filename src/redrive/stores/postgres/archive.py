"""A schema as a whole: everything in it, and an empty one filled.

A schema that was moved away, or is not filled yet, has a version that no release knows: each refuses it, this one says why.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import attrs

from redrive.ports.archive import Archived, ArchivedEvent, ArchivedHandler, ArchivedRun, Chunk
from redrive.ports.store import Creator, Message, StoreError, UnusableStore
from redrive.stores.postgres.address import Address, parse
from redrive.stores.postgres.connecting import Connection, check, connect
from redrive.stores.postgres.failures import as_store_error
from redrive.stores.postgres.queries import in_schema
from redrive.stores.postgres.schema import MOVED, UNFINISHED, bring_up_to_date, migrations, oldest, require
from redrive.stores.postgres.session import FAILURES
from redrive.stores.postgres.values import from_text, from_us, maybe_from_us, maybe_text, maybe_us, to_text, to_us
from redrive.stores.statements import read_queries

_TEXT: Final = read_queries(Path(__file__).with_name("archive.sql").read_text(encoding="utf-8"))
_PAGE: Final = 200


class PostgresArchive:
    """An `Archive` of the schema that *url* names."""

    def __init__(self, url: str) -> None:
        self.address: Address = parse(url)
        self._sql = {name: in_schema(text, self.address.schema) for name, text in _TEXT.items()}
        self._connection: Connection | None = None
        self._written = 0
        self._oldest = 1

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    async def begin_reading(self, *, alone: bool) -> int:
        async with self._errors():
            self._connection = await connect(self.address)
            await require(self._connection, self.address)
            self._oldest = await oldest(self._connection, self.address)
            # The lock before the snapshot, which begins with the first question.
            await self._db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            if alone:
                await self._ask("alone")
                alive = await self._rows("alive")
                if alive:
                    worker = from_text(alive[0][0])
                    raise StoreError(f"{self.address.shown}: worker {worker} is at work on it; stop all workers, then move it")
            ((count,),) = await self._rows("count")
            return int(count)

    async def executions(self) -> AsyncIterator[Sequence[Archived]]:
        after = 0
        while True:
            async with self._errors():
                rows = await self._rows("executions", after, _PAGE)
                page = [_archived(row, parts) for row, parts in zip(rows, await self._parts([row[0] for row in rows]), strict=True)]
            if not page:
                return
            yield page
            after = rows[-1][0]

    async def events(self) -> AsyncIterator[Sequence[ArchivedEvent]]:
        after = 0
        while True:
            async with self._errors():
                rows = await self._rows("events", after, _PAGE)
            if not rows:
                return
            yield [_event(*row) for row in rows]
            after = rows[-1][0]

    async def handlers(self) -> Sequence[ArchivedHandler]:
        async with self._errors():
            rows = await self._rows("handlers")
        return [ArchivedHandler(id=from_text(id), event=from_text(event), done=done) for id, event, done in rows]

    async def _parts(self, ns: list[int]) -> list[_Parts]:
        found: list[dict[int, list[tuple[Any, ...]]]] = []
        for name in ("chunks", "inbox", "landed", "parked"):
            rows = await self._rows(name, ns)
            found.append({n: [row[1:] for row in of_one] for n, of_one in groupby(rows, key=lambda row: row[0])})
        return [_Parts(*(part.get(n, []) for part in found)) for n in ns]

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    async def begin_writing(self) -> None:
        async with self._errors():
            self._connection = await connect(self.address)
            await check(self._connection, self.address)
            await bring_up_to_date(self._connection, self.address)
            self._oldest = await oldest(self._connection, self.address)
            async with self._db.transaction():
                await self._ask("alone")
                ((used,),) = await self._rows("used")
                if used:
                    problem = f"there is something in schema {self.address.schema!r} already; name another one with ?schema=…"
                    raise UnusableStore(f"{self.address.shown}: {problem}")
                await self._ask("mark", UNFINISHED, UNFINISHED)

    async def write_executions(self, executions: Sequence[Archived]) -> None:
        numbered = list(enumerate(executions, self._written + 1))
        async with self._errors(), self._db.transaction():
            await self._copy("write_executions", (_columns(n, one) for n, one in numbered))
            await self._copy("write_chunks", (row for n, one in numbered for row in _chunks(n, one)))
            await self._copy("write_messages", (row for n, one in numbered for row in _messages(n, one)))
            await self._copy("write_landed", ((n, to_text(dedup)) for n, one in numbered for dedup in one.landed))
            await self._copy(
                "write_parked", ((n, to_text(build), to_text(reason)) for n, one in numbered for build, reason in one.parked.items())
            )
        self._written += len(executions)

    async def write_events(self, events: Sequence[ArchivedEvent]) -> None:
        async with self._errors():
            rows = ((e.seq, to_text(e.name), e.payload, to_text(e.execution), 0, 0, f"moved {e.seq}", to_us(e.at)) for e in events)
            await self._copy("write_events", rows)

    async def write_handlers(self, handlers: Sequence[ArchivedHandler]) -> None:
        async with self._errors():
            await self._copy("write_handlers", ((to_text(one.id), to_text(one.event), one.done, "") for one in handlers))

    async def finish_writing(self) -> None:
        async with self._errors():
            async with self._db.transaction():
                await self._ask("numbered_on")
                await self._ask("events_from")
                await self._ask("mark", len(migrations()), self._oldest)
            await self._db.execute(in_schema("ANALYZE redrive.executions, redrive.history", self.address.schema))

    async def seal(self) -> None:
        async with self._errors():
            await self._ask("mark", MOVED, MOVED)
            await self._db.execute("COMMIT")

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    # ── the connection ──────────────────────────────────────────────────────────────────────────
    @property
    def _db(self) -> Connection:
        if self._connection is None:
            raise StoreError(f"{self.address.shown}: the archive is not open")
        return self._connection

    async def _ask(self, name: str, *args: object) -> None:
        await self._db.execute(self._sql[name], args)

    async def _rows(self, name: str, *args: object) -> list[tuple[Any, ...]]:
        return await (await self._db.execute(self._sql[name], args)).fetchall()

    async def _copy(self, name: str, rows: Iterable[Sequence[Any]]) -> None:
        async with self._db.cursor() as cursor, cursor.copy(self._sql[name]) as copy:
            for row in rows:
                await copy.write_row(row)

    @contextlib.asynccontextmanager
    async def _errors(self) -> AsyncGenerator[None]:
        try:
            yield
        except FAILURES as error:
            raise as_store_error(error, self.address.shown) from error


@attrs.frozen
class _Parts:
    """What other tables have of one execution."""

    chunks: Sequence[tuple[Any, ...]]
    inbox: Sequence[tuple[Any, ...]]
    landed: Sequence[tuple[Any, ...]]
    parked: Sequence[tuple[Any, ...]]


def _archived(row: tuple[Any, ...], parts: _Parts) -> Archived:
    _, id, workflow, run, number, first_run, status, fence, recoveries, unread, cancelled_run = row[:11]
    wake_us, created_us, updated_us, stored_us, deadline_us, creator_id, creator_run, creator_key, attributes, outcome = row[11:]
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
        runs=list(_runs(parts.chunks)),
        inbox=[_message(*message) for message in parts.inbox],
        landed=sorted(from_text(dedup) for (dedup,) in parts.landed),
        parked=_parks(parts.parked),
    )


def _runs(chunks: Sequence[tuple[Any, ...]]) -> Iterator[ArchivedRun]:
    for number, of_run in groupby(chunks, key=lambda row: row[0]):
        rows = list(of_run)
        stored = [Chunk(upto=upto, at=from_us(at_us), rows=text) for _, upto, at_us, text, _ in rows]
        yield ArchivedRun(number=number, input=rows[0][4], chunks=stored)


def _message(seq: int, kind: str, name: str, data: str, stored_us: int) -> Message:
    return Message(seq=seq, kind=kind, name=from_text(name), data=data, stored_at=from_us(stored_us))


def _parks(rows: Sequence[tuple[Any, ...]]) -> Mapping[str, str]:
    return {from_text(build): from_text(reason) for build, reason in rows}


def _event(seq: int, name: str, payload: str, execution: str, at_us: int) -> ArchivedEvent:
    return ArchivedEvent(seq=seq, name=from_text(name), payload=payload, execution=from_text(execution), at=from_us(at_us))


def _columns(n: int, it: Archived) -> tuple[Any, ...]:
    names = (to_text(it.id), to_text(it.workflow), to_text(it.run))
    counts = (it.number, it.first_run, it.status, it.fence, it.recoveries, it.unread, it.cancelled_run)
    times = (maybe_us(it.wake_at), to_us(it.created_at), to_us(it.updated_at), to_us(it.stored_at), maybe_us(it.deadline))
    creator = (None, None, None) if it.creator is None else (it.creator.id, it.creator.run, it.creator.key)
    length = it.runs[-1].chunks[-1].upto if it.runs and it.runs[-1].chunks else 0
    newest = it.inbox[-1].seq if it.inbox else 0
    return (n, *names, *counts, *times, *map(maybe_text, creator), it.attributes, it.outcome, length, newest)


def _chunks(n: int, it: Archived) -> Iterator[tuple[Any, ...]]:
    for run in it.runs:
        for at, chunk in enumerate(run.chunks):
            yield (n, run.number, chunk.upto, to_us(chunk.at), chunk.rows, None if at else run.input)


def _messages(n: int, it: Archived) -> Iterator[tuple[Any, ...]]:
    for message in it.inbox:
        yield (n, message.seq, message.kind, to_text(message.name), message.data, to_us(message.stored_at))
