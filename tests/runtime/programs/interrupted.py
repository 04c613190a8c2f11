"""Starts an execution on the store of argv[1] during which a signal comes: within its first turn, or (argv[2]) a later one.

It is Ctrl-C, twice, or (argv[3]) SIGTERM, with a handler that exits.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import warnings

from redrive import AsyncDurableService, Flow, step, workflow

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")


HOW = signal.Signals[sys.argv[3]]


@step
async def brief() -> None:
    pass


def leave(number: int, frame: object) -> None:
    sys.exit(3)


def interrupt() -> None:
    signal.raise_signal(HOW)  # asyncio has the main task cancelled at the first Ctrl-C
    signal.raise_signal(HOW)


@workflow("exits.first")
def first() -> Flow[str]:
    interrupt()
    yield from brief()
    return "not interrupted"


@workflow("exits.later")
def later() -> Flow[str]:
    yield from brief()
    interrupt()
    return "not interrupted"


async def main() -> None:
    async with AsyncDurableService(sys.argv[1], [first, later], build="mended", lease=0.5) as service:
        execution = await service.start([first, later][int(sys.argv[2])](), id="it")
        print(await execution.result())


signal.signal(signal.SIGTERM, leave)
asyncio.run(main())
