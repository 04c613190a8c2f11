"""Connections with the named statements, and transactions that are tried again where two were in each other's way."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import attrs
import psycopg
from psycopg import AsyncCursor
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from redrive.ports.store import StoreError
from redrive.stores.postgres.address import Address
from redrive.stores.postgres.connecting import Connection, Pool
from redrive.stores.postgres.failures import as_store_error, is_transient

T = TypeVar("T")
Cursor: TypeAlias = AsyncCursor[tuple[Any, ...]]

TRIES: Final = 10
FAILURES: Final = (psycopg.Error, PoolClosed, PoolTimeout, TooManyRequests, OSError)


class Again(Exception):
    """What a transaction relied on changed under it; nothing was written."""


@attrs.frozen(eq=False)
class Session:
    """A connection. Statements that are run in a pipeline are answered in their order: fetch in it."""

    connection: Connection
    sql: Mapping[str, str]

    async def run(self, name: str, *args: object) -> Cursor:
        return await self.connection.execute(self.sql[name], args)


@attrs.frozen(eq=False)
class Sessions:
    """The connections of a store."""

    pool: Pool
    sql: Mapping[str, str]
    address: Address

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        async with self.pool.connection() as connection:
            yield Session(connection, self.sql)

    async def rows(self, name: str, *args: object) -> list[tuple[Any, ...]]:
        """What a single statement gives; nothing where it only writes."""

        async def run() -> list[tuple[Any, ...]]:
            async with self.session() as session:
                cursor = await session.run(name, *args)
                return [] if cursor.description is None else await cursor.fetchall()

        return await self.patiently(run)

    async def transact(self, job: Callable[[Session], Awaitable[T]]) -> T:
        """Do *job* in a transaction of its own, in as few round trips as it has questions."""

        async def run() -> T:
            async with self.session() as session, session.connection.pipeline():
                await session.connection.execute("BEGIN")
                await session.run("patience")
                result = await job(session)
                await session.connection.execute("COMMIT")
            return result

        return await self.patiently(run)

    async def patiently(self, run: Callable[[], Awaitable[T]]) -> T:
        """Try *run* again where nothing was written and it may work now. Raises `StoreError` for errors of the database."""
        for tries in range(TRIES):
            try:
                return await run()
            except Again as changed:
                if tries == TRIES - 1:
                    raise StoreError(f"{self.address.shown}: {changed}", retry_helps=True) from changed
            except FAILURES as error:
                if not is_transient(error) or tries == TRIES - 1:
                    raise as_store_error(error, self.address.shown) from error
            await asyncio.sleep(random.uniform(0, 0.005 * (tries + 1)))
        raise AssertionError("unreachable")
