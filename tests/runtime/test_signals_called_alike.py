"""Signals that are called alike are several (N7), on the worker, whatever way they come."""

from __future__ import annotations

import asyncio
from typing import Any

from redrive import All, AsyncDurableService, ContinueAs, Emit, Event, Retry, SendSignal, Signal, WaitSignal, workflow
from redrive.ports.store import NewMessage
from redrive_interpreter import Signalled
from tests.runtime.support import standing, true

ONE, TWO, THREE = Signal("a", str).of("b:c"), Signal("a:b", str).of("c"), Signal("a:b:c", str)
SOURCES = {"one": ONE, "two": TWO, "three": THREE}


@workflow("receives")
def receives() -> Any:
    return (yield from All(**{name: WaitSignal(source) for name, source in SOURCES.items()}))


@workflow("sends")
def sends(target: str) -> Any:
    for name in ("three", "one", "two"):
        yield from SendSignal(target, SOURCES[name], name)


@workflow("receives late")
def receives_late() -> Any:
    yield from WaitSignal("go")
    return (yield from All(**{name: WaitSignal(source) for name, source in SOURCES.items()}))


async def test_a_client_sends_each_to_its_own_wait(store_url: str) -> None:
    async with AsyncDurableService(store_url, [receives]) as service:
        execution = await service.start(receives(), id="r")
        for name in ("three", "one", "two"):
            assert await execution.signal(SOURCES[name], name, key="k")
            assert not await execution.signal(SOURCES[name], name, key="k")
        assert await execution.result(5) == {name: name for name in SOURCES}
        assert [row.name for row in await execution.history() if isinstance(row, Signalled)] == ["a:b:c"] * 3


async def test_a_workflow_sends_each_to_its_own_wait(store_url: str) -> None:
    async with AsyncDurableService(store_url, [receives, sends]) as service:
        execution = await service.start(receives(), id="r")
        await service.execute(sends("r"))
        assert await execution.result(5) == {name: name for name in SOURCES}


async def test_signals_that_an_older_release_stored_reach_the_waits_they_may_be_for(store_url: str) -> None:
    """It stored the bare name. While nobody lives, so that they are in the inbox when the new release comes."""
    async with AsyncDurableService(store_url, [receives_late]) as service:
        await standing(await service.start(receives_late(), id="r"), "suspended")
    async with AsyncDurableService(store_url, worker=False) as client:
        for n, name in enumerate(("a:b:c", "go", "a:b:c", "a:b:c")):
            await client.store.send("r", NewMessage(kind="signal", name=name, data="null" if name == "go" else f'"{n}"', dedup=f"once:{n}"))
    async with AsyncDurableService(store_url, [receives_late]) as service:
        assert await service.execution("r").result(5) == {"one": "0", "two": "2", "three": "3"}


async def test_unread_ones_go_to_the_next_run_and_what_is_set_aside_comes_back_as_itself(store_url: str) -> None:
    @workflow("again")
    def again(first: bool) -> Any:
        if first:
            yield from WaitSignal("go")
            return (yield from ContinueAs(again(False)))
        return (yield from WaitSignal(THREE)), (yield from WaitSignal(Signal("a", int).of("b:c")))

    async with AsyncDurableService(store_url, [again]) as service:
        execution = await service.start(again(True), id="r")
        await execution.signal(ONE, "no number")
        await execution.signal(THREE, "three")
        await execution.signal("go", None)
        while not (info := await execution.info()).set_aside:
            await asyncio.sleep(0.002)
        assert info.set_aside[0].name == "a:b:c"
        await service.operator.redeliver("r")
        while not (again_aside := (await execution.info()).set_aside) or again_aside == info.set_aside:
            await asyncio.sleep(0.002)
        await execution.signal(Signal("a", int).of("b:c"), 1)
        assert await execution.result(5) == ("three", 1)


PLAIN, MADE = Event("e:x", int), Event("e", int).of("x")


@workflow("emits alike")
def emits() -> Any:
    yield from Emit(MADE, 1)
    yield from Emit(PLAIN, 2)


async def test_two_events_that_are_called_alike_are_two(store_url: str) -> None:
    heard: dict[str, list[int]] = {"plain": [], "made": []}
    async with AsyncDurableService(store_url, [emits]) as service:
        service.on(PLAIN, name="plain")(heard["plain"].append)
        service.on(MADE, name="made")(heard["made"].append)
        async with asyncio.timeout(5):
            await service.execute(emits())
            await true(lambda: heard["plain"] and heard["made"])
    assert heard == {"plain": [2], "made": [1]}


async def test_events_that_an_older_release_stored_by_their_bare_name_are_handled(store_url: str) -> None:
    """They wait for their handler, new and held ones, when the new release comes."""
    async with AsyncDurableService(store_url, [emits]) as service:  # the handler's place, as the older one stored it
        await service.store.take_events("h", "e:x", "older", 1)
        await service.execute(emits())
    heard: list[int] = []

    def handle(n: int) -> None:
        heard.append(n)
        if heard == [2]:
            raise ValueError("not yet")

    async with AsyncDurableService(store_url, [emits]) as service:
        service.on(MADE, name="h", retry=Retry(attempts=None, delay=0.01))(handle)
        async with asyncio.timeout(5):
            await true(lambda: heard == [2, 2])
            await service.execute(emits())
            await true(lambda: heard == [2, 2, 1])
