"""The small parts of a worker, each alone: alarms, threads, the watchdog, the build's name."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redrive import AsyncDurableService, Flow, Signal, Sleep, WaitSignal, step, workflow
from redrive.build import digest
from redrive.stores.memory import MemoryStore
from redrive.worker import outbox
from redrive.worker.threads import Threads
from redrive.worker.timers import Timers

NOW = datetime(2027, 1, 1, tzinfo=UTC)


class OneExecution:
    """What timers know of an execution: its timers."""

    def __init__(self) -> None:
        self.set: dict[str, datetime] = {}

    def timer(self, key: str) -> datetime | None:
        return self.set.get(key)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_timers_fire_oldest_first_and_only_those_that_still_count() -> None:
    timers, live = Timers(), OneExecution()
    for key, seconds in (("c", 3), ("a", 1), ("b", 2), ("gone", 0)):
        live.set[key] = later(seconds)
        timers.set(later(seconds), live, key)  # type: ignore[arg-type]
    del live.set["gone"]
    assert timers.next() == later(1)
    assert [key for _, _, key in timers.due(later(2), 10)] == ["a", "b"]
    assert [key for _, _, key in timers.due(later(9), 0)] == []
    assert timers.next() == later(3)


def test_cleared_timers_do_not_pile_up() -> None:
    timers, live = Timers(), OneExecution()
    for n in range(50_000):
        live.set = {"only": later(n)}
        timers.set(later(n), live, "only")  # type: ignore[arg-type]
    assert len(timers) < 3000
    assert timers.next() == later(49_999)


async def test_threads_run_bodies_in_their_context_and_report_on_the_loop() -> None:
    colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")
    colour.set("red")
    threads = Threads(4, asyncio.get_running_loop())
    told: list[Any] = []
    done = asyncio.Event()

    def body(n: int) -> Any:
        if n == 3:
            raise ValueError(n)
        return n, colour.get()

    def ended(value: Any, error: BaseException | None) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append(value or error)
        if len(told) == 10:
            done.set()

    for n in range(10):
        threads.run(lambda n=n: body(n), contextvars.copy_context(), ended)  # type: ignore[misc]
    await asyncio.wait_for(done.wait(), 10)
    threads.close()
    assert sorted(value for value in told if isinstance(value, tuple)) == [(n, "red") for n in range(10) if n != 3]


async def test_an_endless_loop_of_commands_ends_the_execution(store_url: str) -> None:
    """D7."""
    from redrive import ExecutionFailed, Note

    @workflow("parts.chatty")
    def chatty() -> Flow[None]:
        while True:
            yield from Note("again")

    async with AsyncDurableService(store_url, [chatty]) as service:
        with pytest.raises(ExecutionFailed, match="endless loop"):
            await service.execute(chatty())


async def test_signals_are_taken_while_another_execution_loops(store_url: str) -> None:
    """D7: between two turns of endless loops, one of which is always under way, others get on."""
    from redrive import ExecutionFailed, Note

    word = Signal("parts.word", int)

    @workflow("parts.looping")
    def looping() -> Flow[None]:
        while True:
            yield from Note("again")

    @workflow("parts.answers")
    def answers() -> Flow[list[int]]:
        return [(yield from WaitSignal(word)), (yield from WaitSignal(word)), (yield from WaitSignal(word))]

    async with AsyncDurableService(store_url, [looping, answers]) as service:
        execution = await service.start(answers())
        loops = [await service.start(looping()) for _ in range(5)]
        for n in range(3):
            await execution.signal(word, n)
        assert await execution.result(20) == [0, 1, 2]
        late = await service.start(answers())
        for n in range(3):
            await late.signal(word, n)
        for loop in loops:
            with pytest.raises(ExecutionFailed, match="endless loop"):
                await loop.result(30)
        assert await late.result(20) == [0, 1, 2]


def test_equal_code_has_an_equal_build_and_changed_code_another() -> None:
    def made(version: int) -> Any:
        @step
        async def one() -> None: ...

        @step
        async def two() -> None: ...

        chosen = one if version < 3 else two

        @workflow("parts.versions")
        def flow() -> Flow[int]:
            yield from chosen()
            return 1

        @workflow("parts.versions")
        def changed() -> Flow[int]:
            yield from chosen()
            return 2

        return changed if version == 2 else flow

    builds = [digest([made(version)]) for version in (1, 1, 2, 3)]
    assert builds[0] == builds[1]
    assert len({builds[0], builds[2]}) == 2


async def test_a_hundred_parallel_waits_are_served() -> None:
    from redrive import All

    word = Signal("word", int)

    @workflow("parts.wide")
    def wide(n: int) -> Flow[int]:
        return sum((yield from All.of([WaitSignal(word.of(str(i))) for i in range(n)])))

    async with AsyncDurableService("memory://", [wide]) as service:
        execution = await service.start(wide(100))
        for i in range(100):
            await execution.signal(word.of(str(i)), i)
        assert await execution.result() == sum(range(100))


async def test_many_sleepers_wake_in_time() -> None:
    """T2."""

    @workflow("parts.sleeper")
    def sleeper() -> Flow[float]:
        yield from Sleep(0.3)
        return time.monotonic()

    async with AsyncDurableService("memory://", [sleeper]) as service:
        executions = [await service.start(sleeper()) for _ in range(300)]
        before = time.monotonic()
        woke = await asyncio.gather(*(execution.result() for execution in executions))
        assert max(woke) - before < 5


@workflow("parts.waiting")
def waiting() -> Flow[None]:
    yield from Sleep(3600)


class Slow:
    """A store whose `release` and `load` take so long that others may come in between."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.releasing, self.go_on, self.load_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def release(self, claims: Any, *, parked: Any = None, at_rest: bool = False) -> None:
        await self._store.release(claims, parked=parked)
        self.releasing.set()
        await self.go_on.wait()

    async def load(self, claim: Any) -> Any:
        await self.load_on.wait()
        return await self._store.load(claim)


async def test_two_suspects_are_never_in_a_workers_hands_at_once_also_not_by_two_claims_at_a_time() -> None:
    """E7: one of them may be what kills, and the other would count its death."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    memory = MemoryStore(lambda: now)
    for id in ("killer", "neighbour"):
        await memory.start(outbox.new_execution(id, waiting, {}, now))
    for life in ("first", "second"):
        assert len(await memory.claim(life, timedelta(seconds=1), "b", [waiting.name], 10)) == 2
        now += timedelta(seconds=2)
    store = Slow(memory)
    service = AsyncDurableService(store, [waiting], max_recoveries=2, build="b", grace=0)
    opening = asyncio.create_task(service.__aenter__())
    await store.releasing.wait()  # the first claim lets go of one of the two, before the other one begins
    assert service._worker is not None
    second = asyncio.create_task(service._worker._claim(10))
    for _ in range(10):
        await asyncio.sleep(0)
    store.go_on.set()
    assert await second == 0
    store.load_on.set()
    await opening
    await service.close()
