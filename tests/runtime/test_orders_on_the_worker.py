"""Orders on a living worker: a cancel, a signal, the deadline, at every commit and in every body of several workflows.

The store is a real one that lets the test act at each point: before a turn is applied, after it is applied and before it is
acknowledged, and while a body runs. All points are tried, each in a run of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from redrive import (
    All,
    AsyncDurableService,
    Cancelled,
    ExecutionEnded,
    ExecutionFinished,
    Flow,
    Map,
    Race,
    Retry,
    RunChild,
    Signal,
    Sleep,
    Spawn,
    WaitSignal,
    current_step,
    step,
    workflow,
)
from redrive.codec import JsonCodec
from redrive.ports.store import Claim, CommitResult, Turn
from redrive.stores.memory import MemoryStore
from redrive_interpreter import Finished, drive
from tests.contracts.clocks import Clock

go = Signal("go", str)
MOST_POINTS = 40


@attrs.define
class Director:
    """Acts at the *at*-th point of a run; *log* says in which order things happened."""

    act: Callable[[], Awaitable[None]] | None = None
    at: int = -1
    points: int = 0
    log: list[str] = attrs.Factory(list[str])
    where: str = ""

    async def point(self, where: str) -> None:
        self.points += 1
        if self.points - 1 == self.at and self.act is not None:
            self.where = where
            await self.act()


DIRECTOR = Director()


class DirectedStore(MemoryStore):
    async def commit(self, claim: Claim, turn: Turn) -> CommitResult:
        if claim.id != "x":
            return await super().commit(claim, turn)
        await DIRECTOR.point("before a commit")
        committed = await super().commit(claim, turn)
        await DIRECTOR.point("after a commit")
        return committed


async def _body(name: str) -> None:
    DIRECTOR.log.append(name)
    await DIRECTOR.point(f"in {name}")
    if not name.startswith("moody") or current_step().attempt == 2:
        DIRECTOR.log.append(f"end of {name}")


@step
async def refund(n: int) -> None:
    DIRECTOR.log.append(f"undo {n}")


@step(undo=refund)
async def charge(n: int) -> int:
    await _body(f"charge {n}")
    return n


@step
async def pack(n: int) -> int:
    await _body(f"pack {n}")
    return n


@step(at_most_once=True, undo=refund)
async def wire(n: int) -> int:
    await _body(f"wire {n}")
    return n


@step(undo=refund, retry=Retry(attempts=2, delay=0.0))
async def moody(n: int) -> int:
    await _body(f"moody {n}")
    if current_step().attempt == 1:
        raise ValueError(n)
    return n


@step
async def tidy() -> None:
    DIRECTOR.log.append("cleanup")


@workflow("orders.child", on_cancel="rollback")
def child() -> Flow[None]:
    yield from charge(9)


@workflow("orders.sequence", on_cancel="rollback", on_failure="rollback")
def sequence() -> Flow[None]:
    yield from pack(1)
    yield from charge(2)
    yield from Sleep(0)
    yield from charge(3)


@workflow("orders.kinds", on_cancel="rollback", on_failure="rollback")
def kinds() -> Flow[None]:
    yield from wire(1)
    yield from moody(2)
    yield from wire(3)


@workflow("orders.parallel", on_cancel="rollback", on_failure="rollback")
def parallel() -> Flow[None]:
    yield from All(charge(1), pack(2), wire(3))
    yield from Map(charge, [4, 5, 6], limit=1)


@workflow("orders.signalled", on_cancel="rollback", on_failure="rollback")
def signalled() -> Flow[None]:
    yield from pack(1)
    yield from Race(WaitSignal(go), charge(2))
    yield from charge(3)


@workflow("orders.branch")
def branch() -> Flow[None]:
    yield from charge(1)
    yield from charge(2)


@workflow("orders.tidies", on_failure="rollback")
def tidies() -> Flow[None]:
    try:
        yield from Spawn(branch())
        yield from pack(3)
        yield from RunChild(child(), id="c")
    except Cancelled:
        yield from tidy()
        raise


WORKFLOWS = [sequence, kinds, parallel, signalled, tidies]


@attrs.frozen
class Seen:
    log: list[str]
    where: str
    status: str
    acted: bool


async def run_once(flow: Any, act: str, at: int) -> Seen:
    global DIRECTOR
    clock = Clock()
    store = DirectedStore(clock)
    DIRECTOR = director = Director(at=at)
    async with AsyncDurableService(store, [*WORKFLOWS, child, branch], grace=0) as service:
        execution = service.execution("x", flow)
        refused = False

        async def cancel() -> None:
            nonlocal refused
            try:
                await execution.cancel("no")
                director.log.append("CANCEL")
            except ExecutionFinished:
                refused = True

        async def signal() -> None:
            with contextlib.suppress(ExecutionFinished):
                await execution.signal(go, "now")

        async def acts() -> None:
            for one in act.split(", "):
                if one == "deadline":
                    clock.now += timedelta(hours=2)
                    await service._clock.ask(store)
                    director.log.append("DEADLINE")
                elif one == "cancel":
                    await cancel()
                else:
                    await signal()

        director.act = acts
        await service.start(flow(), id="x", timeout=3600 if "deadline" in act else None)
        try:
            await execution.result(10)
        except ExecutionEnded:
            pass
        except TimeoutError:  # only a signal could have ended it
            raise AssertionError(f"{act} at {director.where}: {director.log}") from None
        info = await execution.info()
        await asyncio.sleep(0)
        verdict = drive(flow, await execution.history(), JsonCodec())
        assert isinstance(verdict, Finished)
        assert verdict.status == info.status
        assert info.in_doubt == () or info.status != "completed"
        acted = director.points > at and not refused
    return Seen(director.log, director.where, info.status, acted)


def began_after(seen: Seen, marker: str) -> list[str]:
    """The bodies that began after *marker*, undos and cleanup apart."""
    after = seen.log[seen.log.index(marker) + 1 :]
    return [entry for entry in after if not entry.startswith(("end of", "undo", "cleanup", "CANCEL", "DEADLINE"))]


def undone(seen: Seen) -> list[int]:
    return sorted(int(entry.split()[-1]) for entry in seen.log if entry.startswith("undo") and not entry.endswith(" 9"))


def done(seen: Seen) -> list[int]:
    ends = ("end of charge", "end of wire", "end of moody")
    count = {int(entry.split()[-1]) for entry in seen.log if entry.startswith(ends) and not entry.endswith(" 9")}
    return sorted(count)


@pytest.mark.parametrize("act", ["cancel", "signal, cancel", "cancel, signal", "deadline"])
@pytest.mark.parametrize("flow", WORKFLOWS, ids=lambda flow: flow.name)
async def test_nothing_begins_after_what_came_first(flow: Any, act: str) -> None:
    """E3, E4, S10: at every point; what completed is undone, once, and the run ends as it was told to."""
    marker = "DEADLINE" if act == "deadline" else "CANCEL"
    for at in itertools.count():
        seen = await run_once(flow, act, at)
        if not seen.acted:
            if marker not in seen.log:
                assert seen.status in ("completed", "failed")
            break
        told = f"{act} at point {at}, {seen.where}: {seen.log}, {seen.status}"
        began = began_after(seen, marker)
        if seen.where == "after a commit":
            # The turn was answered already: what it asked for may begin, and no more than that.
            assert len(began) <= (3 if flow is parallel else 1), told
        elif seen.where == "in charge 1":
            # Those that were asked for with the body begin with it, before the worker can hear of anything.
            assert set(began) <= {"pack 2", "wire 3", "pack 3"}, told
        else:
            assert began == [], told
        ends = ("cancelled",) if marker == "CANCEL" else ("failed",)
        if marker == "DEADLINE" and seen.where.endswith("a commit"):
            ends += ("completed",)  # the turn that ends it was computed, or stored, in time
        assert seen.status in ends, told
        if seen.status != "completed" and (flow is not tidies or marker == "DEADLINE"):
            assert undone(seen) == done(seen), told
        assert at < MOST_POINTS, told
