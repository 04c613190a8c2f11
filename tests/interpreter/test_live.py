"""The codec that leaves values as they are: equality to the last bit, and errors rebuilt as they were declared."""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import Any

import attrs
import pytest

from redrive_interpreter import LIVE, Flow, Settle, replay, step, workflow
from redrive_interpreter.live_codec import same
from tests.interpreter.kit import start


@attrs.frozen
class Point:
    x: Any
    y: Any = 0


@dataclasses.dataclass
class Spot:
    x: Any


class Colour(enum.Enum):
    RED = 1


class Declined(Exception):
    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason


class Stolen(Declined): ...


@attrs.define
class Refused(Exception):
    code: int


EQUAL = [
    None,
    True,
    1,
    1.5,
    math.nan,
    -0.0,
    "x",
    b"x",
    1j,
    Colour.RED,
    [1, [2]],
    (1,),
    {"a": {"b": 1}},
    {1, 2},
    frozenset({1}),
    Point(1),
    Spot([1]),
]


@pytest.mark.parametrize("value", EQUAL, ids=repr)
def test_a_value_is_the_same_as_one_like_it(value: Any) -> None:
    rebuilt = eval(repr(value), {"nan": math.nan, "Point": Point, "Spot": Spot}) if not isinstance(value, enum.Enum) else value
    assert same(value, rebuilt)
    assert same([value], [rebuilt])
    assert same({"key": value}, {"key": rebuilt})


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("1", 1),
        (b"x", "x"),
        ([1], (1,)),
        ([1], [1, 2]),
        ([1], [True]),
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"b": 1}),
        ({1: "a"}, {True: "a"}),
        ({1}, {True}),
        ({1}, frozenset({1})),
        (Point(1), Point(1.0)),
        (Point(1), Spot(1)),
        (None, 0),
        ({"a": None}, {}),
    ],
)
def test_values_of_other_types_or_bits_are_not_the_same(left: Any, right: Any) -> None:
    assert not same(left, right)
    assert not same(right, left)
    assert not same({"in": [left]}, {"in": [right]})


def test_the_order_of_mappings_and_sets_does_not_matter() -> None:
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert same({1: "x", (2,): "y"}, {(2,): "y", 1: "x"})
    assert same({"ab", 3, None}, {None, 3, "ab"})


def test_a_declared_error_comes_back_fresh_with_its_fields() -> None:
    failure = LIVE.dump_error(Declined(5, "no funds"), [Declined])
    first, second = LIVE.load_error(failure, [ValueError, Declined]), LIVE.load_error(failure, [Declined])
    assert first is not second
    assert isinstance(first, Declined)
    assert (type(first), first.args, first.code, first.reason) == (Declined, (5,), 5, "no funds")
    assert failure.message == "5"


def test_an_error_comes_back_as_its_nearest_declared_base() -> None:
    failure = LIVE.dump_error(Stolen(7, "reported"), [Exception, Declined])
    error = LIVE.load_error(failure, [Exception, Declined])
    assert failure.type.endswith("Stolen")
    assert type(error) is Declined
    assert error.reason == "reported"


def test_an_error_in_slots_comes_back() -> None:
    error = LIVE.load_error(LIVE.dump_error(Refused(5), [Refused]), [Refused])
    assert isinstance(error, Refused)
    assert error.code == 5


def test_an_error_that_nobody_declared_stays_a_failure() -> None:
    failure = LIVE.dump_error(KeyError("x"), [Declined])
    assert (failure.type, failure.declared) == ("KeyError", None)
    assert LIVE.load_error(failure, [Declined]) is None


def test_an_error_that_cannot_print_itself_is_still_told() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert "ValueError" in LIVE.dump_error(Broken(), []).message


def test_a_result_that_holds_an_error_is_the_same_on_replay() -> None:
    """A failure that `Settle` made a value of is built anew each time."""

    @step
    def charge() -> None: ...

    @workflow("w")
    def w() -> Flow[object]:
        return (yield from Settle(charge()))

    run = start(w(), checked=False).fail("charge")
    assert run.done.status == "completed"
    assert replay(w, run.rows).rows == []
    assert same(Declined(5, "no funds"), Declined(5, "no funds"))
    assert not same(Declined(5, "no funds"), Declined(6, "no funds"))
    assert not same(Declined(5, "no funds"), Stolen(5, "no funds"))
