"""Executions that are read at once are read together, and as they are when each is read alone."""

from __future__ import annotations

import asyncio

from redrive.stores.postgres import PostgresStore
from redrive.stores.postgres.queries import TEXT
from redrive.testing.contracts.lab import execution
from tests.postgres.server import Server


def test_what_is_read_of_one_is_read_of_many() -> None:
    """One list of columns, in two statements."""
    one, many = TEXT["snapshot"], TEXT["snapshots"]
    assert one.partition("id,")[2].partition("FROM redrive.executions e")[0] == many.partition("e.id,")[2].partition("FROM unnest(")[0]


async def test_reads_at_once_are_one_statement_and_the_same_answers(postgres: Server, schema: str) -> None:
    store = PostgresStore(postgres.url(schema=schema))
    await store.open()
    await asyncio.gather(*(store.start(execution(f"e-{n}")) for n in range(20)))
    ids = [*(f"e-{n}" for n in range(20)), "nobody", "e-3", "e-3"]
    together = await asyncio.gather(*map(store.read, ids))
    assert together == [await store.read(id) for id in ids]
    assert together[20] is None
    await store.close()
