"""force_fail: the end, whatever the code says; retry takes it back."""

from __future__ import annotations

import asyncio

import pytest

from redrive import AsyncDurableService, Flow, OperationRefused, StartChild, WaitSignal, workflow
from tests.operating.shop import Provider, approved, in_shop, order, undoing, waiting
from tests.runtime.support import standing


def test_it_ends_at_once_and_runs_no_undo(store_url: str, bank: Provider) -> None:
    async def run(service: AsyncDurableService) -> None:
        bank.gate["charge"] = asyncio.Event()
        execution = await service.start(undoing(1), id="o-1")
        while not bank.counts["charge"]:
            await asyncio.sleep(0.002)
        change = await service.operator.force_fail("o-1", "given up", reason="INC-7")
        assert change.in_doubt == ("charge",)
        info = await standing(execution, "failed")
        assert info.failure is not None
        assert (info.failure.type, info.failure.message) == ("ForcedFailure", "given up")
        bank.gate["charge"].set()
        await asyncio.sleep(0.05)
        assert (bank.times("charge"), bank.times("release"), (await execution.info()).number) == (0, 0, 2)
        with pytest.raises(OperationRefused, match=r"it has ended: it is failed; retry or fork"):
            await service.operator.force_fail("o-1", "again")

    in_shop(run, store_url)


def test_retry_takes_the_end_back(store_url: str, bank: Provider) -> None:
    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(waiting(1), id="o-1")
        await standing(execution, "suspended")
        await service.operator.force_fail("o-1", ValueError("no"))
        await service.operator.retry("o-1")
        await execution.signal(approved, "ada")
        assert await execution.result() == "reserve-1 ada charge-1"

    in_shop(run, store_url)


def test_it_needs_no_code_and_cancels_children(store_url: str, bank: Provider) -> None:
    """E10: those of the policy cancel; a parent is told."""

    @workflow("shop.child", signals=[approved])
    def child() -> Flow[str]:
        return (yield from WaitSignal(approved))

    @workflow("shop.parent", signals=[approved])
    def parent() -> Flow[str]:
        yield from StartChild(child(), id="cut")
        yield from StartChild(child(), id="left", on_parent_close="abandon")
        return (yield from WaitSignal(approved))

    async def run(service: AsyncDurableService) -> None:
        await service.start(parent(), id="o-1")
        while await service.store.read("left") is None:
            await asyncio.sleep(0.002)
        await standing(service.execution("left"), "suspended")
        await standing(service.execution("o-1"), "suspended")
        async with AsyncDurableService(store_url, worker=False) as client:
            change = await client.operator.force_fail("o-1", "no code")
            assert change.children == ("cut is cancelled",)
        await standing(service.execution("cut"), "cancelled")
        assert (await service.execution("left").info()).status == "suspended"

    in_shop(run, store_url, parent, child)


def test_a_parked_execution_can_be_given_up(store_url: str, bank: Provider) -> None:
    """E3."""

    async def run() -> None:
        async with AsyncDurableService(store_url, [order], worker=False) as client:
            await client.start(order(1), id="o-1")
            await client.operator.force_fail("o-1", "nobody has the code")
            info = await client.execution("o-1").info()
            assert (info.status, info.parks) == ("failed", ())

    asyncio.run(run())
