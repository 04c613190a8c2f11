"""Reading a database that workers work on, in read-only transactions: nothing is written, nothing migrated."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from redrive.ports.store import Json, UnusableStore
from redrive.stores.live_executions import Listed
from redrive.stores.postgres.address import Address
from redrive.stores.postgres.connection_pool import Connection, check, connect
from redrive.stores.postgres.parameters import from_text, to_text
from redrive.stores.postgres.postgres_errors import as_store_error
from redrive.stores.postgres.queries import queries
from redrive.stores.postgres.schema import require
from redrive.stores.postgres.session import FAILURES

_PAGE: Final = 500
_ALL: Final = sys.maxsize


class PostgresReader:
    """A `LiveReader` of the database at *address*; it needs no more than SELECT on the tables."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._sql = queries(address.schema)
        self._connection: Connection | None = None

    async def open(self) -> None:
        """Raises `UnusableStore` for a database without a schema of ours, or with another than this release's."""
        connection = await connect(self.address)
        try:
            await check(connection, self.address)
            await require(connection, self.address)
            await connection.set_read_only(True)
        except BaseException as error:
            await connection.close()
            if isinstance(error, FAILURES):
                raise as_store_error(error, self.address.shown) from error
            raise
        self._connection = connection

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def living(self, limit: int | None = None) -> Sequence[Listed]:
        return [_listed(*row) for row in await self._ask("living", _ALL if limit is None else limit)]

    async def ever(self, workflow: str) -> AsyncIterator[Sequence[Listed]]:
        before = _ALL
        while page := await self._ask("ever", to_text(workflow), before, _PAGE):
            yield [_listed(*row) for row in page]
            before = page[-1][0]

    async def workflows(self) -> Sequence[str]:
        return sorted(from_text(name) for (name,) in await self._ask("workflows"))

    async def rows(self, execution: Listed, run: int = -1) -> Json:
        ((rows,),) = await self._ask("rows_of", execution.place, execution.runs if run == -1 else run)
        return f"[{rows or ''}]"

    async def _ask(self, name: str, *values: object) -> list[tuple[Any, ...]]:
        connection = self._connection
        if connection is None:
            raise UnusableStore(f"{self.address.shown}: the reader is not open")
        try:
            async with connection.transaction():
                return await (await connection.execute(self._sql[name], values)).fetchall()
        except FAILURES as error:
            raise as_store_error(error, self.address.shown) from error


def _listed(n: int, id: str, workflow: str, status: str, number: int) -> Listed:
    return Listed(id=from_text(id), workflow=from_text(workflow), status=status, runs=number, place=n)
