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


@step
async def brief() -> None:
    pass


def leave(number: int, frame: object) -> None:
    sys.exit(3)


def interrupt() -> None:
    if sys.argv[3] == "SIGTERM":
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)  # asyncio has the main task cancelled
    signal.raise_signal(signal.SIGINT)


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
