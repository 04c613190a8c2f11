"""Each filter alone is led by an index, on SQLite, and reads few rows whatever there is."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from pathlib import Path

import pytest

from redrive.stores.ledger.search import MOST_READ
from redrive.stores.sqlite import SQLiteStore
from tests.benchmarks.finding_many import Reading, fill_sqlite, filters

COUNT = 30_000
FILTERS = filters(COUNT)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "x.db"

    async def make() -> None:
        store = SQLiteStore(str(path))
        await store.open()
        await store.close()

    asyncio.run(make())
    fill_sqlite(path, 1, COUNT)
    return path


@pytest.mark.parametrize("name", FILTERS)
async def test_a_filter_alone_is_led_by_an_index(filled: Path, name: str) -> None:
    """A4: no statement of a search reads a table, or sorts more than it gives back."""
    store = SQLiteStore(str(filled), on_the_spot=False)
    await store.open()
    statements: list[str] = []
    reader = store._reader._session._db
    reader.set_trace_callback(statements.append)
    with Reading() as reading:
        await store.find(FILTERS[name], limit=50)
        await store.count(FILTERS[name])
    reader.set_trace_callback(None)
    await store.close()
    assert reading.rows <= MOST_READ
    with sqlite3.connect(filled) as db:
        for statement in statements:
            if statement.startswith("SELECT") and "json_each" not in statement:
                steps = [step[3] for step in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
                assert [step for step in steps if step.startswith("SCAN") and not _is_small(step)] == [], statement
    db.close()


def _is_small(step: str) -> bool:
    """Whether a scan is one of rows that another part of the statement has read already."""
    return re.fullmatch(r"s\d*|u|r|waits|found|CONSTANT", step.split()[1]) is not None


@pytest.mark.parametrize("name", FILTERS)
async def test_a_filter_gives_all_that_fits_in_pages(filled: Path, name: str) -> None:
    """A4: by comparison with what one statement over everything finds."""
    store = SQLiteStore(str(filled))
    await store.open()
    found: list[str] = []
    cursor: str | None = None
    for _ in range(200):
        page = await store.find(FILTERS[name], after=cursor, limit=900)
        found += [one.id for one in page.executions]
        if (cursor := page.cursor) is None:
            break
    counted = (await store.count(FILTERS[name], most=COUNT))[""]
    await store.close()
    assert len(found) == len(set(found))
    if cursor is None:
        assert (counted.n, counted.more) == (len(found), False)
