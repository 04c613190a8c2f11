"""Events: live iterators from now on, and durable handlers, at least once."""

from __future__ import annotations

import asyncio
import threading

import attrs
import pytest

from redrive import AsyncDurableService, DurableService, Emit, Event, Flow, InvalidDefinition, Retry, workflow
from tests.runtime.support import true


@attrs.frozen
class Order:
    id: str


processed = Event("events.processed", Order)
ticked = Event("events.ticked")


@workflow("events.emits")
def emits(ids: list[str]) -> Flow[None]:
    for id in ids:
        yield from Emit(processed, Order(id))
    yield from Emit(ticked)


async def test_a_subscriber_gets_what_is_emitted_from_now_on(store_url: str) -> None:
    """G5."""
    async with AsyncDurableService(store_url, [emits]) as service:
        await service.execute(emits(["before"]))
        subscription = service.subscribe(processed)
        await service.execute(emits(["one", "two"]))
        assert [await anext(subscription), await anext(subscription)] == [Order("one"), Order("two")]
        await subscription.aclose()
        assert [order async for order in subscription] == []


async def test_a_subscriber_elsewhere_gets_it_too(store_url: str) -> None:
    async with AsyncDurableService(store_url, [emits]) as service, AsyncDurableService(store_url, worker=False) as listener:
        subscription = listener.subscribe(processed)
        await subscription.begun()
        await service.execute(emits(["afar"]))
        assert await anext(subscription) == Order("afar")


async def test_a_subscription_ends_when_the_service_closes(store_url: str) -> None:
    async with AsyncDurableService(store_url, [emits]) as service:
        subscription = service.subscribe(ticked)
        listening = asyncio.create_task(anext(subscription, "no more"))
        await subscription.begun()
    assert await listening == "no more"


async def test_handlers_get_each_event(store_url: str) -> None:
    heard: list[str] = []
    service = AsyncDurableService(store_url, [emits])

    @service.on(processed)
    async def on_the_loop(order: Order) -> None:
        heard.append(f"async {order.id}")

    @service.on(processed)
    def in_a_thread(order: Order) -> None:
        assert threading.current_thread() is not threading.main_thread()
        heard.append(f"sync {order.id}")

    with pytest.raises(InvalidDefinition, match="on_the_loop"):
        service.on(ticked)(on_the_loop)
    async with service:
        await service.execute(emits(["1", "2"]))
        await true(lambda: len(heard) == 4)
    assert sorted(heard) == ["async 1", "async 2", "sync 1", "sync 2"]
    assert heard.index("async 1") < heard.index("async 2")


async def test_a_handler_that_fails_is_tried_again_and_then_kept_as_dead(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """G5."""
    heard: list[str] = []
    service = AsyncDurableService(store_url, [emits])

    @service.on(processed, name="moody", retry=Retry(attempts=4, delay=0.001))
    async def moody(order: Order) -> None:
        heard.append(order.id)
        if order.id == "never" or (order.id == "later" and heard.count("later") < 2):
            raise ValueError(order.id)

    async with service:
        await service.execute(emits(["later", "never", "fine"]))
        await true(lambda: "fine" in heard)
    assert heard == ["later", "later", "never", "never", "never", "never", "fine"]
    assert "it is dead" in caplog.text


async def test_a_handler_goes_on_where_it_was_after_a_restart(store_url: str) -> None:
    """G5."""
    heard: list[str] = []

    def listening() -> AsyncDurableService:
        service = AsyncDurableService(store_url, [emits], grace=0)

        @service.on(processed, name="durable")
        async def durable(order: Order) -> None:
            heard.append(order.id)

        return service

    async with listening() as service:
        await service.execute(emits(["1"]))
        await true(lambda: heard == ["1"])
    async with AsyncDurableService(store_url, [emits]) as deaf:
        await deaf.execute(emits(["2", "3"]))
    async with listening():
        await true(lambda: heard == ["1", "2", "3"])


async def test_two_workers_share_a_handler(store_url: str) -> None:
    heard: list[str] = []

    async def shared(order: Order) -> None:
        heard.append(order.id)

    one, two = (AsyncDurableService(store_url, [emits]) for _ in range(2))
    for service in (one, two):
        service.on(processed, name="shared")(shared)
    async with one, two:
        for n in range(5):
            await two.execute(emits([str(n)]))
        await true(lambda: len(heard) >= 5)
    assert heard == ["0", "1", "2", "3", "4"]


def test_a_blocking_service_iterates(store_url: str) -> None:
    with DurableService(store_url, [emits]) as service:
        subscription = service.subscribe(processed)
        service.execute(emits(["one", "two"]))
        assert [next(subscription), next(subscription)] == [Order("one"), Order("two")]
        subscription.close()
        assert list(subscription) == []


@pytest.mark.parametrize(("grace", "times"), [(20, 1), (0, 2)])
async def test_a_handler_at_work_when_the_service_closes_has_its_grace_or_hears_the_event_again(
    store_url: str, grace: float, times: int
) -> None:
    heard: list[Order] = []
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def listens(order: Order) -> None:
        heard.append(order)
        begun.set()
        await let_go.wait()

    def listening() -> AsyncDurableService:
        service = AsyncDurableService(store_url, [emits], grace=grace)
        service.on(processed, name="listens")(listens)
        return service

    service = listening()
    async with service:
        await service.execute(emits(["one"]))
        await begun.wait()
        closing = asyncio.create_task(service.close())
        await asyncio.sleep(0)
        if grace:
            let_go.set()
        await closing
    let_go.set()
    async with listening() as service:
        await service.execute(emits(["two"]))
        await true(lambda: Order("two") in heard)
    assert heard == [Order("one")] * times + [Order("two")]
