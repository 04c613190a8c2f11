"""Size and depth: a clear error before anything is stored, never a crash, and an exact copy where it fits."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from redrive.codec import JsonCodec
from redrive_interpreter.commands.signatures import Signature
from redrive_interpreter.errors import CodecError
from tests.runtime.codec_models import Card, Tree

MIB = 1 << 20
codec = JsonCodec()


@attrs.frozen
class Page:
    text: str
    blob: bytes = b""


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("x" * 20_000_000, str),
        ("x" * (MIB - 1), str),
        ("😀" * (MIB // 10), str),
        (b"x" * MIB, bytes),
        (2 ** (5 * MIB), int),
        (["x" * 1000] * 1100, list[str]),
        (list(range(300_000)), Any),
        (Page("x" * MIB), Page),
        ({"k" * MIB: 1}, dict[str, int]),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else "int",
)
def test_a_value_over_the_limit_is_refused_and_says_how_large_it_is(value: Any, kind: Any) -> None:
    with pytest.raises(CodecError, match=r"the limit is 1,048,576"):
        codec.dump(value, kind, "step fetch")


def test_a_value_just_within_the_limit_is_stored() -> None:
    for value in ("x" * (MIB - 2), "é" * ((MIB - 2) // 6), ["x" * 1000] * 1000):
        assert codec.load(codec.dump(value, Any, "t"), Any, "t") == value


def test_the_limit_is_for_each_argument_and_names_the_one_that_is_too_large() -> None:
    def fetch(first: str, second: str = "", *rest: str) -> None: ...

    signature = Signature(fetch, "fetch")
    codec.dump_call(signature, ("x" * 700_000, "y" * 700_000), {}, "step fetch")
    with pytest.raises(CodecError) as caught:
        codec.dump_call(signature, ("x", "y" * MIB), {}, "step fetch")
    assert (caught.value.where, caught.value.path, caught.value.type) == ("step fetch", "second", "str")
    with pytest.raises(CodecError):
        codec.dump_call(signature, ("x", "y", "z" * MIB), {}, "step fetch")


def test_a_20_mb_string_comes_back_exactly_where_the_limit_allows_it() -> None:
    large = JsonCodec(max_bytes=200_000_000)
    for value in ("x" * 20_000_000, "é\ud800" * 5_000_000):
        assert large.load(large.from_json(large.to_json(large.dump(value, str, "t"))), str, "t") == value


def test_lists_in_lists_are_stored_to_a_depth_of_200() -> None:
    assert codec.load(codec.from_json(codec.to_json(codec.dump(nested(200), Any, "t"))), Any, "t") == nested(200)
    with pytest.raises(CodecError, match="more than 200 levels"):
        codec.dump(nested(201), Any, "t")


@pytest.mark.parametrize("kind", [Any, list[Any], dict[str, Any]])
def test_lists_10_000_deep_are_refused_and_not_a_crash(kind: Any) -> None:
    value = {"a": nested(10_000)} if kind == dict[str, Any] else nested(10_000)
    with pytest.raises(CodecError, match="deep"):
        codec.dump(value, kind, "t")

    def call(value: Any) -> None: ...

    with pytest.raises(CodecError, match="deep"):
        codec.dump_call(Signature(call, "call"), (value,), {}, "t")
    with pytest.raises(CodecError, match="deep"):
        codec.load(nested(10_000), Any, "t")


def test_a_long_chain_of_declared_objects_is_refused_the_same_way() -> None:
    def chain(length: int) -> Tree:
        tree = Tree("end")
        for _ in range(length):
            tree = Tree("more", tree)
        return tree

    assert codec.load(codec.dump(chain(198), Tree, "t"), Tree, "t") == chain(198)
    for length in (199, 300, 3000):
        with pytest.raises(CodecError, match="deep"):
            codec.dump(chain(length), Tree, "t")


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    knot: dict[str, Any] = {}
    knot["self"] = knot
    for value in (loop, knot):
        with pytest.raises(CodecError, match="contains itself"):
            codec.dump(value, Any, "t")


def test_strings_that_json_has_trouble_with_come_back_exactly() -> None:
    for value in ("\ud800", "\ude00\ud83d", "\ud83d\ude00", "\0", "\u2028", '"\\', "😀", "$", "", "\x7f\x1b"):
        for stored, kind in (
            (value, str),
            ([value], list[str]),
            ({value: value}, dict[str, str]),
            ({value: value}, Any),
            (Card(value), Card),
        ):
            assert codec.load(codec.from_json(codec.to_json(codec.dump(stored, kind, "t"))), kind, "t") == stored


def test_ints_of_any_size_come_back() -> None:
    for value in (2**70, -(2**2000), 10**5000, 2**100_000):
        assert codec.load(codec.from_json(codec.to_json(codec.dump(value, int, "t"))), int, "t") == value


def test_a_limit_that_nothing_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        JsonCodec(max_bytes=0)
