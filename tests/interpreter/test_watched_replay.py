"""A replay can be watched: how things stood after each fact, on the code at hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from redrive_interpreter import LIVE, Answered, Diverged, Fact, Flow, Key, Machine, Ok, Request, Started, replay, step, workflow

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@step
def reserve(order: str) -> str: ...


@step
def charge(order: str) -> str: ...


@workflow("orders.watched")
def watched(order: str) -> Flow[str]:
    hold = yield from reserve(order)
    return hold + (yield from charge(order))


@workflow("orders.watched")
def changed(order: str) -> Flow[str]:
    yield from reserve(order)
    return "no charge"


def test_the_machine_is_shown_after_each_turn_and_up_to_where_it_diverges() -> None:
    machine = Machine(watched)
    for fact in [
        Started(id="o-1", run=UUID(int=1), args=("o-1",), at=NOON),
        Answered(Key("reserve"), Ok("h"), at=NOON),
        Answered(Key("charge"), Ok("c"), at=NOON),
    ]:
        machine.receive(fact)
    history = machine.take()

    stood: list[tuple[str, list[str]]] = []

    class Watched(Machine[Any]):
        def receive(self, fact: Fact) -> list[Request]:
            requests = super().receive(fact)
            stood.append((type(fact).__name__, list(self.pending)))
            return requests

    replay(watched, history, LIVE, make=Watched)
    assert stood == [("Started", ["reserve"]), ("Answered", ["charge"]), ("Answered", [])]

    stood.clear()
    with pytest.raises(Diverged):
        replay(changed, history, LIVE, make=Watched)
    assert stood[0] == ("Started", ["reserve"])
