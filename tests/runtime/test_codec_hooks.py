"""``converter=``: the user's own cattrs hooks, for the types that they are for and no others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs
import cattrs
import pytest
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.strategies import configure_tagged_union, include_subclasses

from redrive.codec import JsonCodec
from redrive_interpreter.errors import CodecError
from tests.runtime.codec_models import Card, Cash, Order


class Money:
    def __init__(self, amount: Decimal, currency: str) -> None:
        self.amount, self.currency = amount, currency

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and (self.amount, self.currency) == (other.amount, other.currency)

    __hash__ = None  # type: ignore[assignment]


@attrs.frozen
class Invoice:
    total: Money
    parts: dict[str, list[Money]]
    due: datetime | None = None
    tip: Money | None = None


@attrs.frozen
class Animal:
    name: str


@attrs.frozen
class Dog(Animal):
    tricks: tuple[str, ...] = ()


def register(converter: cattrs.Converter) -> None:
    converter.register_unstructure_hook(Money, lambda money: (money.amount, money.currency))
    converter.register_structure_hook(Money, lambda data, _: Money(*data))


def ready() -> cattrs.Converter:
    converter = cattrs.Converter()
    register(converter)
    return converter


@pytest.fixture(params=["function", "converter"])
def codec(request: pytest.FixtureRequest) -> JsonCodec:
    return JsonCodec(converter=register if request.param == "function" else ready())


def copied(codec: JsonCodec, value: Any, kind: Any) -> Any:
    return codec.load(codec.from_json(codec.to_json(codec.dump(value, kind, "t"))), kind, "t")


def test_a_type_with_a_hook_goes_through_it_wherever_it_stands(codec: JsonCodec) -> None:
    money = Money(Decimal("1.10"), "EUR")
    invoice = Invoice(money, {"a": [money, money]}, tip=money)
    assert codec.dump(money, Money, "t") == {"$": "tuple", "v": [{"$": "decimal", "v": "1.10"}, "EUR"]}
    assert copied(codec, invoice, Invoice) == invoice
    assert copied(codec, [money, 3, None], list[Money | int | None]) == [money, 3, None]


def test_other_types_stay_as_strict_as_they_are(codec: JsonCodec) -> None:
    for value, kind in (("5", int), (Cash(1.0), Card), ("x", Money)):
        with pytest.raises(CodecError):
            codec.dump(value, kind, "t")
    with pytest.raises(CodecError):
        codec.load({"id": 5, "total": "7"}, Order, "t")


def test_a_hook_that_fails_is_an_error_of_the_codec(codec: JsonCodec) -> None:
    with pytest.raises(CodecError, match="AttributeError") as caught:
        codec.dump(Invoice(object.__new__(Money), {}), Invoice, "t")
    assert caught.value.path == "value.total"
    with pytest.raises(CodecError, match="TypeError"):
        codec.load([1], Money, "t")


def test_a_hook_of_the_users_wins_over_the_codec_for_builtin_types_and_classes() -> None:
    def own(converter: cattrs.Converter) -> None:
        converter.register_unstructure_hook(datetime, lambda at: at.timestamp())
        converter.register_structure_hook(datetime, lambda data, _: datetime.fromtimestamp(data))  # noqa: DTZ006
        converter.register_unstructure_hook(Order, make_dict_unstructure_fn(Order, converter, id=override(rename="order_id")))
        converter.register_structure_hook(Order, make_dict_structure_fn(Order, converter, id=override(rename="order_id")))

    codec = JsonCodec(converter=own)
    assert codec.dump(datetime(2027, 5, 1), datetime, "t") == datetime(2027, 5, 1).timestamp()  # noqa: DTZ001
    assert codec.dump([Order("o", 2**3000)], list[Order], "t")[0]["order_id"] == "o"
    assert copied(codec, Order("o", 2**3000), Order) == Order("o", 2**3000)


@pytest.mark.parametrize("as_function", [True, False])
def test_strategies_of_cattrs_work(as_function: bool) -> None:
    def subclasses(converter: cattrs.Converter) -> None:
        include_subclasses(Animal, converter, union_strategy=configure_tagged_union)

    converter = cattrs.Converter()
    subclasses(converter)
    hooks: Callable[[cattrs.Converter], object] | cattrs.Converter = subclasses if as_function else converter
    codec = JsonCodec(converter=hooks)
    for value in (Dog("rex", ("sit",)), Animal("cat")):
        assert copied(codec, [value], list[Animal]) == [value]


def test_predicate_hooks_work() -> None:
    def own(converter: cattrs.Converter) -> None:
        converter.register_unstructure_hook_func(lambda kind: kind is Money, lambda money: [str(money.amount), money.currency])
        converter.register_structure_hook_func(lambda kind: kind is Money, lambda data, _: Money(Decimal(data[0]), data[1]))

    for codec in (JsonCodec(converter=own),):
        assert copied(codec, Money(Decimal(1), "EUR"), Money) == Money(Decimal(1), "EUR")
