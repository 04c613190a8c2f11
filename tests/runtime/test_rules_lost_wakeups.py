"""What lands while an execution is just suspending, timers that are late together, histories that grow long."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redrive import AsyncDurableService, Flow, Signal, Sleep, WaitSignal, step, workflow
from redrive.ports.store import NewMessage
from redrive.stores.backends import open_url
from redrive.stores.memory import MemoryStore
from redrive.testing import FaultyStore
from tests.runtime.support import standing

go = Signal("wakeups.go", int)
woke: list[int] = []


@step
async def one(n: int) -> int:
    return n


@workflow("wakeups.waits")
def waits() -> Flow[int]:
    yield from one(1)
    return (yield from WaitSignal(go))


@pytest.mark.parametrize("when", ["before the turn is stored", "once it is stored, its answer on the way"])
async def test_a_signal_that_lands_while_the_execution_suspends_is_seen(store_url: str, when: str) -> None:
    """T3: also without any news of it."""
    inner = open_url(store_url)
    sent: list[bool] = []

    async def send() -> None:
        sent.append(await inner.send("it", NewMessage(kind="signal", name=go.name, data="7")))

    class Between:
        """The inner store, in which a signal lands around the first turn that suspends."""

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        async def commit(self, claim: Any, turn: Any) -> Any:
            suspends = turn.status == "suspended" and not sent
            if suspends and when.startswith("before"):
                await send()
            committed = await inner.commit(claim, turn)
            if suspends and not sent:
                await send()
            return committed

    async with AsyncDurableService(FaultyStore(Between(), news=False), [waits], lease=1) as service:
        execution = await service.start(waits(), id="it")
        assert await execution.result(20) == 7
    assert sent == [True]


@step
async def note(n: int) -> None:
    woke.append(n)


@workflow("wakeups.sleeper")
def sleeper(n: int) -> Flow[None]:
    yield from Sleep(3600 + n)
    yield from note(n)


async def test_timers_that_are_late_together_fire_oldest_first_a_bounded_number_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """T2."""
    from redrive.worker import timers
    from redrive.worker.timers import Timers

    monkeypatch.setattr(timers, "FIRED_AT_ONCE", 7)
    rung: list[int] = []
    due = Timers.due

    def watched(self: Timers, now: datetime, limit: int) -> Any:
        found = due(self, now, limit)
        rung.append(len(found))
        return found

    monkeypatch.setattr(Timers, "due", watched)
    woke.clear()
    ahead = timedelta(0)
    async with AsyncDurableService(MemoryStore(lambda: datetime.now(UTC) + ahead), [sleeper], lease=0.3) as service:
        executions = [await service.start(sleeper(n * 10)) for n in reversed(range(30))]
        for execution in executions:
            await standing(execution, "suspended")
        ahead = timedelta(hours=2)
        await asyncio.gather(*(execution.result(10) for execution in executions))
    assert woke == [n * 10 for n in range(30)]
    assert max(rung) <= 7


@workflow("wakeups.long")
def long(steps: int) -> Flow[int]:
    total = 0
    for n in range(steps):
        total += yield from one(n)
    return total


async def test_a_long_history_is_warned_of_once(store_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """E8."""
    monkeypatch.setattr("redrive.worker.life.life.LONG_HISTORY", 50)
    async with AsyncDurableService(store_url, [long]) as service:
        await service.execute(long(10))
        assert "ContinueAs keeps it short" not in caplog.text
        await service.execute(long(60), id="grows")
    warnings = [record.getMessage() for record in caplog.records if "ContinueAs keeps it short" in record.getMessage()]
    assert len(warnings) == 1
    assert "'grows'" in warnings[0]
