"""pause and resume: a flag that holds an execution back, while bodies that run go on (F8)."""

from __future__ import annotations

import asyncio

import pytest

from redrive import All, AsyncDurableService, Flow, OperationRefused, Sleep, workflow
from tests.operating.shop import Provider, approved, charge, in_shop, order, quote, reserve, undoing, waiting
from tests.runtime.support import standing


@workflow("shop.both")
def both() -> Flow[tuple[str, int]]:
    return (yield from All(_first(), quote("x")))


def _first() -> Flow[str]:
    yield from reserve("book")
    return (yield from charge(1))


async def called(bank: Provider, name: str) -> None:
    while not bank.counts[name]:
        await asyncio.sleep(0.002)


def test_a_body_that_runs_goes_on_and_nothing_else_begins(store_url: str, bank: Provider) -> None:
    """F8: what it gave is recorded, and not asked again."""

    async def run(service: AsyncDurableService) -> None:
        bank.gate["reserve"] = asyncio.Event()
        execution = await service.start(order(1), id="o-1")
        await called(bank, "reserve")
        change = await service.operator.pause("o-1", reason="freeze", by="ada")
        assert (change.status, change.elsewhere) == ("paused", ("reserve goes on",))
        bank.gate.pop("reserve").set()
        while (await execution.info()).worker is not None:
            await asyncio.sleep(0.002)
        info = await execution.info()
        assert info.status == "paused"
        assert bank.counts == {"reserve": 1}
        await service.operator.resume("o-1")
        assert await execution.result() == "reserve-1 charge-1"
        assert bank.counts == {"reserve": 1, "quote": 1, "charge": 1}
        assert [entry.verb for entry in await service.operator.audit("o-1")] == ["pause", "resume"]

    in_shop(run, store_url)


def test_a_resume_finds_bodies_that_still_run(store_url: str, bank: Provider) -> None:
    """F8: they are not begun again."""

    async def run(service: AsyncDurableService) -> None:
        bank.gate["reserve"], bank.gate["quote"] = asyncio.Event(), asyncio.Event()
        execution = await service.start(both(), id="o-1")
        await called(bank, "reserve")
        await called(bank, "quote")
        await service.operator.pause("o-1")
        bank.gate["reserve"].set()
        await asyncio.sleep(0.05)
        assert not bank.counts["charge"]
        await service.operator.resume("o-1")
        await called(bank, "charge")
        bank.gate["quote"].set()
        assert await execution.result() == ("charge-1", 100)
        assert bank.counts == {"reserve": 1, "quote": 1, "charge": 1}

    in_shop(run, store_url, both)


def test_signals_are_accepted_and_timers_are_late(store_url: str, bank: Provider) -> None:
    """F8, O3."""

    @workflow("shop.sleepy")
    def sleepy() -> Flow[str]:
        yield from Sleep(2)
        return (yield from reserve("book"))

    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(waiting(1), id="o-1")
        await standing(execution, "suspended")
        sleeper = await service.start(sleepy(), id="o-2")
        await standing(sleeper, "suspended")
        await service.operator.pause("o-1")
        await service.operator.pause("o-2")
        await execution.signal(approved, "ada")
        await asyncio.sleep(2.1)
        assert [(await one.info()).status for one in (execution, sleeper)] == ["paused", "paused"]
        assert bank.counts == {"reserve": 1}
        await service.operator.resume("o-1")
        await service.operator.resume("o-2")
        assert await execution.result() == "reserve-1 ada charge-1"
        assert await sleeper.result() == "reserve-2"

    in_shop(run, store_url, sleepy)


def test_a_cancel_ends_a_pause_and_so_does_force_fail(store_url: str, bank: Provider) -> None:
    """F8."""

    async def run(service: AsyncDurableService) -> None:
        bank.gate["charge"] = asyncio.Event()
        execution = await service.start(undoing(1), id="o-1")
        await called(bank, "charge")
        await service.operator.pause("o-1")
        await execution.cancel("enough")
        bank.gate.pop("charge").set()
        await standing(execution, "cancelled")
        assert (bank.times("refund"), bank.times("release")) == (1, 1)
        other = await service.start(waiting(1), id="o-2")
        await standing(other, "suspended")
        await service.operator.pause("o-2")
        await service.operator.force_fail("o-2", "enough")
        assert (await other.info()).status == "failed"

    in_shop(run, store_url)


def test_what_is_paused_may_be_edited_and_stays_paused(store_url: str, bank: Provider) -> None:
    """F8, F4."""

    async def run(service: AsyncDurableService) -> None:
        bank.gate["quote"] = asyncio.Event()
        execution = await service.start(order(1), id="o-1")
        await called(bank, "quote")
        await service.operator.pause("o-1")
        change = await service.operator.skip_step("o-1", "quote", 900)
        assert change.status == "paused"
        await asyncio.sleep(0.05)
        assert ((await execution.info()).status, bank.counts["charge"]) == ("paused", 0)
        await service.operator.resume("o-1")
        assert await execution.result() == "reserve-1 charge-1"

    in_shop(run, store_url)


def test_it_says_what_it_cannot_do(store_url: str, bank: Provider) -> None:
    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(waiting(1), id="o-1")
        await standing(execution, "suspended")
        with pytest.raises(OperationRefused, match=r"it is not paused but suspended; pause"):
            await service.operator.resume("o-1")
        assert not (await service.operator.pause("o-1", dry_run=True)).stored
        await service.operator.pause("o-1")
        with pytest.raises(OperationRefused, match=r"it is paused already; resume"):
            await service.operator.pause("o-1")
        await service.operator.resume("o-1")
        await execution.signal(approved, "x")
        await execution.result()
        with pytest.raises(OperationRefused, match=r"it has ended: it is completed"):
            await service.operator.pause("o-1")

    in_shop(run, store_url)


def test_one_that_never_began_waits_for_its_time_after_all(store_url: str, bank: Provider) -> None:
    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(order(1), id="o-1", delay=3600)
        before = (await execution.info()).wake_at
        await service.operator.pause("o-1")
        assert (await service.operator.resume("o-1")).status == "pending"
        info = await execution.info()
        assert (info.status, info.wake_at) == ("pending", before)
        await service.operator.pause("o-1")
        await execution.cancel()
        assert (await execution.info()).status == "cancelled"
        assert bank.calls == []

    in_shop(run, store_url)


def test_the_worker_may_go_away_meanwhile(store_url: str, bank: Provider) -> None:
    """F8: the pause is stored; another worker goes on after it."""

    async def run() -> None:
        bank.gate["reserve"] = asyncio.Event()
        async with AsyncDurableService(store_url, [order], grace=0) as service:
            await service.start(order(1), id="o-1")
            await called(bank, "reserve")
            await service.operator.pause("o-1")
        bank.gate.clear()
        async with AsyncDurableService(store_url, [order]) as other:
            await asyncio.sleep(0.1)
            assert bank.counts["reserve"] == 1
            await other.operator.resume("o-1")
            assert await other.execution("o-1").result() == "reserve-1 charge-1"
            assert bank.counts["reserve"] == 2

    asyncio.run(run())
