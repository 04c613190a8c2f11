"""Results: what `result` returns and raises, and what a handle can tell meanwhile."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from redrive import (
    AsyncDurableService,
    Cancelled,
    ContinueAs,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionFinished,
    Flow,
    Signal,
    Sleep,
    StepFailed,
    WaitSignal,
    step,
    workflow,
)
from redrive_interpreter.history.rows import Answered, Asked, Ended, Started
from tests.runtime.support import standing

go = Signal("results.go", int)


@attrs.define
class SoldOut(Exception):
    article: str
    left: int = 0


@step
async def double(n: int) -> int:
    return 2 * n


@step(raises=[SoldOut])
async def take(article: str) -> None:
    raise SoldOut(article, 3)


@workflow("results.sold_out", raises=[SoldOut])
def sold_out() -> Flow[None]:
    yield from take("chair")


@workflow("results.broken")
def broken() -> Flow[None]:
    yield from double(1)
    raise ValueError("out of luck")


@workflow("results.waits")
def waits() -> Flow[int]:
    return (yield from WaitSignal(go, timeout=3600))


@workflow("results.tidy")
def tidy() -> Flow[str]:
    try:
        yield from WaitSignal(go)
    except Cancelled as cancelled:
        yield from double(1)
        return f"tidied up after {cancelled.reason}"
    return "never"


@workflow("results.countdown")
def countdown(n: int, steps: int) -> Flow[int]:
    yield from double(n)
    if n:
        return (yield from ContinueAs(countdown(n - 1, steps + 1)))
    return steps


ALL = [sold_out, broken, waits, tidy, countdown]


async def test_a_declared_error_is_the_cause(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        with pytest.raises(ExecutionFailed) as caught:
            await service.execute(sold_out())
        cause = caught.value.cause
        assert isinstance(cause, SoldOut)
        assert (cause.article, cause.left) == ("chair", 3)
        assert caught.value.__cause__ is cause


async def test_another_error_is_told_with_its_traceback(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        with pytest.raises(ExecutionFailed, match="ValueError: out of luck") as caught:
            await service.execute(broken())
        assert (caught.value.cause, caught.value.type) == (None, "ValueError")
        assert "raise ValueError" in caught.value.traceback


async def test_a_timeout_says_what_it_waits_for(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(waits(), id="w")
        with pytest.raises(TimeoutError, match=r"'w' is suspended: it waits for signal results\.go, until 20"):
            await execution.result(timeout=0.1)
        await execution.signal(go, 3)
        assert await execution.result(timeout=5) == 3


async def test_cancelling_ends_it_with_the_first_reason(store_url: str) -> None:
    """E3."""
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(waits())
        await execution.cancel("no longer wanted")
        await asyncio.gather(execution.cancel("again"), return_exceptions=True)
        with pytest.raises(ExecutionCancelled) as caught:
            await execution.result()
        assert caught.value.reason == "no longer wanted"
        with pytest.raises(ExecutionFinished):
            await execution.signal(go, 1)


async def test_a_cancelled_workflow_may_tidy_up_and_its_value_stays(store_url: str) -> None:
    """E3."""
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(tidy())
        await execution.cancel("a change of mind")
        with pytest.raises(ExecutionCancelled):
            await execution.result()
        info = await execution.info()
        assert (info.status, info.result) == ("cancelled", "tidied up after a change of mind")


async def test_a_cancel_before_it_began_is_seen_at_once(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(waits(), delay=3600)
        await execution.cancel("too soon")
        with pytest.raises(ExecutionCancelled):
            await execution.result(5)


async def test_a_result_follows_continue_as(store_url: str) -> None:
    """E9."""
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(countdown(3, 0))
        assert await execution.result() == 3
        info = await execution.info()
        assert info.number == 4
        assert len(await execution.history(1)) == len(await execution.history()) + 1


async def test_the_history_is_typed_rows(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(countdown(0, 7))
        await execution.result()
        kinds = [type(row) for row in await execution.history()]
        assert kinds == [Started, Asked, Answered, Ended]


async def test_info_says_where_an_execution_stands(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(waits(), id="w")
        info = await standing(execution, "suspended")
        (pending,) = info.waiting_on
        assert (pending.kind, pending.label) == ("wait_signal", "results.go")
        assert pending.until is not None
        assert (pending.until - pending.since).total_seconds() == 3600
        assert info.worker == service.worker_id
        await execution.signal(go, 9)
        await execution.result()
        info = await execution.info()
        assert (info.status, info.result, info.waiting_on, info.worker) == ("completed", 9, (), None)


async def test_a_client_waits_for_what_a_worker_elsewhere_does(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL), AsyncDurableService(store_url, worker=False) as client:
        execution = await client.start(countdown(1, 0))
        assert await execution.result(10) == 1


async def test_a_closed_service_lets_go_of_those_who_wait() -> None:
    async with AsyncDurableService("memory://", ALL) as service:
        execution = await service.start(waits())
        waiting = asyncio.create_task(execution.result())
        await asyncio.sleep(0)
    with pytest.raises(Exception, match="closed"):
        await waiting


async def test_step_failed_is_told_by_the_workflow_that_does_not_catch_it(store_url: str) -> None:
    @step
    async def bad() -> None:
        raise KeyError("k")

    @workflow("results.uncaught")
    def uncaught() -> Flow[str]:
        try:
            yield from bad()
        except StepFailed as failed:
            yield from Sleep(0)
            return f"{failed.type} at {failed.key}"
        return "?"

    async with AsyncDurableService(store_url, [uncaught]) as service:
        assert await service.execute(uncaught()) == "KeyError at bad"
