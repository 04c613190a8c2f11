"""Parked executions: who tries them again, what a cancel does to them, and what the log says (D2, E3, E7)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redrive import (
    AsyncDurableService,
    Cancelled,
    ExecutionCancelled,
    ExecutionInfo,
    Flow,
    RunChild,
    Signal,
    WaitSignal,
    Workflow,
    step,
    workflow,
)
from redrive.stores.memory import MemoryStore
from redrive.worker import quarantine
from tests.runtime.support import standing, true

go = Signal("go", str)
began: list[str] = []
undone: list[str] = []


@step
async def unreserve(thing: str) -> None:
    undone.append(thing)


@step(undo=unreserve)
async def reserve() -> str:
    return "hold"


@step
async def charge() -> str:
    began.append("charge")
    return "ch"


@step
async def another() -> None: ...


@workflow("parked.shop", on_cancel="rollback")
def fits() -> Flow[str]:
    yield from reserve()
    said = yield from WaitSignal(go)
    yield from charge()
    return said


@workflow("parked.shop", on_cancel="rollback")
def differs() -> Flow[str]:
    yield from another()
    return (yield from WaitSignal(go))


@workflow("parked.other")
def other() -> Flow[str]:
    yield from ()
    return "other"


def service(store: Any, flow: Workflow[..., Any] = differs, build: str = "b", **options: Any) -> AsyncDurableService:
    settings: dict[str, Any] = {"lease": 0.6, "grace": 0, **options}
    return AsyncDurableService(store, [flow], build=build, **settings)


async def suspended(store: Any) -> None:
    """An execution that stands at its signal, and then gets it; nobody is there."""
    began.clear()
    undone.clear()
    async with service(store, fits, "first") as first:
        await standing(await first.start(fits(), id="it"), "suspended")
    async with AsyncDurableService(store) as client:
        await client.signal("it", go, "hello")


async def parks(client: AsyncDurableService, fit: Callable[[ExecutionInfo], object]) -> ExecutionInfo:
    while not fit(info := await client.execution("it").info()):
        await asyncio.sleep(0.005)
    return info


# ── who tries again ─────────────────────────────────────────────────────────────────────────────
async def test_new_code_under_an_old_name_goes_on_with_what_the_old_code_parked(store_url: str) -> None:
    """D2: whatever the build says, each start of a worker tries once."""
    await suspended(store_url)
    async with service(store_url) as old:
        await standing(old.execution("it"), "parked")
        async with service(store_url, fits) as new:
            assert await new.execution("it").result(10) == "hello"
            assert (await new.execution("it").info()).parks == ()


async def test_new_code_beside_old_code_of_the_same_name_goes_on_with_all_that_the_old_one_parks(store_url: str) -> None:
    """D2: a worker with older code beside newer ones parks nothing for the others, also where both were there before."""
    began.clear()
    ids = [f"it-{n}" for n in range(8)]
    async with service(store_url, fits, "first") as first:
        for id in ids:
            await standing(await first.start(fits(), id=id), "suspended")
    async with service(store_url) as old, service(store_url, fits), AsyncDurableService(store_url) as client:
        for id in ids:
            await client.signal(id, go, "hello")
        assert await asyncio.gather(*(old.execution(id).result(20) for id in ids)) == ["hello"] * len(ids)


async def test_two_old_workers_do_not_hand_an_execution_to_and_fro(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """D2, W9: each tries once, and the park is logged once."""
    await suspended(store_url)
    caplog.set_level(logging.INFO, "redrive.worker")
    async with service(store_url) as one, service(store_url):
        info = await parks(one, lambda info: info.parks and info.parks[0].tries == 2)
        assert (info.parks[0].kind, info.parks[0].retry_at) == ("diverged", None)
        await asyncio.sleep(0.5)
        assert (await one.execution("it").info()).parks == info.parks
    logged = [record for record in caplog.records if "is parked (diverged) for build b" in record.getMessage()]
    assert [record.levelname for record in logged] == ["ERROR"]
    assert "another" in logged[0].getMessage()


async def test_many_that_are_parked_are_tried_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """D2: paced; what is new does not wait for them."""
    monkeypatch.setattr(quarantine, "RETRIES_AT_ONCE", 2)
    store = MemoryStore()
    async with service(store, fits, "first") as first:
        for n in range(6):
            await standing(await first.start(fits(), id=f"it-{n}"), "suspended")
    async with AsyncDurableService(store) as client:
        for n in range(6):
            await client.signal(f"it-{n}", go, "hello")
        async with service(store):
            for n in range(6):
                await standing(client.execution(f"it-{n}"), "parked")
        async with service(store, fits) as fixed:
            before = asyncio.get_running_loop().time()
            assert await fixed.execution("it-0").result(10) == "hello"
            for n in range(6):
                assert await fixed.execution(f"it-{n}").result(10) == "hello"
            assert asyncio.get_running_loop().time() - before > quarantine.RETRY_EVERY, "two each second"


# ── deaths ──────────────────────────────────────────────────────────────────────────────────────
class Dial:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@workflow("parked.deadly")
def deadly() -> Flow[str]:
    yield from kills()
    return "survived"


@step
async def kills() -> None:
    began.append("kills")
    if len(began) <= 2:
        await asyncio.sleep(3600)


async def die(store: MemoryStore, dial: Dial) -> None:
    """A worker takes the execution up, and dies of it: it says nothing any more, and its lease passes."""
    count = len(began)
    killed = service(store, deadly, lease=60, max_recoveries=1)
    await killed.__aenter__()
    await true(lambda: len(began) > count)
    assert killed._worker is not None
    for task in (*killed._tasks, *killed._worker._tasks):
        task.cancel()
    dial.ahead += timedelta(hours=1)


async def killed_twice() -> tuple[MemoryStore, Dial]:
    began.clear()
    dial = Dial()
    store = MemoryStore(dial)
    async with AsyncDurableService(store) as client:
        await client.start(deadly(), id="it")
        await die(store, dial)
        await die(store, dial)
    return store, dial


@pytest.mark.parametrize("build", ["b", "repaired"])
async def test_code_that_no_longer_kills_its_workers_goes_on_with_what_was_parked_for_that(build: str) -> None:
    """E7: also under the same name."""
    store, _ = await killed_twice()
    async with service(store, deadly, lease=60, max_recoveries=1) as parking:
        info = await standing(parking.execution("it"), "parked")
        assert (info.parks[0].kind, info.parks[0].tries) == ("killed", 1)
        assert "died 2 times" in info.parked["b"]
        async with service(store, deadly, build, lease=60, max_recoveries=1) as fixed:
            assert await fixed.execution("it").result(10) == "survived"


async def test_what_was_parked_for_deaths_is_tried_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """D2: it says nothing of the code."""
    monkeypatch.setattr(quarantine, "_FIRST", {"killed": timedelta(seconds=0.2)})
    store, _ = await killed_twice()
    async with service(store, deadly, lease=60, max_recoveries=1) as parking:
        await standing(parking.execution("it"), "parked")
        assert await parking.execution("it").result(10) == "survived"


async def test_one_more_death_parks_again_and_the_next_try_is_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """E7: on probation one is enough, or each start of a worker would cost as many as before."""
    monkeypatch.setattr(quarantine, "_FIRST", {"killed": timedelta(seconds=100)})
    store, dial = await killed_twice()
    async with service(store, deadly, lease=60, max_recoveries=1) as parking:
        await standing(parking.execution("it"), "parked")
    began.clear()
    await die(store, dial)
    async with service(store, deadly, lease=60, max_recoveries=1) as parking:
        info = await parks(parking, lambda info: info.parks and info.parks[0].tries == 2)
        assert info.parks[0].retry_at is not None
        assert info.parks[0].retry_at - info.parks[0].at == timedelta(seconds=200)
        assert "died once" in info.parked["b"]
    assert began == ["kills"]


# ── cancels ─────────────────────────────────────────────────────────────────────────────────────
async def test_a_cancel_of_a_parked_execution_shows_and_is_carried_out_by_the_first_code_that_fits(store_url: str) -> None:
    """E3: no further body begins but undos."""
    await suspended(store_url)
    async with service(store_url) as parking:
        execution = parking.execution("it")
        await standing(execution, "parked")
        await execution.cancel("customer called")
        info = await execution.info()
        assert (info.status, info.cancel_requested) == ("parked", "customer called")
        with pytest.raises(TimeoutError, match="a cancel waits for code that fits"):
            await execution.result(0.05)
    async with service(store_url, fits, "fits") as fitting:
        with pytest.raises(ExecutionCancelled, match="customer called"):
            await fitting.execution("it").result(10)
        info = await fitting.execution("it").info()
        assert (info.status, info.cancel_requested) == ("cancelled", None)
    assert (began, undone) == ([], ["hold"])


async def test_a_cancel_of_what_nobody_has_the_code_for_and_never_began_ends_it_at_once(store_url: str) -> None:
    """E3; code that comes later reads its history."""
    async with AsyncDurableService(store_url, [other], lease=0.6) as here:
        execution = await here.start(Workflow("parked.shop")(), id="it")
        await standing(execution, "parked")
        waiting = asyncio.create_task(execution.result(10))
        await asyncio.sleep(0.01)
        await execution.cancel("nobody wants it")
        with pytest.raises(ExecutionCancelled, match="nobody wants it"):
            await waiting
        info = await execution.info()
        assert (info.status, info.parks, info.rows) == ("cancelled", (), 3)
    async with service(store_url, fits) as later:
        assert (await later.execution("it", fits).info()).status == "cancelled"
        with pytest.raises(ExecutionCancelled, match="nobody wants it"):
            await later.execution("it", fits).result(1)


async def test_a_parent_whose_child_nobody_has_the_code_for_can_be_cancelled(store_url: str) -> None:
    """E3, E10: it waits for the end of its child."""

    @workflow("parked.parent")
    def parent() -> Flow[str]:
        try:
            return str((yield from RunChild(Workflow("parked.shop")(), id="child")))
        except Cancelled as cancelled:
            return f"cancelled: {cancelled.reason}"

    async with AsyncDurableService(store_url, [parent], lease=0.6) as here:
        execution = await here.start(parent(), id="it")
        await standing(execution, "suspended")
        await standing(here.execution("child"), "parked")
        await execution.cancel("enough")
        assert (await standing(execution, "cancelled")).result == "cancelled: enough"
        assert (await here.execution("child").info()).status == "cancelled"


async def test_what_no_worker_has_is_logged_once_when_it_is_parked(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """W9, E5."""
    async with AsyncDurableService(store_url, [other], lease=0.3) as here:
        for id in ("it", "too"):
            await standing(await here.start(Workflow("parked.shop")(), id=id), "parked")
        await asyncio.sleep(0.5)
    logged = [record.getMessage() for record in caplog.records if "unknown workflow" in record.getMessage()]
    assert sum(line.count("'it'") for line in logged) == sum(line.count("'too'") for line in logged) == 1
    assert all("no worker has workflow 'parked.shop'" in line for line in logged)
