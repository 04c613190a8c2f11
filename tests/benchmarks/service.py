"""The service on SQLite with synchronous=FULL: throughput, latency, timers, memory."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redrive import AsyncDurableService, Workflow
from tests.benchmarks import raw
from tests.benchmarks.program import WORKFLOWS, go, sleeps, steps, sync_steps, waits
from tests.benchmarks.timing import Result, median, p99


def _service(folder: Path, **options: object) -> AsyncDurableService:
    return AsyncDurableService(f"sqlite:///{folder / f'bench-{time.monotonic_ns()}.db'}", workflows=WORKFLOWS, **options)  # type: ignore[arg-type]


async def measure(folder: Path) -> list[Result]:
    """Each line with its own baseline, timed just before it."""
    return [
        await _sequential(folder),
        await _many(folder, steps, "async", 0.2),
        await _many(folder, sync_steps, "sync", 0.5),
        await _one_step(folder),
        await _signal(folder),
        await _timers(folder),
        *await _memory(folder),
    ]


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
            while (await execution.info()).status != "suspended":
                await asyncio.sleep(0.001)
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


async def _memory(folder: Path) -> list[Result]:
    count = 5_000
    async with _service(folder, cache=2 * count) as service:
        await service.start(waits())
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(count // 500):
            await asyncio.gather(*(service.start(waits()) for _ in range(500)))
        await _settled(service, count + 1)
        gc.collect()
        live = (tracemalloc.get_traced_memory()[0] - before) / count / 1024
        await service.evict()
        gc.collect()
        evicted = (tracemalloc.get_traced_memory()[0] - before) / count / 1024
        tracemalloc.stop()
    return [
        Result("memory of an execution that waits for a signal, live", "traced allocations", live, "KiB", 4),
        Result("the same, evicted", "traced allocations", evicted, "KiB", 0.1),
    ]


async def _settled(service: AsyncDurableService, count: int) -> None:
    """All *count* executions wait, and nothing is under way any more."""
    while len(await service.store.list(status="suspended", limit=count)) < count:
        await asyncio.sleep(0.05)


def _raw(seconds: float, count: int) -> str:
    return f"{count:,} raw commits, {seconds / count * 1e6:.0f} µs each"


def _each(seconds: float, count: int) -> str:
    return f"{seconds / count * 1e6:.0f} µs a step"
