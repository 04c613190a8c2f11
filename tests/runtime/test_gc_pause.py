"""The garbage collector pauses while a long history is read, and for a moment when a crowd of timers, starts or steps comes."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from redrive import All, AsyncDurableService, Flow, Signal, Sleep, WaitSignal, Workflow, step, workflow
from redrive.worker.gc_pause import CROWD, MANY, no_collection, no_collection_for_a_moment


@pytest.fixture(autouse=True)
def the_collector_as_it_was() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if enabled else gc.disable)()


def test_it_does_not_run_while_a_long_history_is_read_and_runs_again_after() -> None:
    with no_collection(MANY):
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_short_history_does_not_touch_it() -> None:
    with no_collection(MANY - 1):
        assert gc.isenabled()


def test_it_runs_again_after_an_error() -> None:
    with pytest.raises(ValueError, match="unreadable"), no_collection(MANY):
        raise ValueError("unreadable")
    assert gc.isenabled()


def test_one_that_the_program_switched_off_stays_off() -> None:
    gc.disable()
    with no_collection(MANY):
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_one_history_read_within_another_ends_no_pause() -> None:
    with no_collection(MANY):
        with no_collection(MANY):
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def moment_over() -> None:
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(10)


def test_it_pauses_for_a_moment_and_runs_again_whatever_becomes_of_the_loop() -> None:
    no_collection_for_a_moment()
    assert not gc.isenabled()
    moment_over()
    assert gc.isenabled()


def test_a_moment_does_not_switch_it_on_where_the_program_switched_it_off() -> None:
    gc.disable()
    no_collection_for_a_moment()
    moment_over()
    assert not gc.isenabled()


async def test_it_rests_while_a_crowd_of_executions_is_started_and_not_for_fewer(tmp_path: Path) -> None:
    seen: list[bool] = []

    @workflow("garbage.started")
    def started() -> Flow[None]:
        seen.append(gc.isenabled())
        yield from WaitSignal(Signal("garbage.go"))

    async with AsyncDurableService(f"sqlite:///{tmp_path / 'x.db'}", [started]) as service:
        await asyncio.gather(*(service.start(started()) for _ in range(CROWD - 1)))
        assert all(seen)
        await asyncio.gather(*(service.start(started()) for _ in range(CROWD + 1)))
        assert not seen[-1]
    moment_over()
    assert gc.isenabled()


async def test_it_rests_while_a_crowd_of_timers_rings() -> None:
    seen: list[bool] = []

    @workflow("garbage.rung")
    def rung(until: datetime) -> Flow[None]:
        yield from Sleep(until=until)
        seen.append(gc.isenabled())

    async with AsyncDurableService("memory://garbage", [rung]) as service:
        until = datetime.now(UTC) + timedelta(seconds=1)
        executions = await asyncio.gather(*(service.start(rung(until)) for _ in range(CROWD)))
        assert gc.isenabled()
        await asyncio.gather(*(execution.result(10) for execution in executions))
    assert seen == [False] * CROWD
    moment_over()
    assert gc.isenabled()


async def test_it_rests_while_a_crowd_of_steps_is_under_way_and_not_for_fewer() -> None:
    seen: list[bool] = []

    @step
    async def looks(n: int) -> int:
        seen.append(gc.isenabled())
        return n

    @workflow("garbage.crowd")
    def crowd(count: int) -> Flow[int]:
        return len((yield from All(*(looks(n) for n in range(count)))))

    async with AsyncDurableService("memory://garbage", [crowd]) as service:
        assert await service.execute(crowd(CROWD - 1)) == CROWD - 1
        assert all(seen)
        seen.clear()
        assert await service.execute(crowd(CROWD)) == CROWD
        assert not any(seen)
    moment_over()
    assert gc.isenabled()


@step
def plain(number: int) -> int:
    return number + 1


@step
async def awaited(number: int) -> int:
    return number + 1


@workflow("garbage.plain")
def plain_steps() -> Flow[int]:
    total = 0
    for _ in range(5):
        total = yield from plain(total)
    return total


@workflow("garbage.awaited")
def awaited_steps() -> Flow[int]:
    total = 0
    for _ in range(5):
        total = yield from awaited(total)
    return total


@pytest.mark.parametrize("steps", [plain_steps, awaited_steps])
async def test_a_step_leaves_nothing_that_only_the_collector_could_find(steps: Workflow[[], int]) -> None:
    async with AsyncDurableService("memory://", [steps]) as service:
        await service.execute(steps())
        gc.collect()
        gc.disable()
        for _ in range(20):
            assert await service.execute(steps()) == 5
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            gc.collect()
            left = {type(one).__name__ for one in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
    assert not left & {"Attempt", "Job", "ActiveExecution", "StepContext"}
