"""The texts by which values are searched: in the order of the values, and equal exactly where the values are."""

from __future__ import annotations

import enum
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Context, Decimal, FloatOperation, Inexact, Overflow, Rounded, Subnormal, localcontext
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from redrive.codec.searchable import fitting, guesses, searchable, text_of, texts_of, value_of
from redrive_interpreter import Attribute, Equals, InvalidDefinition
from redrive_interpreter.commands.conditions import given_attributes

ODD = ["", "'", '"', "\0", "\1", "\1\1", "\1\2", "\2", "\x1a", "\x1d", "\x1d\1", "\x1e", "\x1f", "\ud7ff", "\ud7ff ", "\ud800", "\udfff"]
ODD += ["\ue000", "\U0010ffff", "שלום", "\u202eabc", "a\0", "a\0b", "%", "_", "\\", "é", "e\u0301"]
LOCAL = datetime(2026, 1, 1)  # noqa: DTZ001 - a kind of its own
FEW = 60  # characters that are within 255 bytes, whatever they are
texts = st.one_of(st.sampled_from(ODD), st.text(max_size=FEW), st.lists(st.sampled_from(ODD), max_size=12).map("".join))
digits = st.integers(0, 10**40).map(str)
decimals = st.one_of(
    st.decimals(allow_nan=False),
    st.builds(
        lambda sign, number, exponent: Decimal(f"{sign}{number}E{exponent}"), st.sampled_from(["", "-"]), digits, st.integers(-500, 500)
    ),
)
numbers: st.SearchStrategy[Any] = st.one_of(
    st.integers(),
    st.integers(-20, 20),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False),
    st.integers(-200, 200).map(lambda n: n / 16),
    decimals,
    st.builds(lambda sign, power: sign * 10**power, st.sampled_from([1, -1]), st.integers(0, 6000)),
)
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ORDERED: list[st.SearchStrategy[Any]] = [numbers, texts, st.dates(), st.datetimes(), st.datetimes(timezones=offsets)]


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


pairs = st.one_of(*(st.tuples(kind, kind) for kind in ORDERED))


@given(pairs)
@example((0.1, Decimal("0.1")))
@example((0.0, -0.0))
@example((Decimal("1.0"), 1))
@example((Decimal("1E+400"), 10**400))
@example((math.inf, Decimal("Infinity")))
@example((-math.inf, -(10**400)))
@example((5e-324, Decimal("1E-400")))
@example((-12, -123))
@example((2**53, float(2**53)))
@example(("a", "a\0"))
@example(("\ud7ff", "\ud800"))
@example((datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=1)))))
@example((datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))))
def test_the_order_of_the_texts_is_the_order_of_the_values(pair: tuple[Any, Any]) -> None:
    """A3: one exact order for int, float and Decimal; equal exactly if equal."""
    left, right = pair
    first, second = text_of(left), text_of(right)
    assert first is not None
    assert second is not None
    assert (first < second, first == second) == (left < right, left == right)


@given(pairs)
def test_the_order_of_the_texts_is_the_same_in_utf_8(pair: tuple[Any, Any]) -> None:
    """A3: PostgreSQL and SQLite compare bytes; and they must be able to keep them."""
    first, second = text_of(pair[0]), text_of(pair[1])
    assert first is not None
    assert second is not None
    assert (first.encode() < second.encode()) == (first < second)
    assert not {"\0", "\x1e"} & {*first, *second}


kinds: st.SearchStrategy[Any] = st.one_of(st.none(), st.booleans(), st.uuids(), st.sampled_from(Level), *ORDERED)


@given(kinds, kinds)
@example(True, 1)
@example("1", 1)
@example("LOW", Level.LOW)
@example(date(2026, 1, 1), LOCAL)
def test_two_texts_are_equal_only_if_the_values_are_and_of_one_kind(left: Any, right: Any) -> None:
    alike = left == right and isinstance(left, bool) == isinstance(right, bool)
    assert (text_of(left) == text_of(right)) == alike


@given(numbers, numbers, numbers)
def test_a_range_has_just_what_lies_in_it(low: Any, high: Any, value: Any) -> None:
    text = text_of(value)
    assert text is not None
    between, at_least, at_most = fitting("between", (low, high)), fitting("at least", (low,)), fitting("at most", (high,))
    for texts, fits in ((between, low <= value <= high), (at_least, value >= low), (at_most, value <= high)):
        assert texts.low is not None
        assert texts.below is not None
        assert (texts.low <= text < texts.below) == fits


@given(texts, texts)
@example("\U0010ffff", "\U0010ffff\U0010ffff")
@example("\ud7fe", "\ud7ff")
@example("\ud7ff", "\ud7ff\ud800")
@example("a\1", "a\0")
def test_a_prefix_finds_just_what_begins_with_it(prefix: str, value: str) -> None:
    fits = fitting("starts with", (prefix,))
    assert fits.low is not None
    assert fits.below is not None
    for text in (value, prefix + value):
        made = text_of(text)
        assert made is not None
        assert (fits.low <= made < fits.below) == text.startswith(prefix)


@given(st.sets(texts, max_size=5), st.sets(texts, max_size=5))
def test_a_set_is_found_by_its_members_and_as_a_whole(left: set[str], right: set[str]) -> None:
    stored = set(texts_of(left))
    assert all(stored & set(each) for member in left for each in fitting("has", (member,)).each)
    assert all(stored & set(each) for each in fitting("is", (right,)).each) == (left == right)
    assert texts_of(left) == texts_of(frozenset(left))


@given(st.one_of(st.none(), st.booleans(), st.uuids(), *ORDERED))
def test_a_text_can_be_read_back(value: Any) -> None:
    text = text_of(value)
    assert text is not None
    assert value_of(text) == value


@given(st.one_of(st.booleans(), st.uuids(), st.dates(), st.integers(), st.sampled_from(Level)))
def test_a_word_of_the_command_line_finds_what_it_spells(value: Any) -> None:
    word = value.name if isinstance(value, Level) else str(value).lower() if isinstance(value, bool) else str(value)
    assert text_of(value) in guesses(word)
    assert text_of(word) in guesses(word)


def test_nan_is_found_as_itself_and_is_in_no_range() -> None:
    nan = text_of(math.nan)
    assert nan == text_of(Decimal("NaN")) == text_of(Decimal("sNaN"))
    ranges = fitting("at least", (Decimal("-Infinity"),)), fitting("at most", (math.inf,))
    assert not any(texts.low <= nan < texts.below for texts in ranges if texts.low and texts.below and nan)
    for none in (math.nan, Decimal("NaN"), Decimal("sNaN")):
        with pytest.raises(InvalidDefinition, match="no order"):
            Attribute("size", Any).at_least(none)  # type: ignore[arg-type]


def test_whatever_a_decimal_context_traps_a_number_has_its_text() -> None:
    with localcontext(Context(prec=2, Emax=9, Emin=-9, traps=[FloatOperation, Inexact, Rounded, Overflow, Subnormal])):
        texts = [text_of(number) for number in (0.1, 123456789, Decimal("1.23456789"), -(10**400))]
    assert texts == [text_of(number) for number in (0.1, 123456789, Decimal("1.23456789"), -(10**400))]


def test_text_of_255_bytes_is_searched_and_of_256_is_not() -> None:
    """A3."""
    assert len(texts_of("é" * 127 + "a")) == 1
    assert texts_of("é" * 128) == ()
    assert texts_of({"a", "b" * 256}) == ()
    with pytest.raises(InvalidDefinition, match="256 bytes"):
        Attribute("name", str).is_("a" * 256)


def test_numbers_of_more_digits_than_any_float_has_are_stored_only() -> None:
    assert texts_of(10**5000)
    assert texts_of(-5e-324)
    assert texts_of(int("1" * 801)) == ()
    assert texts_of(Decimal("1E+999999999999999999"))
    with pytest.raises(ValueError, match="800 digits"):
        fitting("is", (int("1" * 801),))


@pytest.mark.parametrize("value", [b"x", 1j, [1], {"a": 1}, (1,), {1, 2}, object(), timedelta(1)])
def test_other_values_are_stored_and_read_only(value: Any) -> None:
    """A3."""
    assert texts_of(value) == ()
    with pytest.raises(InvalidDefinition, match="cannot be searched"):
        Attribute("any", Any).is_(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, Level.LOW, None, {"a"}])
def test_what_has_no_order_is_refused_where_the_condition_is_built(value: Any) -> None:
    for build in (Attribute("x", Any).at_least, Attribute("x", Any).at_most):  # type: ignore[var-annotated, arg-type]
        with pytest.raises(InvalidDefinition, match="no order"):
            build(value)


def test_conditions_are_refused_where_they_are_built() -> None:
    hidden = Attribute("hot", int, search=False)
    with pytest.raises(InvalidDefinition, match="search=False"):
        hidden.is_(1)
    with pytest.raises(InvalidDefinition, match="search=False"):
        hidden.at_least(1)
    with pytest.raises(InvalidDefinition, match="one value at least"):
        Attribute("state", str).any_of()
    with pytest.raises(InvalidDefinition, match="no common order"):
        Attribute("x", Any).between(1, "a")  # type: ignore[arg-type]
    with pytest.raises(InvalidDefinition, match="no common order"):
        Attribute("at", datetime).between(LOCAL, LOCAL.replace(tzinfo=UTC))
    with pytest.raises(InvalidDefinition, match="takes text"):
        Attribute("state", str).starts_with(1)  # type: ignore[arg-type]
    with pytest.raises(InvalidDefinition, match="takes a member"):
        Attribute("tags", set[str]).has({"a"})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="takes no sets"):
        fitting("any of", ({"a"}, {"b"}))


def test_a_start_takes_values_and_refuses_other_conditions() -> None:
    state, total = Attribute("state", str), Attribute("total", int)
    assert given_attributes([state.is_("new"), total.is_(3)]) == {state: "new", total: 3}
    assert given_attributes({"state": "new"}) == {"state": "new"}
    assert isinstance(state.is_("new"), Equals)
    with pytest.raises(InvalidDefinition, match=r"is_\('new'\)"):
        given_attributes([total.at_least(3)])  # type: ignore[list-item]
    assert searchable({state: "new", Attribute("hot", int, search=False): 1, "by name": True}) == (
        ("state", ("snew",)),
        ("hot", ()),
        ("by name", ("b1",)),
    )
