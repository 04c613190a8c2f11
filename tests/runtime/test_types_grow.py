"""A type grows while an execution waits: it goes on, and a repeated start finds it (N2, N6)."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from typing import Any

import attrs
import pytest

from redrive import DurableService, ExecutionConflict, Flow, Signal, WaitSignal, Workflow, step, workflow


@attrs.frozen
class Card:
    number: str


@attrs.frozen
class Cash:
    amount: int


@attrs.frozen
class Narrow:
    by: Card
    on: date | None = None


@attrs.frozen
class Wide:
    by: Card | Cash
    on: date | str | None = None
    note: str = ""


go = Signal("go")


def shop(kind: Any) -> Workflow[..., str]:
    @step("pay")
    def pay(how: kind) -> kind:
        return how

    @workflow("shop")
    def run(how: kind) -> Flow[str]:
        paid = yield from pay(how)
        yield from WaitSignal(go)
        return repr(paid)

    return run


def waits(service: DurableService) -> None:
    until = time.monotonic() + 10
    while "go" not in str(service.execution("o").info().waiting_on):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("old", "value", "new", "again"),
    [
        (Card, Card("1"), Card | Cash, Card("1")),
        (Card | Cash, Card("1"), Card, Card("1")),
        (Card, Card("1"), Card | None, Card("1")),
        (str, "x", str | date, "x"),
        (date, date(2026, 1, 1), str | date, date(2026, 1, 1)),
        (list[Card], [Card("1")], list[Card | Cash] | None, [Card("1")]),
        (Any, [date(2026, 1, 1), {"a": (1,)}], list[date | dict[str, tuple[int, ...]]], [date(2026, 1, 1), {"a": (1,)}]),
        (Narrow, Narrow(Card("1"), date(2026, 1, 1)), Wide, Wide(Card("1"), date(2026, 1, 1))),
    ],
    ids=str,
)
def test_an_execution_goes_on_with_a_type_that_grew(tmp_path: Path, old: Any, value: Any, new: Any, again: Any) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    first, second = shop(old), shop(new)
    with DurableService(url, workflows=[first]) as service:
        service.start(first(value), id="o")
        waits(service)
    with DurableService(url, workflows=[second]) as service:
        service.start(second(again), id="o")
        if new in (Card | Cash, Card | None):
            with pytest.raises(ExecutionConflict):
                service.start(second(Card("2")), id="o")
        service.signal("o", go)
        assert service.execution("o").result(timeout=10) == repr(again)


def test_two_readings_park_the_execution_and_say_which_they_are(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    first, second = shop(str), shop(str | bytes)
    with DurableService(url, workflows=[first]) as service:
        service.start(first("card"), id="o")
        waits(service)
    with DurableService(url, workflows=[second]) as service:
        service.signal("o", go)
        until = time.monotonic() + 10
        while "str and bytes" not in (why := str(service.execution("o").info().parked)):
            assert time.monotonic() < until, why
            time.sleep(0.01)
    with DurableService(url, workflows=[first]) as service:
        assert service.execution("o").result(timeout=10) == "'card'"
