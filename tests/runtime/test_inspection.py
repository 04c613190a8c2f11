"""How executions stand is told without holding up the event loop, and replayed only where rows do not say it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from redrive import All, AsyncDurableService, Flow, Map, Signal, WaitSignal, step, workflow
from redrive import inspection as module
from redrive.timeline import timeline
from redrive_interpreter import Key
from redrive_interpreter.history.rows import Asked, Started

go = Signal("inspection.go")


@step
async def inc(n: int) -> int:
    return n + 1


async def test_what_is_in_memory_at_rest_is_not_replayed_and_what_has_ended_neither(store_url: str) -> None:
    calls: list[str] = []

    @workflow("inspection.counted")
    def flow() -> Flow[int]:
        calls.append(threading.current_thread().name)
        n = yield from inc(1)
        yield from WaitSignal(go)
        return n

    async with AsyncDurableService(store_url, [flow]) as service:
        execution = await service.start(flow())
        while not (info := await execution.info()).waiting_on or info.waiting_on[0].kind != "wait_signal":
            await asyncio.sleep(0.002)
        calls.clear()
        assert [str(pending.key) for pending in (await execution.info()).waiting_on] == ["__wait_signal"]
        await execution.signal(go)
        assert await execution.result(10) == 2
        assert (await execution.info()).result == 2
        assert not calls


async def test_a_client_replays_in_a_thread_of_its_own(store_url: str) -> None:
    """The loop of a client serves requests: a workflow that computes for a while does not hold it up."""
    replays: list[str] = []

    @workflow("inspection.slow")
    def flow() -> Flow[int]:
        n = yield from inc(1)
        if threading.current_thread() is not threading.main_thread():
            replays.append(threading.current_thread().name)
            time.sleep(0.3)
        yield from All(WaitSignal(go), inc(n))
        return n

    async with AsyncDurableService(store_url, [flow]) as service, AsyncDurableService(store_url, [flow], worker=False) as client:
        execution = await service.start(flow())
        while not any(pending.kind == "wait_signal" for pending in (await execution.info()).waiting_on):
            await asyncio.sleep(0.002)
        replays.clear()
        asked = asyncio.create_task(client.execution(execution.id, flow).info())
        longest, last = 0.0, time.monotonic()
        while not asked.done():
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert [str(pending.key) for pending in (await asked).waiting_on] == ["__all/0/__wait_signal"]
        assert replays
        assert longest < 0.25


async def test_a_replay_that_never_ends_leaves_what_the_rows_say(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redrive.worker.watchdog._LOOK_EVERY", 0.01)
    endless = threading.Event()

    @workflow("inspection.endless")
    def flow() -> Flow[int]:
        while endless.is_set():
            pass
        n = yield from inc(1)
        yield from WaitSignal(go)
        return n

    async with (
        AsyncDurableService(store_url, [flow]) as service,
        AsyncDurableService(store_url, [flow], worker=False, turn_limit=0.1) as client,
    ):
        execution = await service.start(flow())
        while not any(pending.kind == "wait_signal" for pending in (await execution.info()).waiting_on):
            await asyncio.sleep(0.002)
        endless.set()
        try:
            waiting = (await client.execution(execution.id, flow).info()).waiting_on
        finally:
            endless.clear()
        assert [pending.kind for pending in waiting] == ["wait_signal"]


async def test_long_histories_are_read_in_a_thread(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHORT", 500)

    @workflow("inspection.long")
    def flow() -> Flow[list[int]]:
        return (yield from Map(inc, range(20)))

    async with AsyncDurableService(store_url, [flow]) as service:
        execution = await service.start(flow())
        assert await execution.result(10) == list(range(1, 21))
        assert len(await execution.history()) == 43
        assert (await execution.info()).rows == 43


def test_the_timeline_of_many_parallel_branches_grows_with_their_number() -> None:
    """Ten thousand branches that wait are read in seconds, not in hours."""
    from datetime import UTC, datetime
    from uuid import UUID

    rows: list[object] = [Started(id="e", run=UUID(int=1), workflow="w", at=datetime(2027, 1, 1, tzinfo=UTC)), Asked(Key("map"), "map")]
    rows += [Asked(Key(f"map/{n}/inc"), "step") for n in range(10_000)]
    began = time.process_time()
    assert len(timeline(rows).open) == 10_000  # type: ignore[arg-type]
    assert time.process_time() - began < 3
