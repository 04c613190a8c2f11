"""Types change while values of them are stored: what exactly one reading of today's type fits is read (N6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict, get_args
from uuid import UUID

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

from redrive.codec import JsonCodec
from redrive_interpreter.commands.signatures import Signature
from redrive_interpreter.errors import CodecError
from tests.runtime.codec_models import Colour, Rights, fingerprint

codec = JsonCodec()


@attrs.frozen
class Card:
    number: str


@attrs.frozen
class Cash:
    amount: int


@attrs.frozen
class Voucher:
    code: str
    until: date | None = None


@attrs.frozen
class Token:
    number: str


@attrs.frozen
class Pending:
    pass


@attrs.frozen
class Late:
    days: int = 0
    v: int = 0


class Place(NamedTuple):
    row: int
    seat: str


class Extra(TypedDict):
    colour: str


@attrs.frozen
class Paid:
    by: Card
    at: datetime | None = None


@attrs.frozen
class PaidSomehow:
    by: Card | Cash | None
    at: datetime | str | None = None


Pay = TypeAliasType("Pay", Card | Cash)
Number = NewType("Number", int)
texts = st.text(max_size=4) | st.sampled_from(["2026-01-01", "1", "1.5", "RED", "card", "7aC97biA", "\ud83d\ude00", "list", "$"])
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    type(None): st.none(),
    bool: st.booleans(),
    int: st.integers() | st.just(1 << 2100),
    float: st.floats(allow_nan=False),
    str: texts,
    bytes: st.binary(max_size=4),
    Decimal: st.decimals(allow_nan=False),
    UUID: st.uuids(),
    date: st.dates(),
    datetime: st.datetimes(),
    time: st.times(),
    timedelta: st.timedeltas(),
    Colour: st.sampled_from(Colour),
    Rights: st.integers(0, 7).map(Rights),
    PurePosixPath: st.sampled_from(["a", "a/b"]).map(PurePosixPath),
    Card: st.builds(Card, texts),
    Cash: st.builds(Cash, st.integers()),
    Voucher: st.builds(Voucher, texts, st.none() | st.dates()),
    Pending: st.just(Pending()),
    Late: st.builds(Late, st.integers(), st.integers()),
    Place: st.builds(Place, st.integers(), texts),
    Literal["a", 1, Colour.RED]: st.sampled_from(["a", 1, Colour.RED]),
}
members = st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=3, unique=True)


def union(kinds: Sequence[Any]) -> Any:
    whole = kinds[0]
    for kind in kinds[1:]:
        whole = whole | kind
    return whole


def alias(kind: Any) -> Any:
    return TypeAliasType("Alias", kind)


CONTAINERS: list[Any] = [
    lambda kind: kind,
    lambda kind: list.__class_getitem__(kind),
    lambda kind: dict.__class_getitem__((str, kind)),
    lambda kind: tuple.__class_getitem__((kind, ...)),
    lambda kind: tuple.__class_getitem__((int, kind)),
    lambda kind: kind | None,
    lambda kind: Annotated.__class_getitem__((kind, "note")),
    alias,
]
FILL: list[Any] = [
    lambda value: value,
    lambda value: [value, value],
    lambda value: {"a": value},
    lambda value: (value,),
    lambda value: (1, value),
    lambda value: value,
    lambda value: value,
    lambda value: value,
]


def in_doubt(value: Any) -> bool:
    """Text that is unmistakably a date, or the like, is taken for one; nothing that is stored could tell."""
    match value:
        case str():
            for kind in (date.fromisoformat, datetime.fromisoformat, time.fromisoformat, UUID):
                try:
                    kind(value)
                except ValueError:
                    continue
                return True
            return "." in value
        case list() | tuple():
            return any(map(in_doubt, value))
        case dict():
            return any(map(in_doubt, value.values()))
        case _:
            return attrs.has(type(value)) and any(map(in_doubt, attrs.astuple(value, recurse=False)))


@settings(max_examples=400)
@given(st.data())
def test_what_was_stored_is_read_as_what_it_was_or_refused_with_both_names(data: st.DataObject) -> None:
    before = data.draw(members)
    value = data.draw(VALUES[data.draw(st.sampled_from(before))])
    added = data.draw(members)
    kept = [kind for kind in before if data.draw(st.booleans()) or holds(kind, value)]
    after = data.draw(st.permutations(list(dict.fromkeys([*kept, *added]))))
    at = data.draw(st.integers(0, len(CONTAINERS) - 1))
    old, new, whole = CONTAINERS[at](union(before)), CONTAINERS[at](union(after)), FILL[at](value)
    if data.draw(st.booleans()):
        new = Annotated[new | None, "optional"]
    stored = codec.dump(whole, old, "old")
    try:
        back = codec.load(codec.from_json(codec.to_json(stored)), new, "new")
    except CodecError as error:
        assert sum(getattr(kind, "__name__", "Literal") in str(error) for kind in after) >= 2, error  # noqa: PT017
    else:
        assert fingerprint(back) == fingerprint(whole) or in_doubt(value), (stored, old, new)


@settings(max_examples=200)
@given(st.data())
def test_what_one_member_alone_can_read_is_read_by_the_union(data: st.DataObject) -> None:
    kinds = data.draw(members)
    stored = codec.dump(data.draw(VALUES[kinds[0]]), kinds[0], "old")
    readings = []
    for kind in (after := list(dict.fromkeys([*kinds, *data.draw(members)]))):
        try:
            readings.append(codec.load(stored, kind, "alone"))
        except CodecError:
            continue
    if len(readings) == 1:
        assert fingerprint(codec.load(stored, union(after), "new")) == fingerprint(readings[0])


PLAIN = (
    st.none() | st.booleans() | st.integers() | texts | st.dates() | st.decimals(allow_nan=False) | st.timedeltas() | st.binary(max_size=3)
)


@given(PLAIN, st.integers(0, len(CONTAINERS) - 1))
def test_a_value_stored_without_an_annotation_is_read_with_one(value: Any, at: int) -> None:
    whole, new = FILL[at](value), CONTAINERS[at](type(value))
    assert fingerprint(codec.load(codec.dump(whole, Any, "old"), new, "new")) == fingerprint(whole)
    sets = {value}
    kind: Any = type(value)
    for kept, its in ((sets, set[kind]), (frozenset(sets), frozenset[kind]), ({value: 1}, dict[kind, int])):
        assert codec.load(codec.dump(kept, Any, "old"), its, "new") == kept


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        (Card, Card | Cash, Card("1")),
        (Card, Card | Pending, Card("1")),
        (Pending, Card | Pending, Pending()),
        (Card | Cash, Card, Card("1")),
        (Card | Cash, Pay, Card("1")),
        (Pay, Card | Cash | Voucher, Card("1")),
        (Pay | Voucher, Card | Cash, Card("1")),
        (Pay | Voucher, Card, Card("1")),
        (Card | Cash | Voucher, Pay | Voucher, Cash(1)),
        (Card | Cash, Card | None, Card("1")),
        (Card | Token, Card, Card("1")),
        (Card | Token, Card | Cash, Card("1")),
        (list[Card], list[Card | Cash] | None, [Card("1")]),
        (list[Card] | set[int], list[Card | Cash] | set[int], [Card("1")]),
        (dict[str, Card], dict[str, Card | Cash], {"a": Card("1")}),
        (Paid, PaidSomehow, Paid(Card("1"), datetime(2026, 1, 1, tzinfo=UTC))),
        (str, str | date, "x"),
        (str, str | Decimal, "x"),
        (date, str | date, date(2026, 1, 1)),
        (UUID | str, UUID, UUID(int=1)),
        (date | str, date, date(2026, 1, 1)),
        (str | date, str, "2026-01-01"),
        (str | date, str, "7aC97biA"),
        (int | timedelta, timedelta, timedelta(seconds=1)),
        (int, Number | str, 1),
        (Number | str, int, 1),
        (Late | Cash, Late, Late(1, 2)),
        (Colour, Colour | Cash, Colour.RED),
        (Colour | str, Colour, Colour.RED),
        (Literal["a", "b"], str, "a"),
        (Colour, Literal[Colour.RED, "a"], Colour.RED),
        (Literal[Colour.RED, "a"], Colour, Colour.RED),
        (Literal["a"] | Colour, str, "a"),
        (Extra, Extra | Card, {"colour": "red"}),
        (tuple[int, str], tuple[int, str] | Card, (1, "a")),
        (list[int], tuple[int, ...] | list[int], [1]),
    ],
    ids=str,
)
def test_a_type_that_grows_shrinks_or_gets_another_name_reads_what_is_stored(old: Any, new: Any, value: Any) -> None:
    expected = PaidSomehow(value.by, value.at) if new is PaidSomehow else value
    if new is str and not isinstance(value, str):
        expected = value.value
    assert fingerprint(codec.load(codec.dump(value, old, "old"), new, "new")) == fingerprint(expected)

    def before(it: Any) -> None: ...
    def after(it: Any) -> None: ...

    before.__annotations__, after.__annotations__ = {"it": old}, {"it": new}
    recorded = codec.dump_call(Signature(before, "f"), (value,), {}, "f")
    asked = codec.dump_call(now := Signature(after, "f"), (expected,), {}, "f")
    assert codec.same_call(now, recorded, asked, "f")


@pytest.mark.parametrize(
    ("data", "kind", "names"),
    [
        ({"number": "1"}, Card | Token, ("Card", "Token")),
        ("12345", str | Decimal, ("str", "Decimal")),
        ("card", str | bytes, ("str", "bytes")),
        ("RED", str | Colour, ("str", "Colour")),
        (3, int | timedelta, ("int", "timedelta")),
        ([1], list[int] | set[int], ("list[int]", "set[int]")),
        ({"number": "1"}, Card | dict[str, str], ("Card", "dict[str, str]")),
        ({"colour": "red"}, Card | Cash, ("Card", "Cash")),
        ({"$": "Voucher", "v": {"code": "1"}}, Card | Cash, ("Card", "Cash", "Voucher")),
        ({"$": "Voucher", "v": {"code": "1"}}, Late, ("Late", "Voucher")),
    ],
    ids=str,
)
def test_what_two_readings_fit_or_none_is_an_error_that_names_them(data: Any, kind: Any, names: tuple[str, ...]) -> None:
    for it, wrapped in ((kind, data), (list[kind], [data]), (dict[str, kind], {"a": data})):
        with pytest.raises(CodecError) as caught:
            codec.load(wrapped, it, "step pay")
        assert all(name in str(caught.value) for name in names), caught.value


def holds(kind: Any, value: Any) -> bool:
    return value in get_args(kind) if get_args(kind) else type(value) is kind
