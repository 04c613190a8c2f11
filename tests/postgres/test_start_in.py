"""Starting inside a transaction of the user's: what is committed begins, what is rolled back never was."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row, namedtuple_row

from redrive import (
    AsyncDurableService,
    ContinueAs,
    DurableService,
    ExecutionConflict,
    ExecutionNotFound,
    Flow,
    InvalidDefinition,
    workflow,
)
from tests.postgres.server import Server


@workflow("inside.greet")
def greet(name: str) -> Flow[str]:
    yield from ()
    return f"hello {name}"


@workflow("inside.other")
def other(name: str) -> Flow[str]:
    yield from ()
    return name


@workflow("inside.before")
def before(name: str) -> Flow[str]:
    return (yield from ContinueAs(greet(name)))


@pytest.fixture
def service(postgres: Server, schema: str) -> Iterator[DurableService]:
    with DurableService(postgres.url(schema=schema), [greet, other, before]) as service:
        yield service


@pytest.fixture
def connection(postgres: Server) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The user's own: with its own settings, not in autocommit mode."""
    connection = psycopg.connect(postgres.url(schema="x").partition("?")[0])
    yield connection
    connection.close()


def test_it_begins_when_the_transaction_commits(service: DurableService, connection: psycopg.Connection[tuple[object, ...]]) -> None:
    with connection.cursor() as cursor:
        execution = service.start_in(cursor, greet("Ada"), id="it")
        with pytest.raises(ExecutionNotFound):
            execution.info()
        connection.commit()
    begun = time.monotonic()
    assert execution.result(10) == "hello Ada"
    assert time.monotonic() - begun < 0.9, "the worker is woken, and does not find it by its next look"


def test_it_never_was_when_the_transaction_is_rolled_back(
    service: DurableService, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    with connection.cursor() as cursor:
        service.start_in(cursor, greet("Ada"), id="it")
        connection.rollback()
    with pytest.raises(ExecutionNotFound):
        service.execution("it").result(0)
    assert service.start(greet("Bob"), id="it").result(10) == "hello Bob"


def test_whoever_starts_the_same_meanwhile_waits_and_nobody_else_does(
    service: DurableService, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    with connection.cursor() as cursor, ThreadPoolExecutor() as threads:
        service.start_in(cursor, greet("Ada"), id="it")
        waits = [threads.submit(service.start, greet("Ada"), id="it") for _ in range(3)]
        for n in range(3):
            assert service.execute(greet(str(n)), id=f"other-{n}") == f"hello {n}"
        assert not any(wait.done() for wait in waits)
        connection.commit()
        assert [wait.result(20).result(10) for wait in waits] == ["hello Ada"] * 3


@pytest.mark.parametrize("row_factory", [dict_row, namedtuple_row])
def test_the_cursor_may_make_rows_of_another_kind(service: DurableService, connection: Any, row_factory: Any) -> None:
    with connection.cursor(row_factory=row_factory) as cursor:
        assert service.execute(before("Ada"), id="it") == "hello Ada"
        assert service.start_in(cursor, before("Ada"), id="it").id == "it"
        with pytest.raises(ExecutionConflict):
            service.start_in(cursor, before("Bob"), id="it")


def test_the_same_call_is_the_same_execution_and_another_one_a_conflict(
    service: DurableService, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    assert service.execute(greet("Ada"), id="it") == "hello Ada"
    with connection.cursor() as cursor:
        assert service.start_in(cursor, greet("Ada"), id="it").result(10) == "hello Ada"
        for call in (greet("Bob"), other("Ada")):
            with pytest.raises(ExecutionConflict):
                service.start_in(cursor, call, id="it")
        cursor.execute("SELECT 1")  # a conflict leaves the transaction as it was
        connection.commit()


def test_what_continued_as_another_workflow_is_known_by_its_first(
    service: DurableService, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    assert service.execute(before("Ada"), id="it") == "hello Ada"
    with connection.cursor() as cursor:
        assert service.start_in(cursor, before("Ada"), id="it").result(10) == "hello Ada"
        with pytest.raises(ExecutionConflict):
            service.start_in(cursor, other("Ada"), id="it")


def test_two_transactions_that_start_one_id_make_one_execution(
    service: DurableService, postgres: Server, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    with connection.cursor() as cursor, psycopg.connect(postgres.url(schema="x").partition("?")[0]) as mine:
        service.start_in(cursor, greet("Ada"), id="it")
        with ThreadPoolExecutor(1) as thread:
            later = thread.submit(service.start_in, mine.cursor(), greet("Ada"), id="it")
            connection.commit()
            assert later.result(10).result(10) == "hello Ada"


def test_options_and_odd_ids_are_those_of_start(service: DurableService, connection: psycopg.Connection[tuple[object, ...]]) -> None:
    id = "odd \ud800 %(x)s %s \x1e id"
    with connection.cursor() as cursor:
        execution = service.start_in(cursor, greet("%s ü \x00"), id=id, delay=3600, timeout=7200, attributes={"a": 1})
        connection.commit()
        assert (execution.info().status, execution.attributes()) == ("pending", {"a": 1})
        with pytest.raises(InvalidDefinition, match="restart="):
            service.start_in(cursor, greet("Ada"), restart=["failed"])


def test_another_store_says_that_it_cannot() -> None:
    with DurableService("memory://", [greet]) as service, pytest.raises(InvalidDefinition, match="postgresql://"):
        service.start_in(None, greet("Ada"))  # type: ignore[arg-type]


# ── async cursors ───────────────────────────────────────────────────────────────────────────────
def test_an_async_cursor_starts_in_its_transaction_when_the_call_is_awaited(postgres: Server, schema: str) -> None:
    async def run() -> None:
        plain = postgres.url(schema="x").partition("?")[0]
        async with (
            AsyncDurableService(postgres.url(schema=schema), [greet, other, before]) as service,
            await psycopg.AsyncConnection.connect(plain) as connection,
            connection.cursor() as cursor,
        ):
            execution = await service.start_in(cursor, greet("Ada"), id="it")
            with pytest.raises(ExecutionNotFound):
                await execution.info()
            await connection.commit()
            assert await execution.result(10) == "hello Ada"
            assert (await service.start_in(cursor, greet("Ada"), id="it")).id == "it"
            with pytest.raises(ExecutionConflict):
                await service.start_in(cursor, greet("Bob"), id="it")
            assert await service.execute(before("Eve"), id="went on") == "hello Eve"
            await service.start_in(cursor, before("Eve"), id="went on")
            await service.start_in(cursor, greet("Ada"), id="never")
            await connection.rollback()
            with pytest.raises(ExecutionNotFound):
                await service.execution("never").info()

    asyncio.run(run())


def test_in_autocommit_mode_it_begins_at_once(service: DurableService, connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection.autocommit = True
    with connection.cursor() as cursor:
        assert service.start_in(cursor, greet("Ada"), id="it").result(10) == "hello Ada"
        with connection.transaction():
            late = service.start_in(cursor, greet("Bob"), id="late")
            with pytest.raises(ExecutionNotFound):
                late.info()
        assert late.result(10) == "hello Bob"


async def test_a_blocking_service_refuses_an_async_cursor(postgres: Server, service: DurableService) -> None:
    plain = postgres.url(schema="x").partition("?")[0]
    async with await psycopg.AsyncConnection.connect(plain) as connection, connection.cursor() as cursor:
        with pytest.raises(InvalidDefinition, match="AsyncDurableService"):
            service.start_in(cursor, greet("Ada"), id="it")  # type: ignore[arg-type]


class Unawaited:
    """A cursor whose calls give awaitables, and that does not look like it."""

    def execute(self, statement: Any, parameters: Any) -> Any:
        return asyncio.sleep(0)

    def fetchone(self) -> Any:
        return asyncio.sleep(0)


def test_what_is_no_cursor_of_this_database_is_refused(service: DurableService, connection: psycopg.Connection[tuple[object, ...]]) -> None:
    for wrong, why in [
        (None, "NoneType"),
        (connection, "Connection"),
        (sqlite3.connect(":memory:").cursor(), "SQLite"),
        (sqlite3.connect(":memory:"), "Connection"),
        (Unawaited(), "nothing was started"),
    ]:
        with pytest.raises(InvalidDefinition, match=why):
            service.start_in(wrong, greet("Ada"), id="it")  # type: ignore[arg-type]
    connection.commit()
    with pytest.raises(ExecutionNotFound):
        service.execution("it").info()
