"""E4: nothing but cleanup is stored past a deadline, by the store's clock, whatever the worker's says; and nothing loops for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from redrive import (
    All,
    AsyncDurableService,
    Cancelled,
    ContinueAs,
    Emit,
    Event,
    ExecutionFailed,
    Flow,
    Invocation,
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
from tests.contracts.clocks import Clock
from tests.postgres.clocks import ClockedStore
from tests.postgres.server import Server

go = Signal("go")
heard = Event("heard", str)
LIMIT = timedelta(minutes=1)
HOUR = timedelta(hours=1)
CALLED: Counter[str] = Counter()
BODY: list[Callable[[], object]] = []
"""What the body does: time passes in it."""


@step
async def undone(of: str) -> None:
    CALLED["undone"] += 1


@step(undo=undone)
async def act() -> str:
    CALLED["act"] += 1
    for each in BODY:
        each()
    return "acted"


@step
async def more() -> None:
    CALLED["more"] += 1


@workflow("late.one")
def one() -> Flow[str]:
    return (yield from act())


@workflow("late.two", on_failure="rollback")
def two() -> Flow[str]:
    done = yield from act()
    yield from Emit(heard, done)
    yield from more()
    return done


@workflow("late.parallel")
def parallel() -> Flow[Any]:
    return (yield from All(act(), Sleep(86400)))


@workflow("late.again")
def again() -> Flow[str]:
    yield from act()
    return (yield from ContinueAs(one()))


@workflow("late.signal")
def signalled() -> Flow[str]:
    yield from WaitSignal(go)
    return (yield from act())


@workflow("late.parent")
def parent() -> Flow[str]:
    return (yield from RunChild(one()))


@workflow("late.cleans", on_failure="rollback")
def cleans() -> Flow[str]:
    try:
        yield from act()
        yield from Sleep(86400)
    except Cancelled:
        yield from more()
        raise
    return "never"


ALL = [one, two, parallel, again, signalled, parent, cleans]


class Lagging:
    """A store that tells its users an earlier time than it goes by, and counts the commits."""

    def __init__(self, store: Store, behind: timedelta) -> None:
        self._store, self._behind = store, behind
        self.commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def now(self) -> datetime:
        return await self._store.now() - self._behind

    def commit(self, claim: Any, turn: Any) -> Any:
        self.commits += 1
        return self._store.commit(claim, turn)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Clock, Callable[[], Store]]:
    clock = Clock()
    if request.param == "memory":
        shared = MemoryStore(clock)
        return clock, lambda: shared
    if request.param == "sqlite":
        return clock, lambda: SQLiteStore(str(tmp_path / "late.db"), clock=clock)
    server: Server = request.getfixturevalue("postgres")
    schema: str = request.getfixturevalue("schema")
    return clock, lambda: ClockedStore(server, schema, clock)


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    CALLED.clear()
    BODY.clear()


@pytest.mark.parametrize("behind", [timedelta(0), HOUR], ids=["clocks agree", "the worker's clock is an hour behind"])
@pytest.mark.parametrize("invocation", [one(), two(), parallel(), again(), parent(), cleans()], ids=lambda i: i.workflow.name)
async def test_what_a_body_gives_past_the_deadline_is_not_gone_on_with(
    stores: tuple[Clock, Callable[[], Store]], invocation: Invocation[Any], behind: timedelta
) -> None:
    clock, make = stores
    BODY.append(lambda: setattr(clock, "now", clock.now + 2 * LIMIT))
    async with AsyncDurableService(make(), ALL, worker=False) as client:
        execution = await client.start(invocation, timeout=LIMIT)
        lagging = Lagging(make(), behind)
        async with AsyncDurableService(lagging, ALL) as worker:  # type: ignore[arg-type]
            with pytest.raises(ExecutionFailed) as failed:
                await worker.execution(execution.id).result(10)
        assert isinstance(failed.value.cause, WorkflowTimeout)
        assert lagging.commits < 15
        assert (await client.store.events(0, ["heard"], 10))[1] == ()
    undoes = invocation.workflow in (two, cleans)
    assert Counter(act=1, undone=int(undoes), more=int(invocation.workflow is cleans)) - Counter() == CALLED


@pytest.mark.parametrize("behind", [timedelta(0), HOUR], ids=["clocks agree", "the worker's clock is an hour behind"])
async def test_what_is_taken_up_past_the_deadline_begins_nothing(stores: tuple[Clock, Callable[[], Store]], behind: timedelta) -> None:
    clock, make = stores
    async with AsyncDurableService(make(), ALL, worker=False) as client:
        never = await client.start(one(), timeout=LIMIT)
        waits = await client.start(signalled(), timeout=LIMIT)
        await waits.signal(go)
        clock.now += 2 * LIMIT
        lagging = Lagging(make(), behind)
        async with AsyncDurableService(lagging, ALL) as worker:  # type: ignore[arg-type]
            for each in (never, waits):
                with pytest.raises(ExecutionFailed, match="deadline"):
                    await worker.execution(each.id).result(10)
    assert Counter() == CALLED


async def test_a_worker_that_starts_with_its_own_clock_behind_begins_nothing_past_the_deadline(
    stores: tuple[Clock, Callable[[], Store]],
) -> None:
    """The start comes with its first turn, which is left out."""
    _, make = stores
    async with AsyncDurableService(Lagging(make(), HOUR), ALL) as service:  # type: ignore[arg-type]
        execution = await service.start(one(), timeout=LIMIT)
        with pytest.raises(ExecutionFailed, match="deadline"):
            await execution.result(10)
    assert Counter() == CALLED


async def test_many_that_are_late_do_not_keep_the_worker_busy(stores: tuple[Clock, Callable[[], Store]]) -> None:
    clock, make = stores
    BODY.append(lambda: setattr(clock, "now", clock.now + 2 * LIMIT))
    async with AsyncDurableService(make(), ALL, worker=False) as client:
        begun = [await client.start(parallel(), timeout=LIMIT) for _ in range(20)]
        lagging = Lagging(make(), HOUR)
        async with AsyncDurableService(lagging, ALL) as worker:  # type: ignore[arg-type]
            results = await asyncio.gather(*(worker.execution(each.id).result(20) for each in begun), return_exceptions=True)
    assert all(isinstance(result, ExecutionFailed) for result in results)
    assert lagging.commits <= 20 * 4
