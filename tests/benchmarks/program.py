"""The workflows that are measured."""

from __future__ import annotations

from datetime import datetime

from redrive import Flow, Now, Signal, Sleep, WaitSignal, step, workflow

go = Signal("go", int)


@step
async def add(n: int) -> int:
    return n + 1


@step
def add_sync(n: int) -> int:
    return n + 1


@workflow("bench.steps")
def steps(count: int) -> Flow[int]:
    total = 0
    for number in range(count):
        total = yield from add(number)
    return total


@workflow("bench.sync_steps")
def sync_steps(count: int) -> Flow[int]:
    total = 0
    for number in range(count):
        total = yield from add_sync(number)
    return total


@workflow("bench.waits")
def waits() -> Flow[int]:
    return (yield from WaitSignal(go))


@workflow("bench.sleeps")
def sleeps(until: datetime) -> Flow[datetime]:
    yield from Sleep(until=until)
    return (yield from Now())


WORKFLOWS = [steps, sync_steps, waits, sleeps]
