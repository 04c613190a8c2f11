"""Turns that take long: they hold up nobody, and only those that never yield are broken off (D7)."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from redrive import AsyncDurableService, Flow, Map, Signal, Sleep, WaitSignal, step, workflow
from redrive.worker import apart, watchdog
from tests.runtime.support import standing, true

go = Signal("long.go", int)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog looks often, and turns leave the event loop soon."""
    for name, seconds in (("_LOOK_EVERY", 0.01), ("WARN_AFTER", 0.1), ("APART_AFTER", 0.05), ("STILL_AFTER", 0.1)):
        monkeypatch.setattr(watchdog, name, seconds)


@pytest.fixture
def forever() -> Iterator[threading.Event]:
    """What an endless loop asks whether the test is over."""
    event = threading.Event()
    yield event
    event.set()


def computing(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@step
async def inc(n: int) -> int:
    return n + 1


@workflow("long.fine")
def fine() -> Flow[int]:
    yield from Sleep(0.01)
    return (yield from WaitSignal(go))


async def test_a_turn_that_never_yields_is_logged_and_cut_and_stops_nobody_else(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """D7: others go on while it computes, and get their signals."""

    @workflow("long.endless")
    def endless() -> Flow[None]:
        yield from Sleep(0)
        while True:
            try:
                pass
            except BaseException:
                pass

    with caplog.at_level(logging.WARNING):
        async with AsyncDurableService(store_url, [endless, fine], turn_limit=0.6) as service:
            stuck = await service.start(endless())
            other = await service.start(fine())
            await other.signal(go, 7)
            assert await other.result(10) == 7
            assert (await stuck.info()).status != "parked"
            info = await standing(stuck, "parked")
    assert "without a command" in str(info.parked)
    assert "in endless" in caplog.text


async def test_an_endless_turn_does_not_keep_a_service_from_closing(store_url: str, forever: threading.Event) -> None:
    """D7: shutdown goes on meanwhile; what was under way is as the store has it."""
    computes, before = threading.Event(), set(threading.enumerate())

    @workflow("long.endless")
    def endless() -> Flow[int]:
        n = yield from inc(1)
        if not forever.is_set():
            computes.set()
        while not forever.is_set():
            pass
        return n

    async with AsyncDurableService(store_url, [endless], grace=5) as service:
        execution = await service.start(endless(), id="it")
        await true(lambda: computes.is_set() and any(live.apart for live in _lives(service)))
        began = time.monotonic()
        await service.close()
        assert time.monotonic() - began < 3
    await true(lambda: not [t for t in set(threading.enumerate()) - before if t.name == "redrive-watchdog"])
    forever.set()
    async with AsyncDurableService(store_url, [endless]) as service:
        assert await service.execution(execution.id, endless).result(10) == 2


def _lives(service: AsyncDurableService) -> list[Any]:
    assert service._worker is not None
    return list(service._worker.lives.values())


async def test_a_turn_that_takes_long_and_ends_is_never_cut(store_url: str) -> None:
    """It leaves the event loop, its bodies' answers are kept, and its next turns are computed apart as well."""
    seen: list[str] = []

    @workflow("long.honest")
    def honest() -> Flow[list[int]]:
        found: list[int] = []
        for n in range(3):
            found.append((yield from inc(n)))
            computing(0.15)
            seen.append(threading.current_thread().name)
        yield from Sleep(0.01)
        found.append((yield from WaitSignal(go)))
        return found

    async with AsyncDurableService(store_url, [honest], turn_limit=5) as service:
        execution = await service.start(honest())
        await execution.signal(go, 9)
        assert await execution.result(20) == [1, 2, 3, 9]
        assert not (await execution.info()).parked
    assert any(name.startswith("redrive-step") for name in seen)


async def test_no_body_runs_twice_where_its_turn_leaves_the_loop(store_url: str) -> None:
    """S1, S6: what bodies gave while the turn was broken off and computed anew is kept."""
    calls: list[int] = []

    @step
    async def counted(n: int) -> int:
        calls.append(n)
        await asyncio.sleep(0.002 * n)
        return n

    @workflow("long.counted")
    def flow() -> Flow[int]:
        values = yield from Map(counted, range(30))
        computing(0.2)
        return sum(values) + (yield from inc(0))

    async with AsyncDurableService(store_url, [flow]) as service:
        assert await service.execute(flow()) == sum(range(30)) + 1
    assert sorted(calls) == list(range(30))


async def test_a_turn_is_stuck_by_time_without_a_command_not_by_its_length(store_url: str) -> None:
    """A turn of many commands computes longer than the limit between two, all in all."""

    @step
    async def slow_to_ask(n: int) -> int:
        return n

    def branches(count: int) -> Iterator[Any]:
        for n in range(count):
            computing(0.02)
            yield slow_to_ask(n)

    @workflow("long.many")
    def flow() -> Flow[int]:
        from redrive import All

        return sum((yield from All.of(branch(n) for n in range(40))))

    def branch(n: int) -> Flow[int]:
        computing(0.02)
        return (yield from slow_to_ask(n))

    async with AsyncDurableService(store_url, [flow], turn_limit=0.4) as service:
        assert await service.execute(flow()) == sum(range(40))


async def test_a_turn_that_sleeps_holds_up_the_loop_once_and_is_not_parked(store_url: str) -> None:
    @workflow("long.sleepy")
    def sleepy() -> Flow[int]:
        n = yield from inc(1)
        for _ in range(60):
            time.sleep(0.01)
        return n

    async with AsyncDurableService(store_url, [sleepy], turn_limit=0.2) as service:
        assert await service.execute(sleepy()) == 2


async def test_timers_that_are_due_while_a_turn_is_computed_apart_are_not_lost(store_url: str) -> None:
    """T3."""

    @workflow("long.timers")
    def flow() -> Flow[str]:
        from redrive import All

        yield from inc(1)
        computing(0.1)

        def napping() -> Flow[str]:
            yield from Sleep(0.25)
            return "woken"

        def working() -> Flow[str]:
            for n in range(3):
                yield from inc(n)
                computing(0.2)
            return "worked"

        both = yield from All(napping(), working())
        return " ".join(both)

    async with AsyncDurableService(store_url, [flow]) as service:
        assert await service.execute(flow()) == "woken worked"


async def test_a_cancel_reaches_an_execution_whose_turns_are_computed_apart(store_url: str) -> None:
    from redrive import ExecutionCancelled

    @workflow("long.cancelled")
    def flow() -> Flow[None]:
        yield from inc(1)
        computing(0.2)
        yield from Sleep(3600)

    async with AsyncDurableService(store_url, [flow]) as service:
        execution = await service.start(flow())
        await asyncio.sleep(0.1)
        await execution.cancel("enough")
        with pytest.raises(ExecutionCancelled, match="enough"):
            await execution.result(10)


async def test_a_long_history_is_read_and_replayed_off_the_loop(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """E8: others do not wait for it."""
    monkeypatch.setattr(apart, "LONG", 2_000)
    monkeypatch.setattr("redrive.worker.shell.LONG", 2_000)
    threads: set[str] = set()

    @workflow("long.history")
    def flow() -> Flow[int]:
        threads.add(threading.current_thread().name)
        for n in range(40):
            yield from inc(n)
        return (yield from WaitSignal(go))

    async with AsyncDurableService(store_url, [flow]) as service:
        execution = await service.start(flow(), id="it")
        while not (await execution.info()).waiting_on:
            await asyncio.sleep(0.002)
        while (await execution.info()).waiting_on[0].kind != "wait_signal":
            await asyncio.sleep(0.002)
    threads.clear()
    async with AsyncDurableService(store_url, [flow]) as service:
        execution = service.execution("it", flow)
        await execution.signal(go, 5)
        assert await execution.result(10) == 5
    assert all(name.startswith("redrive-step") for name in threads)


async def test_a_turn_that_no_store_can_take_fails_its_execution_and_nobody_else(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from redrive import ExecutionFailed
    from redrive.worker.life import oversize

    monkeypatch.setattr(oversize, "MOST", 20_000)
    calls: list[str] = []

    @step
    async def size(text: str) -> int:
        calls.append(text)
        return len(text)

    @workflow("long.large")
    def large(count: int) -> Flow[int]:
        first = yield from inc(1)
        return first + sum((yield from Map(size, ["x" * 1_000] * count)))

    async with AsyncDurableService(store_url, [large]) as service:
        assert await service.execute(large(5)) == 5_002
        calls.clear()
        execution = await service.start(large(30))
        with pytest.raises(ExecutionFailed, match=r"rows of .* bytes together"):
            await execution.result(10)
        info = await execution.info()
        assert (info.status, info.waiting_on) == ("failed", ())
        assert not calls
        assert await service.execute(large(6)) == 6_002
