"""Runs an execution on the database of argv[1] while no file may grow; prints what was refused, and whether all ended well."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from datetime import timedelta

from redrive import AsyncDurableService, Flow, Signal, Sleep, WaitSignal, step, workflow
from redrive.ports.store import StoreError
from redrive.stores.sqlite import SQLiteStore

logging.disable(logging.CRITICAL)
go = Signal("go", str)
PATH = sys.argv[1]


@step
async def big(n: int) -> str:
    return "x" * 20_000


@workflow("full.busy")
def busy(times: int) -> Flow[int]:
    for n in range(times):
        yield from big(n)
        yield from Sleep(0.005)
    return times


@workflow("full.waits")
def waits() -> Flow[str]:
    return (yield from WaitSignal(go))


async def main() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as on a full disk, the write fails
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    store = SQLiteStore(PATH, patience=timedelta(milliseconds=20))
    async with AsyncDurableService(store, [busy, waits], lease=1) as service:
        waiting = await service.start(waits(), id="waits")
        running = await service.start(busy(40), id="runs")
        await asyncio.sleep(0.05)
        size = max(os.stat(name).st_size for name in (PATH, f"{PATH}-wal"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, unlimited[1]))
        refused = 0
        for n in range(3):
            try:
                async with asyncio.timeout(0.5):
                    await service.start(waits(), id=f"no-room-{n}" + "y" * 200)
            except (StoreError, TimeoutError):
                refused += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        await waiting.signal(go, "room again")
        print(refused, await waiting.result(30) == "room again", await running.result(30))


asyncio.run(main())
