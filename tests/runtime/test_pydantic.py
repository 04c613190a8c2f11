"""Pydantic's models as arguments, results and payloads: stored by their fields, exactly, wherever pydantic is imported."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar

import attrs
import pytest
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FutureDate,
    HttpUrl,
    PositiveInt,
    PrivateAttr,
    RootModel,
    SecretStr,
    computed_field,
    field_validator,
)
from pydantic.dataclasses import dataclass as checked_dataclass

from redrive import DurableService, Flow, Signal, WaitSignal, step, workflow
from redrive.codec import JsonCodec
from redrive.codec.models import validating
from redrive.testing import explore, play
from redrive_interpreter.errors import CodecError

T = TypeVar("T")
codec = JsonCodec()


class Kind(Enum):
    CARD = "card"


class Item(BaseModel):
    name: str
    price: Decimal = Decimal("1.10")


class Order(BaseModel):
    model_config = ConfigDict(frozen=True)
    id: str = Field(alias="orderId")
    items: list[Item] = []
    kind: Kind = Kind.CARD
    note: str | None = None
    count: PositiveInt = 1

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> Decimal:
        return sum((item.price for item in self.items), Decimal(0))


class Special(Order): ...


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 1


class Count(BaseModel):
    a: int
    _seen: int = PrivateAttr(default=0)
    _at: date | None = None


class Box(BaseModel, Generic[T]):
    content: T


class Names(RootModel[list[str]]): ...


class Tree(BaseModel):
    name: str
    left: Tree | None = None


class Upper(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def _louder(cls, name: str) -> str:
        return name + "!"


class Booking(BaseModel):
    on: FutureDate
    at: AwareDatetime
    page: HttpUrl


class Card(BaseModel):
    type: Literal["card"] = "card"
    number: str


class Cash(BaseModel):
    type: Literal["cash"] = "cash"
    amount: int


class Payment(BaseModel):
    by: Annotated[Card | Cash, Field(discriminator="type")]


@checked_dataclass
class Checked:
    n: PositiveInt = 1


@attrs.frozen
class Holder:
    order: Order
    more: dict[str, tuple[Item, ...]] = attrs.field(factory=dict)


@dataclasses.dataclass
class Plain:
    order: Order | None


ITEM = Item(name="tea", price=Decimal("2.50"))
ORDER = Order(orderId="o-1", items=[ITEM], note="now")
ON = date.today() + timedelta(days=9)  # noqa: DTZ011
VALUES: list[tuple[Any, Any]] = [
    (Item, Item(name="tea")),
    (Order, ORDER),
    (Order | None, ORDER),
    (Order | Item, ITEM),
    (list[Order], [ORDER]),
    (dict[str, Item], {"a": ITEM}),
    (Holder, Holder(ORDER, {"x": (ITEM,)})),
    (Plain, Plain(ORDER)),
    (Loose, Loose(a=2, b="x", c=[1])),  # type: ignore[call-arg]
    (Box[int], Box[int](content=1)),
    (Box[Item], Box[Item](content=ITEM)),
    (Names, Names(["a", "b"])),
    (Tree, Tree(name="a", left=Tree(name="b"))),
    (Upper, Upper(name="a")),
    (Booking, Booking(on=ON, at=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))), page=HttpUrl("https://a.b/c"))),
    (HttpUrl, HttpUrl("https://a.b/c")),
    (Payment, Payment(by=Cash(amount=1))),
    (Checked, Checked(3)),
]


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=lambda it: str(it)[:30])
def test_a_model_comes_back_as_it_was(kind: Any, value: Any) -> None:
    again = codec.load(codec.from_json(codec.to_json(codec.dump(value, kind, "t"))), kind, "t")
    assert again == value
    assert type(again) is type(value)
    if isinstance(value, BaseModel):
        assert again.model_fields_set == value.model_fields_set
        assert again.model_dump(exclude_unset=True) == value.model_dump(exclude_unset=True)


def test_it_is_stored_by_its_fields() -> None:
    assert codec.dump(ITEM, Item, "t") == {"name": "tea", "price": "2.50"}
    assert codec.dump(Item(name="tea"), Item, "t") == {"name": "tea", "price": "1.10", "$unset": ["price"]}


def test_private_attributes_come_along() -> None:
    counted = Count(a=1)
    counted._seen, counted._at = 3, date(2026, 1, 1)
    again = codec.load(codec.dump(counted, Count, "t"), Count, "t")
    assert (again, again._seen, again._at) == (counted, 3, date(2026, 1, 1))


def test_a_field_more_with_a_default_and_a_field_less_still_fit() -> None:
    """N2."""
    again = codec.load({"orderless": 1, "name": "tea"}, Item, "t")
    assert (again, again.model_fields_set) == (Item(name="tea"), {"name"})
    with pytest.raises(CodecError, match="'name', which has no default"):
        codec.load({}, Item, "t")


@pytest.mark.parametrize(
    ("kind", "value", "path"),
    [
        (Order, Special(orderId="o"), "value"),
        (Order, Order(orderId="o", items=[Item.model_construct(name=1)]), "value.items[0].name"),
        (Order, {"orderId": "o"}, "value"),
        (SecretStr, SecretStr("x"), "value"),
        (Box[int], Box(content=1), "value"),
        (Any, ITEM, "value"),
    ],
    ids=str,
)
def test_what_would_come_back_as_something_else_is_refused(kind: Any, value: Any, path: str) -> None:
    with pytest.raises(CodecError) as caught:
        codec.dump(value, kind, "t")
    assert caught.value.path == path


def test_what_was_valid_once_is_read_for_ever_and_what_comes_from_outside_is_validated() -> None:
    past = {"on": "2020-01-01", "at": "2020-01-01T00:00:00+00:00", "page": "https://a.b/"}
    assert codec.load(past, Booking, "t").on == date(2020, 1, 1)
    with validating(), pytest.raises(CodecError, match="future"):
        codec.load(past, Booking, "t")
    with validating():
        assert codec.load({"id": "o", "items": [{"name": "tea"}]}, Order, "t") == Order(orderId="o", items=[Item(name="tea")])
        assert codec.load({"root": ["a"]}, Names, "t") == Names(["a"])


def test_a_union_of_models_may_grow() -> None:
    """N6."""
    assert codec.load(codec.dump(Card(number="1"), Card, "t"), Card | Cash, "t") == Card(number="1")
    assert codec.load(codec.dump(Card(number="1"), Card | Cash, "t"), Card, "t") == Card(number="1")


approved = Signal("approved", Item)


@step
def price(order: Order) -> Item:
    assert type(order) is Order
    return order.items[0]


@workflow("pydantic.shop", signals=[approved])
def shop(order: Order) -> Flow[list[Item]]:
    first = yield from price(order)
    return [first, (yield from WaitSignal(approved))]


def test_models_work_live(tmp_path: Any) -> None:
    with DurableService(f"sqlite:///{tmp_path}/a.db", workflows=[shop]) as service:
        execution = service.start(shop(ORDER), id="o")
        execution.signal(approved, Item(name="milk"))
        assert execution.result(timeout=10) == [ITEM, Item(name="milk")]
        assert service.start(shop(ORDER), id="o").id == "o"


def test_models_work_in_the_test_kit() -> None:
    run = play(shop(ORDER), {price: ITEM}, {approved: Item(name="milk")})
    assert run.result == [ITEM, Item(name="milk")]
    explore(shop(ORDER), budget=200)


def test_redrive_imports_no_pydantic() -> None:
    program = "import redrive, redrive.testing, redrive.codec, sys; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
