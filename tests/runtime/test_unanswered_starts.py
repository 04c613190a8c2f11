"""A start whose answer comes late, is lost, or is waited for by nobody: what was stored goes on all the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from redrive import AsyncDurableService, ContinueAs, Flow, Signal, WaitSignal, Workflow, step, workflow
from redrive.ports.store import StartResult, StoreError
from redrive.stores.backends import open_url
from redrive.stores.memory import MemoryStore

word = Signal("unanswered.word", str)
charged: Counter[str] = Counter()


@step
async def charge(order: str) -> str:
    charged[order] += 1
    return f"{order} is charged"


@workflow("unanswered.order")
def process(order: str) -> Flow[str]:
    return (yield from charge(order))


@workflow("unanswered.waits")
def waits() -> Flow[str]:
    return (yield from WaitSignal(word))


@workflow("unanswered.countdown")
def countdown(left: int) -> Flow[str]:
    if left:
        return (yield from ContinueAs(countdown(left - 1)))
    return (yield from charge("countdown"))


class Answering(MemoryStore):
    """A store that has *then* happen after a start is stored, and before its answer arrives."""

    def __init__(self, then: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._then = then

    async def start(self, *args: Any, **kwargs: Any) -> StartResult:
        begun = await super().start(*args, **kwargs)
        await self._then()
        return begun


async def _lost() -> None:
    raise StoreError("the connection broke", retry_helps=True)


async def test_what_was_stored_by_a_start_that_was_cancelled_goes_on() -> None:
    reached, answered = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await answered.wait()

    async with AsyncDurableService(Answering(wait), [process]) as service:
        start = asyncio.create_task(service.start(process("cancelled"), id="o-1"))
        await reached.wait()
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        answered.set()
        assert await service.execution("o-1").result(timeout=5) == "cancelled is charged"
    assert charged["cancelled"] == 1


async def test_what_was_stored_by_a_start_that_gave_up_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redrive.patience.PATIENCE", 0.0)
    async with AsyncDurableService(Answering(_lost), [process], lease=1) as service:
        with pytest.raises(StoreError):
            await service.start(process("given up"), id="o-1")
        assert await service.execution("o-1").result(timeout=10) == "given up is charged"
    assert charged["given up"] == 1


async def test_a_lost_answer_of_what_began_its_next_run_at_once_loses_nothing() -> None:
    answers = iter([_lost])

    async def lose_the_first() -> None:
        for lose in answers:
            await lose()

    async with AsyncDurableService(Answering(lose_the_first), [countdown], lease=1) as service:
        execution = await service.start(countdown(2), id="o-1")
        assert await execution.result(timeout=10) == "countdown is charged"
    assert charged["countdown"] == 1


async def test_a_signal_that_overtakes_the_answer_of_the_start_is_not_passed_over() -> None:
    async def send() -> None:
        await client.signal("w-1", word, "now")
        while not service._worker._owned.unknown:  # type: ignore[union-attr]
            await asyncio.sleep(0.001)

    store = Answering(send)
    async with AsyncDurableService(store, [waits]) as service, AsyncDurableService(store, worker=False) as client:
        execution = await service.start(waits(), id="w-1")
        assert await execution.result(timeout=5) == "now"


async def test_an_answer_that_comes_late_disturbs_nothing_that_goes_on_already() -> None:
    """Asked for again, after the worker had let go of what it did not know of, and had claimed it."""
    reached, begun, proceed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @step("unanswered.slow")
    async def slow() -> str:
        charged["slow"] += 1
        begun.set()
        await proceed.wait()
        return "done"

    @workflow("unanswered.once")
    def once() -> Flow[str]:
        return (yield from slow())

    async def wait() -> None:
        reached.set()
        if not begun.is_set():
            await begun.wait()
            await _lost()
        asyncio.get_running_loop().call_later(0.1, proceed.set)  # once the last answer has arrived

    async with AsyncDurableService(Answering(wait), [once], lease=1) as service:
        start = asyncio.create_task(service.start(once(), id="o-1"))
        await reached.wait()
        start.cancel()
        assert await service.execution("o-1").result(timeout=10) == "done"
    assert charged["slow"] == 1


async def test_a_worker_starts_what_others_have_the_code_of() -> None:
    named: Workflow[[], str] = Workflow("unanswered.elsewhere", returns=str)
    async with AsyncDurableService("memory://", [named, process]) as service:
        execution = await service.start(named(), id="e-1")
        assert (await execution.info()).status == "pending"


class Late:
    """A store whose answer to a start comes while its worker says good-bye."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.started, self.leaving = asyncio.Event(), asyncio.Event()
        self.asked_for: list[str] = []
        """What was asked of it after that."""

    def __getattr__(self, name: str) -> Any:
        if name in ("load", "commit") and self.leaving.is_set():
            self.asked_for.append(name)
        return getattr(self._store, name)

    async def start(self, *args: Any, **options: Any) -> Any:
        begun = await self._store.start(*args, **options)
        self.started.set()
        await self.leaving.wait()
        return begun

    async def deregister_worker(self, worker: str) -> None:
        self.leaving.set()
        for _ in range(10):
            await asyncio.sleep(0)
        await self._store.deregister_worker(worker)


async def test_an_answer_that_comes_when_the_worker_has_given_all_back_begins_nothing(store_url: str) -> None:
    """E6: whoever comes next has it."""
    charged.clear()
    store = Late(open_url(store_url))
    service = AsyncDurableService(store, [process])
    await service.__aenter__()
    starting = asyncio.create_task(service.start(process("late"), id="it"))
    await store.started.wait()
    await service.close()
    await asyncio.gather(starting, return_exceptions=True)
    for _ in range(10):
        await asyncio.sleep(0)
    assert store.asked_for == []
    async with AsyncDurableService(open_url(store_url), [process]) as service:
        assert await service.execution("it", process).result(20) == "late is charged"
    assert charged["late"] == 1
