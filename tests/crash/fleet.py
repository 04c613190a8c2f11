"""A worker of the fleet, and what it runs: ``python -m tests.crash.fleet URL EFFECTS``. It works until it is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import time
from datetime import timedelta
from pathlib import Path

import attrs

from redrive import (
    All,
    AsyncDurableService,
    Flow,
    Map,
    Race,
    Retry,
    Rollback,
    RunChild,
    Signal,
    Sleep,
    StartChild,
    WaitChild,
    WaitSignal,
    current_step,
    step,
    workflow,
)

LEASE = timedelta(seconds=0.6)
word = Signal("fleet.word", int)
effects = Path(sys.argv[2]) if len(sys.argv) > 2 else Path()


def leave(what: str) -> None:
    """One line for each time that a body runs; on disk or not there, whatever kills us."""
    me = current_step()
    handle = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{me.execution_id} {me.key} {what} {me.idempotency_key} {me.attempt} {os.getpid()}\n".encode())
    os.close(handle)


@step
def undo_sync(n: int) -> None:
    leave("undone")


@step(undo=undo_sync)
def sync(n: int) -> int:
    leave("done")
    return n


@step
async def slow(n: int) -> int:
    leave("done")
    await asyncio.sleep(0.03)
    return n


@step(retry=Retry(attempts=3, delay=0.02, factor=1))
async def moody(n: int) -> int:
    leave("tried")
    if current_step().attempt < 3:
        raise ValueError(n)
    return n


@step
def held(gate: str) -> int:
    """Runs until its file is there; gives back the process that ran it."""
    leave("held")
    while not os.path.exists(gate):
        os.stat(".")
    return os.getpid()


@workflow("fleet.child")
def child(n: int) -> Flow[int]:
    a = yield from slow(n)
    yield from Sleep(0.02)
    return a + (yield from sync(1))


@attrs.frozen
class Program:
    """What one execution does: names of moves, one after another."""

    moves: tuple[str, ...]
    fails: bool

    @classmethod
    def draw(cls, seed: int) -> Program:
        chance = random.Random(seed)
        moves = ("sync", "slow", "moody", "sleep", "all", "map", "race", "child", "apart", "word")
        return cls(tuple(chance.choice(moves) for _ in range(chance.randint(3, 7))), chance.random() < 0.3)

    def expected(self) -> str:
        total = sum(VALUES[move] * (n + 1) for n, move in enumerate(self.moves))
        undone = sum(move in ("sync", "all") for move in self.moves)
        return f"{total} undone {undone}" if self.fails else f"{total}"


VALUES = {"sync": 1, "slow": 1, "moody": 1, "sleep": 1, "all": 2, "map": 3, "race": 1, "child": 2, "apart": 2, "word": 1}


@workflow("fleet.program")
def program(moves: tuple[str, ...], fails: bool) -> Flow[str]:
    total = 0
    for n, move in enumerate(moves):
        total += (yield from one(move)) * (n + 1)
    if fails:
        undone = yield from Rollback("as drawn")
        return f"{total} undone {len(undone)}"
    return f"{total}"


def one(move: str) -> Flow[int]:
    match move:
        case "sync":
            return (yield from sync(1))
        case "slow":
            return (yield from slow(1))
        case "moody":
            return (yield from moody(1))
        case "sleep":
            yield from Sleep(0.05)
            return 1
        case "all":
            return sum((yield from All(sync(1), slow(1))))
        case "map":
            return sum((yield from Map(slow, [1, 1, 1])))
        case "race":
            won = yield from Race(slow(1), Sleep(3600))
            return won.value or 0
        case "child":
            return (yield from RunChild(child(1)))
        case "apart":
            ref = yield from StartChild(child(1))
            return (yield from WaitChild(ref))
        case _:
            return (yield from WaitSignal(word))


@workflow("fleet.held")
def holding(gate: str) -> Flow[int]:
    return (yield from held(gate))


@step
async def clock() -> tuple[int, float]:
    leave("told")
    return os.getpid(), time.time()


@workflow("fleet.timed")
def timed(seconds: float) -> Flow[tuple[int, float]]:
    yield from clock()
    yield from Sleep(seconds)
    return (yield from clock())


def service(url: str, *, worker: bool = True, lease: timedelta = LEASE) -> AsyncDurableService:
    return AsyncDurableService(url, [program, child, holding, timed], worker=worker, lease=lease, grace=0, build="fleet")


async def main() -> None:
    with contextlib.ExitStack() as stack:
        if off := float(os.environ.get("FLEET_CLOCK_OFF", 0)):
            import time_machine

            stack.enter_context(time_machine.travel(time.time() + off, tick=True))
        await work()


async def work() -> None:
    async with service(sys.argv[1]):
        print("working", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    # Under -m this module is `__main__`; the parent process knows the same workflows by the same names.
    asyncio.run(main())
