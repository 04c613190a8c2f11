"""Two hundred subscribers in one process: each hears each event, and the store is asked once for all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from redrive import AsyncDurableService, Emit, Event, Flow, workflow
from redrive.ports.store import Event as StoredEvent
from redrive.ports.store import StoreError
from redrive.shared_reading import SharedReading
from redrive.stores.memory import MemoryStore

told = Event("many.told", int)
SUBSCRIBERS = 50


class CountingStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.fails = False

    async def events(self, after: int | None, names: Sequence[str], limit: int) -> tuple[int, Sequence[StoredEvent]]:
        self.asked += after is not None
        if self.fails:
            raise StoreError("out of reach")
        return await super().events(after, names, limit)


@workflow("many.tells")
def tells(number: int) -> Flow[None]:
    yield from Emit(told, number)


async def test_each_hears_each_event_and_the_store_is_asked_for_all_together() -> None:
    """G5."""
    store = CountingStore()
    async with AsyncDurableService(store, [tells]) as service:
        heard = [service.subscribe(told) for _ in range(SUBSCRIBERS)]
        for one in heard:
            await one.begun()
        for number in range(10):
            await service.execute(tells(number))
            assert await asyncio.gather(*(anext(one) for one in heard)) == [number] * SUBSCRIBERS
    assert store.asked < 10 * 10


async def test_one_that_is_behind_reads_from_its_own_place() -> None:
    async with AsyncDurableService(CountingStore(), [tells]) as service:
        quick, slow = service.subscribe(told), service.subscribe(told)
        for number in range(5):
            await service.execute(tells(number))
            assert await anext(quick) == number
        assert [await anext(slow) for _ in range(5)] == list(range(5))


async def test_a_read_that_is_under_way_is_not_joined() -> None:
    """It may have missed what its news were of."""
    store, begun, go_on = CountingStore(), asyncio.Event(), asyncio.Event()

    class Slow(CountingStore):
        async def events(self, after: int | None, names: Sequence[str], limit: int) -> tuple[int, Sequence[StoredEvent]]:
            store.asked += 1
            begun.set()
            await go_on.wait()
            return 0, ()

    reading = SharedReading(Slow())
    first = asyncio.ensure_future(reading.events(0, "x"))
    await begun.wait()
    second = asyncio.ensure_future(reading.events(0, "x"))
    go_on.set()
    assert await asyncio.gather(first, second) == [(0, ()), (0, ())]
    assert store.asked == 2


async def test_one_who_goes_away_takes_nothing_from_the_others_and_a_failure_is_told_to_all() -> None:
    store = CountingStore()
    reading = SharedReading(store)
    asked = [asyncio.ensure_future(reading.events(0, "x")) for _ in range(3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    assert await asyncio.gather(*asked[1:]) == [(0, ()), (0, ())]
    assert store.asked == 1
    store.fails = True
    again = [asyncio.ensure_future(reading.events(0, "x")) for _ in range(2)]
    for one in again:
        with pytest.raises(StoreError, match="out of reach"):
            await one
