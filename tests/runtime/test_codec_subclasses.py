"""Subclasses of built-in types: stored as what they are where they are declared, refused before the body where that can be told."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, NewType, NoReturn

import attrs
import pytest

from redrive import DurableService, Flow, Step, StepFailed, StepId, step, workflow
from redrive.codec import JsonCodec
from redrive_interpreter.errors import CodecError

codec = JsonCodec()


class Sku(str):
    __slots__ = ()


class Cents(int): ...


class Ratio(float): ...


class Blob(bytes): ...


class Cut(str):
    def __new__(cls, text: str) -> Cut:
        return super().__new__(cls, text[:3])


class Pair(str):
    def __new__(cls, one: str, other: str) -> Pair:
        return super().__new__(cls, one + other)


class Size(IntEnum):
    SMALL = 1


class Unit(StrEnum):
    KILO = "kg"


class Point(NamedTuple):
    x: Cents
    y: int = 0


@attrs.frozen
class Line:
    sku: Sku
    stock: defaultdict[str, list[Cents]]


Name = NewType("Name", Sku)
stock = defaultdict[str, list[Cents]](list, {"a": [Cents(1)]})


@pytest.mark.parametrize(
    ("kind", "value", "data"),
    [
        (Sku, Sku("a"), "a"),
        (Name, Sku("a"), "a"),
        (Cents, Cents(5), 5),
        (Cents, Cents(1 << 2100), {"$": "int", "v": hex(1 << 2100)}),
        (Ratio, Ratio(0.5), 0.5),
        (Blob, Blob(b"a"), "YQ=="),
        (Cut, Cut("abcd"), "abc"),
        (Size, Size.SMALL, "SMALL"),
        (Unit, Unit.KILO, "KILO"),
        (Point, Point(Cents(1)), {"x": 1, "y": 0}),
        (OrderedDict[str, int], OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (OrderedDict, OrderedDict([(1, 2)]), {"$": "dict", "v": [[1, 2]]}),
        (Counter[str], Counter("aab"), {"a": 2, "b": 1}),
        (defaultdict[str, int], defaultdict(int, a=1), {"a": 1}),
        (defaultdict[str, list[Cents]], stock, {"a": [1]}),
        (deque[int], deque([1, 2]), [1, 2]),
        (Line, Line(Sku("a"), stock), {"sku": "a", "stock": {"a": [1]}}),
        (Sku | None, Sku("a"), "a"),
        (Sku | int, Sku("a"), "a"),
        (Sku | str, "a", {"$": "str", "v": "a"}),
        (dict[Sku, Cents], {Sku("a"): Cents(1)}, {"a": 1}),
    ],
    ids=str,
)
def test_a_declared_subclass_comes_back_as_what_it_is(kind: Any, value: Any, data: Any) -> None:
    assert codec.dump(value, kind, "t") == data
    again = codec.load(data, kind, "t")
    assert (again, type(again), repr(again)) == (value, type(value), repr(value))
    if isinstance(value, defaultdict):
        assert again.default_factory is value.default_factory


def with_a_note() -> Cents:
    cents = Cents(1)
    cents.note = "x"  # type: ignore[attr-defined]
    return cents


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, Sku("a")),
        (int, Cents(1)),
        (int, True),
        (int, Size.SMALL),
        (str, Unit.KILO),
        (Sku, "a"),
        (Cents, 1),
        (Cents, True),
        (Cents, with_a_note()),
        (Pair, Pair("a", "b")),
        (dict[str, int], defaultdict(int)),
        (dict[str, int], OrderedDict(a=1)),
        (Mapping[str, int], Counter("a")),
        (OrderedDict[str, int], {"a": 1}),
        (defaultdict[str, int], defaultdict(list)),
        (defaultdict[str, int], defaultdict(None)),
        (defaultdict[str, int], defaultdict(lambda: 0)),
        (deque[int], deque([1], maxlen=3)),
        (tuple[int, int], Point(Cents(1))),
        (list[int], deque([1])),
        (Any, Sku("a")),
        (Any, defaultdict(int)),
    ],
    ids=lambda it: type(it).__name__ if " at 0x" in str(it) else str(it),
)
def test_what_would_come_back_as_something_else_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(CodecError):
        codec.dump(value, kind, "t")


class Opaque: ...


@attrs.frozen
class Holds:
    callback: Callable[[], int]


ran: list[str] = []


def opaque() -> Opaque:
    ran.append("opaque")
    return Opaque()


async def held() -> Holds:
    ran.append("held")
    return Holds(lambda: 1)


def both() -> tuple[int, Opaque]:
    ran.append("both")
    return 1, Opaque()


def either() -> Opaque | Holds:
    ran.append("either")
    return Opaque()


@pytest.mark.parametrize("body", [opaque, held, both, either], ids=lambda body: body.__name__)
@pytest.mark.parametrize("spelling", ["decorated", "by id", "typed"])
def test_a_body_whose_result_can_never_be_stored_does_not_begin(body: Any, spelling: str) -> None:
    """S7: nothing has happened, so nothing is in doubt."""
    ran.clear()
    built = {
        "decorated": lambda: step("odd")(body)(),
        "by id": lambda: Step("odd", body),
        "typed": lambda: Step(StepId("odd", Opaque), body),
    }

    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from built[spelling]()
        except StepFailed as error:
            return error.message
        return "stored"

    with DurableService("memory://", workflows=[w]) as service:
        execution = service.start(w())
        assert "step odd: result" in execution.result(timeout=10)
        assert not execution.info().in_doubt
    assert not ran


def test_a_body_that_only_raises_or_may_give_something_else_begins() -> None:
    @step("never")
    def never() -> NoReturn:
        raise KeyError("x")

    @step("maybe")
    def maybe() -> Opaque | None:
        return None

    @step("empty")
    def empty() -> list[Opaque]:
        return []

    @workflow("w")
    def w() -> Flow[Any]:
        found = [(yield from maybe()), (yield from empty())]
        try:
            yield from never()
        except StepFailed as error:
            return [*found, error.type]

    with DurableService("memory://", workflows=[w]) as service:
        assert service.execute(w()) == [None, [], "KeyError"]
