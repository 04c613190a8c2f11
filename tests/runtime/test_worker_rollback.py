"""Undos on a live worker: recorded steps, once, also across a restart; and what happens when they fail."""

from __future__ import annotations

import asyncio

import pytest

from redrive import (
    AsyncDurableService,
    CompensationFailed,
    ExecutionFailed,
    ExecutionFinished,
    Flow,
    Retry,
    Rollback,
    Signal,
    WaitSignal,
    step,
    workflow,
)
from tests.runtime.support import true

done: list[str] = []
broken: set[str] = set()
held = Signal("held", str)


@pytest.fixture(autouse=True)
def fresh() -> None:
    done.clear()
    broken.clear()


@step(retry=Retry(attempts=2, delay=0))
async def give_back(thing: str) -> None:
    if thing in broken:
        raise ConnectionError(f"cannot give back {thing}")
    done.append(f"gave back {thing}")


@step(undo=give_back)
async def take(thing: str) -> str:
    done.append(f"took {thing}")
    return thing


@workflow("rollback.trip", on_failure="rollback")
def trip() -> Flow[None]:
    yield from take("flight")
    yield from take("hotel")
    raise ValueError("no car")


@workflow("rollback.midway")
def midway() -> Flow[list[str]]:
    yield from take("flight")
    yield from take("hotel")
    return [str(key) for key in (yield from Rollback("changed our mind"))]


async def test_a_failure_undoes_what_was_done_newest_first(store_url: str) -> None:
    """C1."""
    async with AsyncDurableService(store_url, [trip]) as service:
        execution = await service.start(trip())
        with pytest.raises(ExecutionFailed, match="no car"):
            await execution.result()
        assert (await execution.info()).undone == ("take#2", "take")
    assert done == ["took flight", "took hotel", "gave back hotel", "gave back flight"]


async def test_an_undo_that_fails_ends_in_compensation_failed_and_the_operator_goes_on(store_url: str) -> None:
    """C2."""
    broken.add("hotel")
    async with AsyncDurableService(store_url, [trip]) as service:
        execution = await service.start(trip(), id="t")
        with pytest.raises(CompensationFailed, match="cannot give back hotel"):
            await execution.result()
        assert (await execution.info()).status == "compensation_failed"
        assert done == ["took flight", "took hotel"]
        broken.clear()
        await service.operator.retry_rollback("t")
        with pytest.raises(ExecutionFailed, match="no car"):
            await execution.result()
        with pytest.raises(ExecutionFinished):
            await service.operator.retry_rollback("t")
    assert done[2:] == ["gave back hotel", "gave back flight"]


async def test_a_rollback_that_was_retried_mid_flow_never_goes_forward(store_url: str) -> None:
    """C2."""
    broken.add("flight")
    async with AsyncDurableService(store_url, [midway]) as service:
        execution = await service.start(midway(), id="m")
        with pytest.raises(CompensationFailed):
            await execution.result()
        await service.operator.retry_rollback("m")
        with pytest.raises(CompensationFailed):
            await execution.result()
        broken.clear()
        await service.operator.retry_rollback("m")
        with pytest.raises(ExecutionFailed):
            await execution.result()
    assert done[2:] == ["gave back hotel", "gave back flight"]


async def test_a_rollback_goes_on_after_a_restart_and_undoes_nothing_twice(store_url: str) -> None:
    """C1."""
    inside, calls = asyncio.Event(), 0

    @step
    async def release(thing: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            inside.set()
            await asyncio.sleep(3600)
        done.append(f"released {thing}")

    @step(undo=release)
    async def reserve(thing: str) -> str:
        return thing

    @workflow("rollback.restarted")
    def flow() -> Flow[list[str]]:
        for thing in ("a", "b", "c"):
            yield from reserve(thing)
        return [str(key) for key in (yield from Rollback())]

    async with AsyncDurableService(store_url, [flow], grace=0) as service:
        await service.start(flow(), id="it")
        await inside.wait()
    async with AsyncDurableService(store_url, [flow]) as service:
        assert await service.execution("it", flow).result() == ["reserve#3", "reserve#2", "reserve"]
    assert done == ["released c", "released b", "released a"]


async def test_a_cancel_undoes_if_the_workflow_says_so(store_url: str) -> None:
    @workflow("rollback.cancelled", on_cancel="rollback")
    def flow() -> Flow[str]:
        yield from take("seat")
        return (yield from WaitSignal(held))

    async with AsyncDurableService(store_url, [flow]) as service:
        execution = await service.start(flow())
        await true(lambda: done)
        await execution.cancel("sorry")
        with pytest.raises(Exception, match="sorry"):
            await execution.result()
    assert done == ["took seat", "gave back seat"]
