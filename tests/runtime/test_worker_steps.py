"""Bodies of steps: run once, retried durably, timed out, told what they need to know, and never trusted."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from datetime import timedelta
from typing import Any

import attrs
import cattrs
import pytest

from redrive import (
    All,
    AsyncDurableService,
    ExecutionFailed,
    Flow,
    Info,
    Race,
    Retry,
    RetryAfter,
    ServiceClosed,
    Sleep,
    Step,
    StepFailed,
    StepId,
    StepInterrupted,
    StepTimeout,
    WorkflowMisuse,
    current_step,
    step,
    workflow,
)
from redrive_interpreter.history.rows import Answered, AttemptStarted, Retrying
from tests.runtime.support import true

calls: list[Any] = []


@attrs.frozen
class Coin:
    """Worth something."""

    worth: int


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


async def run(store_url: str, flow: Any, **options: Any) -> Any:
    """The result of a workflow made of the generator function *flow*."""
    made = workflow("steps.it")(flow)
    async with AsyncDurableService(store_url, [made], **options) as service:
        return await service.execute(made(), id="it")


async def test_async_and_sync_bodies_run_and_their_values_come_back(store_url: str) -> None:
    @step
    async def on_the_loop(n: int) -> int:
        return n + len(asyncio.all_tasks()) * 0

    @step
    def in_a_thread(n: int) -> bool:
        return threading.current_thread() is threading.main_thread() or n == 0

    def flow() -> Flow[tuple[int, bool]]:
        return (yield from on_the_loop(3)), (yield from in_a_thread(1))

    assert await run(store_url, flow) == (3, False)


async def test_a_failing_step_is_retried_as_its_policy_says(store_url: str) -> None:
    """S4."""

    @step(retry=Retry(attempts=3, delay=0.01))
    async def third_time_lucky() -> int:
        calls.append(current_step().attempt)
        if len(calls) < 3:
            raise ConnectionError("down")
        return len(calls)

    def flow() -> Flow[int]:
        return (yield from third_time_lucky())

    made = workflow("steps.it")(flow)
    async with AsyncDurableService(store_url, [made]) as service:
        execution = await service.start(made())
        assert await execution.result() == 3
        rows = await execution.history()
    assert calls == [1, 2, 3]
    assert [(row.attempt, row.failure.message) for row in rows if isinstance(row, Retrying)] == [(1, "down"), (2, "down")]


async def test_when_attempts_run_out_the_last_error_is_raised_with_their_number(store_url: str) -> None:
    """S5."""

    @step(retry=Retry(attempts=2, delay=0))
    def never() -> None:
        raise ConnectionError("down")

    def flow() -> Flow[str]:
        try:
            yield from never()
        except StepFailed as failed:
            return f"{failed.type}: {failed.message} after {failed.attempts}, {'raise ConnectionError' in failed.traceback}"
        return "?"

    assert await run(store_url, flow) == "ConnectionError: down after 2, True"


async def test_what_is_given_up_on_is_not_retried_and_a_body_may_say_when(store_url: str) -> None:
    @step(retry=Retry(attempts=5, delay=3600, give_up_on=ValueError))
    async def picky() -> None:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise RetryAfter(0.05)
        raise ValueError("no")

    def flow() -> Flow[int]:
        try:
            yield from picky()
        except StepFailed as failed:
            return failed.attempts
        return 0

    assert await run(store_url, flow) == 2
    assert calls[1] - calls[0] >= 0.05


@pytest.mark.parametrize("sync", [False, True])
async def test_an_attempt_that_takes_too_long_is_told_to_stop_and_its_late_result_is_dropped(store_url: str, sync: bool) -> None:
    """S6."""
    stopped = threading.Event()

    async def endless() -> int:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            stopped.set()
        return 1

    def endless_in_a_thread() -> int:
        context = current_step()
        while not context.cancelled:
            time.sleep(0.002)
        stopped.set()
        return 1

    slow = step("slow", timeout=0.05, retry=Retry(attempts=2, delay=0))(endless_in_a_thread if sync else endless)

    def flow() -> Flow[str]:
        try:
            yield from slow()
        except StepTimeout as late:
            return f"{late.attempts} {late.message}"
        return "?"

    assert await run(store_url, flow) == "2 no result within 0:00:00.050000"
    await true(stopped.is_set)


async def test_a_body_that_stays_silent_is_timed_out_and_the_next_attempt_knows_how_far_it_was(store_url: str) -> None:
    @step(heartbeat=0.05, retry=Retry(attempts=2, delay=0))
    async def copy() -> Any:
        context = current_step()
        if context.attempt == 1:
            for n in range(4):
                context.heartbeat(n)
                await asyncio.sleep(0.02)
            await asyncio.sleep(3600)
        return context.last_heartbeat

    def flow() -> Flow[Any]:
        return (yield from copy())

    assert await run(store_url, flow) == 3


async def test_a_value_that_cannot_be_stored_fails_the_step_at_once_and_in_doubt(store_url: str) -> None:
    """S7."""

    @step(retry=Retry(attempts=5, delay=0))
    async def wrong() -> int:
        calls.append(1)
        return "a string"  # type: ignore[return-value]

    def flow() -> Flow[str]:
        try:
            yield from wrong()
        except StepFailed as failed:
            return failed.message
        return "?"

    made = workflow("steps.it")(flow)
    async with AsyncDurableService(store_url, [made]) as service:
        execution = await service.start(made())
        message = await execution.result()
        assert "wrong" in message
        assert "result" in message
        assert (await execution.info()).in_doubt == ("wrong",)
    assert calls == [1]


async def test_a_bodys_own_cancelled_error_is_a_failure(store_url: str) -> None:
    """S5."""

    @step
    async def gives_up() -> None:
        raise asyncio.CancelledError("mine")

    def flow() -> Flow[str]:
        try:
            yield from gives_up()
        except StepFailed as failed:
            return failed.type
        return "?"

    assert "CancelledError" in await run(store_url, flow)


@pytest.mark.parametrize("sync", [False, True])
async def test_a_hook_that_raises_what_is_no_exception_fails_the_step_and_nothing_hangs(store_url: str, sync: bool) -> None:
    class Odd(BaseException):
        pass

    def refuse(money: Coin) -> Any:
        raise Odd("not this one")

    converter = cattrs.Converter()
    converter.register_unstructure_hook(Coin, refuse)

    def in_a_thread() -> Coin:
        return Coin(3)

    async def on_the_loop() -> Coin:
        return Coin(3)

    def flow() -> Flow[str]:
        try:
            yield from Step("pay", in_a_thread if sync else on_the_loop)
        except StepFailed as failed:
            return failed.type
        return "?"

    assert "Odd" in await run(store_url, flow, converter=converter)


@pytest.mark.parametrize("sync", [False, True])
async def test_system_exit_in_a_body_stops_the_worker_and_is_not_recorded(store_url: str, sync: bool) -> None:
    """S5."""

    async def leave() -> None:
        raise SystemExit(3)

    def leave_from_a_thread() -> None:
        raise SystemExit(3)

    exits = step("exits")(leave_from_a_thread if sync else leave)

    def flow() -> Flow[None]:
        yield from exits()

    made = workflow("steps.it")(flow)
    async with AsyncDurableService(store_url, [made]) as service:
        execution = await service.start(made(), id="it")
        with pytest.raises(ServiceClosed, match="SystemExit"):
            await execution.result()
        assert isinstance(await service.stopped(), SystemExit)
    async with AsyncDurableService(store_url, worker=False) as client:
        assert not [row for row in await client.execution("it").history() if isinstance(row, Answered)]


async def test_a_body_knows_its_step_and_its_key_is_the_same_at_each_attempt(store_url: str) -> None:
    """S2, N1."""

    @step(retry=Retry(attempts=2, delay=0), timeout=60)
    async def curious() -> str:
        context = current_step()
        calls.append((context.execution_id, context.key, context.attempt, context.idempotency_key))
        assert context.deadline is not None
        if context.attempt == 1:
            raise ValueError
        return str(context.run)

    def flow() -> Flow[tuple[str, str]]:
        run = yield from curious()
        own = yield from curious().options(key="order-17")
        assert own == run
        return run, str((yield from Info()).run)

    told, actual = await run(store_url, flow)
    assert told == actual
    assert [call[:3] for call in calls] == [("it", "curious", 1), ("it", "curious", 2), ("it", "curious#2", 1), ("it", "curious#2", 2)]
    assert calls[0][3] == calls[1][3]
    assert [call[3] for call in calls[2:]] == ["order-17", "order-17"]
    with pytest.raises(LookupError):
        current_step()


async def test_steps_of_parallel_branches_overlap(store_url: str) -> None:
    """S9."""
    here = threading.Barrier(3, timeout=10)

    @step
    def meet(n: int) -> int:
        here.wait()
        return n

    def flow() -> Flow[tuple[int, int, int]]:
        return (yield from All(meet(1), meet(2), meet(3)))

    assert await run(store_url, flow) == (1, 2, 3)


async def test_a_loser_is_told_to_stop_and_its_result_is_dropped(store_url: str) -> None:
    """S10."""
    stopped = asyncio.Event()

    @step
    async def slow() -> int:
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()
        return 1

    def flow() -> Flow[int]:
        won = yield from Race(slow(), Sleep(0.02))
        return won.index

    assert await run(store_url, flow) == 1
    await asyncio.wait_for(stopped.wait(), 5)


async def test_a_loser_with_an_undo_runs_to_its_end_and_is_undone(store_url: str) -> None:
    """S10, P2."""

    @step
    async def give_back(n: int) -> None:
        calls.append(f"gave back {n}")

    @step(undo=give_back)
    async def take() -> int:
        await asyncio.sleep(0.05)
        calls.append("took")
        return 7

    def flow() -> Flow[int]:
        won = yield from Race(take(), Sleep(0.01))
        return won.index

    assert await run(store_url, flow) == 1
    assert calls == ["took", "gave back 7"]


@pytest.mark.parametrize("sync", [False, True])
async def test_an_at_most_once_attempt_is_recorded_before_its_body(store_url: str, sync: bool) -> None:
    """S3."""
    begun: list[bool] = []

    async def body() -> str:
        return "done"

    def body_in_a_thread() -> str:
        return "done"

    once = step("once", at_most_once=True)(body_in_a_thread if sync else body)

    def flow() -> Flow[str]:
        return (yield from once())

    made = workflow("steps.it")(flow)
    async with AsyncDurableService(store_url, [made]) as service:
        execution = await service.start(made())
        assert await execution.result() == "done"
        begun = [isinstance(row, AttemptStarted) for row in await execution.history()]
    assert begun == [False, False, True, False, False]


async def test_an_at_most_once_step_that_times_out_is_interrupted_not_retried(store_url: str) -> None:
    """S3."""

    @step(at_most_once=True, timeout=0.05, retry=Retry(attempts=5, delay=0))
    async def once() -> None:
        calls.append(1)
        await asyncio.sleep(3600)

    def flow() -> Flow[str]:
        try:
            yield from once()
        except StepInterrupted as interrupted:
            return f"interrupted: {interrupted.key}"
        return "?"

    assert await run(store_url, flow) == "interrupted: once"
    assert calls == [1]


async def test_lambdas_partials_and_wrappers_run_too(store_url: str) -> None:
    async def later(n: int) -> int:
        await asyncio.sleep(0)
        return n

    class Shop:
        async def __call__(self, n: int) -> int:
            return n * 10

        def price(self, n: int) -> int:
            return n * 100

    shop = Shop()

    def flow() -> Flow[list[int]]:
        return [
            (yield from Step("a", lambda: 1)),
            (yield from Step("b", lambda: later(2))),
            (yield from Step(StepId("c", int), shop, 3)),
            (yield from Step("d", shop.price, 4)),
        ]

    assert await run(store_url, flow) == [1, 2, 30, 400]


async def test_a_command_built_or_returned_by_a_body_is_a_clear_error(store_url: str) -> None:
    """D6."""

    @step
    async def builds() -> Any:
        return Sleep(1)

    stolen = Sleep(1)

    @step
    async def returns() -> Any:
        return stolen

    def flow() -> Flow[list[str]]:
        told: list[str] = []
        for wrong in (builds, returns):
            try:
                yield from wrong()
            except StepFailed as failed:
                told.append(failed.type.rpartition(".")[2])
        return told

    assert await run(store_url, flow) == [WorkflowMisuse.__name__, WorkflowMisuse.__name__]


async def test_bodies_get_copies_of_their_arguments_at_each_attempt(store_url: str) -> None:
    """S1."""

    @step(retry=Retry(attempts=2, delay=0))
    async def spoils(items: list[int]) -> list[int]:
        calls.append(list(items))
        items.clear()
        if len(calls) == 1:
            raise ValueError
        return items

    def flow() -> Flow[list[int]]:
        items = [1, 2]
        yield from spoils(items)
        return items

    assert await run(store_url, flow) == [1, 2]
    assert calls == [[1, 2], [1, 2]]


async def test_what_a_body_sets_in_its_context_is_gone_for_the_next(store_url: str) -> None:
    colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")

    @step
    async def paints() -> str:
        before = colour.get()
        colour.set("red")
        return before

    def flow() -> Flow[list[str]]:
        return [(yield from paints()), (yield from paints())]

    colour.set("blue")
    assert await run(store_url, flow) == ["blue", "blue"]


async def test_services_are_injected_by_type(store_url: str) -> None:
    import svcs

    from redrive import inject

    class Payments:
        def __init__(self, name: str) -> None:
            self.name = name

    @step
    async def charge(total: int, *, payments: Payments = inject()) -> str:
        return f"{total} by {payments.name}"

    @step
    def refund(total: int, *, payments: Payments = inject()) -> str:
        return f"{total} back by {payments.name}"

    def flow() -> Flow[list[str]]:
        return [(yield from charge(9)), (yield from refund(9))]

    registry = svcs.Registry()
    registry.register_factory(Payments, lambda: Payments("stripe"), on_registry_close=None)
    assert await run(store_url, flow, resources=registry) == ["9 by stripe", "9 back by stripe"]


async def test_what_nobody_registered_fails_the_step(store_url: str) -> None:
    from redrive import inject

    @step
    async def charge(*, payments: threading.Event = inject()) -> None: ...

    def flow() -> Flow[None]:
        yield from charge()

    with pytest.raises(ExecutionFailed, match="resources="):
        await run(store_url, flow)


async def test_many_sync_steps_share_few_threads(store_url: str) -> None:
    threads: set[int] = set()

    @step
    def note(n: int) -> int:
        threads.add(threading.get_ident())
        return n

    def flow() -> Flow[list[int]]:
        return (yield from All.of([note(n) for n in range(50)]))

    assert await run(store_url, flow, max_threads=3) == list(range(50))
    assert len(threads) <= 3


async def test_a_retry_that_waits_survives_a_restart_and_does_not_count_anew(store_url: str) -> None:
    """S4."""

    @step(retry=Retry(attempts=3, delay=timedelta(seconds=0.2), factor=1))
    async def flaky() -> int:
        calls.append(current_step().attempt)
        if len(calls) < 3:
            raise ValueError
        return current_step().attempt

    def flow() -> Flow[int]:
        return (yield from flaky())

    made = workflow("steps.it")(flow)
    async with AsyncDurableService(store_url, [made]) as service:
        await service.start(made(), id="it")
        await true(lambda: calls)
    async with AsyncDurableService(store_url, [made]) as service:
        assert await service.execution("it", made).result() == 3
    assert calls == [1, 2, 3]


@pytest.mark.parametrize(("call", "result"), [((str, 5), "5"), ((int, "3"), 3), ((max, 1, 2), 2), ((str,), ""), ((str, [1]), "[1]")])
async def test_a_callable_whose_parameters_python_does_not_tell_is_called_by_position(call: Any, result: Any, store_url: str) -> None:
    @workflow("steps.builtin")
    def calls() -> Flow[Any]:
        return (yield from Step("builtin", *call))

    async with AsyncDurableService(store_url, [calls]) as service:
        assert await service.execute(calls()) == result
