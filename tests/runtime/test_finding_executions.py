"""Finding executions through a service: typed filters, counts, families, and the values that attributes have had."""

from __future__ import annotations

import asyncio
import enum
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from redrive import (
    AsyncDurableService,
    Attribute,
    ContinueAs,
    Count,
    DurableService,
    ExecutionFinished,
    ExecutionNotFound,
    Filter,
    Flow,
    InvalidDefinition,
    RunChild,
    SetAttribute,
    Signal,
    Sleep,
    StartChild,
    WaitChild,
    WaitSignal,
    step,
    workflow,
)


class Stage(enum.Enum):
    NEW = 1
    PAID = 2


state = Attribute("state", str)
total = Attribute("total", Decimal)
stage = Attribute("stage", Stage)
size = Attribute("size", int)
tags = Attribute("tags", set[str])
due = Attribute("due", datetime | None)
approved = Signal("find.approved", str)
go = Signal("find.go")


class CardDeclined(Exception):
    pass


@step
def charge(amount: int) -> int:
    if amount < 0:
        raise CardDeclined(amount)
    return amount


@workflow("find.order")
def order(amount: int) -> Flow[int]:
    yield from SetAttribute(size, amount)
    yield from WaitSignal(approved)
    yield from SetAttribute(state, "packing")
    yield from SetAttribute(state, "packed")
    return (yield from charge(amount))


@workflow("find.child")
def child(amount: int) -> Flow[int]:
    yield from WaitSignal(go)
    return amount


@workflow("find.parent")
def parent() -> Flow[int]:
    first = yield from StartChild(child(1), id="kid-1", attributes=[state.is_("born")])
    yield from RunChild(child(2), id="kid-2")
    return (yield from WaitChild(first))


@workflow("find.rounds")
def rounds(left: int) -> Flow[int]:
    yield from SetAttribute(size, left)
    if left:
        return (yield from ContinueAs(rounds(left - 1)))
    yield from WaitSignal(go)
    return 0


@workflow("find.sleeper")
def sleeper() -> Flow[None]:
    yield from Sleep(timedelta(days=1))


FLOWS: list[Any] = [order, child, parent, rounds, sleeper]


async def eventually(service: AsyncDurableService, *ids: str, **filter: Any) -> None:
    """Wait until just these executions fit, newest first."""
    for _ in range(500):
        found = [one.id async for one in service.find(**filter)]
        if found == list(ids):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"found {found}, not {list(ids)}")


async def test_what_a_start_says_is_found_at_once_and_from_another_service(store_url: str) -> None:
    """A1."""
    async with AsyncDurableService(store_url, FLOWS, worker=False) as service, AsyncDurableService(store_url, worker=False) as other:
        given = [state.is_("new"), total.is_(Decimal("12.50")), stage.is_(Stage.NEW), tags.is_({"eu", "vip"}), due.is_(None)]
        await service.start(order(1), id="o-1", attributes=given)
        conditions = [
            state.is_("new"), state.any_of("old", "new"), state.starts_with("n"), total.at_least(Decimal("12.5")),
            total.at_most(Decimal("12.500")),
            total.between(Decimal(12), Decimal(13)), stage.is_(Stage.NEW), tags.has("vip"), tags.is_({"vip", "eu"}), due.is_(None),
        ]  # fmt: skip
        for condition in (*[[one] for one in conditions], conditions):
            assert [one.id async for one in other.find(attributes=condition)] == ["o-1"]
        misses = [state.is_("n"), total.at_least(Decimal(13)), stage.is_(Stage.PAID), tags.has("eu-west"), tags.is_({"vip"})]
        misses.append(due.at_least(datetime(2026, 1, 1, tzinfo=UTC)))
        for miss in misses:
            assert [one.id async for one in other.find(attributes=[miss])] == []


async def test_waits_are_found_by_signal_step_child_and_timer(store_url: str) -> None:
    async with AsyncDurableService(store_url, FLOWS) as service:
        await service.start(order(1), id="o-1")
        await service.start(sleeper(), id="s-1")
        await service.start(parent(), id="p-1")
        await eventually(service, "o-1", waiting_on=approved)
        await eventually(service, "s-1", waiting_on="timer")
        await eventually(service, "p-1", waiting_on="child:find.child")
        await eventually(service, "kid-2", "kid-1", waiting_on="find.go")
        await eventually(service, "kid-2", waiting_on=go, parent="p-1", workflow=child, id_prefix="kid-2")
        assert (await service.count(by="waiting_on"))["signal:find.go"] == Count(2)
        assert await service.count(waiting_on=go) == Count(2)
        found = await service.find(waiting_on=approved).page()
        assert (found.items[0].waiting_on, found.items[0].status) == (("signal:find.approved",), "suspended")
        await service.signal("o-1", approved, "Ada")
        assert await found.items[0].execution.result() == 1
        await eventually(service, waiting_on=approved)


async def test_an_execution_is_found_by_how_it_ended(store_url: str) -> None:
    async with AsyncDurableService(store_url, FLOWS) as service:
        await service.start(order(-1), id="o-1")
        before = datetime.now(UTC) - timedelta(minutes=1)
        await service.signal("o-1", approved, "Ada")
        await eventually(service, "o-1", error_type="StepFailed", status="failed", ended_after=before, workflow="find.order")
        await eventually(service, error_type="StepFailed", ended_before=before)
        (failed,) = [one async for one in service.find(status=["failed", "cancelled"])]
        assert failed.ended_at is not None
        assert failed.error_type == "redrive_interpreter.errors.StepFailed"
        assert await service.count(by="error_type") == {failed.error_type: Count(1)}


async def test_a_value_that_is_replaced_at_once_is_not_missed(store_url: str) -> None:
    """A2."""
    async with AsyncDurableService(store_url, FLOWS) as service, AsyncDurableService(store_url, worker=False) as other:
        execution = await service.start(order(1), id="o-1")
        handle = other.execution("o-1")
        waits = [
            asyncio.create_task(handle.wait_for_attribute(state, "packing", timeout=30)),
            asyncio.create_task(handle.wait_for_attribute(state, state.any_of("packing", "x"), timeout=30)),
            asyncio.create_task(handle.wait_for_attribute(state, lambda value: value.startswith("packi"), timeout=30)),
        ]
        await eventually(service, "o-1", waiting_on=approved)
        await execution.signal(approved, "Ada")
        assert await asyncio.gather(*waits) == ["packing"] * 3
        assert await handle.attribute(state) == "packed"
        assert await handle.attribute(total) is None
        with pytest.raises(ExecutionFinished, match="'packed'"):
            await handle.wait_for_attribute(state, "packing", timeout=30)


async def test_a_watch_gives_each_value_of_all_runs_until_the_end(store_url: str) -> None:
    """A2, E9."""
    async with AsyncDurableService(store_url, FLOWS) as service:
        execution = await service.start(rounds(3), id="r-1", attributes={size: 99})
        seen: list[int] = []

        async def watch() -> None:
            async for value in execution.watch(size):
                seen.append(value)

        watching = asyncio.create_task(watch())
        await execution.wait_for_attribute(size, 0, timeout=30)
        await eventually(service, "r-1", waiting_on=go)
        await service.signal("r-1", go)
        await asyncio.wait_for(watching, 30)
        assert seen == [99, 3, 2, 1, 0][-len(seen) :]
        assert seen[-1] == 0


async def test_a_wait_ends_with_its_time_and_for_what_is_unknown(store_url: str) -> None:
    async with AsyncDurableService(store_url, FLOWS) as service:
        await service.start(order(1), id="o-1")
        with pytest.raises(TimeoutError, match="never set"):
            await service.execution("o-1").wait_for_attribute(state, "packed", timeout=0.05)
        with pytest.raises(ExecutionNotFound):
            await service.execution("nobody").wait_for_attribute(state, "packed")
        with pytest.raises(InvalidDefinition, match="this attribute"):
            await service.execution("o-1").wait_for_attribute(size, total.at_least(Decimal(1)))  # type: ignore[arg-type]


async def test_a_family_is_a_tree(store_url: str) -> None:
    async with AsyncDurableService(store_url, FLOWS) as service:
        await service.start(parent(), id="p-1")
        await eventually(service, "kid-2", "kid-1", waiting_on=go)
        await eventually(service, "kid-2", "kid-1", "p-1", root="p-1")
        await eventually(service, "kid-1", attributes=[state.is_("born")])
        tree = await service.tree("p-1")
        assert [(depth, node.id, node.waiting_on) for depth, node in tree.walk()] == [
            (0, "p-1", ("child:find.child",)),
            (1, "kid-1", ("signal:find.go",)),
            (1, "kid-2", ("signal:find.go",)),
        ]
        flat = await service.tree("p-1", depth=0)
        assert (flat.children, flat.more) == ((), True)
        assert [node.id for _, node in (await service.tree("kid-1")).walk()] == ["kid-1"]
        with pytest.raises(ExecutionNotFound):
            await service.tree("nobody")


async def test_counts_by_an_attribute_have_its_values(store_url: str) -> None:
    """A5."""
    async with AsyncDurableService(store_url, FLOWS, worker=False) as service:
        for i in range(5):
            given = [size.is_(i % 2), total.is_(Decimal(i)), stage.is_(Stage.PAID if i else Stage.NEW), tags.is_({"all", f"t-{i}"})]
            await service.start(order(i), id=f"o-{i}", attributes=given)
        assert await service.count(by=size) == {0: Count(3), 1: Count(2)}
        assert [type(key) for key in await service.count(by=size)] == [int, int]
        assert await service.count(by=stage) == {Stage.NEW: Count(1), Stage.PAID: Count(4)}
        assert (await service.count(by=tags, attributes=[total.at_most(Decimal(1))])) == {"all": Count(2), "t-0": Count(1), "t-1": Count(1)}
        assert await service.count(by="status") == {"pending": Count(5)}
        assert await service.count() == Count(5)
        assert (str(Count(10_000, more=True)), str(Count(17))) == ("10,000+", "17")


def test_the_blocking_service_finds_in_the_same_words(store_url: str) -> None:
    with DurableService(store_url, FLOWS) as service:
        for i in range(5):
            service.start(order(i), id=f"o-{i}", attributes=[state.is_("new")])
        assert service.execution("o-3").wait_for_attribute(size, 3, timeout=10) == 3
        wanted = Filter(status=["pending", "running", "suspended"], attributes=[state.is_("new")])
        assert [one.id for one in service.find(**wanted)] == ["o-4", "o-3", "o-2", "o-1", "o-0"]
        assert [one.id for one in service.find(**wanted, limit=3)] == ["o-4", "o-3", "o-2"]
        page = service.find(workflow=order, limit=2).page()
        assert [one.id for one in page] == ["o-4", "o-3"]
        following = service.find(workflow=order, limit=2).page(page.cursor)
        assert ([one.id for one in following], len(following)) == (["o-2", "o-1"], 2)
        service.execution("o-2").wait_for_attribute(size, 2, timeout=10)
        service.signal("o-2", approved, "Ada")
        assert service.find(workflow=order, id_prefix="o-2").page().items[0].execution.result(timeout=10) == 2
        assert list(service.execution("o-2").watch(state)) == ["packed"]
        assert service.execution("o-2").attribute(size) == 2
        assert service.tree("o-2").attributes == {"state": "packed", "size": 2}
        assert service.count(**wanted) == Count(4)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"status": "faild"}, "did you mean 'failed'"),
        ({"workflw": "x"}, "did you mean 'workflow'"),
        ({"attributes": {"state": "new"}}, "takes conditions"),
        ({"attributes": ["new"]}, "takes conditions"),
        ({"waiting_on": 7}, "takes a signal"),
        ({"created_after": datetime(2026, 1, 1)}, "no timezone"),  # noqa: DTZ001
        ({"parent": 7}, "not a str"),
        ({"limit": 0}, "nothing to find"),
    ],
)
async def test_what_cannot_be_asked_is_refused(asked: dict[str, Any], why: str) -> None:
    async with AsyncDurableService("memory://refused", worker=False) as service:
        with pytest.raises((InvalidDefinition, ValueError, TypeError), match=why):
            service.find(**asked)
        with pytest.raises(InvalidDefinition, match="by="):
            await service.count(by="colour")  # type: ignore[call-overload]
