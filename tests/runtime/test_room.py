"""What a worker claims, keeps and gives back where threads are short (W4)."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator

import pytest

from redrive import AsyncDurableService, ExecutionCancelled, Flow, Signal, Sleep, WaitSignal, current_step, step, workflow
from redrive.worker import room
from tests.runtime.support import true

go = Signal("room.go")


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PATIENCE", 0.1)


def fleet(store_url: str, *workflows: object, threads: int = 2) -> AsyncDurableService:
    return AsyncDurableService(store_url, workflows, max_threads=threads, grace=0)  # type: ignore[arg-type]


async def test_a_worker_that_joins_later_gets_its_share_of_waiting_sync_bodies(store_url: str) -> None:
    """W4: what waits for a thread here goes to whoever has one, also where the starter owned all of it."""

    @step
    def whose(n: int) -> int:
        time.sleep(0.05)
        return threading.get_ident()

    @workflow("room.job")
    def job(n: int) -> Flow[int]:
        return (yield from whose(n))

    async with fleet(store_url, job) as one:
        runs = [await one.start(job(n)) for n in range(60)]
        await asyncio.sleep(0.3)
        async with fleet(store_url, job) as two:
            mine: set[int] = set()
            while two._worker is not None and not all([(await run.info()).status == "completed" for run in runs]):
                mine |= {id(live) for live in two._worker.lives.values()}
                await asyncio.sleep(0.005)
            threads = {await run.result(10) for run in runs}
    assert len(mine) >= 10
    assert len(threads) == 4  # two of each


async def test_a_worker_claims_what_it_has_threads_for(store_url: str, hang: threading.Event) -> None:
    begun: list[int] = []

    @step
    def waits(n: int) -> int:
        begun.append(n)
        hang.wait()
        return n

    @workflow("room.sync")
    def flow(n: int) -> Flow[int]:
        return (yield from waits(n))

    async with fleet(store_url, flow) as client, AsyncDurableService(store_url, worker=False) as outside:
        first = await client.start(flow(0))
        await true(lambda: begun)
        runs = [await outside.start(flow(n)) for n in range(1, 30)]
        await true(lambda: len(begun) == 2)
        await asyncio.sleep(0.3)
        assert client._worker is not None
        assert len(client._worker.lives) <= 3
        reasons = {(await client.execution(run.id).info()).reason for run in runs}
        assert any("waits for a worker with a free thread: in this one, 2 of 2 busy with waits (2)" in reason for reason in reasons)
        hang.set()
        assert [await run.result(10) for run in (first, *runs)] == list(range(30))


async def test_async_bodies_cancels_and_signals_go_on_where_all_threads_are_held(store_url: str, hang: threading.Event) -> None:
    @step
    def holds(n: int) -> None:
        hang.wait()

    @step
    async def quick() -> str:
        return "quick"

    @workflow("room.holds")
    def sync(n: int) -> Flow[None]:
        yield from holds(n)

    @workflow("room.waits")
    def waits_first() -> Flow[None]:
        yield from WaitSignal(go)
        yield from holds(0)

    @workflow("room.quick")
    def fine() -> Flow[str]:
        yield from Sleep(0.01)
        return (yield from quick())

    async with fleet(store_url, sync, fine, waits_first) as service, AsyncDurableService(store_url, worker=False) as outside:
        held = [await service.start(sync(n)) for n in range(6)]
        await asyncio.sleep(0.3)
        new = await outside.start(sync(99))
        other = await outside.start(fine())
        assert await outside.execution(other.id, fine).result(10) == "quick"
        for execution in (new, held[-1]):
            await outside.execution(execution.id).cancel("enough")
            with pytest.raises(ExecutionCancelled, match="enough"):
                await outside.execution(execution.id).result(10)
        hang.set()


async def test_what_was_given_back_begins_once_and_with_its_first_attempt(
    store_url: str, hang: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []

    @step
    def first(n: int) -> int:
        if n < 2:
            hang.wait()
        attempts.append(current_step().attempt)
        return n

    @workflow("room.once")
    def flow(n: int) -> Flow[int]:
        yield from Sleep(0.1)  # all are this worker's, and due at once
        return (yield from first(n))

    with caplog.at_level(logging.INFO, "redrive.worker"):
        async with fleet(store_url, flow) as service:
            runs = [await service.start(flow(n)) for n in range(8)]
            await true(lambda: "given back" in caplog.text)
            hang.set()
            assert [await run.result(10) for run in runs] == list(range(8))
    assert attempts == [1] * 8


async def test_short_bodies_are_claimed_ahead(store_url: str) -> None:
    """A worker whose bodies are short has no idle threads between two claims: its room is not its threads."""

    @step
    def brief(n: int) -> int:
        return n

    @workflow("room.brief")
    def flow(n: int) -> Flow[int]:
        return (yield from brief(n))

    async with fleet(store_url, flow) as service:
        for n in range(5):
            await service.execute(flow(n))
        assert service._worker is not None
        (wanted,) = service._worker.room.wanted()
        assert wanted.limit == room.CLAIMS_AT_ONCE
        assert not wanted.turns_only


@pytest.mark.parametrize("given_back", ["for want of a thread", "by a worker that stops"])
async def test_a_body_that_waited_for_a_thread_does_not_begin_after_a_cancel(
    store_url: str, hang: threading.Event, caplog: pytest.LogCaptureFixture, given_back: str
) -> None:
    """E3: the next worker is told that nothing of what was given back had begun, be it the same one or another."""
    ran: list[int] = []

    @step
    def refund(n: int) -> None:
        ran.append(-n)

    @step(undo=refund)
    def charge(n: int) -> int:
        if n < 1:
            hang.wait()
        ran.append(n)
        return n

    @workflow("room.order", on_cancel="rollback")
    def order(n: int) -> Flow[int]:
        yield from Sleep(0.2)  # both are this worker's, and due at once
        return (yield from charge(n))

    with caplog.at_level(logging.INFO, "redrive.worker"):
        async with AsyncDurableService(store_url, worker=False) as outside:
            async with fleet(store_url, order, threads=1) as service:
                first, waiting = await service.start(order(0)), await service.start(order(1))
                await true(lambda: service._worker is not None and service._worker._threads.waiting)
                if given_back == "for want of a thread":
                    await true(lambda: "given back" in caplog.text)
                    await outside.execution(waiting.id).cancel("changed my mind")
                    with pytest.raises(ExecutionCancelled):
                        await outside.execution(waiting.id).result(5)
                    hang.set()
                    assert await first.result(10) == 0
            if given_back == "by a worker that stops":
                await outside.execution(waiting.id).cancel("changed my mind")
                hang.set()
                async with fleet(store_url, order, threads=1) as other:
                    with pytest.raises(ExecutionCancelled):
                        await other.execution(waiting.id).result(5)
                    await other.execution(first.id).result(10)
    assert 1 not in ran
    assert -1 not in ran
