"""The service on SQLite with synchronous=FULL: throughput, latency, timers, memory."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redrive import AsyncDurableService, AsyncExecution, Workflow
from redrive.testing.contracts.lab import newest
from tests.benchmarks import raw
from tests.benchmarks.program import WORKFLOWS, go, sleeps, steps, sync_steps, waits
from tests.benchmarks.timing import Result, median, p99


def _service(folder: Path, **options: object) -> AsyncDurableService:
    return AsyncDurableService(f"sqlite:///{folder / f'bench-{time.monotonic_ns()}.db'}", workflows=WORKFLOWS, **options)  # type: ignore[arg-type]


def measure(folder: Path) -> Iterator[Result]:
    """Each line with its own baseline, timed just before it."""
    for measured in (
        _sequential(folder),
        _many(folder, steps, "async", 0.2),
        _many(folder, sync_steps, "sync", 0.5),
        _one_step(folder),
        _signal(folder),
        _timers(folder),
        _memory(folder, 10_000, "live", 4),
        _memory(folder, 10, "evicted", 0.1),
    ):
        yield asyncio.run(measured)


async def _sequential(folder: Path) -> Result:
    count = 5_000
    baseline = sum(raw.commits(folder, count))
    async with _service(folder) as service:
        await service.execute(steps(100))
        begun = time.perf_counter()
        await service.execute(steps(count))
        taken = time.perf_counter() - begun
    return Result("one workflow of 5,000 async steps", _raw(baseline, count), taken / baseline, "x", 1.5, _each(taken, count))


async def _many(folder: Path, workflow: Workflow[[int], int], kind: str, target: float) -> Result:
    executions, each = 500, 10
    count = executions * each
    baseline = sum(raw.commits(folder, count))
    async with _service(folder) as service:
        await service.execute(workflow(10))
        begun = time.perf_counter()
        started = await asyncio.gather(*(service.start(workflow(each)) for _ in range(executions)))
        await asyncio.gather(*(execution.result() for execution in started))
        taken = time.perf_counter() - begun
    return Result(f"500 workflows × 10 {kind} steps at once", _raw(baseline, count), taken / baseline, "x", target, _each(taken, count))


async def _one_step(folder: Path) -> Result:
    baseline = 3 * median(raw.commits(folder, 1_000))
    taken: list[float] = []
    async with _service(folder) as service:
        for _ in range(300):
            begun = time.perf_counter()
            await service.execute(steps(1))
            taken.append(time.perf_counter() - begun)
    p50 = median(taken)
    return Result(
        "start one step and get its result, p50", f"3 raw commits, {baseline * 1e6:.0f} µs", p50 / baseline, "x", 2, f"{p50 * 1e6:.0f} µs"
    )


async def _signal(folder: Path) -> Result:
    baseline = 2 * median(raw.commits(folder, 1_000))
    taken: list[float] = []
    async with _service(folder) as service:
        for _ in range(300):
            execution = await service.start(waits())
            await _suspended(execution)
            begun = time.perf_counter()
            await execution.signal(go, 1)
            await execution.result()
            taken.append(time.perf_counter() - begun)
    p50 = median(taken)
    return Result("signal to completion, p50", f"2 raw commits, {baseline * 1e6:.0f} µs", p50 / baseline, "x", 3, f"{p50 * 1e6:.0f} µs")


async def _timers(folder: Path) -> Result:
    count = 2_000
    loop = asyncio.get_running_loop()
    late: list[float] = []
    done = loop.create_future()

    def ring(due: float) -> None:
        late.append(loop.time() - due)
        if len(late) == count:
            done.set_result(None)

    due = loop.time() + 1
    for _ in range(count):
        loop.call_at(due, ring, due)
    await done
    baseline = p99(late)
    async with _service(folder) as service:
        until = datetime.now(UTC) + timedelta(seconds=4)
        started = await asyncio.gather(*(service.start(sleeps(until)) for _ in range(count)))
        assert datetime.now(UTC) < until - timedelta(seconds=1), "they must all be asleep a second before they are due"
        woken = await asyncio.gather(*(execution.result() for execution in started))
    taken = p99([(at - until).total_seconds() for at in woken])
    what = "2,000 sleeps due at once: lateness p99 above call_later"
    return Result(what, f"call_later, {baseline * 1e3:.0f} ms", (taken - baseline) * 1e3, "ms", 100)


async def _memory(folder: Path, cache: int, how: str, target: float) -> Result:
    count = 5_000
    async with _service(folder, cache=cache) as service:
        await service.start(waits())
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(count // 500):
            await asyncio.gather(*(service.start(waits()) for _ in range(500)))
        await _settled(service, count + 1)
        gc.collect()
        each = (tracemalloc.get_traced_memory()[0] - before) / count / 1024
        tracemalloc.stop()
    return Result(f"memory of an execution that waits for a signal, {how}", "traced allocations", each, "KiB", target)


async def _suspended(execution: AsyncExecution[int]) -> None:
    while (await execution.info()).status != "suspended":
        await asyncio.sleep(0.001)


async def _settled(service: AsyncDurableService, count: int) -> None:
    """All *count* executions wait, and none is in the worker's hands that should not be."""
    while len(await newest(service.store, status="suspended", limit=count)) < count:
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)


def _raw(seconds: float, count: int) -> str:
    return f"{count:,} raw commits, {seconds / count * 1e6:.0f} µs each"


def _each(seconds: float, count: int) -> str:
    return f"{seconds / count * 1e6:.0f} µs a step"
