"""A store whose connection breaks before and after what it was asked: nothing is lost and nothing is done twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from redrive import (
    All,
    AsyncDurableService,
    ContinueAs,
    Emit,
    Event,
    Flow,
    Retry,
    Rollback,
    RunChild,
    SendSignal,
    Signal,
    Sleep,
    WaitSignal,
    current_step,
    step,
    workflow,
)
from redrive.stores.backends import open_url
from redrive.testing import FaultyStore
from tests.runtime.support import true

word = Signal("rules.word", int)
heard = Event("rules.heard", int)
VERBS = {
    "start", "send", "claim", "load", "commit", "release", "poll_inboxes", "next_wake",
    "read", "history", "events", "take_events", "events_done", "now",
}  # fmt: skip


class Shaky:
    """A script of a connection that breaks now and then, before the call gets there or before its answer comes back."""

    def __init__(self, seed: int) -> None:
        self._chance, self.share = random.Random(seed), 0.0

    def __call__(self, verb: str, *args: Any) -> Any:
        if verb not in VERBS:
            return None
        drawn = self._chance.random()
        return "refuse" if drawn < self.share / 2 else "lose" if drawn < self.share else None


effects: Counter[tuple[str, str]] = Counter()
attempts: Counter[str] = Counter()
"""Of children, by their id."""


def leave() -> None:
    effects[current_step().execution_id, current_step().key] += 1


@step
async def undo(n: int) -> None:
    leave()


@step(undo=undo)
async def quick(n: int) -> int:
    leave()
    return n


@step
def sync(n: int) -> int:
    leave()
    return n


@step(retry=Retry(attempts=3, delay=0.005))
async def moody(n: int) -> int:
    if current_step().attempt < 3:
        raise ValueError(n)
    leave()
    return n


@step(at_most_once=True)
async def once(n: int) -> int:
    leave()
    return n


@workflow("rules.echo")
def echo(to: str, n: int) -> Flow[int]:
    yield from sync(n)
    yield from SendSignal(to, word, n)
    return n


@step
async def attempt() -> int:
    attempts[current_step().execution_id] += 1
    return attempts[current_step().execution_id]


@workflow("rules.fickle")
def fickle() -> Flow[int]:
    number = yield from attempt()
    if number < 3:
        raise ValueError(number)
    return number


@workflow("rules.all_of_it")
def all_of_it(id: str) -> Flow[list[int]]:
    seen = [(yield from quick(1)), (yield from moody(2)), (yield from once(3))]
    seen += yield from All(quick(4), sync(5), once(6))
    yield from Sleep(0.005)
    seen.append((yield from WaitSignal(word)))
    yield from Emit(heard, len(seen))
    seen.append((yield from RunChild(echo(id, 8), id=f"{id}/child")))
    seen.append((yield from RunChild(fickle(), id=f"{id}/fickle", retry=Retry(attempts=5, delay=0.005))))
    seen.append((yield from WaitSignal(word)))
    undone = yield from Rollback()
    return [*seen, len(undone)]


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_connection_that_breaks_now_and_then_changes_nothing(store_url: str, seed: int) -> None:
    """W3, W5: starts, signals, turns and children land once; no step runs a second time for it."""
    effects.clear()
    attempts.clear()
    shaky = Shaky(seed)
    store = FaultyStore(open_url(store_url), shaky)
    service = AsyncDurableService(store, [all_of_it, echo, fickle], lease=1)
    told: list[int] = []

    @service.on(heard)
    def hear(n: int) -> None:
        told.append(n)

    async with service:
        shaky.share = 0.15
        ids = [f"e{n}" for n in range(12)]
        executions = await asyncio.gather(*(service.start(all_of_it(id), id=id) for id in ids))
        for execution in executions:
            await execution.signal(word, 7)
        results = await asyncio.gather(*(execution.result(25) for execution in executions))
        shaky.share = 0.0
        assert results == [[1, 2, 3, 4, 5, 6, 7, 8, 3, 8, 2]] * 12
        assert [(await execution.info()).unread for execution in executions] == [0] * 12
        await true(lambda: len(told) >= 12)
    assert {fault for fault, _ in store.faults} == {"refuse", "lose"}
    assert store.faults["lose", "commit"] > 0
    assert set(attempts.values()) == {3}, "each attempt of a child is begun once"
    assert {effect: times for effect, times in effects.items() if times > 1} == {}


async def test_a_turn_that_is_refused_at_once_is_asked_for_again(store_url: str) -> None:
    """W3."""
    attempts.clear()
    store = FaultyStore(open_url(store_url))
    store.script = lambda verb, *_: "refuse at once" if verb == "commit" and store.calls["commit"] % 2 else None
    async with AsyncDurableService(store, [all_of_it, echo, fickle]) as service:
        execution = await service.start(all_of_it("it"), id="it")
        await execution.signal(word, 7)
        assert await execution.result(20) == [1, 2, 3, 4, 5, 6, 7, 8, 3, 8, 2]
    assert store.faults["refuse at once", "commit"] > 1


async def test_without_any_news_all_works_by_looking(store_url: str) -> None:
    """W6."""
    attempts.clear()
    inner = open_url(store_url)
    async with AsyncDurableService(FaultyStore(inner, news=False), [all_of_it, echo, fickle], lease=1) as service:
        client = AsyncDurableService(FaultyStore(open_url(store_url), news=False), worker=False)
        async with client:
            execution = await client.start(all_of_it("it"), id="it")
            await client.signal("it", word, 7)
            assert await execution.result(20) == [1, 2, 3, 4, 5, 6, 7, 8, 3, 8, 2]
        assert await service.execution("it").result(1)


@step
async def runs_once(n: int) -> None:
    leave()


@workflow("rules.runs_on")
def runs_on(n: int) -> Flow[int]:
    yield from runs_once(n)
    if n:
        return (yield ContinueAs(runs_on(n - 1)))
    return n


async def test_a_run_that_ended_without_an_answer_is_gone_on_with_as_the_next_one(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """W3: the claim that is held is of a run that is over, and no turn of it can be stored any more."""
    monkeypatch.setattr("redrive.worker.shell.LONGEST_WAIT", 0.01)
    store = FaultyStore(open_url(store_url), retry_helps=False)

    def loses_the_first_next_run(verb: str, *args: Any) -> Any:
        return "lose" if verb == "commit" and args[1].next_run is not None and not store.faults else None

    store.script = loses_the_first_next_run
    effects.clear()
    async with AsyncDurableService(store, [runs_on], lease=1) as service:
        execution = await service.start(runs_on(2), id="it")
        assert await execution.result(20) == 0
        assert (await execution.info()).number == 3
    assert store.faults == {("lose", "commit"): 1}
    assert set(effects.values()) == {3}
