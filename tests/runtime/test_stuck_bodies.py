"""Sync bodies that nobody waits for any more, and bodies that wait for a thread (S6)."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from redrive import All, AsyncDurableService, Flow, Map, Retry, StepTimeout, current_step, step, workflow
from redrive.worker import pressure
from redrive.worker.threads import Job, Threads
from tests.runtime.support import true


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """What bodies wait for that never return by themselves."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STARVED_AFTER", "_NOTICE", "_LOOK_EVERY"):
        monkeypatch.setattr(pressure, name, 0.02)


def handed_over(threads: Threads, body: Any, name: str = "", owner: Any = None) -> tuple[Job, asyncio.Future[Any]]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(value: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_result(value if error is None else error)

    return threads.run(body, contextvars.copy_context(), done, name=name, owner=owner), future


async def given_up(threads: Threads, hang: threading.Event, name: str, count: int = 1) -> list[Job]:
    """Bodies of the step *name* that began, hang, and are waited for by nobody."""
    stuck = [handed_over(threads, hang.wait, name)[0] for _ in range(count)]
    await true(lambda: all(job.began for job in stuck))
    assert [threads.give_up(job) for job in stuck] == [True] * count
    return stuck


async def test_a_thread_whose_body_was_given_up_is_replaced_at_once(hang: threading.Event) -> None:
    threads = Threads(2, asyncio.get_running_loop())
    try:
        for n in range(1, 6):
            await given_up(threads, hang, "stuck", 2)
            assert threads.forfeited == 2 * n
            barrier = threading.Barrier(2, timeout=10)
            assert sorted(await asyncio.gather(*(handed_over(threads, barrier.wait)[1] for _ in range(2)))) == [0, 1]
    finally:
        threads.close()


async def test_when_bodies_that_were_given_up_return_there_are_no_more_threads_than_the_limit(hang: threading.Event) -> None:
    threads = Threads(2, asyncio.get_running_loop())
    try:
        stuck = await given_up(threads, hang, "stuck", 2)
        await given_up(threads, hang, "stuck", 2)
        assert await handed_over(threads, lambda: "on")[1] == "on"
        hang.set()
        await true(lambda: not threads.forfeited)
        assert all(job.forfeited for job in stuck)
        used = await asyncio.gather(*(handed_over(threads, threading.get_ident)[1] for _ in range(200)))
        assert len(set(used)) <= 2
    finally:
        threads.close()


async def test_a_step_that_has_used_up_the_spare_threads_is_held_back_and_others_are_not(hang: threading.Event) -> None:
    threads = Threads(2, asyncio.get_running_loop(), spare=4)
    try:
        await given_up(threads, hang, "stuck", 2)
        await given_up(threads, hang, "stuck", 2)
        held_back, future = handed_over(threads, lambda: "at last", "stuck")
        assert threads.holds_back("stuck")
        assert not threads.holds_back("fine")
        for _ in range(20):
            assert await handed_over(threads, lambda: "fine", "fine")[1] == "fine"
        assert held_back.waits
        assert threads.free == 2
        hang.set()
        assert await future == "at last"
    finally:
        threads.close()


async def test_honest_steps_keep_threads_whatever_was_given_up(hang: threading.Event) -> None:
    """S6: also where bodies were under way in all threads when the last spare one was used up."""
    threads = Threads(2, asyncio.get_running_loop(), spare=4)
    try:
        await given_up(threads, hang, "stuck", 2)
        await given_up(threads, hang, "mute", 2)
        jobs = [handed_over(threads, hang.wait, "deaf")[0] for _ in range(2)]
        await true(lambda: len(threads.running) == 2)
        queued = [handed_over(threads, hang.wait, name)[0] for name in ("deaf", "deaf", "deaf")]
        fine = handed_over(threads, lambda: "fine", "fine")[1]
        for job in jobs:
            threads.give_up(job)
        assert threads.forfeited == 6
        assert await asyncio.wait_for(fine, 5) == "fine"
        for _ in range(20):
            assert await asyncio.wait_for(handed_over(threads, lambda: "fine", "fine")[1], 5) == "fine"
        assert all(job.waits for job in queued), "their step is one of those that hold the threads"
        hang.set()
        await true(lambda: not threads.waiting and not threads.forfeited)
    finally:
        threads.close()


async def test_a_body_given_up_before_it_began_never_begins(hang: threading.Event) -> None:
    threads = Threads(1, asyncio.get_running_loop())
    began: list[int] = []
    try:
        handed_over(threads, hang.wait)
        waiting, _ = handed_over(threads, lambda: began.append(1))
        assert threads.give_up(waiting) is False
        assert threads.waiting == 0
        last = handed_over(threads, lambda: "last")[1]
        hang.set()
        assert await last == "last"
        assert not began
    finally:
        threads.close()


async def test_one_execution_with_many_bodies_does_not_stand_before_others(hang: threading.Event) -> None:
    threads = Threads(1, asyncio.get_running_loop())
    order: list[str] = []
    try:
        handed_over(threads, hang.wait)
        many = [handed_over(threads, lambda: order.append("many"), owner="a")[1] for _ in range(50)]
        single = handed_over(threads, lambda: order.append("single"), owner="b")[1]
        hang.set()
        await asyncio.gather(single, *many)
        assert order.index("single") <= 1
    finally:
        threads.close()


async def test_a_system_without_threads_delays_bodies_and_loses_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("redrive.worker.threads._TRY_AGAIN", 0.01)
    threads = Threads(4, asyncio.get_running_loop())
    refused, start = 3, threading.Thread.start

    def starts(thread: threading.Thread) -> None:
        nonlocal refused
        if refused and thread.name.startswith("redrive-step"):
            refused -= 1
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starts)
    try:
        assert await handed_over(threads, lambda: "on")[1] == "on"
    finally:
        threads.close()
    assert "can't start new thread" in caplog.text


# ── in a service ────────────────────────────────────────────────────────────────────────────────


async def test_bodies_that_were_timed_out_take_no_thread_from_others(
    store_url: str, hang: threading.Event, told_at_once: None, caplog: pytest.LogCaptureFixture
) -> None:
    @step(timeout=0.03, retry=Retry(attempts=8, delay=0))
    def calls_a_black_hole() -> None:
        hang.wait()

    @step
    def quick() -> str:
        return "quick"

    @workflow("stuck.hole")
    def hole() -> Flow[str]:
        try:
            yield from calls_a_black_hole()
        except StepTimeout as late:
            return f"{late.attempts} {late.message}"
        return "?"

    @workflow("stuck.quick")
    def healthy() -> Flow[str]:
        return (yield from quick())

    async with AsyncDurableService(store_url, [hole, healthy], max_threads=2, grace=0.1) as service:
        execution = await service.start(hole())
        assert await execution.result(10) == "8 no result within 0:00:00.030000"
        assert await service.execute(healthy()) == "quick"
        await true(lambda: "goes on in its thread" in caplog.text)
    assert "calls_a_black_hole" in caplog.text
    assert "hang.wait()" in caplog.text


async def test_a_body_that_stops_when_it_is_told_is_nobodys_incident(
    store_url: str, told_at_once: None, caplog: pytest.LogCaptureFixture
) -> None:
    @step(timeout=0.02)
    def polite() -> None:
        while not current_step().cancelled:
            time.sleep(0.001)

    @workflow("stuck.polite")
    def flow() -> Flow[str]:
        try:
            yield from polite()
        except StepTimeout:
            return "late"
        return "?"

    with caplog.at_level(logging.INFO, "redrive.worker"):
        async with AsyncDurableService(store_url, [flow]) as service:
            assert await service.execute(flow()) == "late"
            await asyncio.sleep(0.05)
    assert "goes on" not in caplog.text


async def test_an_async_body_that_swallows_its_cancellation_is_named(
    store_url: str, told_at_once: None, caplog: pytest.LogCaptureFixture
) -> None:
    over = asyncio.Event()

    @step(timeout=0.02)
    async def stubborn() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                pass

    @workflow("stuck.stubborn")
    def flow() -> Flow[str]:
        try:
            yield from stubborn()
        except StepTimeout:
            return "late"
        return "?"

    async with AsyncDurableService(store_url, [flow]) as service:
        assert await service.execute(flow()) == "late"
        await true(lambda: "goes on in its task" in caplog.text)
        over.set()
    assert "await over.wait()" in caplog.text


async def test_a_body_that_waits_for_a_thread_says_so_and_times_out(
    store_url: str, hang: threading.Event, told_at_once: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A timeout counts from when the body was due where no thread comes free: it does not hang past it."""

    @step
    def hangs(n: int) -> None:
        hang.wait()

    @step(timeout=0.3)
    def quick() -> str:
        return "quick"

    @workflow("stuck.hangs")
    def hogs() -> Flow[None]:
        yield from Map(hangs, range(2))

    @workflow("stuck.starved")
    def starved() -> Flow[str]:
        try:
            return (yield from quick())
        except StepTimeout as late:
            return late.message

    async with AsyncDurableService(store_url, [hogs, starved], max_threads=2, grace=0) as service:
        await service.start(hogs())
        await true(lambda: sum(thread.name.startswith("redrive-step") for thread in threading.enumerate()) >= 2)
        execution = await service.start(starved())
        while not (waiting := (await execution.info()).waiting_on) or not waiting[0].reason:
            await asyncio.sleep(0.002)
        assert waiting[0].reason.startswith("waits for a thread: 2 of 2 busy with hangs (2)")
        assert "waits for a thread" in str(await execution.info())
        assert "no thread was free for it within 0:00:00.300000" in await execution.result(10)
        info = await execution.info()
        assert not info.in_doubt
        hang.set()
    assert "wait for a thread" in caplog.text
    assert "hang.wait()" in caplog.text


async def test_a_body_that_waits_uses_up_no_attempt_and_begins_with_the_first_when_a_thread_is_free(
    store_url: str, hang: threading.Event
) -> None:
    @step
    def hangs() -> None:
        hang.wait()

    @step(timeout=0.05, retry=Retry(attempts=1000, delay=0))
    def patient() -> int:
        return current_step().attempt

    @workflow("stuck.patient")
    def flow() -> Flow[int]:
        _, attempt = yield from All(hangs(), patient())
        return attempt

    async with AsyncDurableService(store_url, [flow], max_threads=1) as service:
        execution = await service.start(flow())
        await asyncio.sleep(0.3)
        assert not [row for row in await execution.history() if type(row).__name__ == "Retrying"]
        hang.set()
        assert await execution.result(10) == 1


async def test_a_queue_for_threads_that_moves_costs_nobody_an_attempt(store_url: str) -> None:
    """Forty bodies of 10 ms on one thread take longer than the timeout of each, and none is late."""

    @step(timeout=0.15)
    def brief(n: int) -> int:
        time.sleep(0.01)
        return n

    @workflow("stuck.moving")
    def flow() -> Flow[list[int]]:
        return (yield from Map(brief, range(40)))

    async with AsyncDurableService(store_url, [flow], max_threads=1) as service:
        assert await service.execute(flow()) == list(range(40))


async def test_the_deadline_of_a_body_that_has_waited_counts_from_its_beginning(store_url: str, hang: threading.Event) -> None:
    @step
    def holds() -> None:
        hang.wait()

    @step(timeout=60)
    def late() -> float:
        deadline = current_step().deadline
        assert deadline is not None
        return deadline.timestamp()

    @workflow("stuck.deadline")
    def flow() -> Flow[float]:
        _, deadline = yield from All(holds(), late())
        return deadline

    async with AsyncDurableService(store_url, [flow], max_threads=1) as service:
        execution = await service.start(flow())
        await asyncio.sleep(0.2)
        began = time.time()
        hang.set()
        assert await execution.result(10) >= began + 60


async def test_bodies_without_a_thread_do_not_begin_when_the_worker_stops(store_url: str, hang: threading.Event) -> None:
    """E6: no new work."""
    began: list[int] = []

    @step
    def body(n: int) -> int:
        began.append(n)
        hang.wait()
        return n

    @workflow("stuck.stops")
    def flow() -> Flow[list[int]]:
        return (yield from Map(body, range(5)))

    async with AsyncDurableService(store_url, [flow], max_threads=1, grace=10) as service:
        execution = await service.start(flow(), id="it")
        await true(lambda: began)
        closing = asyncio.create_task(service.close())
        await asyncio.sleep(0.05)
        hang.set()
        await closing
    assert began == [0]
    async with AsyncDurableService(store_url, [flow]) as service:
        assert await service.execution(execution.id, flow).result(10) == list(range(5))
    assert sorted(began) == list(range(5))


@pytest.mark.parametrize("sync", [False, True])
async def test_what_a_stopping_worker_did_not_begin_is_begun_by_the_next(store_url: str, sync: bool) -> None:
    """A step asked for while the worker stops is not forgotten when a sibling's answer is stored after it."""
    first, second = threading.Event(), threading.Event()
    begun: list[str] = []

    def waits(name: str) -> str:
        begun.append(name)
        while not {"a": first, "b": second}[name].wait(0.002):
            pass
        return name

    async def awaits(name: str) -> str:
        begun.append(name)
        while not {"a": first, "b": second}[name].is_set():
            await asyncio.sleep(0.002)
        return name

    body: Any = step("body")(waits if sync else awaits)

    @step
    async def after() -> str:
        return "after"

    def one_after_another() -> Flow[str]:
        yield from body("a")
        return (yield from after())

    @workflow("stuck.asked_while_stopping")
    def flow() -> Flow[list[str]]:
        return list((yield from All(one_after_another(), body("b"))))

    async with AsyncDurableService(store_url, [flow], grace=10) as service:
        execution = await service.start(flow(), id="it")
        await true(lambda: len(begun) == 2)
        closing = asyncio.create_task(service.close())
        await asyncio.sleep(0.02)
        rows = len(await service.store.history("it"))
        first.set()
        while len(await service.store.history("it")) == rows:
            await asyncio.sleep(0.002)
        second.set()
        await closing
    async with AsyncDurableService(store_url, [flow]) as service:
        assert await service.execution(execution.id, flow).result(10) == ["after", "b"]
