"""A worker as people write one: works on the store of argv[1] until told to stop; what its steps do is in the file of argv[2]."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

from redrive import (
    AsyncDurableService,
    Emit,
    Event,
    Flow,
    Retry,
    RunChild,
    Sleep,
    StepInterrupted,
    current_step,
    step,
    workflow,
)
from redrive.cli.serve import serve

URL, LOG = sys.argv[1:]


emitted = Event("serves.emitted", int)


def leave(what: str, attempt: int | None = None) -> None:
    handle = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{what} {current_step().attempt if attempt is None else attempt}\n".encode())
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


@workflow("serves.emits")
def emits_flow(times: int) -> Flow[int]:
    for n in range(1, times + 1):
        yield from Emit(emitted, n)
        yield from Sleep(0)
    return times


@step
def deadly() -> None:
    leave("deadly")
    os.kill(os.getpid(), signal.SIGKILL)


@workflow("serves.deadly")
def deadly_flow() -> Flow[None]:
    yield from deadly()


ALL = [sync_flow, deaf_flow, moody_flow, once_flow, parent_flow, emits_flow, deadly_flow]


def made() -> AsyncDurableService:
    service = AsyncDurableService(URL, ALL, lease=0.6, grace=float(os.environ.get("GRACE", "5")), build="one", max_recoveries=2)

    @service.on(emitted, name="handler")
    def handle(n: int) -> None:
        leave("handled", n)
        time.sleep(float(os.environ.get("PAUSE", "0")))

    return service


if __name__ == "__main__":
    sys.exit(asyncio.run(serve(made())))
