"""The service on PostgreSQL: a server of its own, with fsync on, and raw psycopg on the same server as the baseline.

``python -m tests.benchmarks.postgres [rate] [latency] [claims] [cost] [idle]``: all of them without arguments.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg

from redrive import AsyncDurableService
from redrive.stores.postgres import PostgresStore
from redrive.stores.postgres.connection_pool import SESSION
from redrive.stores.postgres.queries import queries
from redrive.testing.contracts.lab import newest
from tests.benchmarks.program import WORKFLOWS, go, steps, waits
from tests.benchmarks.timing import Result, median
from tests.postgres.server import STOCK_MISSING, Server, serve, stock_programs

EXECUTIONS, STEPS = 1_000, 10
SLEEPING, FINISHED = 1_000_000, 100_000
ROW: Final = "x" * 100
PAUSE: Final = 0.05
SETTINGS: Final = {"shared_buffers": "512MB", "max_wal_size": "4GB", "autovacuum_naptime": "60s"}


# ── raw commits ─────────────────────────────────────────────────────────────────────────────────
async def _raw(server: Server) -> psycopg.AsyncConnection[Any]:
    connection = await psycopg.AsyncConnection.connect(server.url(schema="x").partition("?")[0], autocommit=True)
    connection.prepare_threshold = 0
    await connection.execute("CREATE TABLE IF NOT EXISTS raw (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data text)")
    return connection


async def raw_commits(server: Server, count: int = 1_000, pause: float = 0.0) -> float:
    """Seconds that a one-row commit takes, one after another, each after a *pause*; the median."""
    taken: list[float] = []
    async with await _raw(server) as connection:
        for _ in range(count):
            if pause:
                await asyncio.sleep(pause)
            begun = time.perf_counter()
            await connection.execute("INSERT INTO raw (data) VALUES (%s)", (ROW,))
            taken.append(time.perf_counter() - begun)
    return median(taken)


async def raw_pipelined(server: Server) -> float:
    """Rows a second of the same rounds by hand: one row for each execution in a pipeline, one commit for each round."""
    async with await _raw(server) as connection:
        begun = time.perf_counter()
        for _ in range(STEPS):
            async with connection.pipeline():
                for _ in range(EXECUTIONS):
                    await connection.execute("INSERT INTO raw (data) VALUES (%s)", (ROW,))
        return EXECUTIONS * STEPS / (time.perf_counter() - begun)


# ── steps a second ──────────────────────────────────────────────────────────────────────────────
async def rate(server: Server) -> AsyncIterator[Result]:
    await raw_pipelined(server)
    baseline = await raw_pipelined(server)
    yield await _here(server, baseline)
    for workers in (1, 2, 4):
        seconds = await _fleet(server, f"rate_{workers}", workers)
        reached = EXECUTIONS * STEPS / seconds
        yield Result(
            f"1,000 executions × 10 steps, {workers} worker process{'es' if workers > 1 else ''}",
            f"raw pipelined rounds, {baseline:,.0f} rows/s",
            reached / baseline,
            "x",
            0.25 if workers == 1 else None,
            f"{reached:,.0f} steps/s",
            at_least=True,
        )


async def _here(server: Server, baseline: float) -> Result:
    """Started, driven and waited for by one process."""
    async with AsyncDurableService(server.url(schema="rate_here"), WORKFLOWS) as service:
        await service.execute(steps(STEPS))
        begun = time.perf_counter()
        started = await asyncio.gather(*(service.start(steps(STEPS)) for _ in range(EXECUTIONS)))
        await asyncio.gather(*(execution.result() for execution in started))
        reached = EXECUTIONS * STEPS / (time.perf_counter() - begun)
    what = "1,000 executions × 10 steps, started and driven by one process"
    return Result(
        what, f"raw pipelined rounds, {baseline:,.0f} rows/s", reached / baseline, "x", 0.25, f"{reached:,.0f} steps/s", at_least=True
    )


async def _fleet(server: Server, schema: str, workers: int) -> float:
    """From when all executions are due until the last one has ended."""
    url = server.url(schema=schema)
    async with AsyncDurableService(url, WORKFLOWS, worker=False) as client:
        with _processes(url, workers):
            due = datetime.now(UTC) + timedelta(seconds=4)
            started = await asyncio.gather(*(client.start(steps(STEPS), start_at=due) for _ in range(EXECUTIONS)))
            assert datetime.now(UTC) < due, "all must have been started before they are due"
            await asyncio.gather(*(execution.result() for execution in started[-1:]))
            while len(await newest(client.store, status="completed", limit=EXECUTIONS)) < EXECUTIONS:
                await asyncio.sleep(0.05)
            ended = max(snapshot.updated_at for snapshot in await newest(client.store, limit=EXECUTIONS))
    return (ended - due).total_seconds()


@contextmanager
def _processes(url: str, count: int) -> Any:
    command = [sys.executable, "-m", "redrive.cli", "worker", "tests.benchmarks.postgres:service"]
    environment = {**os.environ, "BENCH_STORE": url}
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) for _ in range(count)]
    try:
        for process in running:
            assert process.stderr is not None
            assert "working on" in process.stderr.readline()
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait()


def service() -> AsyncDurableService:
    """What `redrive worker` runs."""
    return AsyncDurableService(os.environ["BENCH_STORE"], WORKFLOWS, grace=0)


# ── latency ─────────────────────────────────────────────────────────────────────────────────────
async def latency(server: Server) -> AsyncIterator[Result]:
    raw = await raw_commits(server)
    baseline = f"raw commits, {raw * 1e6:.0f} µs"
    async with AsyncDurableService(server.url(schema="latency"), WORKFLOWS) as service:

        async def one_step() -> None:
            await service.execute(steps(1))

        async def start() -> None:
            await service.start(waits())

        await one_step()
        for what, call, target in (("start one step and get its result", one_step, 6.0), ("start alone", start, None)):
            p50, p95 = await _percentiles(call)
            yield Result(f"{what}, p50", baseline, p50 / raw, "x", target, f"p50 {p50 * 1e6:,.0f} µs, p95 {p95 * 1e6:,.0f} µs")
        # One signal at a time, after a pause: processors and disks that were idle are slow at first, and raw commits are, too.
        raw = await raw_commits(server, 100, PAUSE)
        baseline = f"raw commits after the same pause, {raw * 1e6:.0f} µs"
        async with AsyncDurableService(server.url(schema="latency"), WORKFLOWS, worker=False) as client:
            for what, sender in (("signal to completion", service), ("signal from another client, until it has the result", client)):
                p50, p95 = await _signal(service, sender)
                yield Result(f"{what}, p50", baseline, p50 / raw, "x", None, f"p50 {p50 * 1e6:,.0f} µs, p95 {p95 * 1e6:,.0f} µs")


async def _percentiles(call: Callable[[], Awaitable[None]], times: int = 300) -> tuple[float, float]:
    taken: list[float] = []
    for _ in range(times):
        begun = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - begun)
    return median(taken), sorted(taken)[int(times * 0.95)]


async def _signal(service: AsyncDurableService, sender: AsyncDurableService, times: int = 100) -> tuple[float, float]:
    taken: list[float] = []
    for _ in range(times):
        execution = await service.start(waits())
        while (await execution.info()).status != "suspended":
            await asyncio.sleep(0.001)
        await asyncio.sleep(PAUSE)
        begun = time.perf_counter()
        await sender.signal(execution.id, go, 1)
        await sender.execution(execution.id, waits).result()
        taken.append(time.perf_counter() - begun)
    return median(taken), sorted(taken)[int(times * 0.95)]


# ── claims among a million ──────────────────────────────────────────────────────────────────────
FILL: Final = """
INSERT INTO claims.executions (id, workflow, run, status, wake_us, stored_us, updated_us, created_us, attributes, outcome)
SELECT 'filler-' || i, 'bench.steps', 'run-' || i, CASE WHEN i <= {finished} THEN 'completed' ELSE 'suspended' END,
    CASE WHEN i > {finished} THEN claims.now_us() + 86400000000 + i END, claims.now_us(), claims.now_us(), claims.now_us(), '{{}}',
    CASE WHEN i <= {finished} THEN '{{"ok": 1}}' END
FROM generate_series(1, {finished} + {sleeping}) AS i;
INSERT INTO claims.history (n, number, upto, at_us, rows, input)
SELECT n, 1, 1, created_us, '{{"row": "started"}}', '[]' FROM claims.executions WHERE id LIKE 'filler-%';
"""


async def claims(server: Server) -> AsyncIterator[Result]:
    store = PostgresStore(server.url(schema="claims"))
    await store.open()
    try:
        empty = await _claim_cost(store, "before")
        with server.connect() as connection:
            connection.execute(FILL.format(sleeping=SLEEPING, finished=FINISHED).encode())
            connection.execute("VACUUM ANALYZE claims.executions")
            connection.execute("CHECKPOINT")  # what was just written is on the disk, as it is in a table that grew by and by
        full = await _claim_cost(store, "after")
        what = f"claim of 10 among {SLEEPING:,} sleeping and {FINISHED:,} finished"
        yield Result(what, f"the same in empty tables, {empty * 1e6:,.0f} µs", full / empty, "x", 1.5, f"{full * 1e6:,.0f} µs")
        with server.connect() as connection:
            (kept,) = connection.execute("SELECT pg_total_relation_size('claims.executions')").fetchone() or (0,)
        each = kept / (SLEEPING + FINISHED)
        yield Result("an execution without its history, with indexes", "a raw row, 100 B", each / 100, "x", None, f"{each:.0f} B")
    finally:
        await store.close()
    _show_plans(server)


async def _claim_cost(store: PostgresStore, name: str, times: int = 100) -> float:
    """A claim that finds ten, and the look when the next one is worth it: the lower quartile, for what disturbs only makes it longer."""
    async with AsyncDurableService(store, WORKFLOWS, worker=False) as client:
        await asyncio.gather(*(client.start(steps(1), id=f"{name}-{n}") for n in range(times * 10)))
    await store.open()  # the service closed it
    taken: list[float] = []
    for _ in range(times):
        await asyncio.sleep(0.01)
        begun = time.perf_counter()
        found = await store.claim("bench", timedelta(seconds=60), "b", ["bench.steps"], 10)
        await store.next_wake(["bench.steps"], "b")
        taken.append(time.perf_counter() - begun)
        assert len(found) == 10
    return sorted(taken)[times // 4]


def _show_plans(server: Server) -> None:
    for name in ("claim_due", "next_wake", "advance"):
        with server.connect(options=SESSION) as connection, psycopg.ClientCursor(connection) as cursor:
            print(f"  plan of {name}:")
            cursor.execute(b"EXPLAIN (GENERIC_PLAN, COSTS OFF) " + queries("claims")[name])
            for (line,) in cursor.fetchall():
                print(f"    {line}")


# ── what a step takes ───────────────────────────────────────────────────────────────────────────
async def cost(server: Server) -> AsyncIterator[Result]:
    count = EXECUTIONS * STEPS
    async with AsyncDurableService(server.url(schema="cost"), WORKFLOWS) as service:
        await service.execute(steps(1))
        before = _used(server)
        started = await asyncio.gather(*(service.start(steps(STEPS)) for _ in range(EXECUTIONS)))
        await asyncio.gather(*(execution.result() for execution in started))
        wal, kept, ours, theirs = ((now - then) / count for now, then in zip(_used(server), before, strict=True))
        while (hot := _share_of_hot_updates(server)) is None:
            await asyncio.sleep(0.5)  # a session that is idle tells of what it did within ten seconds
    async with await _raw(server) as connection:
        raw_before = _used(server)
        for _ in range(STEPS):
            async with connection.pipeline():
                for _ in range(EXECUTIONS):
                    await connection.execute("INSERT INTO raw (data) VALUES (%s)", (ROW,))
        raw_wal, _, _, raw_theirs = ((now - then) / count for now, then in zip(_used(server), raw_before, strict=True))
    yield Result("WAL a step", f"a raw pipelined row, {raw_wal:.0f} B", wal / raw_wal, "x", None, f"{wal:,.0f} B")
    yield Result("kept a step, tables and indexes", "the characters of the row, 100", kept / 100, "x", None, f"{kept:,.0f} B")
    yield Result("updates that changed no index (HOT)", "all updates of executions", hot, "", None)
    against = f"a raw pipelined row, {raw_theirs * 1e6:.0f} µs"
    yield Result("the server's processor a step", against, theirs / raw_theirs, "x", None, f"{theirs * 1e6:.0f} µs")
    yield Result("the worker's processor a step", against, ours / raw_theirs, "x", None, f"{ours * 1e6:.0f} µs")


def _used(server: Server) -> tuple[float, float, float, float]:
    """Bytes of WAL, bytes kept, and the processor's seconds: this process's and the server's."""
    with server.connect() as connection:
        (wal,) = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone() or (0,)
        (kept,) = connection.execute(KEPT).fetchone() or (0,)
    assert server.process is not None
    return float(wal), float(kept), time.process_time(), _seconds_of_children(server.process.pid)


KEPT: Final = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class WHERE relnamespace = to_regnamespace('cost') AND relkind = 'r'
"""


def _share_of_hot_updates(server: Server) -> float | None:
    """None: the server's counts do not know of any yet."""
    with server.connect() as connection:
        query = "SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables WHERE schemaname = 'cost' AND relname = 'executions'"
        hot, all = connection.execute(query).fetchone() or (0, 0)
        return float(hot / all) if all else None


def _seconds_of_children(parent: int) -> float:
    """Of the processes that the postmaster began and that have not ended (Linux)."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


# ── an idle worker ──────────────────────────────────────────────────────────────────────────────
IDLE_FOR: Final = 20.0


async def idle(server: Server) -> AsyncIterator[Result]:
    """What a worker that has nothing to do costs the server, and how long a signal to what it waits with takes: on the server that all
    else is measured on, and on one as the system's packages make it, with default settings and JIT."""
    async for result in _idle(server, "the wheel's server"):
        yield result
    programs = stock_programs()
    if programs is None:
        print(f"  not measured on a stock server: {STOCK_MISSING}")
        return
    with serve(fsync=True, stock=programs) as stock:
        async for result in _idle(stock, f"stock PostgreSQL {programs.parent.name}"):
            yield result


async def _idle(server: Server, name: str) -> AsyncIterator[Result]:
    assert server.process is not None
    async with AsyncDurableService(server.url(schema="idle"), WORKFLOWS) as service:
        await asyncio.gather(*(service.start(waits()) for _ in range(100)))
        p50, p95 = await _signal(service, service, times=30)
        yield Result(f"signal to completion, {name}, p50", "", p50 * 1e3, "ms", None, f"p95 {p95 * 1e3:,.1f} ms")
        await asyncio.sleep(3)  # plans are made, and what was written is cleared away
        before, ours = _seconds_of_children(server.process.pid), time.process_time()
        await asyncio.sleep(IDLE_FOR)
        theirs, ours = _seconds_of_children(server.process.pid) - before, time.process_time() - ours
    detail = f"the worker itself {100 * ours / IDLE_FOR:.2f} %"
    yield Result(f"an idle worker, {name}", "a core of the server", 100 * theirs / IDLE_FOR, "%", 0.5, detail)


PARTS: Final = {"rate": rate, "latency": latency, "claims": claims, "cost": cost, "idle": idle}


async def main(wanted: list[str]) -> None:
    missed = 0
    with serve(fsync=True, **SETTINGS) as server:
        for name, measure in PARTS.items():
            if not wanted or name in wanted:
                gc.collect()
                async for result in measure(server):
                    print(result, flush=True)
                    missed += not result.met
    print(f"{missed} of the targets missed" if missed else "all targets met")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
