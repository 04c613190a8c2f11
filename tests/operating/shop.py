"""A shop whose steps call a fake provider, which can be told to be down, and counts the keys by which it is called."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from redrive import (
    AsyncDurableService,
    AsyncExecution,
    Event,
    Flow,
    Retry,
    Signal,
    Workflow,
    current_step,
    step,
    workflow,
)
from tests.runtime.support import standing


class Down(Exception):
    """The provider does not answer."""


class Provider:
    """Knows each call by its name and idempotency key: a repeat is answered as the first time."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.down: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.done: dict[tuple[str, str], str] = {}
        self.gate: dict[str, asyncio.Event] = {}

    async def call(self, name: str) -> str:
        key = current_step().idempotency_key
        self.calls.append((name, key))
        if (gate := self.gate.get(name)) is not None:
            await gate.wait()
        if name in self.down:
            raise Down(f"{name} is down")
        return self.done.setdefault((name, key), f"{name}-{1 + sum(one == name for one, _ in self.done)}")

    def times(self, name: str) -> int:
        """How often it took effect: under as many keys."""
        return sum(one == name for one, _ in self.done)

    @property
    def counts(self) -> Counter[str]:
        """How often each was called."""
        return Counter(name for name, _ in self.calls)


provider: Final = Provider()
approved = Signal("approved", str)
shipped = Event("shipped", str)


@step
async def release(hold: str) -> None:
    await provider.call("release")


@step(undo=release)
async def reserve(item: str) -> str:
    return await provider.call("reserve")


@step
async def refund(charge: str) -> None:
    await provider.call("refund")


@step(undo=refund)
async def charge(amount: int) -> str:
    return await provider.call("charge")


@step
async def quote(sku: str) -> int:
    return 100 + len(await provider.call("quote")) * 0


@step
async def ship(what: str) -> str:
    return await provider.call("ship")


@step(retry=Retry(attempts=None, delay=3600))
async def patient(what: str) -> str:
    return await provider.call("patient")


@workflow("shop.order")
def order(amount: int) -> Flow[str]:
    """Nothing is undone: its failure is the last thing that happens."""
    hold = yield from reserve("book")
    price = yield from quote("book")
    paid = yield from charge(price + amount)
    return f"{hold} {paid}"


@workflow("shop.undoing", on_failure="rollback", on_cancel="rollback")
def undoing(amount: int) -> Flow[str]:
    hold = yield from reserve("book")
    paid = yield from charge(amount)
    sent = yield from ship(paid)
    return f"{hold} {paid} {sent}"


@workflow("shop.waiting", signals=[approved])
def waiting(amount: int) -> Flow[str]:
    from redrive import WaitSignal

    hold = yield from reserve("book")
    by = yield from WaitSignal(approved)
    paid = yield from charge(amount)
    return f"{hold} {by} {paid}"


FLOWS: Final[list[Workflow[..., Any]]] = [order, undoing, waiting]


@asynccontextmanager
async def open_shop(url: str, *more: Workflow[..., Any], **options: Any) -> AsyncIterator[AsyncDurableService]:
    async with AsyncDurableService(url, workflows=[*FLOWS, *more], **options) as service:
        yield service


def in_shop(test: Callable[..., Any], url: str, *more: Workflow[..., Any]) -> None:
    """Run *test* with a service on the store at *url*."""

    async def run() -> None:
        async with asyncio.timeout(30):
            async with open_shop(url, *more) as service:
                await test(service)

    asyncio.run(run())


async def failed(execution: AsyncExecution[Any]) -> None:
    await standing(execution, "failed")
