"""Workers come and go, code changes, leases pass: executions go on, and nothing that is stored is done again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cattrs
import pytest

from redrive import (
    AsyncDurableService,
    Cancelled,
    ExecutionCancelled,
    Flow,
    Retry,
    Signal,
    Sleep,
    StepInterrupted,
    WaitSignal,
    current_step,
    step,
    workflow,
)
from redrive.ports.store import FINAL
from redrive.stores.backends import open_url
from redrive.stores.memory import MemoryStore
from redrive.testing import FaultyStore
from redrive.worker import eviction
from tests.runtime.support import standing, true

go = Signal("go", str)
PROGRAM = Path(__file__).parent / "programs" / "dies.py"


def counted(count: list[int]) -> Any:
    @step
    async def count_up() -> int:
        count.append(1)
        return len(count)

    return count_up


async def test_a_running_step_that_outlives_the_grace_is_told_to_stop_and_runs_again_elsewhere(store_url: str) -> None:
    """E6, S10."""
    attempts: list[int] = []
    stopped: list[bool] = []

    @step
    async def long() -> int:
        attempts.append(current_step().attempt)
        if len(attempts) == 1:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                stopped.append(current_step().cancelled)
                raise
        return 7

    @workflow("recovery.long")
    def flow() -> Flow[int]:
        return (yield from long())

    async with AsyncDurableService(store_url, [flow], grace=0.05) as service:
        await service.start(flow(), id="it")
        await true(lambda: attempts)
    assert stopped == [True]
    async with AsyncDurableService(store_url, [flow]) as service:
        assert await service.execution("it", flow).result() == 7
    assert attempts == [1, 1], "a drain uses up no attempt"


async def test_a_step_that_ends_within_the_grace_is_recorded(store_url: str) -> None:
    """E6."""
    calls: list[int] = []

    @step
    async def brief() -> int:
        calls.append(1)
        await asyncio.sleep(0.05)
        return 7

    @workflow("recovery.brief")
    def flow() -> Flow[int]:
        first = yield from brief()
        return first + (yield from brief())

    async with AsyncDurableService(store_url, [flow], grace=5) as service:
        await service.start(flow(), id="it")
        await true(lambda: calls)
    assert calls == [1], "the next step is not begun"
    async with AsyncDurableService(store_url, [flow]) as service:
        assert await service.execution("it", flow).result() == 14
    assert calls == [1, 1]


async def test_a_sync_body_that_ignores_the_stop_keeps_nobody_waiting(store_url: str) -> None:
    release = threading.Event()
    began = threading.Event()

    @step
    def deaf() -> None:
        began.set()
        release.wait(20)

    @workflow("recovery.deaf")
    def flow() -> Flow[None]:
        yield from deaf()

    async with AsyncDurableService(store_url, [flow], grace=0) as service:
        await service.start(flow(), id="it")
        await true(began.is_set)
        before = time.monotonic()
    assert time.monotonic() - before < 5
    release.set()


@pytest.mark.parametrize("dies_in", ["body", "at_most_once", "turn"])
def test_a_killed_process_is_taken_over_within_its_lease(tmp_path: Path, dies_in: str) -> None:
    """W2, S2, S3: killed with SIGKILL; another process goes on."""
    url = f"sqlite:///{tmp_path / 'it.db'}"
    first = subprocess.run([sys.executable, PROGRAM, url, dies_in], capture_output=True, text=True, timeout=60)
    assert first.returncode == -9, first.stderr
    second = subprocess.run([sys.executable, PROGRAM, url, "never"], capture_output=True, text=True, timeout=60)
    assert second.returncode == 0, second.stderr
    expected = {
        "body": "charged twice with one key: True",
        "at_most_once": "interrupted",
        "turn": "charged twice with one key: True",
    }
    assert second.stdout.strip() == expected[dies_in]


class Dial:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


async def test_a_worker_that_lost_its_lease_writes_nothing_and_tells_its_bodies(caplog: pytest.LogCaptureFixture) -> None:
    """W1."""
    dial = Dial()
    store = MemoryStore(dial)
    bodies: list[Any] = []
    release = asyncio.Event()

    @step
    async def slow() -> str:
        bodies.append(current_step())
        if len(bodies) == 1:
            await release.wait()
            return "the first"
        return "the second"

    @step
    async def other() -> None:
        await asyncio.sleep(3600)

    @workflow("recovery.slow")
    def flow() -> Flow[str]:
        return (yield from slow())

    async with AsyncDurableService(store, [flow], lease=60, grace=0) as one:
        execution = await one.start(flow(), id="it")
        await true(lambda: bodies)
        dial.ahead = timedelta(hours=1)
        async with AsyncDurableService(store, [flow], lease=60) as two:
            assert await two.execution("it", flow).result() == "the second"
            release.set()
            await true(lambda: not one._worker or not one._worker.lives)
        assert await execution.result() == "the second"


async def test_an_execution_put_away_comes_back_for_its_signal(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """T5, D5."""
    monkeypatch.setattr(eviction, "IDLE_SECONDS", 0.0)
    count: list[int] = []
    count_up = counted(count)

    @workflow("recovery.evicted")
    def flow() -> Flow[tuple[int, str]]:
        n = yield from count_up()
        return n, (yield from WaitSignal(go))

    async with AsyncDurableService(store_url, [flow], lease=0.3) as service:
        execution = await service.start(flow(), id="it")
        assert service._worker is not None
        await standing(execution, "suspended")
        await true(lambda: service._worker is not None and not service._worker.lives)
        while (await execution.info()).worker is not None:
            await asyncio.sleep(0.002)
        await execution.signal(go, "back")
        assert await execution.result() == (1, "back")
    assert count == [1]


async def test_memory_is_bounded_by_the_cache(store_url: str) -> None:
    @workflow("recovery.many")
    def flow() -> Flow[str]:
        return (yield from WaitSignal(go))

    async with AsyncDurableService(store_url, [flow], cache=5) as service:
        executions = [await service.start(flow()) for _ in range(30)]
        for execution in executions:
            await standing(execution, "suspended")
        assert service._worker is not None
        await true(lambda: len(service._worker.lives if service._worker else ()) <= 5)
        for execution in executions:
            await execution.signal(go, "!")
        assert await asyncio.gather(*(execution.result() for execution in executions)) == ["!"] * 30


async def test_an_execution_whose_code_changed_is_parked_and_resumes_with_code_that_fits(store_url: str) -> None:
    """D1, D2."""
    count: list[int] = []
    count_up = counted(count)

    @step
    async def something_else() -> int:
        return 0

    @workflow("recovery.changed")
    def first() -> Flow[str]:
        yield from count_up()
        return (yield from WaitSignal(go))

    @workflow("recovery.changed")
    def second() -> Flow[str]:
        try:
            yield from something_else()
        except Exception:
            return "swallowed"
        return (yield from WaitSignal(go))

    async with AsyncDurableService(store_url, [first]) as service:
        await standing(await service.start(first(), id="it"), "suspended")
    async with AsyncDurableService(store_url, [second]) as service:
        execution = service.execution("it")
        await execution.signal(go, "hello")
        info = await standing(execution, "parked")
        assert "something_else" in info.parked[service.build]
        with pytest.raises(TimeoutError, match="is parked"):
            await execution.result(timeout=0.05)
    async with AsyncDurableService(store_url, [first]) as service:
        assert await service.execution("it").result() == "hello"
    assert count == [1]


async def test_what_nobody_can_run_is_parked_until_somebody_can(store_url: str) -> None:
    """E5."""

    @workflow("recovery.unknown")
    def flow() -> Flow[str]:
        yield from ()
        return "known at last"

    @workflow("recovery.known")
    def known() -> Flow[None]:
        yield from ()

    async with AsyncDurableService(store_url, [known], lease=0.6) as other:
        execution = await other.start(flow(), id="it")
        info = await standing(execution, "parked")
        assert "recovery.unknown" in info.parked["*"]
        async with AsyncDurableService(store_url, [flow]):
            assert await execution.result(10) == "known at last"


async def test_a_cancel_accepted_while_the_last_turn_is_on_its_way_is_seen(store_url: str) -> None:
    """E3: the completing commit is refused, and computed again with the cancel first."""
    ending, go_on = asyncio.Event(), asyncio.Event()

    @step(undo=counted([]))
    async def last() -> str:
        return "done"

    @workflow("recovery.last")
    def flow() -> Flow[str]:
        try:
            return (yield from last())
        except Cancelled:
            return "cancelled in time"

    ends: list[str] = []

    async def wait_for_the_cancel() -> None:
        ending.set()
        await go_on.wait()

    def holds_up_the_end(verb: str, *args: Any) -> Any:
        if verb != "commit" or args[1].status not in FINAL:
            return None
        ends.append(args[1].status)
        return wait_for_the_cancel() if len(ends) == 1 else None

    store = FaultyStore(open_url(store_url), holds_up_the_end)
    async with AsyncDurableService(store, [flow]) as service, AsyncDurableService(store_url, worker=False) as client:
        execution = await service.start(flow(), id="it")
        await ending.wait()
        await client.execution("it").cancel("at the last moment")
        go_on.set()
        with pytest.raises(ExecutionCancelled):
            await execution.result(20)
    assert ends == ["completed", "cancelled"]


async def test_timers_ring_after_a_restart_at_their_stored_time(store_url: str) -> None:
    """T1."""

    @workflow("recovery.sleeps")
    def flow() -> Flow[str]:
        yield from Sleep(0.2)
        return "woke"

    async with AsyncDurableService(store_url, [flow]) as service:
        execution = await service.start(flow(), id="it")
        (pending,) = (await standing(execution, "suspended")).waiting_on
    assert pending.until is not None
    async with AsyncDurableService(store_url, [flow]) as service:
        execution = service.execution("it", flow)
        assert await execution.result() == "woke"
        assert (await execution.info()).updated_at >= pending.until


async def test_a_clock_that_jumps_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """T4."""
    dial = Dial()

    @workflow("recovery.jumps")
    def flow(seconds: float) -> Flow[str]:
        yield from Sleep(seconds)
        return "woke"

    async with AsyncDurableService(MemoryStore(dial), [flow], lease=0.3) as service:
        day = await service.start(flow(80_000.0))
        soon = await service.start(flow(0.3))
        dial.ahead = timedelta(days=1)
        assert await day.result(10) == "woke"
        dial.ahead = timedelta(days=-1)
        assert await soon.result(10) == "woke"


async def test_two_workers_share_the_work_and_do_nothing_twice(store_url: str) -> None:
    """W1."""
    count: list[int] = []
    count_up = counted(count)

    @workflow("recovery.shared")
    def flow() -> Flow[int]:
        for _ in range(3):
            yield from count_up()
        return 3

    async with AsyncDurableService(store_url, worker=False) as client:
        executions = [await client.start(flow()) for _ in range(20)]
        async with AsyncDurableService(store_url, [flow]), AsyncDurableService(store_url, [flow]):
            assert await asyncio.gather(*(execution.result() for execution in executions)) == [3] * 20
    assert len(count) == 60


async def test_a_broken_execution_does_not_stop_the_others(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    @workflow("recovery.fine")
    def fine() -> Flow[str]:
        yield from Sleep(0)
        return "fine"

    class Odd:
        def __get__(self, *_: Any) -> Callable[..., Any]:
            raise RuntimeError

    @workflow("recovery.odd")
    def odd() -> Flow[Any]:
        yield Odd()  # type: ignore[misc]

    async with AsyncDurableService(store_url, [fine, odd]) as service:
        broken = await service.start(odd())
        assert await service.execute(fine()) == "fine"
        with pytest.raises(Exception, match="not a command"):
            await broken.result(5)


async def test_a_turn_that_raises_what_is_no_exception_parks_its_execution_and_takes_no_other_along(store_url: str) -> None:
    """D2. Their timers ring together, and so their turns are computed one after another."""

    class Odd(BaseException):
        pass

    class Amount:
        pass

    def dump(amount: Amount) -> Any:
        raise Odd("raised by a converter")

    def register(converter: cattrs.Converter) -> None:
        converter.register_unstructure_hook(Amount, dump)
        converter.register_structure_hook(Amount, lambda data, _: Amount())

    @step
    async def pays(amount: Amount) -> None:
        pass

    @workflow("recovery.sleeps")
    def sleeps(until: datetime, then_pays: bool) -> Flow[str]:
        yield from Sleep(until=until)
        if then_pays:
            yield from pays(Amount())
        return "woken"

    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    async with AsyncDurableService(store_url, [sleeps], converter=register) as service, AsyncDurableService(store_url) as client:
        broken = await service.start(sleeps(soon, True))
        others = [await service.start(sleeps(soon, False)) for _ in range(5)]
        assert [await other.result(5) for other in others] == ["woken"] * 5
        info = await standing(client.execution(broken.id), "parked")
        assert "raised by a converter" in str(info.parked)


async def test_an_interrupted_at_most_once_step_is_retried_only_if_asked_for(store_url: str) -> None:
    """S3."""
    attempts: list[int] = []

    @step(at_most_once=True, retry=Retry(attempts=3, delay=0, on=StepInterrupted))
    async def once() -> int:
        attempts.append(current_step().attempt)
        if len(attempts) == 1:
            await asyncio.sleep(3600)
        return current_step().attempt

    @workflow("recovery.once")
    def flow() -> Flow[int]:
        return (yield from once())

    async with AsyncDurableService(store_url, [flow], grace=0) as service:
        await service.start(flow(), id="it")
        await true(lambda: attempts)
    async with AsyncDurableService(store_url, [flow]) as service:
        assert await service.execution("it", flow).result() == 2
    assert attempts == [1, 2]
