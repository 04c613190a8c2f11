"""What a step costs, what may not be stored, and what becomes of a step that must not run twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redrive import (
    All,
    AsyncDurableService,
    CodecError,
    Emit,
    Event,
    ExecutionNotFound,
    Flow,
    Signal,
    Sleep,
    StepFailed,
    StepInterrupted,
    WaitSignal,
    current_step,
    step,
    workflow,
)
from redrive.ports.store import Stale
from redrive.stores.backends import open_url
from redrive.stores.memory import MemoryStore
from tests.runtime.support import standing, true

go = Signal("go", str)
done = Event("rules.done", int)


class Counting:
    """A store that counts the turns it is given, with their rows."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.turns: list[int] = []
        self.starts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def start(self, new: Any, *, claim_for: Any = None, first: Any = None) -> Any:
        self.starts += 1
        return await self._store.start(new, claim_for=claim_for, first=first)

    async def commit(self, claim: Any, turn: Any) -> Any:
        self.turns.append(len(turn.rows))
        return await self._store.commit(claim, turn)


@step
async def quick(n: int) -> int:
    return n


@step
def sync(n: int) -> int:
    return n


@step(at_most_once=True)
async def once(n: int) -> int:
    return n


@workflow("rules.straight")
def straight(kind: str, times: int) -> Flow[int]:
    for n in range(times):
        yield from {"quick": quick, "sync": sync, "once": once}[kind](n)
        yield from Emit(done, n)
    return times


class Refusing:
    """A store that refuses the first turn with an answer in it, and takes the next one only when a body has ended meanwhile."""

    def __init__(self, store: Any, let_go: asyncio.Event, ended: list[str]) -> None:
        self._store, self._let_go, self._ended = store, let_go, ended
        self.answers = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, claim: Any, turn: Any) -> Any:
        if any('"answered"' in row for row in turn.rows):
            self.answers += 1
            if self.answers == 1:
                raise Stale("something was stored that the worker does not know of")
            self._let_go.set()
            await true(lambda: self._ended)
        return await self._store.commit(claim, turn)


async def test_a_body_that_ends_while_a_turn_computed_again_is_stored_is_not_begun_again(store_url: str) -> None:
    """S1."""
    let_go = asyncio.Event()
    began: list[str] = []
    ended: list[str] = []

    @step
    async def long() -> str:
        began.append("long")
        await let_go.wait()
        ended.append("long")
        return "long"

    @step
    async def short() -> str:
        return "short"

    @workflow("rules.twice")
    def both() -> Flow[tuple[str, str]]:
        return (yield from All(long(), short()))

    store = Refusing(open_url(store_url), let_go, ended)
    async with AsyncDurableService(store, [both]) as service:
        assert await service.execute(both()) == ("long", "short")
    assert store.answers > 1
    assert began == ["long"]


@pytest.mark.parametrize(("kind", "each"), [("quick", 1), ("sync", 1), ("once", 2)])
async def test_a_sequential_step_costs_one_commit(store_url: str, kind: str, each: int) -> None:
    """S8, S3: its answer, what is emitted and the next step go together, and the first step with the start; at_most_once
    costs one more."""
    store = Counting(open_url(store_url))
    async with AsyncDurableService(store, [straight]) as service:
        assert await service.execute(straight(kind, 50)) == 50
    assert (store.starts, len(store.turns)) == (1, 50 * each)


@workflow("rules.big")
def big(text: str) -> Flow[str]:
    return (yield from WaitSignal(go))


@step
async def grow(size: int) -> str:
    return "x" * size


@workflow("rules.grows")
def grows() -> Flow[str]:
    try:
        yield from grow(5000)
    except StepFailed as failed:
        return failed.type
    return "stored"


async def test_what_is_over_the_limit_is_refused_before_anything_is_stored(store_url: str) -> None:
    """I2, S7, G3."""
    async with AsyncDurableService(store_url, [big, grows], max_bytes=2000) as service:
        with pytest.raises(CodecError, match="text"):
            await service.start(big("x" * 3000), id="it")
        with pytest.raises(ExecutionNotFound):
            await service.execution("it").info()
        execution = await service.start(big("small"), id="it")
        with pytest.raises(CodecError, match="go"):
            await execution.signal(go, "y" * 3000)
        await execution.signal(go, "y" * 1000)
        assert await execution.result(10) == "y" * 1000
        failing = await service.start(grows(), id="grows")
        assert (await failing.result(10)).endswith("CodecError")
        assert [str(key) for key in (await failing.info()).in_doubt] == ["grow"]


@pytest.mark.parametrize("id", ["", "x" * 256, "ä" * 128, "a\0b"])
async def test_an_id_that_is_empty_too_long_or_has_a_nul_is_refused(store_url: str, id: str) -> None:
    """I1: 255 bytes, not letters."""
    async with AsyncDurableService(store_url, [big]) as service:
        with pytest.raises(ValueError, match="id"):
            await service.start(big(""), id=id)
        with pytest.raises(ValueError, match="id"):
            await service.signal(id, go, "x")


async def test_ids_that_look_alike_are_different_ids(store_url: str) -> None:
    """I1."""
    ids = ["a", "A", "a ", " a", "a/../a", "%61", "'; DROP TABLE executions; --", "\u00e9", "e\u0301", "*", "a%", "a_", "\ud800", "\n"]
    async with AsyncDurableService(store_url, [big]) as service:
        for n, id in enumerate(ids):
            execution = await service.start(big(str(n)), id=id)
            await execution.signal(go, str(n))
        for n, id in enumerate(ids):
            assert await service.execution(id).result(10) == str(n)


async def test_an_at_most_once_step_whose_worker_lost_its_lease_is_interrupted_elsewhere() -> None:
    """S3, W1: the body of the first worker goes on, and what it gives is refused."""
    ahead = [timedelta(0)]
    store = MemoryStore(lambda: datetime.now(UTC) + ahead[0])
    bodies: list[int] = []
    leave = asyncio.Event()

    @step(at_most_once=True)
    async def pay() -> str:
        bodies.append(current_step().attempt)
        await leave.wait()
        return "paid"

    @workflow("rules.pays")
    def pays() -> Flow[str]:
        try:
            return (yield from pay())
        except StepInterrupted:
            yield from Sleep(0)
            return "not known"

    async with AsyncDurableService(store, [pays], lease=60, grace=0) as one:
        await one.start(pays(), id="it")
        await true(lambda: bodies)
        ahead[0] = timedelta(hours=1)
        async with AsyncDurableService(store, [pays], lease=60) as two:
            assert await two.execution("it").result(10) == "not known"
            rows = await two.execution("it").history()
            leave.set()
            await true(lambda: one._worker is None or not one._worker.lives)
            assert await two.execution("it").history() == rows
    assert bodies == [1]


async def test_mutating_what_a_body_or_a_handler_got_changes_nothing(store_url: str) -> None:
    """S1: decoded copies, also the first time."""
    heard: list[list[int]] = []
    made = Event("rules.made", list[int])

    @step
    async def extend(items: list[int]) -> list[int]:
        items.append(99)
        return items

    @workflow("rules.copies")
    def copies(items: list[int]) -> Flow[tuple[list[int], list[int]]]:
        longer = yield from extend(items)
        assert items == [1], items
        yield from Emit(made, longer)
        longer.append(100)
        yield from WaitSignal(go)
        return items, longer

    service = AsyncDurableService(store_url, [copies])

    @service.on(made, name="first")
    def first(items: list[int]) -> None:
        items.clear()

    @service.on(made, name="second")
    def second(items: list[int]) -> None:
        heard.append(items)

    async with service:
        mine = [1]
        execution = await service.start(copies(mine), id="it")
        mine.append(2)
        await standing(execution, "suspended")
        await true(lambda: heard)
    async with AsyncDurableService(store_url, [copies]) as again:
        await again.signal("it", go, "on")
        assert await again.execution("it", copies).result(10) == ([1], [1, 99, 100])
    assert heard == [[1, 99]]
