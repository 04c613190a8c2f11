"""Wrong calls of finding: each marked line is refused by the type checkers, on that very line."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from redrive import Attribute, DurableService, Execution, Filter, Flow, Signal, StartChild, workflow

state = Attribute("state", str)
total = Attribute("total", Decimal)
size = Attribute("size", int)
tags = Attribute("tags", set[str])
paid_at = Attribute("paid_at", datetime | None)
approved = Signal("approved", str)


@workflow("finding")
def checkout(amount: int) -> Flow[str]:
    yield from ()
    return ""


def conditions() -> None:
    state.is_(5)  # wrong: a str
    total.is_("12")  # wrong: a Decimal
    total.at_least("x")  # wrong: a Decimal
    size.between(1, "3")  # wrong: two ints
    state.any_of("paid", 5)  # wrong: all of them a str
    size.starts_with("1")  # wrong: it is no text
    state.has("a")  # wrong: it is no set
    tags.has(5)  # wrong: a member is text
    tags.is_({1})  # wrong: a set of text
    paid_at.at_least("2026")  # wrong: a datetime


def find(service: DurableService) -> None:
    service.find(stat="failed")  # wrong: no such word
    service.find(status="faild")  # wrong: no such status
    service.find(status=["failed", "faild"])  # wrong: no such status
    service.find(workflow=3)  # wrong: a workflow or its name
    service.find(attributes={"state": "paid"})  # wrong: conditions
    service.find(attributes=["paid"])  # wrong: conditions
    service.find(created_after="2026-01-01")  # wrong: a datetime
    service.find(waiting_on=3)  # wrong: a signal, a step or words
    Filter(stat="failed")  # wrong: no such word
    service.count(by="colour")  # wrong: nothing to count by
    _: int = service.find(workflow=checkout).page().items[0].execution.result()  # wrong: a str


def values(execution: Execution[str]) -> None:
    execution.wait_for_attribute(total, lambda value: value.nothing)  # wrong: a Decimal has no such thing
    _: int = execution.wait_for_attribute(state, "paid")  # wrong: a str


def start(service: DurableService) -> None:
    service.start(checkout(1), attributes=[total.at_least(Decimal(1))])  # wrong: it gives no value
    service.start(checkout(1), attributes=["new"])  # wrong: values of attributes
    StartChild(checkout(1), attributes=[state.starts_with("n")])  # wrong: it gives no value


def unused(given: Any) -> None: ...
