"""How values look as data, what their types may become later, and that nothing is shared."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pytest

from redrive.codec import JsonCodec
from redrive_interpreter.commands.signatures import Signature
from tests.runtime.codec_models import Basket, Box, Card, Cash, Colour, LabelledBox, Order, Point, Rights, Tree, Unit, UserId

T = TypeVar("T")
codec = JsonCodec()


@pytest.mark.parametrize(
    ("value", "kind", "data"),
    [
        (Order("o-1", 900), Order, {"id": "o-1", "total": 900}),
        (None, Order | None, None),
        (Order("o-1", 900), Order | None, {"id": "o-1", "total": 900}),
        (Card("4111"), Card | Cash | None, {"$": "Card", "v": {"number": "4111", "owner": "nobody"}}),
        (7, int | str | list[int], 7),
        (UUID(int=1), UUID | str, {"$": "UUID", "v": "00000000-0000-0000-0000-000000000001"}),
        ([1, 2], list[int], [1, 2]),
        ((1, 2), tuple[int, ...], [1, 2]),
        ((1, 2), Sequence[int], {"$": "tuple", "v": [1, 2]}),
        ((1, 2), Any, {"$": "tuple", "v": [1, 2]}),
        ({3, 1, 2}, set[int], [1, 2, 3]),
        ({"b": 1, "a": 2}, dict[str, int], {"b": 1, "a": 2}),
        ({2: "b", 1: "a"}, dict[int, str], {"$": "dict", "v": [[2, "b"], [1, "a"]]}),
        ({Colour.RED: 1}, dict[Colour, int], {"RED": 1}),
        ({"$": 1}, dict[str, int], {"$": "dict", "v": [["$", 1]]}),
        (Colour.ROT, Colour, "RED"),
        (Rights.READ | Rights.RUN, Rights, 5),
        (b"\x00\xff", bytes, "AP8="),
        (3, float, 3),
        (-0.0, float, -0.0),
        (math.inf, float, {"$": "float", "v": "inf"}),
        (2**2000, int, {"$": "int", "v": hex(2**2000)}),
        ("\ud800", str, "\ud800"),
        ("\ud83d\ude00", str, {"$": "str", "v": "7aC97biA"}),
        (timedelta(days=1, microseconds=1), timedelta, 86_400_000_001),
        (datetime(2027, 5, 1, tzinfo=UTC), datetime, "2027-05-01T00:00:00+00:00"),
        (datetime(2027, 10, 31, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1), datetime, "2027-10-31T02:30:00[Europe/Berlin][fold=1]"),
        (datetime(2027, 5, 1, tzinfo=timezone(timedelta(hours=1), "CET")), datetime, "2027-05-01T00:00:00+01:00[name=CET]"),
    ],
    ids=repr,
)
def test_data_is_json_that_a_person_can_read(value: Any, kind: Any, data: Any) -> None:
    assert codec.dump(value, kind, "t") == data
    assert codec.load(data, kind, "t") == value


def test_a_field_more_with_a_default_and_a_field_less_still_fit() -> None:
    old = {"number": "4111", "colour": "gold"}
    assert codec.load(old, Card, "t") == Card("4111", "nobody")
    assert codec.load({"x": 1.0, "z": 2.0}, Point, "t") == Point(1.0)
    assert codec.load({"name": "n", "old": 1}, Tree, "t") == Tree("n")


def test_a_call_recorded_before_a_field_got_a_default_is_the_same_call() -> None:
    def charge(card: Card) -> None: ...

    signature = Signature(charge, "charge")
    asked = codec.dump_call(signature, (Card("4111"),), {}, "t")
    assert codec.same_call(signature, {"card": {"number": "4111"}}, asked, "t")
    assert codec.same_call(signature, {"card": {"number": "4111", "owner": "nobody", "dropped": 1}}, asked, "t")
    assert not codec.same_call(signature, {"card": {"number": "4111", "owner": "Ada"}}, asked, "t")
    assert not codec.same_call(signature, {"card": {"number": 4111}}, asked, "t")
    assert not codec.same_call(signature, {"cart": {"number": "4111"}}, asked, "t")


def test_a_parameter_that_the_function_lost_is_dropped_and_one_it_got_has_its_default() -> None:
    def before(order: str, colour: str) -> None: ...

    def after(order: str, size: int = 3) -> None: ...

    data = codec.dump_call(Signature(before, "f"), ("o", "red"), {}, "t")
    assert codec.load_call(Signature(after, "f"), data, "t") == (("o",), {})


def test_a_stored_call_without_a_required_argument_cannot_be_read() -> None:
    def after(order: str, size: int) -> None: ...

    from redrive_interpreter.errors import CodecError

    with pytest.raises(CodecError, match="size"):
        codec.load_call(Signature(after, "f"), {"order": "o"}, "t")


def test_arguments_are_stored_by_name_whichever_way_they_were_passed() -> None:
    def charge(order: str, /, amount: int, *, urgent: bool = False) -> None: ...

    signature = Signature(charge, "charge")
    assert (
        codec.dump_call(signature, ("o", 1), {}, "t")
        == codec.dump_call(signature, ("o",), {"amount": 1}, "t")
        == {"order": "o", "amount": 1}
    )
    data = codec.dump_call(signature, ("o",), {"amount": 1, "urgent": True}, "t")
    assert codec.load_call(signature, data, "t") == (("o", 1), {"urgent": True})


def test_what_is_loaded_shares_nothing_with_what_was_dumped_or_loaded_before() -> None:
    basket = Basket("ada", items=[Order("o", 1)])
    data = codec.dump(basket, Basket, "t")
    basket.items.clear()
    first, second = codec.load(data, Basket, "t"), codec.load(data, Basket, "t")
    first.items.append(Order("p", 2))
    assert second.items == [Order("o", 1)]
    untyped = codec.dump([{"a": [1]}], Any, "t")
    codec.load(untyped, Any, "t")[0]["a"].append(2)
    assert codec.load(untyped, Any, "t") == [{"a": [1]}]


def test_a_field_that_init_changed_or_does_not_take_comes_back_as_it_was() -> None:
    @attrs.define
    class Counter:
        step: int = attrs.field(converter=lambda value: value * 10)
        seen: int = attrs.field(init=False)
        unset: int = attrs.field(init=False)

        def __attrs_post_init__(self) -> None:
            self.seen = 0

    counter = Counter(1)
    counter.seen = 7
    again = codec.load(codec.dump(counter, Counter, "t"), Counter, "t")
    assert (again.step, again.seen, hasattr(again, "unset")) == (10, 7, False)


def test_a_class_with_an_init_of_its_own_is_rebuilt_from_its_fields() -> None:
    @attrs.define
    class Doubled:
        value: int

        def __init__(self, half: int) -> None:
            self.__attrs_init__(half * 2)  # type: ignore[attr-defined]

    @dataclasses.dataclass
    class Seeded:
        seed: dataclasses.InitVar[int]
        value: int = 0
        names: list[str] = dataclasses.field(default_factory=list)

        def __post_init__(self, seed: int) -> None:
            self.value = seed

    assert codec.load(codec.dump(Doubled(2), Doubled, "t"), Doubled, "t").value == 4
    seeded = codec.load(codec.dump(Seeded(3), Seeded, "t"), Seeded, "t")
    assert (seeded.value, seeded.names) == (3, [])
    assert codec.load({"value": 1}, Seeded, "t").names == []


def test_generic_classes_know_their_fields_through_their_bases() -> None:
    assert codec.dump(LabelledBox(1, (2,), {"a"}), LabelledBox[set[str]], "t") == {
        "content": 1,
        "others": {"$": "tuple", "v": [2]},
        "label": ["a"],
    }

    @attrs.frozen
    class Swapped(Box[list[T]], Generic[T]):
        pass

    assert codec.load(codec.dump(Swapped([Order("o", 1)]), Swapped[Order], "t"), Swapped[Order], "t") == Swapped([Order("o", 1)])


def test_recursive_types_and_types_that_contain_each_other_are_stored() -> None:
    tree = Tree("root", Tree("left"), (Tree("a", None, (Tree("b"),)),))
    assert codec.load(codec.dump(tree, Tree, "t"), Tree, "t") == tree
    both = Chicken(Egg(Chicken(None)))
    assert codec.load(codec.dump(both, Chicken, "t"), Chicken, "t") == both
    assert codec.load(codec.dump([both], list[Chicken | Egg], "t"), list[Chicken | Egg], "t") == [both]


@attrs.frozen
class Chicken:
    laid: Egg | None


@attrs.frozen
class Egg:
    hatched: Chicken


def test_newtypes_and_annotated_are_what_they_are_made_of() -> None:
    assert codec.dump(UserId(5), UserId, "t") == 5
    assert codec.dump(Order("o", 1), Annotated[Order, "metadata", ["unhashable"]], "t") == {"id": "o", "total": 1}
    assert codec.load({"1": 2}, Mapping[Annotated[str, "x"], UserId], "t") == {"1": 2}


def test_members_of_one_name_are_told_apart_by_their_modules() -> None:
    here, there = attrs.make_class("Card", {"x": attrs.field(type=int)}), Card
    here.__module__ = "elsewhere"
    kind = here | there | None
    for value in (here(1), there("1")):
        assert codec.load(codec.dump(value, kind, "t"), kind, "t") == value


def test_lists_of_different_items_are_told_apart_in_a_union() -> None:
    kind = list[Order] | list[Card] | Card
    for value in ([Order("o", 1)], [Card("1")], [], Card("1")):
        assert codec.load(codec.dump(value, kind, "t"), kind, "t") == value


def test_a_mapping_keeps_its_order() -> None:
    for value in ({"b": 1, "a": 2}, {2: 1, 1: 2}):
        assert list(codec.load(codec.from_json(codec.to_json(codec.dump(value, dict, "t"))), dict, "t")) == list(value)


def test_equal_sets_are_stored_alike() -> None:
    words = [f"word-{n}" for n in range(50)]
    mixed: set[Any] = {1, "1", None, (1, 2)}
    backwards: set[Any] = set()
    for item in [(1, 2), None, "1", 1]:
        backwards.add(item)
    assert codec.dump(set(words), set[str], "t") == sorted(words)
    assert codec.dump(mixed, Any, "t") == codec.dump(backwards, Any, "t")


def test_an_enum_is_stored_by_name_so_a_member_inserted_before_it_changes_nothing() -> None:
    assert codec.dump(Unit.METRE, Unit, "t") == "METRE"


def test_two_codecs_may_share_a_signature() -> None:
    def charge(order: Order) -> None: ...

    signature, small = Signature(charge, "charge"), JsonCodec(max_bytes=10)
    from redrive_interpreter.errors import CodecError

    for _ in range(2):
        codec.dump_call(signature, (Order("o", 1),), {}, "t")
        with pytest.raises(CodecError):
            small.dump_call(signature, (Order("o", 1),), {}, "t")


def test_threads_may_meet_a_type_for_the_first_time_together() -> None:
    fresh, failures = JsonCodec(), []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        try:
            value = Tree("t", Tree("l"))
            assert fresh.load(fresh.dump(value, Tree, "t"), Tree, "t") == value
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
