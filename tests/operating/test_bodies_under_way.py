"""An act on an execution whose other bodies run: what becomes of them is said, or refused (F4)."""

from __future__ import annotations

import asyncio

import pytest

from redrive import All, AsyncDurableService, Flow, OperationRefused, step, workflow
from tests.operating.shop import Provider, in_shop, provider, quote


@step(at_most_once=True)
async def wire(amount: int) -> str:
    return await provider.call("wire")


@step
async def slow(what: str) -> str:
    return await provider.call("slow")


@workflow("shop.wiring")
def wiring() -> Flow[tuple[str, int]]:
    return (yield from All(wire(5), quote("x")))


@workflow("shop.slow")
def two() -> Flow[tuple[str, int]]:
    return (yield from All(slow("x"), quote("x")))


async def called(bank: Provider, *names: str) -> None:
    while not all(bank.counts[name] for name in names):
        await asyncio.sleep(0.002)


def test_a_body_that_must_run_once_is_not_interrupted(store_url: str, bank: Provider) -> None:
    """F4, S3: the pause that the refusal names lets it come to its end."""

    async def run(service: AsyncDurableService) -> None:
        bank.gate["wire"], bank.gate["quote"] = asyncio.Event(), asyncio.Event()
        execution = await service.start(wiring(), id="o-1")
        await called(bank, "wire", "quote")
        with pytest.raises(OperationRefused, match=r"'__all/0/wire', which must run once at most.*pause it first"):
            await service.operator.skip_step("o-1", "__all/1/quote", 900)
        await service.operator.pause("o-1")
        bank.gate["wire"].set()
        bank.gate["quote"].set()
        while (await execution.info()).worker is not None:
            await asyncio.sleep(0.002)
        await service.operator.resume("o-1")
        assert await execution.result() == ("wire-1", 100)
        assert bank.counts["wire"] == 1

    in_shop(run, store_url, wiring)


def test_other_bodies_are_performed_again_under_the_same_key(store_url: str, bank: Provider) -> None:
    """F4, S2."""

    async def run(service: AsyncDurableService) -> None:
        bank.gate["slow"], bank.gate["quote"] = asyncio.Event(), asyncio.Event()
        execution = await service.start(two(), id="o-1")
        await called(bank, "slow", "quote")
        change = await service.operator.skip_step("o-1", "__all/1/quote", 900)
        assert change.elsewhere == ("__all/0/slow is told to stop, and performed again under the same idempotency key",)
        bank.gate["slow"].set()
        assert await execution.result() == ("slow-1", 900)
        assert len({key for name, key in bank.calls if name == "slow"}) == 1

    in_shop(run, store_url, two)
