"""No statement of the PostgreSQL store reads a whole table, however many executions there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from redrive.stores.postgres import PostgresStore
from redrive.stores.postgres.connection_pool import SESSION
from redrive.stores.postgres.queries import QUEUE_TEXT, TEXT, queries
from tests.postgres.server import Server

MAY_SCAN = {
    "forget_old_parks": "only where a build has parked something",
    "forget_old_deaths": "only after a worker has died",
    "keep_due": "only after the clock went back",
    "prune_events": "there are as many handlers as the code has",
}
SMALL = {
    *("workers", "counters", "handlers", "messages", "garbage", "retentions"),
    *("queues", "declarations", "schema_version", "workflow_queues"),
}
"""As many rows as live workers, counters, handlers and queues in the code, purges under way, and the one of a sequence."""

FILL = """
INSERT INTO redrive.executions (id, workflow, run, status, owner, wake_us, stored_us, updated_us, created_us, attributes, creator_id)
SELECT 'e-' || i, 'w-' || i % 10, 'r-' || i, CASE WHEN i % 3 = 0 THEN 'completed' WHEN i % 97 = 0 THEN 'parked' ELSE 'suspended' END,
    CASE WHEN i % 50 = 1 THEN 'worker-' || i % 4 END, CASE WHEN i % 3 > 0 THEN i * 1000000::bigint END, 1, 1, 1, '{}', 'e-1'
FROM generate_series(1, 30000) AS i;
INSERT INTO redrive.history SELECT n, 1, k, 1, '"row"', '1' FROM redrive.executions, generate_series(1, 3) AS k;
INSERT INTO redrive.inbox (n, kind, name, data, stored_us) SELECT n, 'signal', 's', '1', 1 FROM redrive.executions;
INSERT INTO redrive.landed SELECT n, 'once' FROM redrive.executions;
INSERT INTO redrive.parked SELECT n, 'b-1', 'r' FROM redrive.executions WHERE n % 2 = 0;
INSERT INTO redrive.deaths SELECT n, 'b-1', 1, 3, 1, 0, 'worker-' || n % 4 FROM redrive.executions WHERE n % 50 = 0;
INSERT INTO redrive.events SELECT n, 'x-' || n % 10, '1', id, n, 1, 'k', n FROM redrive.executions;
INSERT INTO redrive.aside (n, name, data, sent_us, error, at_us) SELECT n, 's', '1', 1, 'no', 1 FROM redrive.executions WHERE n % 3 = 0;
INSERT INTO redrive.audit (execution, at_us, operator, verb, reason, detail, key)
SELECT id, 1, '', 'retry', '', '{}', 'k' FROM redrive.executions;
INSERT INTO redrive.held_events
SELECT 'h-' || n % 3, n, 'x', '1', 'e-' || n % 5000, 1, n % 2 = 0, 1, 1, 1, 'no' FROM redrive.executions;
INSERT INTO redrive.tickets (queue, partition, priority, n, since_us, due_us, held_us, lender, borrowed)
SELECT 'q-' || n % 5, 'p-' || n % 700, n % 3, n, 1, CASE WHEN n % 50 = 0 THEN 1 END, CASE WHEN n % 100 = 1 THEN 1 END,
    CASE WHEN n % 300 = 1 THEN 1 END, CASE WHEN n % 300 = 1 THEN 2 ELSE 0 END FROM redrive.executions;
INSERT INTO redrive.lanes
SELECT queue, partition, CASE WHEN min(n) % 3 = 0 THEN 'ready' WHEN min(n) % 3 = 1 THEN 'idle' ELSE 'later' END, 0, 0, 1, 1
FROM redrive.tickets GROUP BY queue, partition;
INSERT INTO redrive.queues (name) SELECT 'q-' || i FROM generate_series(0, 4) AS i;
INSERT INTO redrive.begun SELECT queue, 1, partition, 1, 1, 1 FROM redrive.lanes;
INSERT INTO redrive.dedups SELECT 'q-' || n % 5, 'd-' || n, n FROM redrive.executions;
INSERT INTO redrive.workers SELECT 'worker-' || i, 1, 1, 1, 'b', '[]' FROM generate_series(1, 4) AS i;
"""


@pytest.fixture(scope="module")
def filled(postgres: Server) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    with postgres.connect() as connection:
        if connection.info.server_version < 160_000:
            pytest.skip("EXPLAIN (GENERIC_PLAN) came with PostgreSQL 16")
    schema = "test_plans"

    async def make() -> None:
        store = PostgresStore(postgres.url(schema=schema))
        await store.open()
        await store.close()

    asyncio.run(make())
    postgres.execute(FILL.replace("redrive.", f"{schema}."))
    # VACUUM cannot run in the transaction that several statements at once are.
    postgres.execute(
        *(
            f"VACUUM ANALYZE {schema}.{table}"
            for table in (
                "executions",
                "history",
                "inbox",
                "landed",
                "parked",
                "deaths",
                "events",
                "aside",
                "audit",
                "held_events",
                "tickets",
                "lanes",
                "begun",
                "dedups",
            )
        )
    )
    with postgres.connect(options=SESSION) as connection:
        yield connection, schema
    postgres.execute(f"DROP SCHEMA {schema} CASCADE")


def plan(connection: psycopg.Connection[Any], query: bytes) -> dict[str, Any]:
    cursor = psycopg.ClientCursor(connection)  # it has no parameters: the plan is the one for all of them
    cursor.execute(b"EXPLAIN (GENERIC_PLAN, FORMAT JSON) " + query)
    ((found,),) = cursor.fetchall()
    return dict(found[0]["Plan"])


def scans(node: dict[str, Any], limited: bool = False) -> Iterator[str]:
    """The relations that are read from one end to the other."""
    limited = limited or node["Node Type"] == "Limit"
    whole = node["Node Type"] == "Seq Scan" or (node["Node Type"].startswith(("Index", "Bitmap Index")) and "Index Cond" not in node)
    if whole and not (limited and node["Node Type"] != "Seq Scan"):
        yield node.get("Relation Name", node.get("Index Name", "?"))
    for child in node.get("Plans", ()):
        # A sort below a limit reads all it gets.
        yield from scans(child, limited and node["Node Type"] not in ("Sort", "Aggregate", "Hash"))


@pytest.mark.parametrize("name", sorted({*TEXT, *QUEUE_TEXT} - {"patience", "impatience", "index_turned"}))
def test_no_statement_reads_a_whole_table(filled: tuple[psycopg.Connection[Any], str], name: str) -> None:
    connection, schema = filled
    found = set(scans(plan(connection, queries(schema)[name]))) - SMALL
    if name not in MAY_SCAN:
        assert found == set()


def test_a_turn_changes_no_index(postgres: Server, schema: str) -> None:
    """Its update stays in the page of the row, and leaves nothing for a vacuum of the indexes."""
    from redrive.ports.store import Turn
    from redrive.testing.contracts.lab import claimed

    async def run() -> None:
        store = PostgresStore(postgres.url(schema=schema))
        await store.open()
        claim = await claimed(store)
        for n in range(1, 21):
            status = "running" if n % 2 else "suspended"
            await store.commit(claim, Turn(expects=n, rows=["1"], status=status, wake_at=await store.now()))
        await store.close()

    asyncio.run(run())
    updates, hot = 0, 0
    with postgres.connect() as connection:
        for _ in range(100):  # PostgreSQL 14 counts a little later
            counts = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = %s AND relname = 'executions'"
            ((updates, hot),) = connection.execute(counts, [schema]).fetchall()
            if updates == 21:
                break
            connection.execute("SELECT pg_sleep(0.05)")
    assert (updates, hot) == (21, 20), "the claim is the one that changes an index"
