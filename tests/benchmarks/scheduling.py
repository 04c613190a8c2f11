"""Ten thousand schedules due in one second, on one worker: how long until all are started, as a ratio to as many plain starts.

python -m tests.benchmarks.scheduling [URL]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta

from redrive import AsyncDurableService, Flow, workflow

SCHEDULES = 10_000


@workflow("tick")
def tick() -> Flow[None]:
    yield from ()


async def measure(url: str) -> None:
    async with AsyncDurableService(url, [tick], worker=False) as client:
        began = time.perf_counter()
        for first in range(0, SCHEDULES, 500):
            await asyncio.gather(*(client.start(tick(), id=f"plain-{n}") for n in range(first, first + 500)))
        plain = time.perf_counter() - began
    async with AsyncDurableService(url, [tick], worker=False) as client:
        due = datetime.now(UTC) + timedelta(seconds=60)
        for first in range(0, SCHEDULES, 200):
            ensured = (client.schedules.ensure(f"s-{n}", tick(), every=timedelta(days=1), start_at=due) for n in range(first, first + 200))
            await asyncio.gather(*ensured)
        left = (due - datetime.now(UTC)).total_seconds()
        print(f"{SCHEDULES:,} schedules are due in {left:.1f} s")
    async with AsyncDurableService(url, [tick]) as service:
        await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
        while (await service.store.due_schedules(["tick"], 1))[0]:  # type: ignore[attr-defined]
            await asyncio.sleep(0.02)
        fired = (datetime.now(UTC) - due).total_seconds()
        print(f"fired after {fired:.2f} s, {fired / plain:.2f} times as long as {SCHEDULES:,} plain starts ({plain:.2f} s)")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/it.db"))
