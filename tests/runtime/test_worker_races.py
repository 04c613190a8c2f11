"""Many things at once: signals, timers, answers, cancels, two workers. Whatever happens, the history replays to the same end."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from redrive import (
    All,
    AsyncDurableService,
    Cancelled,
    ExecutionEnded,
    ExecutionFinished,
    Flow,
    Race,
    Retry,
    Settle,
    Signal,
    Sleep,
    WaitSignal,
    current_step,
    step,
    workflow,
)
from redrive.codec import JsonCodec
from redrive_interpreter import Finished, drive

word = Signal("word", int)


@step
async def quick(n: int) -> int:
    await asyncio.sleep(0.001 * (n % 4))
    return n


@step(retry=Retry(attempts=3, delay=0.003))
def moody(n: int) -> int:
    if current_step().attempt <= n % 3:
        raise ValueError(n)
    return n


@step
async def give_back(n: int) -> None:
    await asyncio.sleep(0)


@step(undo=give_back)
async def take(n: int) -> int:
    await asyncio.sleep(0.002)
    return n


@workflow("races.busy", on_failure="rollback", on_cancel="rollback")
def busy(seed: int) -> Flow[list[int]]:
    seen: list[int] = []
    for n in range(4):
        won = yield from Race(WaitSignal(word, timeout=0.02, default=-1), Sleep(0.01), quick(n + seed))
        seen.append(won.index)
        a, b, c = yield from All(moody(n + seed), take(n), WaitSignal(word, timeout=0.005, default=-2))
        seen += [a, b, c]
        yield from Settle(Race(take(seed), Sleep(0.001)))
    try:
        seen.append((yield from WaitSignal(word, timeout=0.01, default=-3)))
    except Cancelled:
        yield from quick(seed)
        raise
    if seed % 5 == 0:
        raise ValueError("on purpose")
    return seen


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happened_the_history_replays_to_the_same_end(store_url: str, seed: int) -> None:
    chance = random.Random(seed)
    codec = JsonCodec()
    async with (
        AsyncDurableService(store_url, [busy], cache=15, lease=0.5) as one,
        AsyncDurableService(store_url, [busy], lease=0.5) as two,
    ):
        executions = [await chance.choice((one, two)).start(busy(n), id=f"e{n}") for n in range(40)]

        async def disturb() -> None:
            for _ in range(200):
                service, id = chance.choice((one, two)), f"e{chance.randrange(40)}"
                with contextlib.suppress(ExecutionFinished):
                    if chance.random() < 0.05:
                        await service.execution(id).cancel("by chance")
                    else:
                        await service.signal(id, word, chance.randrange(100))
                await asyncio.sleep(chance.random() * 0.002)

        disturbing = asyncio.create_task(disturb())
        for execution in executions:
            with contextlib.suppress(ExecutionEnded):
                await execution.result(20)
        await disturbing
        for execution in executions:
            info = await execution.info()
            verdict = drive(busy, await execution.history(), codec)
            assert isinstance(verdict, Finished)
            assert (verdict.status, info.in_doubt) == (info.status, info.in_doubt)
            assert not info.parked
