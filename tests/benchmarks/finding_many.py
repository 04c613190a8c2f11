"""``python -m tests.benchmarks.finding_many [sqlite] [postgres] [COUNT]``: each filter alone, among 10,000 executions and among COUNT.

COUNT is 1,000,000 by default. Gives the processor time of a page of 50, the least of several; how many times the elapsed time it is, which
is what counts on PostgreSQL; and the rows that were looked at.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from redrive.ports.finding import StoredCondition, StoredFilter
from redrive.ports.store import Store
from redrive.stores.ledger import search
from redrive.stores.sqlite import SQLiteStore
from redrive.stores.times import from_us

FEW: Final = 10_000
ROUNDS: Final = 7
_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
_START_US: Final = int(_DAY.timestamp()) * 1_000_000

# Of ten executions nine have ended, one of a hundred with an error; of a hundred open ones one waits for something rare. One in ten was
# started by another one. Each has three attributes: one value in a hundred, one in ten thousand, and a number of its own.
EXECUTIONS: Final = """
SELECT i, 'order-' || i, 'w-' || (i % 10), 'r-' || i, 1,
    CASE WHEN i % 10 = 0 THEN 'suspended' WHEN i % 100 = 1 THEN 'failed' WHEN i % 1000 = 2 THEN 'parked' ELSE 'completed' END,
    {start} + i * 1000000, {start} + i * 1000000 + 500000, {start} + i * 1000000, '{{}}',
    CASE WHEN i % 100 = 1 THEN '{{"err":{{"type":"shop.E' || (i % 700 / 100) || '","message":""}}}}' WHEN i % 10 > 0 THEN '{{"ok":1}}' END,
    CASE WHEN i % 10 = 3 THEN 'order-' || (i - 3) END, CASE WHEN i % 10 = 3 THEN 'r' END, CASE WHEN i % 10 = 3 THEN 'k' END,
    CASE WHEN i % 10 = 3 THEN 'order-' || (i - 3) END
FROM numbers
"""
WAITS: Final = "CASE WHEN i % 1000 = 0 THEN 'signal:rare' ELSE 'signal:approved' || char(10) || 'timer' END"
ATTRIBUTES: Final = [
    ("state", "'s' || (i % 100)"),
    ("customer", "'scustomer-' || (i % 10000)"),
    ("total", "'n3P' || char(96 + length(CAST(i AS TEXT))) || length(CAST(i AS TEXT)) || rtrim(CAST(i AS TEXT), '0')"),
]


def filters(count: int) -> dict[str, StoredFilter]:
    """Each filter alone; times are those of *count* executions, one a second."""
    middle, late = from_us(_START_US + count // 2 * 1_000_000), from_us(_START_US + (count - 1000) * 1_000_000)
    return {
        "none": StoredFilter(),
        "workflow": StoredFilter(workflow="w-3"),
        "workflow that is not there": StoredFilter(workflow="w-x"),
        "status, routine": StoredFilter(statuses=frozenset({"suspended"})),
        "status, notable": StoredFilter(statuses=frozenset({"failed"})),
        "status, most": StoredFilter(statuses=frozenset({"completed"})),
        "several statuses": StoredFilter(statuses=frozenset({"failed", "parked", "suspended"})),
        "id_prefix": StoredFilter(id_prefix="order-99"),
        "id_prefix, all": StoredFilter(id_prefix="order-"),
        "parent": StoredFilter(parent="order-500"),
        "root": StoredFilter(root="order-500"),
        "waiting_on, common": StoredFilter(waiting_on=("timer",)),
        "waiting_on, rare": StoredFilter(waiting_on=("signal:rare",)),
        "waiting_on, nothing": StoredFilter(waiting_on=("signal:none",)),
        "attribute, equal": StoredFilter(conditions=(StoredCondition("state", (("s7",),)),)),
        "attribute, rare": StoredFilter(conditions=(StoredCondition("customer", (("scustomer-77",),)),)),
        "attribute, any of": StoredFilter(conditions=(StoredCondition("state", (("s7", "s8", "s9"),)),)),
        "attribute, range": StoredFilter(conditions=(StoredCondition("state", low="s7", below="s8"),)),
        "attribute, narrow range": StoredFilter(conditions=(StoredCondition("customer", low="scustomer-77", below="scustomer-78"),)),
        "created": StoredFilter(created_after=middle),
        "created, before": StoredFilter(created_before=middle),
        "ended": StoredFilter(ended_after=late),
        "ended, before": StoredFilter(ended_before=middle),
        "error_type": StoredFilter(error_type="E3"),
        "error_type that is not there": StoredFilter(error_type="None"),
        "queue": StoredFilter(queue="gpu"),
    }


def fill_sqlite(path: Path, first: int, last: int) -> None:
    """Add the executions from number *first* to *last*."""
    with sqlite3.connect(path) as db:
        numbers = f"WITH RECURSIVE numbers (i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM numbers WHERE i < {last})"
        columns = "n, id, workflow, run, number, status, stored_us, updated_us, created_us, attributes, outcome"
        creators = "creator_id, creator_run, creator_key, root_id"
        db.execute(f"INSERT INTO executions ({columns}, {creators}) {numbers} {EXECUTIONS.format(start=_START_US)}")
        history = "n, number, upto, at_us, rows, input, waits"
        db.execute(f"INSERT INTO history ({history}) {numbers} SELECT i, 1, 1, 1, '1', '1', {WAITS} FROM numbers")
        for name, text in ATTRIBUTES:
            db.execute(f"INSERT INTO attributes (n, name, value) {numbers} SELECT i, '{name}', {text} FROM numbers")
    db.close()


class Reading:
    """Counts the rows that searches look at, while it is entered."""

    def __init__(self) -> None:
        self.rows = 0

    def __enter__(self) -> Reading:
        self._search = search.search

        def counted(*args: Any, **options: Any) -> search.Search:
            asking = self._search(*args, **options)
            try:
                scan = next(asking)
                while True:
                    rows = yield scan
                    self.rows += len(rows) * len(scan.lead.sources)
                    scan = asking.send(rows)
            except StopIteration as end:
                found: tuple[list[int], str | None] = end.value
                return found

        search.search = counted  # type: ignore[assignment]
        return self

    def __exit__(self, *error: object) -> None:
        search.search = self._search


async def page(store: Store, filter: StoredFilter) -> tuple[float, float, int, int]:
    """Processor seconds and seconds of a page of 50, rows looked at, and executions on it."""
    with Reading() as reading:
        found = await store.find(filter, limit=50)
    processor, elapsed = [], []
    for _ in range(ROUNDS):
        began, at = time.process_time(), time.perf_counter()
        await store.find(filter, limit=50)
        processor.append(time.process_time() - began)
        elapsed.append(time.perf_counter() - at)
    return min(processor), min(elapsed), reading.rows, len(found.executions)


async def _all(store: Store, count: int, only: str | None = None) -> dict[str, tuple[float, float, int, int]]:
    return {name: await page(store, filter) for name, filter in filters(count).items() if only in (None, name)}


async def compare(open_with: Callable[[int], Awaitable[Store]], many: int) -> None:
    store = await open_with(FEW)
    few = await _all(store, FEW)
    await store.close()
    store = await open_with(many)
    lots = await _all(store, many)
    began = time.process_time()
    counted = await store.count(by="status")
    print(f"count by status: {(time.process_time() - began) * 1000:.1f} ms: { ({key: str(n) for key, n in counted.items()}) }")
    await store.close()
    print(f"{'filter':32} {'10,000':>9} {f'{many:,}':>11} {'times':>6} {'elapsed':>8} {'rows':>7} {'found':>6}")
    for name, (processor, elapsed, rows, found) in lots.items():
        ratio, waited = processor / few[name][0], elapsed / few[name][1]
        line = f"{name:32} {few[name][0] * 1000:6.2f} ms {processor * 1000:8.2f} ms {ratio:5.2f}x {waited:7.2f}x {rows:7,} {found:6}"
        print(line + ("   <<<" if min(ratio, waited) > 1.5 or rows > 10_000 else ""))


async def sqlite(folder: Path, many: int) -> None:
    async def opened(count: int) -> Store:
        path = folder / f"{count}.db"
        store = SQLiteStore(str(path))
        await store.open()
        await store.close()
        for first in range(1, count + 1, 100_000):
            fill_sqlite(path, first, min(count, first + 99_999))
        store = SQLiteStore(str(path))
        await store.open()
        return store

    await compare(opened, many)


def in_pg(text: str) -> str:
    return text.replace("char(", "chr(")


async def postgres(many: int) -> None:
    from redrive.stores.postgres import PostgresStore
    from tests.postgres.server import serve

    async def opened(count: int) -> Store:
        schema = f"many_{count}"
        store = PostgresStore(server.url(schema=schema))
        await store.open()
        numbers = f"WITH numbers (i) AS (SELECT generate_series(1, {count})::bigint)"
        columns = "n, id, workflow, run, number, status, stored_us, updated_us, created_us, attributes, outcome"
        creators = "creator_id, creator_run, creator_key, root_id, waits"
        made = EXECUTIONS.format(start=_START_US).replace("\nFROM", f", {in_pg(WAITS)}\nFROM")
        server.execute(
            f"INSERT INTO {schema}.executions ({columns}, {creators}) OVERRIDING SYSTEM VALUE {numbers} {made}",
            f"INSERT INTO {schema}.history (n, number, upto, at_us, rows, input) {numbers} SELECT i, 1, 1, 1, '1', '1' FROM numbers",
            *(f"INSERT INTO {schema}.attributes {numbers} SELECT i, '{name}', {in_pg(text)} FROM numbers" for name, text in ATTRIBUTES),
            *(f"VACUUM ANALYZE {schema}.{table}" for table in ("executions", "history", "attributes")),
        )
        return store

    with serve(fsync=False, max_wal_size="8GB") as server:
        await compare(opened, many)


def main(wanted: list[str]) -> None:
    many = next((int(word) for word in wanted if word.isdecimal()), 1_000_000)
    if "postgres" not in wanted or "sqlite" in wanted:
        with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
            asyncio.run(sqlite(Path(folder), many))
    if "postgres" in wanted:
        asyncio.run(postgres(many))


if __name__ == "__main__":
    main(sys.argv[1:])
