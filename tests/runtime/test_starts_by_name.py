"""Starts by name: the same call as a typed one, and nothing that is given is dropped (N2, E1)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from redrive import DurableService, ExecutionConflict, Flow, InvalidDefinition, RunChild, Workflow, workflow
from redrive.codec.by_name import same_by_name


@workflow("w")
def w(a: int, b: int = 2) -> Flow[list[int]]:
    yield from ()
    return [a, b]


@workflow("dated")
def dated(on: date, places: tuple[int, ...] = ()) -> Flow[str]:
    yield from ()
    return f"{on} {places}"


@workflow("variadic")
def variadic(a: int, *more: int, **rest: int) -> Flow[Any]:
    yield from ()
    return [a, more, rest]


@workflow("parent")
def parent() -> Flow[Any]:
    return (yield from RunChild(Workflow("w")(1, b=3)))


W, DATED, VARIADIC = Workflow("w"), Workflow("dated"), Workflow("variadic")


@pytest.fixture
def both(tmp_path: Path) -> Iterator[dict[str, DurableService]]:
    url = f"sqlite:///{tmp_path}/by_name.db"
    with DurableService(url, workflows=[w, dated, variadic, parent]) as service, DurableService(url, worker=False) as client:
        yield {"knows": service, "client": client}


@pytest.mark.parametrize("first", ["knows", "client"])
@pytest.mark.parametrize("again", ["knows", "client"])
@pytest.mark.parametrize(
    "calls",
    [
        [W(1), w(1), W(a=1), w(a=1)],
        [W(1, 3), w(1, 3), W(1, b=3), W(a=1, b=3), w(b=3, a=1)],
        [DATED(date(2026, 1, 1), (1, 2)), dated(date(2026, 1, 1), (1, 2)), DATED(date(2026, 1, 1), places=(1, 2))],
    ],
    ids=["default", "both", "dates"],
)
def test_the_same_call_is_the_same_execution_however_it_is_spelled(
    both: dict[str, DurableService], first: str, again: str, calls: list[Any]
) -> None:
    for one in calls:
        id = uuid4().hex
        begun = both[first].start(one, id=id)
        for other in calls:
            assert both[again].start(other, id=id).id == id
        begun.result(timeout=10)


@pytest.mark.parametrize("where", ["knows", "client"])
def test_another_call_is_a_conflict_however_it_is_spelled(both: dict[str, DurableService], where: str) -> None:
    for one in (W(1, 3), w(1, 3), W(1, b=3)):
        id = uuid4().hex
        both["knows"].start(one, id=id)
        for other in (W(1, 4), W(2, 3), W(1), W(3, 1), W(1, b=4), W(a=2, b=3), w(1, 4), W("1", 3)):
            with pytest.raises((ExecutionConflict, ValueError)):
                both[where].start(other, id=id)


BAD = [W(1, 3, 4), W(1, bb=3), W(1, a=1), W(), W(b=1), W(a=1, bb=2)]
SENTENCES = [
    "takes 2 positional arguments, and was given 3",
    "takes no 'bb'; its parameters are a, b",
    "was given 'a' by position and by name",
    "needs 'a', and was not given it",
    "needs 'a', and was not given it",
    "takes no 'bb'; its parameters are a, b",
]


@pytest.mark.parametrize("call", BAD, ids=repr)
def test_what_the_function_does_not_take_is_refused_where_it_is_known(both: dict[str, DurableService], call: Any) -> None:
    with pytest.raises(InvalidDefinition):
        both["knows"].start(call)


@pytest.mark.parametrize(("call", "sentence"), list(zip(BAD, SENTENCES, strict=True)), ids=repr)
def test_who_waits_for_the_result_of_such_a_call_is_told_what_is_wrong(both: dict[str, DurableService], call: Any, sentence: str) -> None:
    execution = both["client"].start(call)
    with pytest.raises(TimeoutError, match=f"is parked: the input of 'w' does not fit its code: workflow w {sentence}"):
        execution.result(timeout=1)


@pytest.mark.parametrize("call", BAD, ids=repr)
def test_what_the_function_does_not_take_is_never_dropped(both: dict[str, DurableService], call: Any) -> None:
    execution = both["client"].start(call)
    until = time.monotonic() + 10
    while (info := execution.info()).status != "parked" and time.monotonic() < until:
        time.sleep(0.02)
    assert info.status == "parked"


def test_a_function_that_takes_anything_is_given_all_of_it(both: dict[str, DurableService]) -> None:
    assert both["client"].execute(VARIADIC(1, 2, 3, z=4)) == [1, (2, 3), {"z": 4}]


def test_a_child_by_name_gets_its_arguments(both: dict[str, DurableService]) -> None:
    assert both["knows"].execute(parent()) == [1, 3]


def test_a_call_stored_by_name_before_goes_on() -> None:
    """Positions alone were stored under ``*args``, and no ``*args`` where there were none."""
    assert same_by_name({"a": 1, "b": 2}, {"*args": [], "b": 2, "a": 1})
    assert same_by_name({"*args": [1]}, {"*args": [], "a": 1})
    assert not same_by_name({"*args": [1]}, {"*args": [], "a": 1, "b": 2})
    assert not same_by_name({"*args": [1]}, {"*args": [True]})
