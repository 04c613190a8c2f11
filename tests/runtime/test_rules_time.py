"""Clocks that jump, executions by the thousand, deadlines: what time does to executions, and what it must not do."""

from __future__ import annotations

import asyncio
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from redrive import (
    AsyncDurableService,
    Cancelled,
    ExecutionFailed,
    Flow,
    RunChild,
    Signal,
    Sleep,
    WaitSignal,
    WorkflowTimeout,
    step,
    workflow,
)
from redrive.ports.store import Store
from redrive.stores.memory import MemoryStore
from redrive.stores.sqlite import SQLiteStore
from tests.runtime.support import standing, true

go = Signal("go", str)
calls: list[str] = []


class Dial:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def dial() -> Dial:
    return Dial()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path, dial: Dial) -> Store:
    return MemoryStore(dial) if request.param == "memory" else SQLiteStore(str(tmp_path / "it.db"), clock=dial)


@step
async def note(what: str) -> None:
    calls.append(what)


@workflow("rules.sleeper")
def sleeper(seconds: float) -> Flow[str]:
    yield from Sleep(seconds)
    yield from note("woke")
    return "woke"


@workflow("rules.listener")
def listener() -> Flow[str]:
    return (yield from WaitSignal(go, timeout=3600))


@workflow("rules.straight")
def straight() -> Flow[str]:
    yield from note("ran")
    return "ran"


ALL = [sleeper, listener, straight]


async def test_a_day_back_delays_nothing_that_was_due_at_once(store: Store, dial: Dial) -> None:
    """T4, W2: what was started, or running, before the clock went back is not left alone until the day is over."""
    calls.clear()
    async with AsyncDurableService(store, worker=False) as client:
        execution = await client.start(straight())
        waiting = await client.start(listener())
        dial.ahead = timedelta(days=-1)
        async with AsyncDurableService(store, ALL, lease=0.5):
            assert await execution.result(10) == "ran"
            await standing(waiting, "suspended")
            await waiting.signal(go, "heard")
            assert await waiting.result(10) == "heard"
            assert await (await client.start(straight())).result(10) == "ran"


async def test_a_worker_that_dies_after_the_clock_went_back_is_taken_over(store: Store, dial: Dial) -> None:
    """T4, W2."""
    began: list[int] = []

    @step
    async def held() -> int:
        began.append(1)
        if len(began) == 1:
            await asyncio.sleep(3600)
        return len(began)

    @workflow("rules.held")
    def flow() -> Flow[int]:
        return (yield from held())

    first = AsyncDurableService(store, [flow], lease=0.4, grace=0)
    await first.__aenter__()
    await first.start(flow(), id="it")
    await true(lambda: began)
    assert first._worker is not None
    for task in (*first._tasks, *first._worker._tasks):  # what SIGKILL does, without the process
        task.cancel()
    dial.ahead = timedelta(days=-1)
    async with AsyncDurableService(store, [flow], lease=0.4) as second:
        assert await second.execution("it", flow).result(10) == 2
    await first.close()


async def test_a_day_forward_wakes_each_sleeper_once(store: Store, dial: Dial) -> None:
    """T4, T1: and the live worker keeps what it has."""
    calls.clear()
    async with AsyncDurableService(store, ALL, lease=0.3) as service:
        executions = [await service.start(sleeper(3600.0 * n)) for n in range(1, 21)]
        for execution in executions:
            await standing(execution, "suspended")
        dial.ahead = timedelta(days=1)
        assert await asyncio.gather(*(execution.result(10) for execution in executions)) == ["woke"] * 20
        dial.ahead = timedelta(0)
        assert await (await service.start(sleeper(0.01))).result(10) == "woke"
    assert calls == ["woke"] * 21


async def test_ten_thousand_asleep_cost_a_worker_nothing(tmp_path: Path) -> None:
    """T5: not held in memory, not looked at again; one that is due among them still wakes in time."""
    async with AsyncDurableService(f"sqlite:///{tmp_path / 'it.db'}", ALL, cache=50) as service:
        asleep = []
        for begin in range(0, 10_000, 500):
            asleep += await asyncio.gather(*(service.start(sleeper(3600.0)) for _ in range(begin, begin + 500)))
        assert service._worker is not None
        worker = service._worker
        await true(lambda: len(worker.lives) <= 50)
        for execution in (asleep[0], asleep[5_000]):  # one that ran, was evicted, and owns a timer
            info = await standing(execution, "suspended")
            assert [wait.until is not None for wait in info.waiting_on] == [True]
        tracemalloc.start()
        try:
            before = asyncio.get_running_loop().time()
            for _ in range(20):
                assert await (await service.start(sleeper(0.0))).result(10) == "woke"
            took = asyncio.get_running_loop().time() - before
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert grown < 5_000_000
        assert took < 5


@workflow("rules.child")
def child() -> Flow[str]:
    return (yield from WaitSignal(go))


@workflow("rules.dated")
def dated() -> Flow[str]:
    try:
        yield from RunChild(child(), id="the-child")
    except Cancelled as cancelled:
        yield from note(f"tidied: {cancelled.by}")
        return "kept for info() only"
    return "in time"


async def test_a_deadline_passes_while_nobody_works(store: Store, dial: Dial) -> None:
    """E4: `Cancelled` by deadline is thrown, cleanup runs, the child is cancelled, and it ends with `WorkflowTimeout`."""
    calls.clear()
    async with AsyncDurableService(store, [dated, child]) as service:
        execution = await service.start(dated(), id="it", timeout=600)
        await standing(execution, "suspended")
    dial.ahead = timedelta(hours=1)
    async with AsyncDurableService(store, [dated, child]) as service:
        execution = service.execution("it", dated)
        with pytest.raises(ExecutionFailed) as failed:
            await execution.result(10)
        assert isinstance(failed.value.cause, WorkflowTimeout)
        assert (await service.execution("the-child").info()).status == "cancelled"
    assert calls == ["tidied: deadline"]


async def test_a_deadline_holds_over_all_runs(store: Store, dial: Dial) -> None:
    """E4, E9."""
    from redrive import ContinueAs

    @workflow("rules.runs")
    def runs(n: int) -> Flow[int]:
        yield from WaitSignal(go)
        return (yield from ContinueAs(runs(n + 1)))

    async with AsyncDurableService(store, [runs], lease=0.3) as service:
        execution = await service.start(runs(0), timeout=600)
        due = (await execution.info()).deadline
        for n in range(1, 4):
            await execution.signal(go, "on")
            while (await execution.info()).number <= n:
                await asyncio.sleep(0.002)
        assert (await execution.info()).deadline == due
        await standing(execution, "suspended")
        dial.ahead = timedelta(hours=1)
        with pytest.raises(ExecutionFailed) as failed:
            await execution.result(10)
        assert isinstance(failed.value.cause, WorkflowTimeout)


async def test_a_timeout_of_result_names_status_and_reason(store: Store) -> None:
    """What a person reads when it takes too long."""
    async with AsyncDurableService(store, ALL) as service:
        execution = await service.start(listener(), id="it")
        await standing(execution, "suspended")
        with pytest.raises(TimeoutError, match=r"'it' is suspended: it waits for signal go, until 20"):
            await execution.result(0.01)
    async with AsyncDurableService(store, worker=False) as client:
        with pytest.raises(TimeoutError, match=r"'it' is suspended: it waits for signal go"):
            await client.execution("it").result(0.01)
        await client.signal("it", go, "at last")
    async with AsyncDurableService(store, ALL) as service:
        assert await service.execution("it").result(10) == "at last"
    async with AsyncDurableService(store, worker=False) as client:
        assert await client.execution("it", listener).result(10) == "at last"
