"""The classes that the tests of the codec store, and what it means that two values are exactly alike."""

from __future__ import annotations

import dataclasses
import enum
import struct
from collections import namedtuple
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Any, Generic, NamedTuple, NewType, NotRequired, TypedDict, TypeVar

import attrs

T = TypeVar("T")
K = TypeVar("K")

UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = 1
    GREEN = "two"
    BLUE = (3, 3)
    ROT = 1  # noqa: PIE796 - an alias


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Unit(enum.StrEnum):
    KILO = "kg"
    METRE = "m"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


@attrs.frozen
class Order:
    id: str
    total: int


@attrs.frozen
class SpecialOrder(Order):
    """A subclass: it is not the declared class, and would come back as less than it was."""


@attrs.frozen
class Card:
    number: str
    owner: str = "nobody"


@attrs.frozen
class Cash:
    amount: float


@attrs.define
class Basket:
    _owner: str
    items: list[Order] = attrs.field(factory=list, kw_only=True)
    note: str | None = None
    paid: Card | Cash | None = None
    count: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.count = len(self.items)


@attrs.frozen
class Box(Generic[T]):
    content: T
    others: Sequence[T] = ()


@attrs.frozen
class LabelledBox(Box[int], Generic[T]):
    label: T | None = None


@attrs.frozen
class Tree:
    name: str
    left: Tree | None = None
    branches: tuple[Tree, ...] = ()


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0
    tags: set[str] = dataclasses.field(default_factory=set)
    length: float = dataclasses.field(init=False, default=0.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Pair(Generic[K, T]):
    key: K
    value: T


class Reading(NamedTuple):
    at: datetime
    value: float | None = None


Plain = namedtuple("Plain", "a b")


class Settings(TypedDict):
    name: str
    level: NotRequired[int]


def fingerprint(value: Any) -> Any:
    """Equal for values that nobody could tell apart, however closely they look; sets apart, which have no order."""
    kind = type(value)
    if kind is float:
        return kind, struct.pack(">d", value)
    if kind is complex:
        return kind, struct.pack(">dd", value.real, value.imag)
    if kind in (datetime, time):
        zone = value.tzinfo
        return kind, value.replace(tzinfo=None).isoformat(), value.fold, type(zone), repr(zone)
    if kind in (list, tuple) or isinstance(value, tuple):
        return kind, tuple(map(fingerprint, value))
    if kind in (set, frozenset):
        return kind, frozenset(map(fingerprint, value))
    if isinstance(value, Mapping):
        return kind, tuple((fingerprint(key), fingerprint(item)) for key, item in value.items())
    if attrs.has(kind):
        return kind, tuple(fingerprint(getattr(value, a.name)) for a in attrs.fields(kind))
    if dataclasses.is_dataclass(value):
        return kind, tuple(fingerprint(getattr(value, f.name)) for f in dataclasses.fields(value))
    return kind, repr(value)
