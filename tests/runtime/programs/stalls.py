"""A worker whose steps hold up what runs beside them: works on the store of argv[1], writes to argv[2] what its steps do."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import sys
import time

from redrive import AsyncDurableService, Flow, step, workflow

URL, LOG = sys.argv[1:3]


def leave(what: str) -> None:
    handle = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{what}\n".encode())
    os.close(handle)


@step
async def blocks_the_loop(seconds: float) -> str:
    leave("blocks_the_loop")
    time.sleep(seconds)  # noqa: ASYNC251
    return "done"


@step
def holds_the_gil(seconds: float) -> str:
    leave("holds_the_gil")
    libc = ctypes.PyDLL(None)  # which, unlike CDLL, keeps the GIL
    libc.usleep(int(seconds * 1e6))
    return "done"


@step
def innocent(seconds: float) -> str:
    leave("innocent")
    time.sleep(seconds)
    return "done"


@step
async def deaf(seconds: float) -> str:
    leave("deaf")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            await asyncio.sleep(until - time.monotonic())
        except asyncio.CancelledError:
            leave("told")
    return "done"


STEPS = {step.__name__: step for step in (blocks_the_loop, holds_the_gil, innocent, deaf)}


@workflow("stalls")
def stalls(name: str, seconds: float) -> Flow[str]:
    return (yield from STEPS[name](seconds))


async def work() -> None:
    options = {key.lower(): float(value) for key, value in os.environ.items() if key in ("LEASE", "MAX_STALL", "GRACE")}
    async with AsyncDurableService(URL, [stalls], build="one", **options) as service:  # type: ignore[arg-type]
        print("working", file=sys.stderr, flush=True)
        await service.stopped()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(work())
