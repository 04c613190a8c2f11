"""fork: a copy goes on from an earlier point, under a run of its own (F2, F7, F13)."""

from __future__ import annotations

import asyncio

import pytest

from redrive import AsyncDurableService, Flow, Info, NewId, OperationRefused, RunChild, StartChild, WaitChild, WaitSignal, workflow
from redrive_interpreter.errors import ExecutionConflict
from tests.operating.shop import Provider, approved, charge, failed, in_shop, order, quote, reserve, undoing, waiting
from tests.runtime.support import standing


def test_a_copy_goes_on_from_before_a_command(store_url: str, bank: Provider) -> None:
    """F7, F2: what was answered before is not performed again; what comes after is, under new keys."""

    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(order(1), id="o-1")
        await execution.result()
        change = await service.operator.fork("o-1", before="charge", id="o-1-b", reason="what if", by="ada")
        assert (change.copy, change.again, change.stored) == ("o-1-b", ("charge",), True)
        assert await service.execution("o-1-b").result() == "reserve-1 charge-2"
        assert bank.counts == {"reserve": 1, "quote": 1, "charge": 2}
        assert (await execution.info()).number == 1, "the original is as it was"
        assert [(one.verb, one.execution) for one in await service.operator.audit()] == [("fork", "o-1-b"), ("fork", "o-1")]
        (noted,) = await service.operator.audit("o-1")
        assert noted.detail["copy"] == "o-1-b"

    in_shop(run, store_url)


def test_original_and_copy_undo_what_they_share_once(store_url: str, bank: Provider) -> None:
    """F2: under the key of the run in which it was performed."""

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"ship"}
        await failed(await service.start(undoing(1), id="o-1"))
        await service.operator.fork("o-1", before="charge", id="o-2")
        await failed(service.execution("o-2"))
        assert (bank.times("reserve"), bank.counts["release"], bank.times("release")) == (1, 2, 1)
        assert (bank.times("charge"), bank.counts["refund"], bank.times("refund")) == (2, 2, 2)

    in_shop(run, store_url)


def test_signals_taken_before_are_facts_and_later_ones_stay_with_the_original(store_url: str, bank: Provider) -> None:
    """F7, F13."""

    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(waiting(1), id="o-1")
        await execution.signal(approved, "ada")
        await execution.result()
        await service.operator.fork("o-1", before="charge", id="after")
        assert await service.execution("after").result() == "reserve-1 ada charge-2"
        await service.operator.fork("o-1", before="reserve", id="before")
        copy = service.execution("before")
        await standing(copy, "suspended")
        await copy.signal(approved, "bob")
        assert await copy.result() == "reserve-2 bob charge-3"

    in_shop(run, store_url)


def test_a_row_names_a_point_as_well(store_url: str, bank: Provider) -> None:
    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(order(1), id="o-1")
        await execution.result()
        rows = await execution.history()
        await service.operator.fork("o-1", before=len(rows), id="o-2")
        assert await service.execution("o-2").result() == "reserve-1 charge-1"
        with pytest.raises(OperationRefused, match=r"it has no row 99; rows 2 to"):
            await service.operator.fork("o-1", before=99)

    in_shop(run, store_url)


def test_ids_before_the_point_stay_and_those_after_are_the_copys(store_url: str, bank: Provider) -> None:
    """F2, N1."""

    @workflow("shop.ids")
    def ids() -> Flow[list[str]]:
        first = yield from NewId("invoice")
        yield from quote(str(first))
        second = yield from NewId("invoice")
        info = yield from Info()
        yield from charge(1)
        return [str(first), str(second), info.id]

    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(ids(), id="o-1")
        first, second, _ = await execution.result()
        await service.operator.fork("o-1", before="charge", id="o-2")
        copied = await service.execution("o-2").result()
        assert copied[0] == first
        assert copied[1] != second
        assert copied[2] == "o-2"

    in_shop(run, store_url, ids)


def test_finished_children_are_facts_and_running_ones_refuse_it(store_url: str, bank: Provider) -> None:
    """F7."""

    @workflow("shop.child", signals=[approved])
    def child() -> Flow[str]:
        return (yield from WaitSignal(approved))

    @workflow("shop.parent")
    def parent() -> Flow[str]:
        yield from reserve("book")
        ref = yield from StartChild(child(), id="c-1")
        yield from quote("x")
        said = yield from WaitChild(ref)
        return f"{said} {(yield from charge(1))}"

    async def run(service: AsyncDurableService) -> None:
        bank.gate["charge"] = asyncio.Event()
        execution = await service.start(parent(), id="o-1")
        await standing(execution, "suspended")
        await standing(service.execution("c-1"), "suspended")
        with pytest.raises(OperationRefused, match=r"child .* still runs; before='__start_child' forks before its start; or wait"):
            await service.operator.fork("o-1", before="quote", id="no")
        await service.execution("c-1").signal(approved, "ada")
        while not bank.counts["charge"]:
            await asyncio.sleep(0.002)
        change = await service.operator.fork("o-1", before="quote", id="o-2")
        assert any("child" in line and "completed" in line for line in change.put_back)
        bank.gate["charge"].set()
        assert await execution.result() == "ada charge-1"
        assert (await service.execution("o-2").result()).startswith("ada charge-2")

    in_shop(run, store_url, parent, child)


def test_ids_of_children_that_are_taken_are_listed(store_url: str, bank: Provider) -> None:
    """F6."""

    @workflow("shop.parent")
    def parent(id: str) -> Flow[str]:
        yield from reserve("book")
        return (yield from RunChild(order(1), id=id))

    async def run(service: AsyncDurableService) -> None:
        await (await service.start(parent("c-1"), id="o-1")).result()
        with pytest.raises(OperationRefused, match=r"children whose ids are taken: 'c-1'; give another input="):
            await service.operator.fork("o-1", before="reserve", id="o-2")
        with pytest.raises(OperationRefused, match=r"it runs workflow 'shop.parent', not 'shop.order'"):
            await service.operator.fork("o-1", before="reserve", id="o-2", input=order(1))
        await service.operator.fork("o-1", before="reserve", id="o-2", input=parent("c-2"))
        assert await service.execution("o-2").result() == "reserve-4 charge-2"

    in_shop(run, store_url, parent)


def test_its_deadline_begins_anew_and_its_attributes_are_copied(store_url: str, bank: Provider) -> None:
    """F7."""
    from redrive import Attribute, SetAttribute

    state = Attribute("state", str)

    @workflow("shop.timed", timeout=60)
    def timed() -> Flow[str]:
        yield from SetAttribute(state, "begun")
        yield from reserve("book")
        yield from SetAttribute(state, "reserved")
        return (yield from charge(1))

    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(timed(), id="o-1", timeout=3600)
        await execution.result()
        bank.gate["charge"] = asyncio.Event()
        await service.operator.fork("o-1", before="charge", id="o-2")
        copy = service.execution("o-2")
        info = await copy.info()
        assert info.attributes == {"state": "reserved"}
        assert info.deadline is not None
        assert 50 < (info.deadline - info.created_at).total_seconds() <= 60
        await service.operator.fork("o-1", before="reserve", id="o-3", timeout=7)
        info = await service.execution("o-3").info()
        assert info.deadline is not None
        assert (info.deadline - info.created_at).total_seconds() <= 7
        bank.gate["charge"].set()

    in_shop(run, store_url, timed)


def test_a_taken_id_is_a_conflict(store_url: str, bank: Provider) -> None:
    async def run(service: AsyncDurableService) -> None:
        await (await service.start(order(1), id="o-1")).result()
        with pytest.raises(ExecutionConflict):
            await service.operator.fork("o-1", before="charge", id="o-1")
        change = await service.operator.fork("o-1", before="charge", dry_run=True)
        assert change.copy is not None
        assert await service.store.read(change.copy) is None

    in_shop(run, store_url)


def test_a_copy_can_be_forked_and_retried_as_any_other(store_url: str, bank: Provider) -> None:
    """F2."""

    async def run(service: AsyncDurableService) -> None:
        await (await service.start(order(1), id="o-1")).result()
        bank.down = {"charge"}
        await service.operator.fork("o-1", before="charge", id="o-2")
        await failed(service.execution("o-2"))
        bank.down.clear()
        await service.operator.retry("o-2")
        assert await service.execution("o-2").result() == "reserve-1 charge-2"
        await service.operator.fork("o-2", before="quote", id="o-3")
        assert await service.execution("o-3").result() == "reserve-1 charge-3"
        assert (bank.times("reserve"), bank.times("quote")) == (1, 2)

    in_shop(run, store_url)
