"""Starts an execution on the store of argv[1] that gets two Ctrl-C: within its first turn, or (argv[2]) a later one."""

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


def two_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)  # asyncio has the main task cancelled
    signal.raise_signal(signal.SIGINT)


@workflow("exits.first")
def first() -> Flow[str]:
    two_ctrl_c()
    yield from brief()
    return "not interrupted"


@workflow("exits.later")
def later() -> Flow[str]:
    yield from brief()
    two_ctrl_c()
    return "not interrupted"


async def main() -> None:
    async with AsyncDurableService(sys.argv[1], [first, later], build="mended", lease=0.5) as service:
        execution = await service.start([first, later][int(sys.argv[2])](), id="it")
        print(await execution.result())


asyncio.run(main())
