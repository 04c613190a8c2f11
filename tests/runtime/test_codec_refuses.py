"""What the codec refuses, and what it says: the step, the path, the type, the reason."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import attrs
import pytest

from redrive.codec import JsonCodec
from redrive_interpreter.commands.signatures import Signature
from redrive_interpreter.errors import CodecError, InvalidDefinition
from tests.runtime.codec_models import Box, Card, Cash, Colour, Order, Settings, Size, SpecialOrder, Unit

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found]


def stable(value: object) -> str:
    """`repr` without addresses: every worker of a parallel run must name a test alike."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


@attrs.frozen
class Item:
    name: str
    price: int


@attrs.frozen
class Receipt:
    items: list[Item]
    by_name: dict[str, Item] = attrs.field(factory=dict)


class Opaque:
    pass


@attrs.frozen
class Holds:
    callback: Callable[[], int]
    size: int = 0


@attrs.frozen
class Unresolvable:
    it: Missing


def refused(value: object, kind: Any) -> CodecError:
    with pytest.raises(CodecError) as caught:
        JsonCodec().dump(value, kind, "step charge", root="result")
    return caught.value


def unreadable(data: Any, kind: Any) -> CodecError:
    with pytest.raises(CodecError) as caught:
        JsonCodec().load(data, kind, "step charge", root="result")
    return caught.value


def test_an_error_names_the_step_the_path_the_type_and_the_reason() -> None:
    items: Any = [Item("a", 1), Item("b", 2), Item("c", 3), Item("d", "4")]  # type: ignore[arg-type]
    error = refused(Receipt(items), Receipt)
    assert (error.where, error.path, error.type) == ("step charge", "result.items[3].price", "int")
    assert str(error) == "step charge: result.items[3].price (int): the value is of class str, not of the declared one"


def test_the_path_leads_through_mappings_tuples_and_calls() -> None:
    wrong: Any = Item("x", None)  # type: ignore[arg-type]
    assert refused(Receipt([], {"a b": wrong}), Receipt).path == "result.by_name['a b'].price"
    assert refused((1, [wrong]), tuple[int, list[Item]]).path == "result[1][0].price"
    assert refused({"a": [1, object()]}, Any).path == "result['a'][1]"

    def charge(order: Order, *items: Item, **more: int) -> None: ...

    signature = Signature(charge, "step charge")
    whole, odd = Order("o", 2), Order(1, 2)  # type: ignore[arg-type]
    calls: list[tuple[Any, dict[str, Any], str]] = [
        ((odd,), {}, "order.id"),
        ((whole, wrong), {}, "items[0].price"),
        ((whole,), {"x": ""}, "x"),
    ]
    for args, kwargs, path in calls:
        with pytest.raises(CodecError) as caught:
            JsonCodec().dump_call(signature, args, kwargs, "step charge")
        assert caught.value.path == path


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("5", int),
        (True, int),
        (Size.SMALL, int),
        (5, str),
        (Unit.KILO, str),
        (5, bool),
        ("x", float),
        (True, float),
        (datetime(2027, 1, 1, tzinfo=UTC), date),
        (SpecialOrder("o", 1), Order),
        ({"id": "o", "total": 1}, Order),
        (Order("o", 1), SpecialOrder),
        ((1,), list[int]),
        ([1], tuple[int, ...]),
        ((1, 2), tuple[int]),
        ({1}, frozenset[int]),
        ("text", Sequence[str]),
        (range(3), Sequence[int]),
        (iter([1]), Sequence[int]),
        (Colour.RED, Size),
        ("RED", Colour),
        ("c", Literal["a", "b"]),
        (1, Literal[True]),
        (1.0, Decimal),
        (0, None),
        (Box("x"), Box[int]),
        ({"name": "n", "levle": 3}, Settings),
        ({"level": 3}, Settings),
        (Card("1"), Cash | int),
        (Opaque(), Opaque),
        (Opaque(), Opaque | None),
    ],
    ids=stable,
)
def test_a_value_of_another_class_than_the_declared_one_is_refused(value: object, kind: Any) -> None:
    error = refused(value, kind)
    assert error.path.startswith("result")


@pytest.mark.parametrize(
    "value",
    [Order("o", 1), Colour.RED, Unit.KILO, Opaque(), Opaque, len, lambda: 1, object(), iter([]), Exception("x"), memoryview(b"x"), ...],
    ids=stable,
)
def test_without_a_declared_type_only_built_in_values_are_stored(value: object) -> None:
    assert refused([value], Any).path == "result[0]"


def test_a_value_that_needs_a_declared_type_says_so() -> None:
    class Pair(NamedTuple):
        a: int

    for value in (Order("o", 1), Colour.RED, Pair(1)):
        assert "annotate the parameter" in str(refused(value, Any))


def test_a_field_that_cannot_be_stored_is_named_when_it_is_used() -> None:
    error = refused(Holds(lambda: 1), Holds)
    assert error.path == "result.callback"
    assert "converter=" in str(error)


def test_an_annotation_that_cannot_be_resolved_is_named() -> None:
    assert "Missing" in str(refused(Unresolvable(1), Unresolvable))
    assert "Missing" in str(refused([Unresolvable(1)], list[Unresolvable]))


def test_an_annotation_that_is_defined_later_is_found_then() -> None:
    codec = JsonCodec()

    def use(it: Later) -> None: ...  # type: ignore[name-defined] # noqa: F821

    signature = Signature(use, "step use")
    with pytest.raises(CodecError, match="Later"):
        codec.dump_call(signature, (1,), {}, "step use")
    globals()["Later"] = int
    try:
        assert codec.dump_call(signature, (1,), {}, "step use") == {"it": 1}
    finally:
        del globals()["Later"]


def test_a_tzinfo_that_nobody_could_rebuild_is_refused() -> None:
    class Mine(tzinfo):
        def utcoffset(self, _at: object) -> Any:
            return None

    assert "zoneinfo" in str(refused(datetime(2027, 1, 1, tzinfo=Mine()), datetime))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("5", int),
        (True, int),
        (1, bool),
        (1, str),
        ("1.5", float),
        (None, int),
        ({"$": "float", "v": "hello"}, float),
        ({"$": "int", "v": "0xzz"}, int),
        ({"$": "os.system", "v": "true"}, Any),
        ({"$": "tuple"}, Any),
        ({"$": 5, "v": 1}, Any),
        ({"$": "set", "v": [[]]}, Any),
        ({"$": "dict", "v": [1]}, dict[int, int]),
        ([[]], set[list[int]]),
        ("not base64!", bytes),
        ("2027", date),
        ("2027-01-01", datetime),
        ("2027-01-01T00:00:00[Mars/Olympus]", datetime),
        (10**30, __import__("datetime").timedelta),
        ("zero", Decimal),
        ("zero", __import__("uuid").UUID),
        ("PINK", Colour),
        (64, __import__("tests.runtime.codec_models", fromlist=["Rights"]).Rights),
        ([1, 2], tuple[int]),
        ({}, list[int]),
        ([], dict[str, int]),
        ([], Order),
        ({"id": "o"}, Order),
        ({"id": "o", "total": "1"}, Order),
        ({"$": "Order", "v": {"id": "o", "total": 1}}, Card | Cash),
        ({"colour": "red"}, Card | Cash),
    ],
    ids=stable,
)
def test_data_that_the_type_cannot_read_is_refused(data: Any, kind: Any) -> None:
    assert unreadable(data, kind).where == "step charge"


def test_a_class_that_refuses_its_stored_fields_is_named_with_its_reason() -> None:
    error = unreadable({"amount": -1}, Positive)
    assert "ValueError: must be positive" in str(error)


@attrs.frozen
class Positive:
    amount: int

    def __attrs_post_init__(self) -> None:
        if self.amount < 0:
            raise ValueError("must be positive")


def test_a_hostile_repr_does_not_get_in_the_way() -> None:
    class Loud(enum.Enum):
        ONE = 1

        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert refused(Loud.ONE, Literal["a"]).type == "Literal['a']"
    assert refused({10**5000: object()}, Any).path == "result[a int]"


def test_a_call_that_does_not_fit_is_a_mistake_of_the_caller_and_no_matter_of_the_codec() -> None:
    def charge(order: Order) -> None: ...

    with pytest.raises(InvalidDefinition):
        JsonCodec().dump_call(Signature(charge, "step charge"), (), {}, "step charge")


def test_text_that_is_no_json_and_objects_that_are_no_data_are_refused() -> None:
    codec = JsonCodec()
    for text in ("{", "", "1" * 10_000, "[" * 100_000):
        with pytest.raises(CodecError):
            codec.from_json(text)
    for value in (object(), {"x": b""}, float("nan"), {(1, 2): 3}):
        with pytest.raises(CodecError):
            codec.to_json(value)


def test_every_mapping_but_a_dict_is_refused() -> None:
    from collections import OrderedDict, defaultdict
    from types import MappingProxyType

    for value in (OrderedDict(a=1), defaultdict(int, a=1), MappingProxyType({"a": 1})):
        refused(value, Mapping[str, int])
        refused(value, dict[str, int])
        refused(value, Any)
