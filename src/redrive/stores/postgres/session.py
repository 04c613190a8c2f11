"""Connections with the named statements, and transactions that are tried again where two were in each other's way.

1.  Each use of a connection has a limit (`limits`). What hangs is cut, told as an error that a retry may help, and replaced.
2.  Callers wait for a connection in the order in which they came, for as long as others are served: that is not the store's
    failure. When no connection can be made, all who wait are told at once.
3.  A caller who goes away while waiting takes its place along; what it has begun to ask is asked to its end, and the connection
    stays good: a driver that is interrupted would throw it away.
"""

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
from redrive.stores.postgres.connection_pool import Connection, Pool, look
from redrive.stores.postgres.limits import ANSWER_WITHIN, Limit, limited
from redrive.stores.postgres.postgres_errors import as_store_error, is_transient

T = TypeVar("T")
Cursor: TypeAlias = AsyncCursor[tuple[Any, ...]]

TRIES: Final = 10
IMPATIENCE: Final = "300ms"
CLOSE_WITHIN: Final = 2.0
"""Seconds that what was asked gets to its end when the store is closed."""
FAILURES: Final = (psycopg.Error, PoolClosed, PoolTimeout, TooManyRequests, OSError)


class Again(Exception):
    """Another transaction changed what this one relied on; nothing was written."""


@attrs.frozen(eq=False)
class Session:
    """A connection. Statements that are run in a pipeline are answered in their order: fetch in it."""

    connection: Connection
    sql: Mapping[str, bytes]
    limit: Limit | None = None
    lanes: dict[str, tuple[str, str]] = attrs.Factory(dict[str, tuple[str, str]])
    """Queue and partition of executions whose lane had to be locked and was not known in time."""
    held_back: dict[str, str] = attrs.Factory(dict[str, str])
    """The queues of executions that were held back, and had to be locked and were not known in time."""

    def allow(self, seconds: float) -> None:
        """Let what is asked next take *seconds* from now."""
        if self.limit is not None:
            self.limit.allow(seconds)

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
    lanes: dict[str, tuple[str, str]] = attrs.Factory(dict[str, tuple[str, str]])
    held_back: dict[str, str] = attrs.Factory(dict[str, str])
    """See `Session`: what one transaction found out, the next one goes by."""
    _kept: int = 0
    """Connections that are not in the pool while they are idle."""
    _places: asyncio.Semaphore = attrs.field(init=False)
    """As many as there may be connections: who has one need not wait for others to be given back."""
    _away_since: float | None = None
    """When no connection could be made, if none could since."""
    _asking: dict[asyncio.Task[Any], Limit | None] = attrs.Factory(dict["asyncio.Task[Any]", "Limit | None"])
    """What is asked now, by tasks of ours, and its limit once it has a connection."""

    def __attrs_post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.address.connections)

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        connection = await self.take()
        async with self._using(connection) as session:
            yield session

    @contextlib.asynccontextmanager
    async def _using(self, connection: Connection, seconds: float = ANSWER_WITHIN) -> AsyncGenerator[Session]:
        try:
            with limited(connection, seconds) as limit:
                async with connection:  # which rolls back what was not committed
                    yield Session(connection, self.sql, limit, self.lanes, self.held_back)
        finally:
            await self.give_back(connection)

    async def take(self) -> Connection:
        """A connection, to be given back. Raises `PoolTimeout` if none can be made."""
        clock = asyncio.get_running_loop().time
        asked = clock()
        await self._places.acquire()
        try:
            if self._away_since is not None and self._away_since > asked:
                raise PoolTimeout("no connection could be made")
            connection = await self._connected()
        except BaseException as error:
            self._places.release()
            if isinstance(error, PoolTimeout):
                self._away_since = clock()
            raise
        self._away_since = None
        return connection

    async def give_back(self, connection: Connection) -> None:
        """The pool throws a broken one away."""
        try:
            await self.pool.putconn(connection)
        finally:
            self._places.release()

    async def close(self) -> None:
        """Let what was asked come to its end, for a moment."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=CLOSE_WITHIN)
        for limit in self._asking.values():
            if limit is not None:
                limit.cut(CLOSE_WITHIN)
        if self._asking:
            await asyncio.wait(self._asking, timeout=CLOSE_WITHIN)
        await self.pool.close()

    async def _connected(self) -> Connection:
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

    async def rows(self, name: str, *args: object, seconds: float = ANSWER_WITHIN) -> list[tuple[Any, ...]]:
        """The rows that a single statement gives, within *seconds*; none where it only writes."""

        async def ask(session: Session) -> list[tuple[Any, ...]]:
            cursor = await session.run(name, *args)
            return [] if cursor.description is None else await cursor.fetchall()

        return await self.ask(ask, seconds)

    async def ask(self, ask: Callable[[Session], Awaitable[T]], seconds: float = ANSWER_WITHIN) -> T:
        """Do *ask*, which only reads or is one statement, within *seconds*."""
        return await self.patiently(lambda: self._to_its_end(ask, seconds))

    async def transact(self, job: Callable[[Session], Awaitable[T]]) -> T:
        """Do *job* in a transaction of its own."""
        return await self.patiently(lambda: self._to_its_end(lambda session: session.transact(job), ANSWER_WITHIN))

    async def _to_its_end(self, ask: Callable[[Session], Awaitable[T]], seconds: float) -> T:
        """Wait for a connection, and *ask*, also if the caller goes away meanwhile."""
        connection = await self.take()

        async def run() -> T:
            async with self._using(connection, seconds) as session:
                self._asking[task] = session.limit
                return await ask(session)

        task = asyncio.get_running_loop().create_task(run())
        self._asking[task] = None
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._asking.pop(task, None)
        if not task.cancelled():
            task.exception()  # whose caller is gone is told to nobody

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
            sessions = self.sessions
            session = Session(await sessions.take(), sessions.sql, None, sessions.lanes, sessions.held_back)
            self._keeps = self.sessions.may_keep()
            await self._wait_for_locks(session, IMPATIENCE)
        try:
            with limited(session.connection) as limit:
                try:
                    yield attrs.evolve(session, limit=limit)
                except BaseException:
                    with contextlib.suppress(psycopg.Error):
                        await session.connection.rollback()
                    raise
        except BaseException:
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
        if self._keeps:
            self.sessions.keep_no_more()
            self._keeps = False
        try:
            await self._wait_for_locks(session, "0")
        finally:
            await self.sessions.give_back(session.connection)

    async def _wait_for_locks(self, session: Session, limit: str) -> None:
        if self.impatient and not self.sessions.address.pgbouncer:  # whose sessions are everybody's
            with contextlib.suppress(psycopg.Error), limited(session.connection):  # it is broken, then: what it is asked next says so
                await session.connection.execute(f"SET lock_timeout = '{limit}'".encode())
