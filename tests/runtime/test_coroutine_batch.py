"""Async bodies that begin together share a task until one of them waits: none may notice."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from redrive import All, AsyncDurableService, Flow, StepFailed, step, workflow
from redrive.worker.step_executor import _MOMENT
from redrive_interpreter.history.rows import Answered

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")
seen: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


async def run(store_url: str, flow: Any, **options: Any) -> Any:
    """The result of a workflow made of the generator function *flow*, and its history."""
    made = workflow("together.it")(flow)
    async with AsyncDurableService(store_url, [made], **options) as service:
        execution = await service.start(made(), id="it")
        return await execution.result(30), await execution.history()


async def test_a_body_that_waits_does_not_hold_up_those_that_begin_with_it(store_url: str) -> None:
    let_go = asyncio.Event()

    @step
    async def waits() -> str:
        await let_go.wait()
        return "let go"

    @step
    async def lets_go() -> str:
        let_go.set()
        return "done"

    def flow() -> Flow[tuple[str, str, str]]:
        return (yield from All(waits(), lets_go(), waits()))

    assert (await run(store_url, flow))[0] == ("let go", "done", "let go")


async def test_what_a_body_sets_in_its_context_is_its_own_also_after_it_waited(store_url: str) -> None:
    @step
    async def paints(name: str, waits: bool) -> tuple[str, str, str]:
        before = colour.get()
        colour.set(name)
        if waits:
            await asyncio.sleep(0)

        async def inner() -> str:
            return colour.get()

        return before, colour.get(), await asyncio.create_task(inner()) if waits else await inner()

    def flow() -> Flow[Any]:
        return (yield from All(*(paints(name, waits) for name in ("red", "green", "blue") for waits in (False, True))))

    found, _ = await run(store_url, flow)
    assert found == tuple(("none", name, name) for name in ("red", "green", "blue") for _ in range(2))


async def test_time_limits_and_task_groups_of_asyncio_work_in_bodies_that_begin_together(store_url: str) -> None:
    @step
    async def is_late() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "?"

    @step
    async def groups() -> int:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, n)) for n in range(3)]
        return sum(task.result() for task in tasks)

    def flow() -> Flow[Any]:
        return (yield from All(is_late(), groups(), is_late(), groups()))

    assert (await run(store_url, flow))[0] == ("late", 3, "late", 3)


@pytest.mark.parametrize("takes_it_back", [False, True])
async def test_a_body_that_cancels_its_own_task_and_ends_takes_no_other_along(store_url: str, takes_it_back: bool) -> None:
    @step
    async def cancels_itself_too_late() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if takes_it_back:
            task.uncancel()
        return "ended"

    @step
    async def waits(n: int) -> int:
        await asyncio.sleep(0)
        return n

    def flow() -> Flow[Any]:
        first = yield from All(cancels_itself_too_late(), waits(1), cancels_itself_too_late(), waits(2))
        second = yield from waits(3)
        return first, second

    assert (await run(store_url, flow))[0] == (("ended", 1, "ended", 2), 3)


async def test_a_body_that_cancels_its_own_task_and_waits_has_failed(store_url: str) -> None:
    """S5: a body's own `CancelledError` is a failure."""

    @step
    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()

    def flow() -> Flow[str]:
        try:
            yield from cancels_itself()
        except StepFailed as failed:
            return failed.type
        return "?"

    assert "CancelledError" in (await run(store_url, flow))[0]


async def test_a_loop_that_ends_while_a_body_waits_records_nothing_of_it(tmp_path: Any) -> None:
    @step
    async def waits() -> None:
        seen.append("began")
        if len(seen) == 1:
            await asyncio.Event().wait()

    @workflow("together.interrupted")
    def flow() -> Flow[str]:
        yield from waits()
        return "done"

    url = f"sqlite:///{tmp_path / 'x.db'}"

    async def ends_in_the_middle() -> None:
        service = AsyncDurableService(url, [flow], lease=1)
        await service.__aenter__()
        await service.start(flow(), id="it")
        while not seen:
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(3 * _MOMENT)  # a loop may take long to end

    await asyncio.to_thread(asyncio.run, ends_in_the_middle())
    async with AsyncDurableService(url, [flow], lease=1) as service:
        assert await service.execution("it", flow).result(20) == "done"
        answers = [row for row in await service.execution("it").history() if type(row) is Answered]
    assert len(answers) == 1
    assert seen == ["began", "began"]


async def test_bodies_that_end_together_are_one_turn(tmp_path: Any) -> None:
    @step
    async def counts(n: int) -> int:
        return n

    @workflow("together.fan_out")
    def flow() -> Flow[int]:
        return sum((yield from All(*(counts(n) for n in range(50)))))

    async with AsyncDurableService(f"sqlite:///{tmp_path / 'x.db'}", [flow]) as service:
        execution = await service.start(flow(), id="it")
        assert await execution.result(30) == sum(range(50))
        rows = [row for row in await execution.history() if type(row) is Answered]
    assert len(rows) == 50
    assert chunks(tmp_path / "x.db") <= 4


def chunks(path: Any) -> int:
    """In how many turns the only execution was stored."""
    import sqlite3

    db = sqlite3.connect(path)
    try:
        (count,) = db.execute("SELECT count(*) FROM history").fetchone()
    finally:
        db.close()
    return int(count)
