"""A table: what was stored before a worker came × what the turn would do. Nothing that is older than a turn is ignored.

Everything is stored while no worker lives; then one comes. Whatever the turn would do, no body begins (E3, E4), nothing is
undone that was not done, nothing that never began is in doubt, and the history replays to the same end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from redrive import (
    All,
    AsyncDurableService,
    AsyncExecution,
    Cancelled,
    ContinueAs,
    Emit,
    Event,
    ExecutionCancelled,
    ExecutionEnded,
    ExecutionFailed,
    Flow,
    Invocation,
    Join,
    Map,
    Race,
    Retry,
    RunChild,
    SetAttribute,
    Settle,
    Signal,
    Sleep,
    Spawn,
    StartChild,
    WaitSignal,
    Workflow,
    current_step,
    step,
    workflow,
)
from redrive.codec import JsonCodec
from redrive.ports.store import Store
from redrive.stores.memory import MemoryStore
from redrive.stores.sqlite import SQLiteStore
from redrive_interpreter import Attribute, Finished, drive
from tests.contracts.clocks import Clock
from tests.runtime.support import standing

go = Signal("go", str)
heard = Event("heard", str)
state = Attribute("state", str)
RAN: list[str] = []


@pytest.fixture(autouse=True)
def ran() -> list[str]:
    RAN.clear()
    return RAN


@step
async def refund(n: int) -> None:
    RAN.append("refund")


@step
async def plain(n: int) -> int:
    RAN.append("plain")
    return n


@step
def in_a_thread(n: int) -> int:
    RAN.append("in a thread")
    return n


@step(undo=refund, retry=Retry(attempts=3, delay=0.01))
async def charge(n: int) -> int:
    RAN.append("charge")
    return n


@step(undo=refund)
def charge_in_a_thread(n: int) -> int:
    RAN.append("charge in a thread")
    return n


@step(at_most_once=True)
async def wire(n: int) -> int:
    RAN.append("wire")
    return n


@step(at_most_once=True)
def wire_in_a_thread(n: int) -> int:
    RAN.append("wire in a thread")
    return n


@workflow("older.child")
def child() -> Flow[None]:
    yield from plain(1)


@workflow("older.next")
def next_run() -> Flow[None]:
    yield from plain(2)


def returns() -> Flow[None]:
    yield from ()


def fails() -> Flow[None]:
    yield from ()
    raise ValueError("on purpose")


def runs(one: Any) -> Callable[[], Flow[None]]:
    def then() -> Flow[None]:
        yield from one(1)

    return then


def undoes_when_ready() -> Flow[None]:
    yield from plain(1).options(undo=refund(1))


def starts_a_child() -> Flow[None]:
    yield from StartChild(child())
    yield from WaitSignal(go)


def runs_a_child() -> Flow[None]:
    yield from RunChild(child())


def continues() -> Flow[None]:
    return (yield from ContinueAs(next_run()))


def all_of() -> Flow[None]:
    yield from All(charge(1), plain(2), Sleep(0.001), wire(3))


def maps() -> Flow[None]:
    yield from Map(charge, [1, 2, 3], limit=2)


def races() -> Flow[None]:
    yield from Race(charge(1), Sleep(5))


def settles() -> Flow[None]:
    yield from Settle(charge(1))


def spawns() -> Flow[None]:
    task = yield from Spawn(charge(1))
    yield from Join(task)


def emits() -> Flow[None]:
    yield from SetAttribute(state, "on its way")
    yield from Emit(heard, "x")
    yield from plain(1)


def cleans_up() -> Flow[None]:
    try:
        yield from charge(1)
    except Cancelled:
        yield from Sleep(0)
        raise


def naps() -> Flow[None]:
    yield from Sleep(0)
    yield from Sleep(0.001)
    yield from plain(1)


TURNS: dict[str, Callable[[], Flow[None]]] = {
    "returns": returns,
    "fails": fails,
    "plain": runs(plain),
    "in a thread": runs(in_a_thread),
    "charge": runs(charge),
    "charge in a thread": runs(charge_in_a_thread),
    "wire": runs(wire),
    "wire in a thread": runs(wire_in_a_thread),
    "a ready undo": undoes_when_ready,
    "starts a child": starts_a_child,
    "runs a child": runs_a_child,
    "continues": continues,
    "all": all_of,
    "map": maps,
    "race": races,
    "settle": settles,
    "spawn": spawns,
    "emits": emits,
    "cleans up": cleans_up,
    "naps": naps,
}


@workflow("older.first", on_cancel="rollback", on_failure="rollback")
def at_first(turn: str) -> Flow[None]:
    return (yield from TURNS[turn]())


@workflow("older.signalled", on_cancel="rollback", on_failure="rollback")
def after_a_signal(turn: str) -> Flow[None]:
    yield from WaitSignal(go)
    return (yield from TURNS[turn]())


@workflow("older.slept", on_cancel="rollback", on_failure="rollback")
def after_a_sleep(turn: str) -> Flow[None]:
    yield from Sleep(3600)
    return (yield from TURNS[turn]())


@workflow("older.told", on_cancel="rollback", on_failure="rollback")
def after_a_child(turn: str) -> Flow[None]:
    yield from RunChild(waits_for_go(), id=f"child of {turn}")
    return (yield from TURNS[turn]())


@workflow("older.waits")
def waits_for_go() -> Flow[None]:
    yield from WaitSignal(go)


@step(undo=refund, retry=Retry(attempts=3, delay=3600))
async def unlucky(n: int) -> int:
    RAN.append(f"attempt {current_step().attempt}")
    raise ValueError(n)


@workflow("older.retries", on_cancel="rollback")
def retries() -> Flow[None]:
    yield from unlucky(1)


WORKFLOWS: list[Workflow[..., Any]] = [
    retries,
    at_first,
    after_a_signal,
    after_a_sleep,
    after_a_child,
    waits_for_go,
    child,
    next_run,
]
Act: TypeAlias = Callable[[AsyncExecution[Any]], Awaitable[Any]]
Tables: TypeAlias = "Callable[[], contextlib.AbstractAsyncContextManager[Table]]"


class Table:
    """A client that lives all the time, workers that come and go, and a clock that moves while there is none."""

    def __init__(self, client: AsyncDurableService, clock: Clock, connect: Callable[[], Store]) -> None:
        self.client = client
        self._clock, self._connect = clock, connect

    @contextlib.asynccontextmanager
    async def worker(self, *workflows: Workflow[..., Any]) -> AsyncIterator[AsyncDurableService]:
        async with AsyncDurableService(self._connect(), workflows or WORKFLOWS, grace=0) as service:
            yield service

    def pass_time(self, **by: float) -> None:
        self._clock.now += timedelta(**by)

    async def suspended(self, make: Callable[[str], Invocation[Any]], **options: Any) -> dict[str, AsyncExecution[Any]]:
        """One execution for each turn, suspended before it, and no worker."""
        async with self.worker():
            made = {turn: await self.client.start(make(turn), id=turn, **options) for turn in TURNS}
            for execution in made.values():
                await standing(execution, "suspended")
        return made

    async def ends(self, executions: dict[str, AsyncExecution[Any]], error: type[ExecutionEnded]) -> None:
        """A worker comes: all of them end with *error*, and no body has begun."""
        async with self.worker():
            for turn, execution in executions.items():
                with pytest.raises(error):
                    await execution.result(10)
                info = await execution.info()
                status = "cancelled" if error is ExecutionCancelled else "failed"
                assert (turn, info.status, info.undone, info.in_doubt) == (turn, status, (), ())
                assert execution.workflow is not None
                verdict = drive(execution.workflow, await execution.history(), JsonCodec())
                assert isinstance(verdict, Finished)
                assert verdict.status == status
            await asyncio.sleep(0.01)  # a body that nobody waited for would have begun by now
        assert RAN == []


@pytest.fixture(params=["memory", "sqlite"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Tables:
    clock = Clock()
    memory = MemoryStore(clock)

    def connect() -> Store:
        return memory if request.param == "memory" else SQLiteStore(str(tmp_path / "it.db"), clock=clock)

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Table]:
        async with AsyncDurableService(connect(), WORKFLOWS, worker=False) as client:
            yield Table(client, clock, connect)

    return opened


@pytest.mark.parametrize("options", [{}, {"delay": 100}], ids=["due", "later"])
async def test_a_cancel_before_the_first_turn(table: Tables, options: dict[str, Any]) -> None:
    """E3: it ends at once, with no worker's help; a worker that comes then has nothing to do."""
    async with table() as one:
        made = {turn: await one.client.start(at_first(turn), id=turn, **options) for turn in TURNS}
        events = one.client.subscribe(heard)
        for execution in made.values():
            await execution.cancel("no longer wanted")
            info = await execution.info()
            assert (info.status, [type(row).__name__ for row in await execution.history()]) == (
                "cancelled",
                ["Started", "CancelRequested", "Ended"],
            )
            assert await execution.attributes() == {}
            with pytest.raises(ExecutionCancelled, match="no longer wanted"):
                await execution.result(1)
        await one.ends(made, ExecutionCancelled)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(aiter(events)), 0.05)


async def test_a_deadline_that_passed_before_the_first_turn(table: Tables) -> None:
    """E4: nothing is stored past it but cleanup, and there is nothing to clean up."""
    async with table() as one:
        made = {turn: await one.client.start(at_first(turn), id=turn, timeout=60) for turn in TURNS}
        one.pass_time(minutes=2)
        await one.ends(made, ExecutionFailed)
        for execution in made.values():
            assert [type(row).__name__ for row in await execution.history()] == ["Started", "DeadlinePassed", "Ended"]
            assert await execution.attributes() == {}


async def test_a_cancel_after_the_deadline_and_before_the_first_turn(table: Tables) -> None:
    """O3: the older of the two counts, once a run is interrupted; but who never began is cancelled at once."""
    async with table() as one:
        made = {turn: await one.client.start(at_first(turn), id=turn, timeout=60) for turn in TURNS}
        one.pass_time(minutes=2)
        for execution in made.values():
            await execution.cancel("late")
        await one.ends(made, ExecutionCancelled)


async def _signal(execution: AsyncExecution[Any]) -> None:
    await execution.signal(go, "now")


async def _cancel(execution: AsyncExecution[Any]) -> None:
    await execution.cancel("no")


@pytest.mark.parametrize("acts", [(_signal, _cancel), (_cancel, _signal), (_cancel,)], ids=["signal, cancel", "cancel, signal", "cancel"])
async def test_a_signal_and_a_cancel_before_a_turn(table: Tables, acts: tuple[Act, ...]) -> None:
    """E3, O2: whatever the signal's turn would do."""
    async with table() as one:
        made = await one.suspended(after_a_signal)
        for execution in made.values():
            for act in acts:
                await act(execution)
            assert (await execution.info()).status == "cancelling"
        await one.ends(made, ExecutionCancelled)


async def test_a_timer_that_is_due_and_a_later_cancel(table: Tables) -> None:
    """O3: the sleep is over; the body after it does not begin, and a run that would end is cancelled."""
    async with table() as one:
        made = await one.suspended(after_a_sleep)
        one.pass_time(hours=2)
        for execution in made.values():
            await execution.cancel("after its time")
        await one.ends(made, ExecutionCancelled)


async def test_a_signal_and_a_deadline_that_passed_before_a_turn(table: Tables) -> None:
    """E4: the signal was in time, and its turn would be stored past the deadline."""
    async with table() as one:
        made = await one.suspended(after_a_signal, timeout=3600)
        for execution in made.values():
            await execution.signal(go, "in time")
        one.pass_time(hours=2)
        await one.ends(made, ExecutionFailed)


async def test_a_timer_and_a_later_deadline_that_passed_before_a_turn(table: Tables) -> None:
    async with table() as one:
        made = await one.suspended(after_a_sleep, timeout=5400)
        one.pass_time(hours=2)
        await one.ends(made, ExecutionFailed)


async def test_a_child_that_ended_and_a_later_cancel(table: Tables) -> None:
    """O2: the child's result and the cancel lie in the inbox together."""
    async with table() as one:
        made = await one.suspended(after_a_child)
        async with one.worker(waits_for_go):
            for turn in made:
                await one.client.execution(f"child of {turn}").signal(go, "now")
                await one.client.execution(f"child of {turn}").result(10)
        for execution in made.values():
            await execution.cancel("no")
        await one.ends(made, ExecutionCancelled)


async def test_a_retry_that_became_due_after_a_cancel_is_not_made(table: Tables) -> None:
    """S10: no further attempt; it was waiting when the cancel was stored, however late a worker comes."""
    async with table() as one:
        async with one.worker():
            execution = await one.client.start(retries(), id="r")
            while RAN != ["attempt 1"] or (await execution.info()).status != "suspended":
                await asyncio.sleep(0.002)
        await execution.cancel("no")
        one.pass_time(hours=2)
        async with one.worker():
            with pytest.raises(ExecutionCancelled):
                await execution.result(10)
        assert RAN == ["attempt 1"]
        assert (await execution.info()).in_doubt == ()
