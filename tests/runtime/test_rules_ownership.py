"""Who drives what: workers that lost their lease, codes that differ, parents that end, runs that follow one another."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redrive import (
    AsyncDurableService,
    ChildRef,
    ContinueAs,
    Emit,
    Event,
    ExecutionFailed,
    Flow,
    Signal,
    Sleep,
    StartChild,
    WaitSignal,
    step,
    workflow,
)
from redrive.stores.memory import MemoryStore
from tests.runtime.support import standing, true

go = Signal("go", str)


class Dial:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@workflow("rules.listens")
def listens() -> Flow[str]:
    return (yield from WaitSignal(go))


async def test_a_worker_learns_that_what_it_held_idle_ended_elsewhere() -> None:
    """W1, W2: it was away for longer than its lease; those who wait here for the result get it soon."""
    dial = Dial()
    store = MemoryStore(dial)
    async with AsyncDurableService(store, [listens], lease=2) as one:
        execution = await one.start(listens(), id="it")
        await standing(execution, "suspended")
        waiting = asyncio.create_task(execution.result(10))
        await asyncio.sleep(0)
        dial.ahead = timedelta(hours=1)
        async with AsyncDurableService(store, [listens], lease=2) as two:
            await two.signal("it", go, "elsewhere")
            assert await two.execution("it").result(10) == "elsewhere"
            assert await waiting == "elsewhere"
            assert await execution.result(5) == "elsewhere"


@workflow("rules.child")
def child() -> Flow[str]:
    return (yield from WaitSignal(go))


@workflow("rules.parent")
def parent(policy: Any, end: str) -> Flow[str]:
    yield from StartChild(child(), id="the-child", on_parent_close=policy)
    if end == "fails":
        raise ValueError("on purpose")
    if end == "waits":
        yield from WaitSignal(go)
    return end


@pytest.mark.parametrize("end", ["completes", "fails", "cancelled"])
@pytest.mark.parametrize("policy", ["cancel", "abandon", "wait"])
async def test_each_policy_for_children_holds_at_any_end_of_the_parent(store_url: str, policy: str, end: str) -> None:
    """E10."""
    async with AsyncDurableService(store_url, [parent, child]) as service:
        execution = await service.start(parent(policy, "waits" if end == "cancelled" else end), id="the-parent")
        if end == "cancelled":
            await standing(execution, "suspended")
            await execution.cancel("enough")
        the_child = service.execution("the-child")
        while True:
            try:
                await the_child.info()
                break
            except Exception:
                await asyncio.sleep(0.002)
        final = {"completes": "completed", "fails": "failed", "cancelled": "cancelled"}[end]
        if policy == "wait":
            await standing(the_child, "suspended", "completed")
            assert (await execution.info()).status not in ("completed", "failed", "cancelled")
            await the_child.signal(go, "go")
            assert await the_child.result(10) == "go"
            await standing(execution, final)
        elif policy == "abandon":
            await standing(execution, final)
            await the_child.signal(go, "alone")
            assert await the_child.result(10) == "alone"
        else:
            await standing(execution, final)
            await standing(the_child, "cancelled")


counted = Event("rules.counted", int)


@workflow("rules.runs")
def runs(n: int, seen: tuple[str, ...] = (), ref: ChildRef[str] | None = None) -> Flow[tuple[str, ...]]:
    if ref is None:
        ref = yield from StartChild(child(), id="kept")
    if n:
        got = yield from WaitSignal(go)
        yield from Emit(counted, n)
        return (yield from ContinueAs(runs(n - 1, (*seen, got), ref)))
    return seen


async def test_runs_that_follow_one_another_keep_signals_keys_and_children(store_url: str) -> None:
    """E9: `result` follows to the last run; what was sent early waits for a later run; a key counts for all of them."""
    async with AsyncDurableService(store_url, [runs, child]) as service:
        execution = await service.start(runs(3), id="it")
        for text in ("a", "b", "a again", "c", "unread"):
            assert await execution.signal(go, text, key=text[0]) is (text != "a again")
        assert await execution.result(10) == ("a", "b", "c")
        info = await execution.info()
        assert (info.number, info.unread) == (4, 1)
        await standing(service.execution("kept"), "cancelled")


async def test_runs_go_on_across_a_restart(store_url: str) -> None:
    """E9, W2: stopped between two runs, with a signal unread."""
    async with AsyncDurableService(store_url, [runs, child]) as service:
        execution = await service.start(runs(3), id="it")
        await execution.signal(go, "a", key="a")
        while (await execution.info()).number < 2:
            await asyncio.sleep(0.002)
        await standing(service.execution("kept"), "suspended")  # it does not end with the first run
    async with AsyncDurableService(store_url, worker=False) as client:
        await client.signal("it", go, "b", key="b")
        assert not await client.signal("it", go, "b", key="b")
    async with AsyncDurableService(store_url, [runs, child]) as service:
        assert not await service.signal("it", go, "a", key="a")
        await service.signal("it", go, "c")
        assert await service.execution("it", runs).result(10) == ("a", "b", "c")


async def test_a_slow_handler_and_a_failing_one_harm_nobody(store_url: str) -> None:
    """G5."""
    heard: list[int] = []
    slow_began = asyncio.Event()

    @workflow("rules.emits")
    def emits(n: int) -> Flow[int]:
        yield from Emit(counted, n)
        return n

    service = AsyncDurableService(store_url, [emits])

    @service.on(counted, name="slow")
    async def slow(n: int) -> None:
        slow_began.set()
        await asyncio.sleep(3600)

    @service.on(counted, name="failing")
    def failing(n: int) -> None:
        raise ValueError(n)

    @service.on(counted, name="good")
    def good(n: int) -> None:
        heard.append(n)

    async with service:
        unread = service.subscribe(counted)
        await unread.begun()
        for n in range(20):
            assert await service.execute(emits(n)) == n
        await true(lambda: len(heard) == 20)
        await slow_began.wait()
    assert heard == list(range(20))
    again: list[int] = []
    service = AsyncDurableService(store_url, [emits])

    @service.on(counted, name="slow")
    async def not_slow_now(n: int) -> None:
        again.append(n)

    async with service:
        await true(lambda: len(again) == 20)
    assert again == list(range(20)), "what it had in hand when it went down comes again"


async def test_old_and_new_code_beside_each_other_park_nothing_for_the_other(store_url: str) -> None:
    """D2: the new build cannot go on with an old history and says so once; the old one finishes it all the same."""

    @step
    async def first() -> str:
        return "first"

    @step
    async def other() -> str:
        return "other"

    @workflow("rules.versions")
    def old() -> Flow[str]:
        a = yield from first()
        return a + (yield from WaitSignal(go))

    @workflow("rules.versions")
    def new() -> Flow[str]:
        try:
            a = yield from other()
        except BaseException as error:
            return f"swallowed {error!r}"
        return a + (yield from WaitSignal(go))

    async with AsyncDurableService(store_url, [old], build="A") as service:
        executions = [await service.start(old(), id=f"e{n}") for n in range(10)]
        for execution in executions:
            await standing(execution, "suspended")
    async with AsyncDurableService(store_url, [new], build="B") as service:
        for n in range(10):
            await service.signal(f"e{n}", go, "!")
            info = await standing(service.execution(f"e{n}"), "parked")
            assert set(info.parked) == {"B"}
            assert "other" in info.parked["B"]
            assert "first" in info.parked["B"]
        async with AsyncDurableService(store_url, [old], build="A") as older:
            for n in range(10):
                assert await older.execution(f"e{n}").result(10) == "first!"
        assert await (await service.start(new(), id="fresh")).info()
        await service.signal("fresh", go, "?")
        assert await service.execution("fresh").result(10) == "other?"


async def test_a_deadline_holds_while_an_execution_is_parked(store_url: str) -> None:
    """E4: the code that fits comes too late."""

    @workflow("rules.late")
    def late() -> Flow[str]:
        yield from Sleep(3600)
        return "late"

    async with AsyncDurableService(store_url, worker=False) as client:
        execution = await client.start(late(), id="it", timeout=0.2)
        async with AsyncDurableService(store_url, [listens], lease=0.3):
            await standing(execution, "parked")
            await asyncio.sleep(0.2)
        async with AsyncDurableService(store_url, [late]) as service:
            with pytest.raises(ExecutionFailed, match="WorkflowTimeout"):
                await service.execution("it").result(10)
