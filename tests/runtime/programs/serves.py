"""A worker as people write one: works on the store of argv[1] until told to stop; what its steps do is in the file of argv[2]."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from redrive import AsyncDurableService, Flow, Retry, RunChild, StepInterrupted, current_step, step, workflow
from redrive.cli.serve import serve

URL, LOG = sys.argv[1:]


def leave(what: str) -> None:
    handle = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{what} {current_step().attempt}\n".encode())
    os.close(handle)


@step
def sync(seconds: float) -> str:
    leave("sync")
    time.sleep(seconds)
    return "slept"


@step
async def deaf(seconds: float) -> str:
    leave("deaf")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            await asyncio.sleep(until - time.monotonic())
        except asyncio.CancelledError:
            leave("told")
    return "slept"


@step(retry=Retry(attempts=5, delay=0.3, factor=1))
def moody() -> int:
    leave("moody")
    if current_step().attempt < 4:
        raise ValueError(current_step().attempt)
    return current_step().attempt


@step(at_most_once=True)
def once(seconds: float) -> str:
    leave("once")
    time.sleep(seconds)
    return "done"


@workflow("serves.sync")
def sync_flow(seconds: float) -> Flow[str]:
    return (yield from sync(seconds))


@workflow("serves.deaf")
def deaf_flow(seconds: float) -> Flow[str]:
    return (yield from deaf(seconds))


@workflow("serves.moody")
def moody_flow() -> Flow[int]:
    return (yield from moody())


@workflow("serves.once")
def once_flow(seconds: float) -> Flow[str]:
    try:
        return (yield from once(seconds))
    except StepInterrupted:
        return "interrupted"


@workflow("serves.parent")
def parent_flow(seconds: float) -> Flow[str]:
    return (yield from RunChild(sync_flow(seconds)))


ALL = [sync_flow, deaf_flow, moody_flow, once_flow, parent_flow]

if __name__ == "__main__":
    sys.exit(asyncio.run(serve(AsyncDurableService(URL, ALL, lease=0.6, grace=float(os.environ.get("GRACE", "5")), build="one"))))
