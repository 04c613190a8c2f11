"""A worker whose steps hold up what runs beside them: works on the store of argv[1], writes to argv[2] what its steps do."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import sys
import time

from redrive import AsyncDurableService, Flow, step, workflow
from redrive.cli.serve import serve

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


@step
async def hears_nothing(seconds: float) -> str:
    leave("hears_nothing")
    while True:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            leave("told")


@step
async def hears_nothing_at_all(seconds: float) -> str:
    leave("hears_nothing_at_all")
    while True:
        try:
            await asyncio.sleep(seconds)
        except BaseException:
            leave("told")


@step
async def leaves_a_deaf_task(seconds: float) -> str:
    async def deaf() -> None:
        while True:
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                leave("told")

    leave("leaves_a_deaf_task")
    left.append(asyncio.create_task(deaf()))
    await left[0]
    return "done"


left: list[asyncio.Task[None]] = []
STEPS = {
    step.__name__: step
    for step in (blocks_the_loop, holds_the_gil, innocent, deaf, hears_nothing, hears_nothing_at_all, leaves_a_deaf_task)
}


@workflow("stalls")
def stalls(name: str, seconds: float) -> Flow[str]:
    return (yield from STEPS[name](seconds))


def made() -> AsyncDurableService:
    options = {key.lower(): float(value) for key, value in os.environ.items() if key in ("LEASE", "MAX_STALL", "GRACE")}
    return AsyncDurableService(URL, [stalls], build="one", **options)  # type: ignore[arg-type]


async def work_for_a_while() -> None:
    """As a program that ends by itself."""
    async with made():
        print("working on it", file=sys.stderr, flush=True)
        while not os.path.exists(f"{LOG}-enough"):  # noqa: ASYNC240
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    sys.exit(asyncio.run(work_for_a_while() if "UNTIL_ENOUGH" in os.environ else serve(made())))
