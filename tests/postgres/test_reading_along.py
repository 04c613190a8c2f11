"""Who only looks at a PostgreSQL store: sees all of it, and can change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from redrive.ports.store import Claim, NextRun, Store, StoreError, Turn, UnusableStore
from redrive.stores.live_executions import LiveReader, reader_of
from redrive.stores.postgres import PostgresStore
from redrive.stores.postgres.schema_reader import PostgresReader
from redrive.testing.contracts.lab import claimed, execution
from tests.postgres.server import Server


def reading(url: str, look: Callable[[Store, LiveReader], Awaitable[None]]) -> None:
    async def run() -> None:
        store = PostgresStore(url)
        await store.open()
        reader = reader_of(url)
        await reader.open()
        try:
            await look(store, reader)
        finally:
            await reader.close()
            await store.close()

    asyncio.run(run())


def test_the_living_are_listed_with_the_rows_of_their_newest_run(postgres: Server, schema: str) -> None:
    async def look(store: Store, reader: LiveReader) -> None:
        await ended(store, await claimed(store, "gone"))
        claim = await claimed(store, "lone \ud800 surrogate")
        await store.commit(claim, Turn(expects=1, rows=['"on"'], next_run=NextRun(run="2", workflow="w2", started='"again"')))
        await store.start(execution("new"))
        living = await reader.living()
        assert [(found.id, found.workflow, found.status, found.runs) for found in living] == [
            ("new", "w", "pending", 1),
            ("lone \ud800 surrogate", "w2", "running", 2),
        ]
        assert [await reader.rows(found) for found in living] == ['["started"]', '["again"]']
        assert await reader.rows(living[1], 1) == '["started","on"]'
        assert len(await reader.living(1)) == 1
        assert await reader.workflows() == ["w", "w2"]

    reading(postgres.url(schema=schema), look)


def test_all_that_ever_ran_a_workflow_come_in_pages(postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redrive.stores.postgres.schema_reader._PAGE", 2)

    async def look(store: Store, reader: LiveReader) -> None:
        for n in range(5):
            await store.start(execution(f"e-{n}", workflow="other" if n == 2 else "w"))
        pages = [[found.id for found in page] async for page in reader.ever("w")]
        assert pages == [["e-4", "e-3"], ["e-1", "e-0"]]

    reading(postgres.url(schema=schema), look)


def test_a_reader_cannot_write(postgres: Server, schema: str) -> None:
    async def look(store: Store, reader: LiveReader) -> None:
        assert isinstance(reader, PostgresReader)
        with pytest.raises(StoreError, match="read-only"):
            await reader._ask("raise_parks")
        assert await reader.living() == []

    reading(postgres.url(schema=schema), look)


def test_a_reader_makes_no_schema(postgres: Server, schema: str) -> None:
    async def run() -> None:
        reader = reader_of(postgres.url(schema=schema))
        with pytest.raises(UnusableStore, match="no schema"):
            await reader.open()

    asyncio.run(run())
    with postgres.connect() as connection:
        assert connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema]).fetchall() == []


async def ended(store: Store, claim: Claim) -> None:
    await store.commit(claim, Turn(expects=1, rows=['"ended"'], status="completed", outcome="{}"))
