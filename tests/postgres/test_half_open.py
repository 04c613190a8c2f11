"""A server that does not answer is waited for in bounds, and its connections are replaced (W8)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from redrive import AsyncDurableService, Flow, Signal, Sleep, StoreError, WaitSignal, step, workflow
from redrive.stores.postgres import PostgresStore
from redrive.testing.contracts.lab import newest
from tests.faults.proxy import HalfOpenProxy
from tests.postgres.server import Server

go = Signal("half.go", int)


@step
async def twice(n: int) -> int:
    return 2 * n


@workflow("half.waits")
def waits() -> Flow[int]:
    return (yield from twice((yield from WaitSignal(go))))


@workflow("half.naps")
def naps(times: int) -> Flow[int]:
    for _ in range(times):
        yield from Sleep(0.3)
    return times


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the limits are, but for their length."""
    for module in ("limits", "session", "read_statements"):
        monkeypatch.setattr(f"redrive.stores.postgres.{module}.ANSWER_WITHIN", 1.0)
    monkeypatch.setattr("redrive.stores.postgres.limits.limited.__wrapped__.__defaults__", (1.0,))
    monkeypatch.setattr("redrive.stores.postgres.session.Sessions._using.__wrapped__.__defaults__", (1.0,))
    monkeypatch.setattr("redrive.stores.postgres.session.Sessions.rows.__kwdefaults__", {"seconds": 1.0})
    monkeypatch.setattr("redrive.stores.postgres.read_statements.LONG", 1.0)


@asynccontextmanager
async def behind(server: Server, schema: str, **options: Any) -> AsyncIterator[tuple[HalfOpenProxy, AsyncDurableService]]:
    async with HalfOpenProxy(server.port) as proxy:
        url = server.url(schema=schema).replace(f":{server.port}/", f":{proxy.port}/")
        service = AsyncDurableService(url, [waits, naps], **options)
        await service.__aenter__()
        try:
            yield proxy, service
        finally:
            proxy.dead = False
            await service.close(grace=0)


async def within(seconds: float, call: Awaitable[Any]) -> Any:
    begun = time.monotonic()
    try:
        return await call
    finally:
        assert time.monotonic() - begun < seconds


async def test_half_open_connections_are_replaced_and_all_goes_on(postgres: Server, schema: str) -> None:
    async with behind(postgres, schema) as (proxy, service):
        waiting = await service.start(waits())
        napping = await service.start(naps(6))
        await asyncio.sleep(0.4)
        proxy.freeze()
        await within(4, service.start(naps(1), id="new"))
        await within(4, waiting.signal(go, 21))
        assert await within(6, waiting.result(timeout=20)) == 42
        assert await within(6, napping.result(timeout=20)) == 6
        proxy.freeze()
        assert (await within(4, waiting.info())).status == "completed"
        assert len(await within(4, waiting.history())) > 1


async def test_others_hear_again_of_what_is_new(postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that listens is asked now and then whether it is there."""
    monkeypatch.setattr("redrive.stores.postgres.notifications.ASK_EVERY", 0.3)
    async with behind(postgres, schema, worker=False) as (proxy, client):
        news = client.store._state.news  # type: ignore[attr-defined]
        first = news._listening
        proxy.freeze()
        async with asyncio.timeout(6):
            while news._listening is first or news._listening.closed:
                await asyncio.sleep(0.05)


CALLS: dict[str, Callable[[AsyncDurableService], Awaitable[Any]]] = {
    "start": lambda service: service.start(naps(1)),
    "signal": lambda service: service.signal("there", go, 1),
    "cancel": lambda service: service.execution("there").cancel(),
    "info": lambda service: service.execution("there").info(),
    "history": lambda service: service.execution("there").history(),
    "list": lambda service: newest(service.store),
}


@pytest.mark.parametrize("worker", [True, False])
async def test_a_server_that_is_gone_for_good_is_told_in_time(
    worker: bool, postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redrive.patience.PATIENCE", 2.0)
    async with behind(postgres, schema, worker=worker) as (proxy, service):
        await service.start(waits(), id="there")
        proxy.dead = True
        proxy.freeze()
        told = await asyncio.gather(*(within(8, call(service)) for call in CALLS.values()), return_exceptions=True)
        assert [type(error) for error in told] == [StoreError] * len(CALLS)
        assert all(isinstance(error, StoreError) and error.retry_helps for error in told)
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            await service.execution("there", waits).result(timeout=0.5)
        assert time.monotonic() - begun < 2.5, "a user's timeout bounds the whole call"
        await within(10, service.close(grace=0))


async def test_a_thousand_callers_of_a_server_that_is_gone_are_told_together(postgres: Server, schema: str) -> None:
    store_url = postgres.url(schema=schema)
    async with HalfOpenProxy(postgres.port) as proxy:
        store = PostgresStore(store_url.replace(f":{postgres.port}/", f":{proxy.port}/"))
        await store.open()
        proxy.dead = True
        proxy.freeze()
        begun = time.monotonic()
        told = await asyncio.gather(*(store.history(f"e{n}") for n in range(1000)), return_exceptions=True)
        assert {type(error) for error in told} == {StoreError}
        assert time.monotonic() - begun < 10
        await within(8, store.close())


async def test_a_burst_waits_for_its_turn_and_not_for_an_error(postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits in our own queue is not the store's failure, however long it waits there."""
    monkeypatch.setattr("redrive.stores.postgres.connection_pool.PATIENCE", 0.2)
    async with AsyncDurableService(postgres.url(schema=schema), [waits]) as service:
        handles = await asyncio.gather(*(service.start(waits(), id=f"e{n}") for n in range(300)))
        async with AsyncDurableService(postgres.url(schema=schema, connections=2), [waits], worker=False) as client:
            results = [asyncio.ensure_future(client.execution(handle.id, waits).result(timeout=25)) for handle in handles for _ in range(5)]
            histories = asyncio.gather(*(client.execution(handle.id).history() for handle in handles for _ in range(3)))
            await asyncio.sleep(0)
            await asyncio.gather(*(service.signal(handle.id, go, 1) for handle in handles))
            assert set(await asyncio.gather(*results)) == {2}
            assert len(await histories) == 900


async def test_callers_that_go_away_cost_no_connection(postgres: Server, schema: str) -> None:
    store = PostgresStore(postgres.url(schema=schema))
    await store.open()
    state = store._open
    await asyncio.gather(*(store.read("x") for _ in range(50)), *(newest(store, limit=1) for _ in range(20)))
    made = state.sessions.pool.get_stats().get("connections_num", 0)
    for delay in (0, 0.0005, 0.002, 0.005):
        for _ in range(20):
            calls = [
                asyncio.ensure_future(call)
                for call in (newest(store), store.now(), store.read("x"), store.poll_inboxes("ada", 0), store.next_wake(["w"]))
            ]
            calls.append(asyncio.ensure_future(store.claim("ada", timedelta(seconds=5), "b", ["w"], 1)))
            await asyncio.sleep(delay)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
    stats = state.sessions.pool.get_stats()
    assert stats.get("connections_lost", 0) == 0
    assert stats.get("connections_num", 0) - made <= store.address.connections
    assert stats.get("returns_bad", 0) == 0
    assert await store.read("x") is None
    await store.close()
