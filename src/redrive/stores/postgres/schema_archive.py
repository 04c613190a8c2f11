"""A schema as a whole: everything in it, and an empty one filled.

A schema that was moved away, or is not filled yet, has a version that no release knows: each refuses it, this one says why.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from redrive.ports.archive import Archived, ArchivedEvent, ArchivedHandler
from redrive.ports.rewrites import Audit
from redrive.ports.store import StoreError, UnusableStore
from redrive.stores.archiving import Archiving, Parts, newest_message
from redrive.stores.postgres.address import Address, parse
from redrive.stores.postgres.connection_pool import Connection, check, connect
from redrive.stores.postgres.parameters import from_text, to_text, to_us
from redrive.stores.postgres.postgres_errors import as_store_error
from redrive.stores.postgres.queries import in_schema
from redrive.stores.postgres.schema import MOVED, UNFINISHED, bring_up_to_date, migrations, oldest, require
from redrive.stores.postgres.session import FAILURES
from redrive.stores.statements import read_queries

_TEXT: Final = read_queries(Path(__file__).with_name("archive.sql").read_text(encoding="utf-8"))
_PAGE: Final = 200
_ARCHIVING: Final = Archiving(to_text, from_text)
_PARTS: Final = {
    "write_chunks": _ARCHIVING.chunks,
    "write_messages": _ARCHIVING.messages,
    "write_landed": _ARCHIVING.landed,
    "write_parked": _ARCHIVING.parked,
    "write_aside": _ARCHIVING.aside,
}


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
                await self._nobody_works()
                for refusal in ("refusal", "refuse_executions", "refuse_workers"):  # now: who may not do it is told before the work
                    await self._ask(refusal)
            ((count,),) = await self._rows("count")
            return int(count)

    async def executions(self) -> AsyncIterator[Sequence[Archived]]:
        after = 0
        while True:
            async with self._errors():
                rows = await self._rows("executions", after, _PAGE)
                parts = await self._parts([row[0] for row in rows])
                page = [_ARCHIVING.archived(row, its) for row, its in zip(rows, parts, strict=True)]
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
            yield [_ARCHIVING.event(*row) for row in rows]
            after = rows[-1][0]

    async def handlers(self) -> Sequence[ArchivedHandler]:
        async with self._errors():
            return _ARCHIVING.handlers(await self._rows("handlers"), await self._rows("held_events"))

    async def audits(self) -> AsyncIterator[Sequence[Audit]]:
        after = 0
        while True:
            async with self._errors():
                rows = await self._rows("audits", after, _PAGE)
            if not rows:
                return
            yield [_ARCHIVING.audit(*row) for row in rows]
            after = rows[-1][0]

    async def _parts(self, ns: list[int]) -> list[Parts]:
        found: dict[str, dict[int, list[tuple[Any, ...]]]] = {}
        for name in ("chunks", "inbox", "landed", "parked", "aside"):
            rows = await self._rows(name, ns)
            found[name] = {n: [row[1:] for row in of_one] for n, of_one in groupby(rows, key=lambda row: row[0])}
        return [Parts(**{name: part.get(n, []) for name, part in found.items()}) for n in ns]

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
                await self._nobody_works()
                await self._ask("refusal")
                await self._ask("refuse_early_workers")
                await self._ask("mark", UNFINISHED, UNFINISHED)

    async def write_executions(self, executions: Sequence[Archived]) -> None:
        numbered = list(enumerate(executions, self._written + 1))
        async with self._errors(), self._db.transaction():
            await self._copy("write_executions", (_columns(n, one) for n, one in numbered))
            for name, rows_of in _PARTS.items():
                await self._copy(name, (row for n, one in numbered for row in rows_of(n, one)))
        self._written += len(executions)

    async def write_events(self, events: Sequence[ArchivedEvent]) -> None:
        async with self._errors():
            rows = ((e.seq, to_text(e.name), e.payload, to_text(e.execution), 0, 0, f"moved {e.seq}", to_us(e.at)) for e in events)
            await self._copy("write_events", rows)

    async def write_handlers(self, handlers: Sequence[ArchivedHandler]) -> None:
        async with self._errors():
            await self._copy("write_handlers", ((to_text(one.id), to_text(one.event), one.done, "") for one in handlers))
            await self._copy("write_held", _ARCHIVING.held(handlers))

    async def write_audits(self, audits: Sequence[Audit]) -> None:
        async with self._errors():
            await self._copy("write_audits", _ARCHIVING.audits(audits))

    async def finish_writing(self) -> None:
        async with self._errors():
            async with self._db.transaction():
                await self._ask("numbered_on")
                await self._ask("events_from")
                await self._ask("admit_workers")
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

    async def _nobody_works(self) -> None:
        alive = await self._rows("alive")
        if alive:
            worker = from_text(alive[0][0])
            raise StoreError(f"{self.address.shown}: worker {worker} is at work on it; stop all workers, then move")

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


def _columns(n: int, it: Archived) -> tuple[Any, ...]:
    length = it.runs[-1].chunks[-1].upto if it.runs and it.runs[-1].chunks else 0
    return (n, *_ARCHIVING.columns(it), length, newest_message(it))
