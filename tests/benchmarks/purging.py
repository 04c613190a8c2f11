"""What a purge of 100,000 finished executions costs those who work beside it: ``python -m tests.benchmarks.purging [URL]``.

Executions of ten steps run one after another, a few at a time, for a while without a purge and for a while with one; how many steps were
done in a second of each. With PostgreSQL, ``pg_locks`` is sampled meanwhile for what others wait for.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from redrive import AsyncDurableService, Flow, step, workflow
from redrive.ports.store import NewExecution, Turn

FINISHED = 100_000
STEPS = 10
AT_ONCE = 40


@step
async def one(n: int) -> int:
    return n


@workflow("bench.purging")
def ten(n: int) -> Flow[int]:
    for _ in range(STEPS):
        n = yield from one(n)
    return n


async def fill(store: Any, count: int) -> None:
    """Finished executions of eleven rows each, stored without running anything."""
    await store.claim("filler", timedelta(hours=1), "b", ["bench.finished"], 0)
    rows = ['{"kind": "answered", "key": "one", "outcome": {"ok": 1}}'] * STEPS

    async def finished(n: int) -> None:
        new = NewExecution(
            id=f"finished-{uuid4()}", workflow="bench.finished", run=str(uuid4()), input='{"n": 1}', started='{"kind": "started"}'
        )
        await store.start(new, claim_for="filler", first=Turn(expects=1, rows=rows, status="completed", outcome='{"ok": 1}'))

    for first in range(0, count, 1000):
        await asyncio.gather(*(finished(n) for n in range(first, min(first + 1000, count))))


async def work(service: AsyncDurableService, until: asyncio.Event, done: list[int], pause: float) -> None:
    while not until.is_set():
        await service.execute(ten(1))
        done[0] += STEPS
        await asyncio.sleep(pause)


async def rate(service: AsyncDurableService, seconds: float, until: asyncio.Event | None = None, pause: float = 0.0) -> float:
    """Steps a second, for so many seconds, or until the event."""
    stop, done, began = asyncio.Event(), [0], time.monotonic()
    tasks = [asyncio.create_task(work(service, stop, done, pause)) for _ in range(AT_ONCE)]
    if until is None:
        await asyncio.sleep(seconds)
    else:
        await until.wait()
    counted, took = done[0], time.monotonic() - began
    stop.set()
    await asyncio.gather(*tasks)
    return counted / took


async def main(url: str, count: int) -> None:
    async with AsyncDurableService(url, [ten]) as service:
        began = time.monotonic()
        await fill(service.store, count)
        print(f"{count:,} finished stored in {time.monotonic() - began:.1f} s", flush=True)
        full = await rate(service, 5)
        pause = max(0.0, AT_ONCE * STEPS / 1000 - AT_ONCE * STEPS / full)
        alone = await rate(service, 15, pause=pause)
        print(f"alone: {alone:,.0f} steps/s (at full speed {full:,.0f})", flush=True)
        over = asyncio.Event()

        async def purge() -> None:
            started = time.monotonic()
            purged = await service.operator.purge(older_than=timedelta(seconds=1))
            print(f"{purged} in {time.monotonic() - started:.1f} s", flush=True)
            over.set()

        task = asyncio.create_task(purge())
        beside = await rate(service, 0, over, pause)
        await task
        again = await rate(service, 15, pause=pause)
        base = (alone + again) / 2
        print(f"beside a purge: {beside:,.0f} steps/s; alone before and after: {base:,.0f}; {100 * (1 - beside / base):.1f} % fewer")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        given = sys.argv[1:]
        address = given[0] if given else f"sqlite:///{Path(folder) / 'bench.db'}"
        asyncio.run(main(address, int(given[1]) if len(given) > 1 else FINISHED))
