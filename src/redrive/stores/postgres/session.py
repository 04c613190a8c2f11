"""Connections with the named statements, and transactions that are tried again where two were in each other's way."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import attrs
import psycopg
from psycopg import AsyncCursor
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from redrive.ports.store import StoreError
from redrive.stores.postgres.address import Address
from redrive.stores.postgres.connecting import Connection, Pool, look
from redrive.stores.postgres.failures import as_store_error, is_transient

T = TypeVar("T")
Cursor: TypeAlias = AsyncCursor[tuple[Any, ...]]

TRIES: Final = 10
IMPATIENCE: Final = "300ms"
FAILURES: Final = (psycopg.Error, PoolClosed, PoolTimeout, TooManyRequests, OSError)


class Again(Exception):
    """What a transaction relied on changed under it; nothing was written."""


@attrs.frozen(eq=False)
class Session:
    """A connection. Statements that are run in a pipeline are answered in their order: fetch in it."""

    connection: Connection
    sql: Mapping[str, bytes]

    async def run(self, name: str, *args: object) -> Cursor:
        return await self.connection.execute(self.sql[name], args)

    async def transact(self, job: Callable[[Session], Awaitable[T]]) -> T:
        """Do *job* in a transaction, in as few round trips as it has questions. If it fails, the connection is to be given back."""
        async with self.connection.pipeline():
            await self.connection.execute("BEGIN")
            await self.run("patience")
            result = await job(self)
            await self.connection.execute("COMMIT")
        return result


@attrs.define(eq=False)
class Sessions:
    """The connections of a store."""

    pool: Pool
    sql: Mapping[str, bytes]
    address: Address
    _kept: int = 0
    """Connections that are not in the pool while they are idle."""

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        connection = await self.take()
        try:
            async with connection:  # which rolls back what was not committed
                yield Session(connection, self.sql)
        finally:
            await self.pool.putconn(connection)

    async def take(self) -> Connection:
        """A connection that the server has not closed. (The pool's own check would wait a second before the next one.)"""
        for _ in range(self.address.connections):
            connection = await self.pool.getconn()
            try:
                await look(connection)
            except psycopg.OperationalError:
                await self.pool.putconn(connection)
            else:
                return connection
        return await self.pool.getconn()

    def may_keep(self) -> bool:
        """Whether one more may be kept: two are always left to others."""
        if self._kept + 2 >= self.address.connections:
            return False
        self._kept += 1
        return True

    def keep_no_more(self) -> None:
        self._kept -= 1

    async def rows(self, name: str, *args: object) -> list[tuple[Any, ...]]:
        """What a single statement gives; nothing where it only writes."""

        async def run() -> list[tuple[Any, ...]]:
            async with self.session() as session:
                cursor = await session.run(name, *args)
                return [] if cursor.description is None else await cursor.fetchall()

        return await self.patiently(run)

    async def transact(self, job: Callable[[Session], Awaitable[T]]) -> T:
        """Do *job* in a transaction of its own."""

        async def run() -> T:
            async with self.session() as session:
                return await session.transact(job)

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


@attrs.define(eq=False)
class Line:
    """A connection for one who writes all the time, one statement after another: asking the pool each time costs as much
    as a third of a commit. An *impatient* one waits for a lock for `IMPATIENCE` at most."""

    sessions: Sessions
    impatient: bool = False
    _idle: Session | None = None
    _keeps: bool = False

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        session = await self._still_there()
        if session is None:
            session = Session(await self.sessions.take(), self.sessions.sql)
            self._keeps = self.sessions.may_keep()
            await self._wait_for_locks(session, IMPATIENCE)
        try:
            yield session
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                await session.connection.rollback()
            await self._give_back(session)
            raise
        if self._keeps:
            self._idle = session
        else:
            await self._give_back(session)

    async def _still_there(self) -> Session | None:
        """The one that is kept, unless the server has closed it meanwhile."""
        session, self._idle = self._idle, None
        if session is not None:
            try:
                await look(session.connection)
            except psycopg.OperationalError:
                await self._give_back(session)
                return None
        return session

    async def close(self) -> None:
        session, self._idle = self._idle, None
        if session is not None:
            await self._give_back(session)

    async def _give_back(self, session: Session) -> None:
        """The pool throws a broken one away."""
        if self._keeps:
            self.sessions.keep_no_more()
            self._keeps = False
        await self._wait_for_locks(session, "0")
        await self.sessions.pool.putconn(session.connection)

    async def _wait_for_locks(self, session: Session, limit: str) -> None:
        if self.impatient and not self.sessions.address.pgbouncer:  # whose sessions are everybody's
            with contextlib.suppress(psycopg.Error):  # it is broken, then: what it is asked next says so
                await session.connection.execute(f"SET lock_timeout = '{limit}'".encode())
