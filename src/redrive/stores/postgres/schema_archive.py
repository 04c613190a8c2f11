"""A schema as a whole: everything in it, and an empty one filled.

A schema that was moved away, or is not filled yet, has a version that no release knows: each refuses it, this one says why.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import ClassVar, Final

from redrive.ports.store import StoreError, UnusableStore
from redrive.stores.archived_tables import Row, Texts
from redrive.stores.postgres.address import Address, parse
from redrive.stores.postgres.connection_pool import Connection, check, connect
from redrive.stores.postgres.parameters import from_text, to_text
from redrive.stores.postgres.postgres_errors import as_store_error
from redrive.stores.postgres.queries import in_schema
from redrive.stores.postgres.schema import MOVED, UNFINISHED, bring_up_to_date, migrations, oldest, require
from redrive.stores.postgres.session import FAILURES
from redrive.stores.statements import read_queries
from redrive.stores.table_archive import Own, TableArchive, length, moved_key, newest_message

_TEXT: Final = read_queries(Path(__file__).with_name("archive.sql").read_text(encoding="utf-8"))


class PostgresArchive(TableArchive):
    """An `Archive` of the schema that *url* names."""

    texts = Texts(to_text, from_text)
    own: ClassVar[Own] = {
        "executions": {"length": length, "newest": newest_message},
        "events": {"n": lambda event: 0, "number": lambda event: 0, "key": moved_key},
        "handlers": {"worker": lambda handler: ""},
    }
    prefix = "redrive."

    def __init__(self, url: str) -> None:
        super().__init__()
        self.address: Address = parse(url)
        self._sql = {name: in_schema(text, self.address.schema) for name, text in _TEXT.items()}
        self._connection: Connection | None = None
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
            return await self.count()

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    async def begin_writing(self) -> None:
        async with self._errors():
            self._connection = await connect(self.address)
            await check(self._connection, self.address)
            await bring_up_to_date(self._connection, self.address)
            self._oldest = await oldest(self._connection, self.address)
            async with self._db.transaction():
                await self._ask("alone")
                ((used,),) = await self._asked("used")
                if used:
                    problem = f"there is something in schema {self.address.schema!r} already; name another one with ?schema=…"
                    raise UnusableStore(f"{self.address.shown}: {problem}")
                await self._nobody_works()
                await self._ask("forget_declared")
                await self._ask("refusal")
                await self._ask("refuse_early_workers")
                await self._ask("mark", UNFINISHED, UNFINISHED)

    async def finish_writing(self) -> None:
        async with self._errors():
            async with self._db.transaction():
                await self._ask("numbered_on")
                await self._ask("events_from")
                await self._ask("behind_upto")
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
        alive = await self._asked("alive")
        if alive:
            worker = from_text(alive[0][0])
            raise StoreError(f"{self.address.shown}: worker {worker} is at work on it; stop all workers, then move")

    async def _ask(self, name: str, *args: object) -> None:
        await self._db.execute(self._sql[name], args)

    async def _asked(self, name: str) -> list[Row]:
        return await (await self._db.execute(self._sql[name])).fetchall()

    async def _rows(self, sql: str, *values: object) -> Sequence[Row]:
        return await (await self._db.execute(in_schema(sql, self.address.schema), values)).fetchall()

    async def _insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        sql = in_schema(f"COPY {self.prefix}{table} ({', '.join(columns)}) FROM STDIN", self.address.schema)
        async with self._db.cursor() as cursor, cursor.copy(sql) as copy:
            for row in rows:
                await copy.write_row(row)

    async def _fill_lanes(self, sql: str) -> None:
        await self._db.execute(in_schema(sql, self.address.schema))

    def _transaction(self) -> AbstractAsyncContextManager[object]:
        return self._db.transaction()

    @contextlib.asynccontextmanager
    async def _errors(self) -> AsyncGenerator[None]:
        try:
            yield
        except FAILURES as error:
            raise as_store_error(error, self.address.shown) from error
