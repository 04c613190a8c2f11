"""Calls of finding with the types that checkers must infer: read by them, never run."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, assert_type

from redrive import (
    AsyncDurableService,
    AsyncExecution,
    AsyncFound,
    Attribute,
    Condition,
    Count,
    DurableService,
    Equals,
    Execution,
    Filter,
    Flow,
    Found,
    Node,
    Signal,
    StartChild,
    step,
    workflow,
)
from redrive.ports.store import ExecutionStatus


class Stage(enum.Enum):
    NEW = 1


state = Attribute("state", str)
total = Attribute("total", Decimal)
size = Attribute("size", int)
stage = Attribute("stage", Stage)
tags = Attribute("tags", set[str])
paid_at = Attribute("paid_at", datetime | None)
hot = Attribute("hot", int, search=False)
approved = Signal("approved", str)


@step
def charge(amount: int) -> int:
    return amount


@workflow("finding")
def checkout(amount: int) -> Flow[str]:
    yield from StartChild(checkout(1), attributes=[state.is_("new"), total.is_(Decimal(1))])
    return str((yield from charge(amount)))


def conditions() -> None:
    assert_type(state, Attribute[str])
    assert_type(hot, Attribute[int])
    assert_type(state.is_("paid"), Equals[str])
    assert_type(state.any_of("paid", "new"), Condition[str])
    assert_type(state.starts_with("p"), Condition[str])
    assert_type(total.at_least(Decimal(1)), Condition[Decimal])
    assert_type(size.at_most(3), Condition[int])
    assert_type(size.between(1, 3), Condition[int])
    assert_type(paid_at.at_least(datetime.now(UTC)), Condition[datetime | None])
    assert_type(tags.has("vip"), Condition[Any])
    stage.is_(Stage.NEW)
    paid_at.is_(None)


def find(service: DurableService) -> None:
    assert_type(service.find(workflow=checkout), Found[str])
    assert_type(service.find(workflow=checkout, status="failed", limit=3), Found[str])
    assert_type(service.find(workflow="finding"), Found[Any])
    assert_type(service.find(status=["failed", "parked"], waiting_on=approved), Found[Any])
    service.find(waiting_on=charge, attributes=[state.is_("paid"), total.at_least(Decimal(100)), tags.has("vip")])
    saved = Filter(status="failed", created_after=datetime.now(UTC))
    assert_type(service.find(**saved), Found[Any])
    for found in service.find(workflow=checkout):
        assert_type(found.execution, Execution[str])
        assert_type(found.execution.result(), str)
    page = service.find(workflow=checkout, limit=50).page("n1")
    assert_type(page.items[0].execution.result(), str)
    assert_type(page.cursor, str | None)
    assert_type(service.tree("t"), Node)


def count(service: DurableService) -> None:
    assert_type(service.count(), Count)
    assert_type(service.count(workflow=checkout, status="failed"), Count)
    assert_type(service.count(by="status", workflow=checkout), Mapping[ExecutionStatus, Count])
    assert_type(service.count(by="workflow"), Mapping[str, Count])
    assert_type(service.count(by=stage), Mapping[Stage, Count])
    assert_type(service.count(by=total, status="failed"), Mapping[Decimal, Count])


def values(execution: Execution[str]) -> None:
    assert_type(execution.wait_for_attribute(total, Decimal(1), timeout=3), Decimal)
    assert_type(execution.wait_for_attribute(total, lambda value: value > 3), Decimal)
    assert_type(execution.wait_for_attribute(state, state.any_of("paid", "sent")), str)
    assert_type(execution.watch(size), Iterator[int])
    assert_type(execution.attribute(stage), Stage | None)


def start(service: DurableService) -> None:
    service.start(checkout(1), attributes=[state.is_("new"), total.is_(Decimal(1))])
    service.start(checkout(1), attributes={state: "new", total: Decimal(1)})
    service.start(checkout(1), attributes={"state": "new"})


async def not_blocking(service: AsyncDurableService, execution: AsyncExecution[str]) -> None:
    assert_type(service.find(workflow=checkout), AsyncFound[str])
    async for found in service.find(workflow=checkout, status="failed"):
        assert_type(found.execution, AsyncExecution[str])
    page = await service.find(workflow=checkout).page()
    assert_type(await page.items[0].execution.result(), str)
    assert_type(await service.count(by="status"), Mapping[ExecutionStatus, Count])
    assert_type(await service.count(by=size), Mapping[int, Count])
    assert_type(await service.count(status="failed"), Count)
    assert_type(await service.tree("t"), Node)
    assert_type(await execution.wait_for_attribute(total, lambda value: value > 3), Decimal)
    assert_type(await execution.wait_for_attribute(state, "paid"), str)
    assert_type(execution.watch(size), AsyncIterator[int])
    assert_type(await execution.attribute(size), int | None)
