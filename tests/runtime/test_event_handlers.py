"""Durable handlers: an event is done when its handler has succeeded, or it is kept for people (G5)."""

from __future__ import annotations

import asyncio
import functools
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from redrive import AsyncDurableService, DurableService, Emit, Event, Flow, InvalidDefinition, InvalidDuration, Retry, RetryAfter, workflow
from redrive import handlers as module
from redrive.handling import handler_of
from redrive.ports.store import StoreError
from tests.runtime.support import true

sent = Event("handlers.sent", int)
other = Event("handlers.other", int)
ROOT = Path(__file__).parents[2]
SOON = Retry(attempts=None, delay=0.01, max_delay=0.05)


@workflow("handlers.emits")
def emits(*numbers: int) -> Flow[None]:
    for n in numbers:
        yield from Emit(sent, n)


@workflow("handlers.both")
def both(n: int) -> Flow[None]:
    yield from Emit(sent, n)
    yield from Emit(other, n)


def service_with(url: str, function: Callable[[int], Any], retry: Any = SOON, **options: Any) -> AsyncDurableService:
    service = AsyncDurableService(url, [emits, both], **options)
    service.on(sent, name="handler", retry=retry)(function)
    return service


async def nothing_held(service: AsyncDurableService) -> None:
    while await service.operator.dead_letters(retrying=True):
        await asyncio.sleep(0.005)


class Outage:
    """A handler that fails for the numbers in *down*, and keeps what it heard and what it was called with."""

    def __init__(self, *down: int) -> None:
        self.down = set(down)
        self.got: list[int] = []
        self.calls: list[int] = []

    async def __call__(self, n: int) -> None:
        self.calls.append(n)
        if n in self.down:
            raise ConnectionError(f"no line for {n}")
        self.got.append(n)

    async def handle(self, n: int) -> None:
        await self(n)


async def test_what_fails_for_a_while_is_handled_afterwards(store_url: str) -> None:
    """G5."""
    outage = Outage(*range(6))
    async with service_with(store_url, outage.handle) as service:
        for n in range(6):
            await service.execute(emits(n))
        await true(lambda: outage.calls.count(5) > 5)
        outage.down.clear()
        await true(lambda: len(outage.got) == 6)
        await nothing_held(service)
    assert sorted(outage.got) == list(range(6))


async def test_attempts_and_the_time_of_the_next_one_survive_a_restart(store_url: str) -> None:
    outage = Outage(1)
    policy = Retry(attempts=3, delay=0.3, factor=1)
    async with service_with(store_url, outage.handle, policy) as service:
        await service.execute(emits(1, 2), id="e-1")
        await true(lambda: outage.calls == [1])
        while len(await service.operator.dead_letters(retrying=True)) < 2:
            await asyncio.sleep(0.005)
    began = time.monotonic()
    async with service_with(store_url, outage.handle, policy) as service:
        while not (dead := await service.operator.dead_letters("handler")):
            await asyncio.sleep(0.005)
        assert time.monotonic() - began > 0.2
        assert outage.calls[:3] == [1, 1, 1]
        await true(lambda: outage.got == [2])
        assert (dead[0].payload, dead[0].execution, dead[0].attempts, dead[0].dead) == (1, "e-1", 3, True)
        assert dead[0].error.startswith("ConnectionError: no line for 1\n")


async def test_the_order_within_an_execution_is_kept_and_other_executions_go_on(store_url: str) -> None:
    outage = Outage(1)
    async with service_with(store_url, outage.handle) as service:
        await service.execute(emits(0, 1, 2, 3))
        await service.execute(emits(10, 11))
        await true(lambda: 11 in outage.got)
        await service.execute(emits(20))
        await true(lambda: 20 in outage.got)
        assert outage.got == [0, 10, 11, 20]
        outage.down.clear()
        await true(lambda: 3 in outage.got)
    assert outage.got == [0, 10, 11, 20, 1, 2, 3]


async def test_the_order_is_kept_across_a_restart_too(store_url: str) -> None:
    outage = Outage(1)
    async with service_with(store_url, outage.handle) as service:
        await service.execute(emits(1, 2))
        await true(lambda: 1 in outage.calls)
        while len(await service.operator.dead_letters(retrying=True)) < 2:
            await asyncio.sleep(0.005)
    async with AsyncDurableService(store_url, [emits]) as deaf:
        await deaf.execute(emits(3))
    outage.down.clear()
    async with service_with(store_url, outage.handle):
        await true(lambda: len(outage.got) == 3)
    assert [n for n in outage.got if n != 3] == [1, 2]


async def test_other_handlers_and_other_events_go_on_while_one_fails_or_hangs(store_url: str) -> None:
    got: list[str] = []
    let_go = threading.Event()
    service = AsyncDurableService(store_url, [both])
    for n in range(12):  # more than there are threads in a default executor
        service.on(sent, name=f"hangs {n}")(lambda n: let_go.wait())  # type: ignore[arg-type, return-value]
    service.on(sent, name="fails", retry=SOON)(Outage(*range(100)).handle)
    service.on(sent, name="fine")(lambda n: got.append(f"sent {n}"))
    service.on(other, name="other")(lambda n: got.append(f"other {n}"))
    async with service:
        for n in range(3):
            await service.execute(both(n))
        await true(lambda: len(got) == 6)
        let_go.set()
    assert sorted(got) == sorted([f"sent {n}" for n in range(3)] + [f"other {n}" for n in range(3)])


async def test_past_its_policy_an_event_is_listed_and_redelivered(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(1, 2)
    async with service_with(store_url, outage.handle, Retry(attempts=2, delay=0.001)) as service:
        await service.execute(emits(1, 2, 3))
        await true(lambda: outage.got == [3])
        dead = await service.operator.dead_letters()
        assert [letter.payload for letter in dead] == [1, 2]
        assert outage.calls == [1, 1, 2, 2, 3]
        outage.down.clear()
        assert await service.operator.redeliver_events("handler", dead[1].seq) == 1
        await true(lambda: outage.got == [3, 2])
        assert await service.operator.redeliver_events("handler") == 1
        await true(lambda: outage.got == [3, 2, 1])
        await nothing_held(service)
        assert await service.operator.redeliver_events("handler") == 0
    told = [record for record in caplog.records if record.name == "redrive.events"]
    assert [record.levelno for record in told] == [logging.WARNING, logging.ERROR] * 2  # W9: each attempt once
    assert all(record.exc_info and "no line" in record.message for record in told)


async def test_what_fails_again_after_it_was_redelivered_has_all_its_attempts(store_url: str) -> None:
    outage = Outage(1)
    async with service_with(store_url, outage.handle, Retry(attempts=2, delay=0.001)) as service:
        await service.execute(emits(1))
        while not await service.operator.dead_letters():
            await asyncio.sleep(0.005)
        await service.operator.redeliver_events("handler")
        await true(lambda: len(outage.calls) == 4)
        while not (dead := await service.operator.dead_letters()):
            await asyncio.sleep(0.005)
        assert dead[0].attempts == 2


async def test_a_dropped_event_is_not_heard_again_and_what_waited_behind_it_is(store_url: str) -> None:
    outage = Outage(1)
    async with service_with(store_url, outage.handle, Retry(attempts=None, delay=0.3, factor=1)) as service:
        await service.execute(emits(1, 2))
        while len(found := await service.operator.dead_letters("handler", retrying=True)) < 2:
            await asyncio.sleep(0.005)
        assert [letter.dead for letter in found] == [False, False]
        assert await service.operator.drop_events("handler") == 0
        assert await service.operator.drop_events("handler", found[0].seq) == 1
        await true(lambda: outage.got == [2])


async def test_an_event_that_cannot_be_read_is_dead_at_once_until_a_type_fits(store_url: str) -> None:
    """G6."""

    @attrs.frozen
    class Receipt:
        number: int

    heard: list[Any] = []
    service = AsyncDurableService(store_url, [emits])
    service.on(Event("handlers.sent", Receipt), name="handler")(heard.append)
    async with service:
        await service.execute(emits(1, 2))
        while len(dead := await service.operator.dead_letters()) < 2:
            await asyncio.sleep(0.005)
        assert [letter.attempts for letter in dead] == [1, 1]
        assert "Receipt" in dead[0].error
        assert heard == []
    async with service_with(store_url, heard.append) as service:
        await service.operator.redeliver_events("handler")
        await true(lambda: heard == [1, 2])


async def test_a_policy_may_name_errors_and_an_event_its_own_delay(store_url: str) -> None:
    calls: list[int] = []

    async def picky(n: int) -> None:
        calls.append(n)
        if n == 1:
            raise KeyError(n)
        if calls.count(n) < 3:
            raise RetryAfter(0.001) if n == 2 else ValueError(n)

    policy = (Retry(attempts=5, delay=0.001, on=ValueError), Retry(attempts=5, delay=60, on=OSError))
    async with service_with(store_url, picky, policy) as service:
        for n in (1, 2, 3):
            await service.execute(emits(n))
        await true(lambda: calls.count(2) == calls.count(3) == 3)
        while not (dead := await service.operator.dead_letters()):
            await asyncio.sleep(0.005)
    assert [letter.payload for letter in dead] == [1]
    assert calls.count(1) == 1


@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(1), GeneratorExit(), BaseException("odd")])
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_whatever_a_handler_raises_it_goes_on(store_url: str, error: BaseException, kind: str) -> None:
    calls: list[int] = []

    def sync(n: int) -> None:
        calls.append(n)
        if len(calls) == 1:
            raise error

    async def on_the_loop(n: int) -> None:
        sync(n)

    async with service_with(store_url, on_the_loop if kind == "async" else sync) as service:
        await service.execute(emits(1))
        await service.execute(emits(2))
        await true(lambda: sorted(calls) == [1, 1, 2])


async def test_a_store_that_fails_for_a_moment_costs_no_event(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL", 0.01)
    outage = Outage(2)
    service = service_with(store_url, outage.handle)
    failures = ["hold_events", "events_done", "held_done", "held_events", "take_events"] * 2

    def failing(name: str) -> Any:
        real = getattr(service.store, name)

        async def verb(*args: Any, **more: Any) -> Any:
            if name in failures and len(outage.calls) > 0:
                failures.remove(name)
                raise StoreError("a moment", retry_helps=True)
            return await real(*args, **more)

        return verb

    async with service:
        for name in set(failures):
            monkeypatch.setattr(service.store, name, failing(name))
        for n in (1, 2, 3):
            await service.execute(emits(n))
        await true(lambda: {1, 3} <= set(outage.got))
        outage.down.clear()
        await true(lambda: 2 in outage.got and not failures)
        await nothing_held(service)


def test_a_handler_that_is_added_to_an_open_service_hears_what_is_caused_next(store_url: str) -> None:
    heard: list[int] = []
    with DurableService(store_url, [emits]) as service:
        service.on(sent, name="late")(heard.append)
        service.execute(emits(1))
        while not heard:
            time.sleep(0.002)
    assert heard == [1]


async def test_so_many_held_events_stop_a_handler_that_it_takes_no_more(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_HELD", 5)
    monkeypatch.setattr(module, "AT_ONCE", 2)
    outage = Outage(*range(20))
    async with service_with(store_url, outage.handle) as service:
        for n in range(20):
            await service.execute(emits(n))
        await true(lambda: len(outage.calls) > 50)
        assert len(await service.operator.dead_letters(retrying=True)) <= 5 + 2  # and what was taken while there was room
        outage.down.clear()
        await true(lambda: len(outage.got) == 20)


async def test_what_one_worker_held_is_tried_again_by_the_next(store_url: str) -> None:
    outage = Outage(1)
    one, two = (service_with(store_url, outage.handle, Retry(attempts=None, delay=0.2, factor=1)) for _ in range(2))
    async with one, two:
        await two.execute(emits(1))
        await true(lambda: outage.calls)
        await one.close()
        calls = len(outage.calls)
        await true(lambda: len(outage.calls) > calls)
        outage.down.clear()
        await true(lambda: outage.got == [1])


def test_a_policy_must_be_one(store_url: str) -> None:
    with pytest.raises(InvalidDefinition, match="retry"):
        AsyncDurableService(store_url).on(sent, retry=5)(print)  # type: ignore[arg-type]


async def test_a_call_that_hangs_is_ended_by_its_timeout_and_tried_again(store_url: str) -> None:
    """Async calls are told to stop, also those that do not hear it; threads are left behind."""
    got: list[tuple[str, int]] = []
    calls = {"async": 0, "deaf": 0, "sync": 0}
    free = threading.Event()

    service = AsyncDurableService(store_url, [emits])

    @service.on(sent, name="async", retry=SOON, timeout=0.05)
    async def waits(n: int) -> None:
        calls["async"] += 1
        if calls["async"] == 1:
            await asyncio.Event().wait()
        got.append(("async", n))

    @service.on(sent, name="deaf", retry=SOON, timeout=0.05)
    async def deaf(n: int) -> None:
        calls["deaf"] += 1
        while calls["deaf"] == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        got.append(("deaf", n))

    @service.on(sent, name="sync", retry=SOON, timeout=0.05)
    def blocks(n: int) -> None:
        calls["sync"] += 1
        if calls["sync"] == 1:
            free.wait(30)
        got.append(("sync", n))

    try:
        async with service:
            await service.execute(emits(1))
            await true(lambda: len(got) == 3)
            await nothing_held(service)
    finally:
        free.set()
    assert sorted(got) == [("async", 1), ("deaf", 1), ("sync", 1)]
    assert calls == {"async": 2, "deaf": 2, "sync": 2}


@pytest.mark.parametrize("timeout", [None, 60])
async def test_a_call_that_hears_no_cancel_does_not_hold_up_the_close(store_url: str, timeout: float | None) -> None:
    """E6: nor one that hears not even GeneratorExit; its event is heard again."""
    told: list[BaseException] = []
    began = asyncio.Event()
    service = AsyncDurableService(store_url, [emits], grace=0.05)

    @service.on(sent, name="deaf", timeout=timeout)
    async def deaf(n: int) -> None:
        while True:
            began.set()
            try:
                await asyncio.sleep(60)
            except BaseException as error:
                told.append(error)

    async with asyncio.timeout(20):
        async with service:
            await service.execute(emits(1))
            await began.wait()
    assert isinstance(told[0], asyncio.CancelledError)
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if "handl" in repr(task.get_coro())]


async def test_a_call_that_goes_on_for_long_is_told_of(
    store_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SLOW", 0.01)
    free = asyncio.Event()

    async def waits(n: int) -> None:
        await free.wait()

    async with service_with(store_url, waits) as service:
        await service.execute(emits(1), id="e-1")
        await true(lambda: "handler handler has been at event 1 (handlers.sent) of execution 'e-1'" in caplog.text)
        free.set()


@pytest.mark.parametrize("retry", [SOON, Retry(attempts=2, delay=0.01), Retry(attempts=2, delay=0.01, on=ConnectionError)])
async def test_an_event_that_kills_its_process_uses_up_attempts(tmp_path: Path, retry: Retry) -> None:
    """E7's cousin: the policy has its end, and others go on."""
    url = f"sqlite:///{tmp_path}/kills.db"
    async with service_with(url, Outage().handle, retry):
        pass
    async with AsyncDurableService(url, [emits]) as deaf:
        await deaf.execute(emits(1), id="e-1")
        await deaf.execute(emits(2), id="e-2")
    kills = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from datetime import timedelta
from redrive import DurableService, Retry
from tests.runtime.test_event_handlers import emits, sent
service = DurableService({url!r}, [emits])
retry = Retry(attempts={retry.attempts}, delay=0.01, max_delay=0.05, on={retry.on[0].__name__})

@service.on(sent, name="handler", retry=retry)
def kills(n):
    print(n, flush=True)
    if n == 1:
        os._exit(9)

import time
with service:
    time.sleep(30)
"""
    attempts = range(1, (retry.attempts or 3) + 1)
    for attempt in attempts:
        ran = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", kills], capture_output=True, text=True, timeout=30)
        assert ran.returncode == 9, ran.stderr
        async with AsyncDurableService(url, [emits], worker=False) as client:
            (held,) = await client.operator.dead_letters("handler", retrying=True)
        assert (held.payload, held.attempts, held.dead) == (1, attempt, False)
        assert held.error.startswith(f"attempt {attempt} began and has not ended: its process may have died")
    if retry.attempts is not None:
        async with service_with(url, (outage := Outage()).handle, retry) as service:
            while not (dead := await service.operator.dead_letters("handler")):
                await asyncio.sleep(0.005)
            assert (dead[0].payload, dead[0].attempts) == (1, 2)
            await true(lambda: outage.got == [2])


async def test_a_handler_that_is_told_to_stop_uses_up_no_attempt(store_url: str) -> None:
    """E6's cousin."""
    begun = asyncio.Event()

    async def waits(n: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    once = Retry(attempts=1)
    for _ in range(2):
        begun.clear()
        async with service_with(store_url, waits, once, grace=0.01) as service:
            if not _:
                await service.execute(emits(1))
            await asyncio.wait_for(begun.wait(), 10)
    async with service_with(store_url, (outage := Outage()).handle, once) as service:
        await true(lambda: outage.got == [1])
        await nothing_held(service)


class _Called:
    def __call__(self, n: int) -> None: ...


def test_a_handlers_name_is_the_same_in_each_process() -> None:
    """N7: it says under what its place is stored; an address would begin it anew at each start."""
    assert handler_of(sent, _Called(), None, None).name == f"{__name__}._Called"
    assert handler_of(sent, functools.partial(max, 1), None, None).name == "builtins.max"
    assert handler_of(sent, functools.partial(functools.partial(Outage.handle, Outage())), None, None).name == f"{__name__}.Outage.handle"
    service = DurableService("memory://")
    service.on(sent)(_Called())
    with pytest.raises(InvalidDefinition, match="two handlers are called"):
        service.on(sent)(_Called())


def test_a_handler_that_cannot_take_a_payload_is_refused_at_once() -> None:
    def nothing() -> None: ...

    def two(n: int, m: int) -> None: ...

    def named(*, n: int) -> None: ...

    service = DurableService("memory://")
    for function in (nothing, two, named, lambda: None, functools.partial(two, 1, 2)):
        with pytest.raises(InvalidDefinition, match="a handler is called with the payload alone"):
            service.on(sent, name="h")(function)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for number in (0, -1, float("nan"), "1"):
        with pytest.raises(InvalidDuration, match="timeout"):
            service.on(sent, name="h", timeout=number)(lambda n: None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
