"""How cost grows with what there is: four sizes each, and the exponent of what one more costs. Nothing fails here.

``python -m tests.benchmarks.scale [--postgres] [live] [finished] …``: all rows on SQLite without arguments. *n^0* is a cost that
does not grow: the total of n is then n^1. Costs are processor time of this process, the store's threads included, and so of
a SQLite store all of it; on PostgreSQL the server's is not in them.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from redrive import All, AsyncDurableService, Emit, Event, Flow, RunChild, Signal, WaitSignal, step, workflow
from redrive.testing.contracts.lab import newest
from tests.benchmarks.program import go, steps, waits

Open: TypeAlias = "Callable[..., AsyncDurableService]"
Probe: TypeAlias = "Callable[[Open, int], Awaitable[float]]"
many = Signal("scale.many", int)
told = Event("scale.told", int)


@workflow("scale.reader")
def reader(count: int) -> Flow[int]:
    total = 0
    for _ in range(count):
        total += yield from WaitSignal(many)
    return total


@workflow("scale.child")
def child(number: int) -> Flow[int]:
    return (yield from WaitSignal(go)) if number < 0 else number


@workflow("scale.parent")
def parent(count: int) -> Flow[int]:
    results = yield from All.of([RunChild(child(number), id=f"child-{count}-{number}") for number in range(count)])
    return len(results)


@workflow("scale.teller")
def teller(count: int) -> Flow[None]:
    for number in range(count):
        yield from Emit(told, number)
        yield from nothing()


@step
async def nothing() -> None: ...


WORKFLOWS: Final = [steps, waits, reader, child, parent, teller]
MORE: Final = 100
"""How many more of something are measured."""


async def _processor(run: Callable[[], Awaitable[object]]) -> float:
    gc.collect()
    begun = time.process_time()
    await run()
    return time.process_time() - begun


async def _one_by_one(service: AsyncDurableService) -> None:
    for _ in range(MORE):
        await service.execute(steps(1))


async def _start(service: AsyncDurableService, count: int) -> list[Any]:
    started: list[Any] = []
    for first in range(0, count, 500):
        started += await asyncio.gather(*(service.start(waits()) for _ in range(min(500, count - first))))
    return started


async def _settled(service: AsyncDurableService, count: int) -> None:
    while len(await newest(service.store, workflow="bench.waits", status="suspended", limit=count)) < count:
        await asyncio.sleep(0.05)


async def live(open: Open, size: int) -> float:
    """One more execution, while so many are in the worker's memory."""
    async with open(cache=2 * size + 1000) as service:
        await _start(service, size)
        await _settled(service, size)
        return await _processor(lambda: _one_by_one(service)) / MORE


async def beyond(open: Open, size: int) -> float:
    """One more execution, while so many wait and a tenth of them has room in the worker's memory."""
    async with open(cache=size // 10) as service:
        await _start(service, size)
        await _settled(service, size)
        return await _processor(lambda: _one_by_one(service)) / MORE


async def finished(open: Open, size: int) -> float:
    """One more execution, after so many."""
    async with open() as service:
        for _ in range(size // 500):
            await asyncio.gather(*(service.execute(steps(0)) for _ in range(500)))
        return await _processor(lambda: _one_by_one(service)) / MORE


async def listed(open: Open, size: int) -> float:
    """A list of those that run and one of a rare workflow, among so many that have ended."""
    async with open() as service:
        await _start(service, 5)
        for _ in range(size // 500):
            await asyncio.gather(*(service.execute(steps(0)) for _ in range(500)))

        async def lists() -> None:
            for _ in range(MORE):
                await newest(service.store, status="suspended", limit=100)
                await newest(service.store, workflow="bench.waits", limit=100)

        return await _processor(lists) / MORE


async def owned(open: Open, size: int) -> float:
    """A signal to one of so many that wait in the worker's memory, and its result."""
    async with open(cache=2 * size + 1000) as service:
        started = await _start(service, size)
        await _settled(service, size)

        async def signal() -> None:
            for execution in started[:MORE]:
                await execution.signal(go, 1)
                await execution.result()

        return await _processor(signal) / MORE


async def awaited(open: Open, size: int) -> float:
    """Another worker's result, while so many others are waited for in the same client."""
    async with open() as worker, open(worker=False) as client:
        started = await _start(client, size)
        waiting = [asyncio.ensure_future(execution.result()) for execution in started]
        await _settled(worker, size)
        await client.execute(steps(1))

        async def more() -> None:
            for _ in range(20):
                await client.execute(steps(1))

        taken = await _processor(more) / 20
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return taken


async def history(open: Open, size: int) -> float:
    """One step of so many, one after another."""
    async with open() as service:
        return await _processor(lambda: service.execute(steps(size))) / size


async def inbox(open: Open, size: int) -> float:
    """One signal of so many that wait in one inbox when it is taken up."""
    async with open(worker=False) as client:
        execution = await client.start(reader(size))
        for first in range(0, size, 500):
            await asyncio.gather(*(execution.signal(many, 1) for _ in range(min(500, size - first))))

    async def read() -> None:
        async with open() as service:
            assert await service.execution(execution.id, reader).result() == size

    return await _processor(read) / size


async def children(open: Open, size: int) -> float:
    """One child of so many with ids of their own, started and awaited at once."""
    async with open() as service:
        return await _processor(lambda: service.execute(parent(size))) / size


async def subscribers(open: Open, size: int) -> float:
    """One event, heard by so many in one process: told for each of them."""
    async with open() as service:
        heard = [service.subscribe(told) for _ in range(size)]
        await asyncio.gather(*(one.begun() for one in heard))

        async def hear(one: Any) -> None:
            for _ in range(MORE):
                await anext(one)

        async def round() -> None:
            await asyncio.gather(service.execute(teller(MORE)), *map(hear, heard))

        return await _processor(round) / MORE


PROBES: Final[dict[str, tuple[Probe, tuple[int, ...]]]] = {
    "live": (live, (1_000, 3_000, 10_000, 30_000)),
    "beyond": (beyond, (1_000, 3_000, 10_000, 30_000)),
    "finished": (finished, (1_000, 3_000, 10_000, 30_000)),
    "listed": (listed, (1_000, 3_000, 10_000, 30_000)),
    "owned": (owned, (300, 1_000, 3_000, 9_000)),
    "awaited": (awaited, (1, 100, 1_000, 4_000)),
    "history": (history, (300, 1_000, 3_000, 10_000)),
    "inbox": (inbox, (1_000, 3_000, 10_000, 30_000)),
    "children": (children, (300, 1_000, 3_000, 10_000)),
    "subscribers": (subscribers, (1, 10, 50, 200)),
}


def exponent(costs: dict[int, float]) -> float:
    """Of the cost of one more, by least squares on both logarithms."""
    points = [(math.log(size), math.log(cost)) for size, cost in costs.items() if cost > 0]
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


async def _measure(name: str, url: Callable[[], str]) -> str:
    probe, sizes = PROBES[name]
    costs: dict[int, float] = {}
    for size in sizes:
        costs[size] = await probe(partial(AsyncDurableService, url(), WORKFLOWS), size)
    each = "  ".join(f"{size:,}: {cost * 1e6:,.0f}" for size, cost in costs.items())
    what = (probe.__doc__ or "").partition("\n")[0]
    return f"{name:<12} n^{exponent(costs):<6.2f} x{costs[sizes[-1]] / costs[sizes[0]]:<7.2f} µs: {each}   {what}"


def main(arguments: list[str]) -> int:
    logging.disable(logging.WARNING)  # long histories are meant
    wanted = [name for name in arguments if not name.startswith("--")] or list(PROBES)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-")))
        count = 0

        def file() -> str:
            nonlocal count
            count += 1
            return f"sqlite:///{folder / f'{count}.db'}"

        url = file
        if "--postgres" in arguments:
            from tests.postgres.server import serve

            server = stack.enter_context(serve(fsync=True))

            def schema() -> str:
                nonlocal count
                count += 1
                return server.url(schema=f"scale_{count}")

            url = schema
        for name in wanted:
            print(asyncio.run(_measure(name, url)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
