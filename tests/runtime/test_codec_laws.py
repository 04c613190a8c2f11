"""Encode, write as JSON text, read, decode: the identity, for every type the codec knows."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.codec import JsonCodec
from redrive_interpreter.commands.signatures import Signature
from redrive_interpreter.keys import Key
from tests.runtime.codec_models import (
    Basket,
    Box,
    Card,
    Cash,
    Colour,
    LabelledBox,
    Order,
    Pair,
    Plain,
    Point,
    Reading,
    Rights,
    Settings,
    Size,
    Tree,
    Unit,
    UserId,
    fingerprint,
)

Typed = tuple[Any, st.SearchStrategy[Any]]

ZONES = [UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("UTC"), timezone(timedelta(hours=-3, minutes=-30)), timezone(timedelta(hours=1), "CET")]
texts = st.text(st.characters(), max_size=8) | st.text(st.sampled_from('$a"\\\x00\ud83d\ude00é😀'), max_size=4)
ints = st.integers() | st.integers(-(1 << 80), 1 << 80) | st.sampled_from([2**2000, -(2**2000), 2**2000 - 1, 10**1000])
floats = st.floats() | st.sampled_from([math.nan, -math.nan, math.inf, -0.0, struct.unpack(">d", b"\x7f\xf8\0\0\0\0\0\x01")[0]])
moments = st.builds(
    lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold), st.datetimes(), st.sampled_from([None, *ZONES]), st.sampled_from([0, 1])
)
times = st.builds(
    lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold), st.times(), st.sampled_from([None, *ZONES]), st.sampled_from([0, 1])
)
decimals = st.decimals() | st.sampled_from(list(map(Decimal, ["-0", "1E+3", "1.00", "sNaN12", "-Infinity"])))
keys = st.builds(Key, texts)

LEAVES: list[Typed] = [
    (None, st.none()),
    (bool, st.booleans()),
    (int, ints),
    (float, floats | st.integers()),
    (str, texts),
    (bytes, st.binary(max_size=8)),
    (bytearray, st.binary(max_size=8).map(bytearray)),
    (complex, st.complex_numbers(allow_nan=True, allow_infinity=True)),
    (Decimal, decimals),
    (UUID, st.uuids()),
    (date, st.dates()),
    (datetime, moments),
    (time, times),
    (timedelta, st.timedeltas()),
    (Colour, st.sampled_from(Colour)),
    (Size, st.sampled_from(Size)),
    (Unit, st.sampled_from(Unit)),
    (Rights, st.integers(0, 7).map(Rights)),
    (UserId, ints),
    (Key, keys),
    (PurePosixPath, texts.filter(lambda text: "\0" not in text).map(PurePosixPath)),
    (Literal["a", 1, True, None, b"x", Colour.RED], st.sampled_from(["a", 1, True, None, b"x", Colour.RED])),
    (Literal[Colour.RED, Colour.GREEN], st.sampled_from([Colour.RED, Colour.GREEN])),
    (Order, st.builds(Order, texts, ints)),
    (Card, st.builds(Card, texts, texts)),
    (
        Tree,
        st.recursive(
            st.builds(Tree, texts), lambda tree: st.builds(Tree, texts, tree, st.lists(tree, max_size=2).map(tuple)), max_leaves=6
        ),
    ),
    (Plain, st.builds(Plain, texts, ints)),
    (Reading, st.builds(Reading, moments, floats | st.none())),
    (Settings, st.fixed_dictionaries({"name": texts}, optional={"level": ints})),
]
hashable = {None, bool, int, str, bytes, Decimal, UUID, date, timedelta, Colour, Size, Unit, Rights, UserId, Key, Order, Card}

plain_hashables = st.none() | st.booleans() | ints | texts | st.binary(max_size=4) | st.uuids() | st.dates() | st.timedeltas() | keys
untyped = st.recursive(
    plain_hashables
    | floats
    | moments
    | times
    | decimals.filter(lambda d: not d.is_snan())
    | st.complex_numbers()
    | st.binary(max_size=3).map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(plain_hashables, inner, max_size=3)
        | st.dictionaries(texts, inner, max_size=3)
        | st.sets(plain_hashables, max_size=3)
        | st.frozensets(plain_hashables, max_size=3)
        | st.dictionaries(st.tuples(plain_hashables, st.frozensets(plain_hashables, max_size=2)), inner, max_size=2)
    ),
    max_leaves=8,
)


@st.composite
def typed(draw: st.DrawFn, depth: int = 2) -> Typed:
    """A type, and a strategy for its values."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from([*LEAVES, (Any, untyped)]))
    inner = typed(depth=depth - 1)
    shape = draw(
        st.sampled_from(
            ["list", "tuple", "fixed", "sequence", "set", "mapping", "union", "optional", "box", "labelled", "pair", "point", "basket"]
        )
    )
    if shape == "list":
        kind, values = draw(inner)
        return list[kind], st.lists(values, max_size=3)
    if shape == "tuple":
        kind, values = draw(inner)
        return tuple[kind, ...], st.lists(values, max_size=3).map(tuple)
    if shape == "fixed":
        (one, ones), (two, twos) = draw(inner), draw(inner)
        return tuple[one, two], st.tuples(ones, twos)
    if shape == "sequence":
        kind, values = draw(inner)
        return Sequence[kind], st.lists(values, max_size=3) | st.lists(values, max_size=3).map(tuple)
    if shape == "set":
        kind, values = draw(st.sampled_from([leaf for leaf in LEAVES if leaf[0] in hashable]))
        values = values.filter(lambda value: not isinstance(value, Decimal) or not value.is_nan())
        which = draw(st.sampled_from([set, frozenset, AbstractSet]))
        return which[kind], st.frozensets(values, max_size=3) if which is not set else st.sets(values, max_size=3)
    if shape == "mapping":
        kind, values = draw(st.sampled_from([leaf for leaf in LEAVES if leaf[0] in hashable]))
        values = values.filter(lambda value: not isinstance(value, Decimal) or not value.is_nan())
        item, items = draw(inner)
        return draw(st.sampled_from([dict, Mapping]))[kind, item], st.dictionaries(values, items, max_size=3)
    if shape == "optional":
        kind, values = draw(inner)
        return kind | None if kind is not None else None, values | st.none()
    if shape == "union":
        chosen = draw(st.lists(st.sampled_from(LEAVES), min_size=2, max_size=4))
        kind = chosen[0][0]
        for other, _ in chosen[1:]:
            kind = _either(kind, other)
        return kind, st.one_of([values for _, values in chosen])
    if shape == "box":
        kind, values = draw(inner)
        return Box[kind], st.builds(Box, values, st.lists(values, max_size=2))
    if shape == "labelled":
        kind, values = draw(inner)
        return LabelledBox[kind], st.builds(LabelledBox, ints, st.just(()), values | st.none())
    if shape == "pair":
        (one, ones), (two, twos) = draw(inner), draw(inner)
        return Pair[one, two], st.builds(Pair, ones, twos)
    if shape == "point":
        return Point, st.builds(Point, floats, floats, st.sets(texts, max_size=2))
    orders = st.lists(st.builds(Order, texts, ints), max_size=2)
    payment = st.none() | st.builds(Card, texts, texts) | st.builds(Cash, floats)
    return Basket, st.builds(Basket, texts, items=orders, note=texts | st.none(), paid=payment)


def _either(one: Any, other: Any) -> Any:
    from typing import Union

    return Union[one, other]  # noqa: UP007 - the members are only known at run time


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[Any, Any]:
    kind, values = draw(typed())
    return kind, draw(values)


def through_text(codec: JsonCodec, data: Any) -> Any:
    text = codec.to_json({"row": data})
    assert text.isascii()
    return json.loads(text)["row"]


@given(typed_values())
@settings(deadline=None, max_examples=400)
def test_what_is_stored_comes_back_exactly(case: tuple[Any, Any]) -> None:
    kind, value = case
    codec = JsonCodec()
    data = codec.dump(value, kind, "test")
    stored = through_text(codec, data)
    assert fingerprint(stored) == fingerprint(data)
    assert fingerprint(codec.load(stored, kind, "test")) == fingerprint(value)


@given(untyped)
@settings(deadline=None, max_examples=300)
def test_built_in_values_need_no_declared_type(value: Any) -> None:
    codec = JsonCodec()
    for kind in (Any, object):
        stored = through_text(codec, codec.dump(value, kind, "test"))
        assert fingerprint(codec.load(stored, kind, "test")) == fingerprint(value)


@given(typed_values())
@settings(deadline=None, max_examples=200)
def test_a_value_read_back_is_stored_as_the_same_data(case: tuple[Any, Any]) -> None:
    kind, value = case
    codec = JsonCodec()
    data = codec.dump(value, kind, "test")
    again = JsonCodec().dump(codec.load(through_text(codec, data), kind, "test"), kind, "test")
    assert codec.same(data, again)


@given(typed_values(), typed_values())
@settings(deadline=None, max_examples=100)
def test_a_call_comes_back_exactly(one: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    def call(first: Any, *rest: Any, named: Any = None, **more: Any) -> None: ...

    call.__annotations__.update(first=one[0], rest=other[0], named=other[0], more=one[0])
    codec, signature = JsonCodec(), Signature(call, "call")
    args, kwargs = (one[1], other[1], other[1]), {"named": other[1], "extra": one[1]}
    data = through_text(codec, codec.dump_call(signature, args, kwargs, "call"))
    assert fingerprint(codec.load_call(signature, data, "call")) == fingerprint((args, kwargs))
    assert codec.same_call(signature, data, codec.dump_call(signature, args, kwargs, "call"), "call")


@given(st.integers(0, 2**32), st.integers(0, 2**32))
@settings(deadline=None, max_examples=100)
def test_mappings_and_sets_are_the_same_in_any_order(seed: int, other: int) -> None:
    import random

    codec = JsonCodec()
    value = {"a": 1, ("b", 2): {"x", "y", "zz"}, 3: {"k": 1.5, "l": [{2: 3, None: 4}]}}

    def shuffled(mapping: Any, by: random.Random) -> Any:
        if isinstance(mapping, dict):
            items = [(key, shuffled(item, by)) for key, item in mapping.items()]
            by.shuffle(items)
            return dict(items)
        return [shuffled(item, by) for item in mapping] if isinstance(mapping, list) else mapping

    one = codec.dump(shuffled(value, random.Random(seed)), Any, "test")
    two = codec.dump(shuffled(value, random.Random(other)), Any, "test")
    assert codec.same(one, two)


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), (0.0, -0.0), ("1", 1), (None, False), ([1], (1,))])
def test_values_that_python_calls_equal_are_not_the_same(one: object, other: object) -> None:
    codec = JsonCodec()
    for wrap in (lambda value: value, lambda value: [value], lambda value: {"k": value}, lambda value: {2: value}):
        assert codec.same(codec.dump(wrap(one), Any, "t"), codec.dump(wrap(one), Any, "t"))
        assert not codec.same(codec.dump(wrap(one), Any, "t"), codec.dump(wrap(other), Any, "t"))
