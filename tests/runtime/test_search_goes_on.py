"""A worker whose search for work or heartbeat meets a fault that nobody foresaw logs it, and goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from redrive import AsyncDurableService, Flow, Sleep, workflow
from redrive.stores.memory import MemoryStore


class Faulty(MemoryStore):
    """A store with a fault of its own, which shows once."""

    broken = True

    async def next_wake(self, *args: Any, **options: Any) -> Any:
        if self.broken:
            self.broken = False
            raise ZeroDivisionError("a fault of the store")
        return await super().next_wake(*args, **options)


@workflow("search.sleeps")
def sleeps() -> Flow[str]:
    yield from Sleep(0.01)
    return "awake"


async def test_a_fault_in_the_search_for_work_is_logged_and_the_worker_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """W3, W9."""
    store = Faulty()
    async with AsyncDurableService(store, worker=False) as client:
        execution = await client.start(sleeps(), id="it")
        async with AsyncDurableService(store, [sleeps]):
            assert await execution.result(timeout=10) == "awake"
    (record,) = [record for record in caplog.records if "search for work failed" in record.getMessage()]
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


class Faint(MemoryStore):
    """A store whose claims fail from the third on, twice: the first is the worker's first heartbeat."""

    claims = 0

    async def claim(self, *args: Any, **options: Any) -> Any:
        self.claims += 1
        if 2 < self.claims < 5:
            raise ZeroDivisionError("a fault of the store")
        return await super().claim(*args, **options)


async def test_a_fault_in_a_heartbeat_is_logged_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    """W2, W9."""
    store = Faint()
    async with AsyncDurableService(store, [sleeps], lease=0.3):
        while store.claims < 6:
            await asyncio.sleep(0.01)
    told = [record for record in caplog.records if "heartbeat" in record.getMessage() and record.exc_info]
    assert told
