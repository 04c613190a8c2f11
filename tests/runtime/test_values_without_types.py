"""What is looked at from outside, where nobody says its type: all of it shows, as far as it can be read."""

from __future__ import annotations

import attrs
import pytest

from redrive import AsyncDurableService, Attribute, Flow, SetAttribute, Signal, WaitSignal, workflow
from redrive.stores.memory import MemoryStore


@attrs.frozen
class Card:
    number: str


@attrs.frozen
class Cash:
    amount: int


paid_by = Attribute("paid_by", Card | Cash)
tags = Attribute("tags", set[str])
go = Signal("go")


@workflow("untyped.pays")
def pays() -> Flow[Card | Cash]:
    yield from SetAttribute(tags, {"a"})
    yield from SetAttribute(paid_by, Cash(3))
    yield from WaitSignal(go)
    return Cash(3)


async def test_an_attribute_of_several_types_hides_neither_itself_nor_the_others(store_url: str) -> None:
    async with AsyncDurableService(store_url, [pays]) as service:
        execution = await service.start(pays())
        with pytest.raises(TimeoutError, match="it waits for signal go"):
            await execution.result(timeout=0.2)
        seen = await execution.attributes()
        assert set(seen) == {"tags", "paid_by"}
        assert "3" in repr(seen["paid_by"])
        assert (await execution.info()).attributes == seen


async def test_a_result_of_several_types_shows_as_stored_to_a_caller_that_does_not_know_its_workflow(store_url: str) -> None:
    async with AsyncDurableService(store_url, [pays]) as service:
        execution = await service.start(pays(), id="p-1")
        await execution.signal(go)
        assert await execution.result(timeout=10) == Cash(3)
        async with AsyncDurableService(store_url, worker=False) as stranger:
            assert "3" in repr(await stranger.execution("p-1").result(timeout=10))
            assert "3" in repr((await stranger.execution("p-1").info()).result)


async def test_a_store_may_be_given_as_an_object() -> None:
    async with AsyncDurableService(store := MemoryStore(), [pays]) as service:
        assert service.store is store
        assert "MemoryStore" in repr(service)
        await (await service.start(pays(), id="p-1")).signal(go)
        assert await service.execution("p-1", pays).result(timeout=10) == Cash(3)
