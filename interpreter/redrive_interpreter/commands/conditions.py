"""Attributes: typed values of an execution that show from outside, and the conditions by which executions are found.

A condition is made by its attribute, so that its values are checked against the attribute's type. What cannot be searched, or has no
order, is refused where the condition is built.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, TypeAlias, TypeVar, cast, overload

from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.frozen import Frozen, put
from redrive_interpreter.keys import check_id

if TYPE_CHECKING:
    from datetime import date
    from decimal import Decimal

    from typing_extensions import TypeForm

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Ordered = TypeVar("Ordered", bound="str | int | float | Decimal | date | None")

MAX_SEARCHED_BYTES: Final = 255
"""Bytes in UTF-8 of the longest text that can be searched."""

Comparison: TypeAlias = Literal["is", "any of", "at least", "at most", "between", "starts with", "has"]


class Condition(Frozen, Generic[T_co]):
    """A condition on the value of an attribute: made by `Attribute`, taken by ``attributes=`` of a filter."""

    __slots__ = ("attribute", "comparison", "values")
    attribute: Attribute[Any]
    comparison: Comparison
    values: tuple[Any, ...]

    def __init__(self, attribute: Attribute[Any], comparison: Comparison, values: tuple[Any, ...], /) -> None:
        put(self, "attribute", attribute)
        put(self, "comparison", comparison)
        put(self, "values", values)

    def __repr__(self) -> str:
        return f"{self.attribute.name} {self.comparison} {' and '.join(map(repr, self.values))}"


class Equals(Condition[T_co]):
    """That an attribute has one value; as an attribute of something to be started, that it shall have it."""

    __slots__ = ()


class Attribute(Frozen, Generic[T]):
    """A typed value of an execution that the outside can read and search: ``Attribute("state", str)``.

    Text of up to 255 bytes, numbers, bools, dates, datetimes, UUIDs, enums, sets of text and None are searched; other values, and
    those of an attribute with ``search=False``, are stored and read only.
    """

    __slots__ = ("name", "search", "type")
    name: str
    type: Any
    search: bool
    _uncompared: ClassVar[frozenset[str]] = frozenset({"search"})

    @overload
    def __init__(self: Attribute[None], name: str, payload: None = None, /, *, search: bool = True) -> None: ...
    @overload
    def __init__(self, name: str, payload: builtins.type[T], /, *, search: bool = True) -> None: ...
    @overload
    def __init__(self, name: str, payload: TypeForm[T], /, *, search: bool = True) -> None: ...
    def __init__(self, name: str, payload: Any = None, /, *, search: bool = True) -> None:
        put(self, "name", check_id(name, "attribute"))
        put(self, "type", payload)
        put(self, "search", search)

    def is_(self, value: T, /) -> Equals[T]:
        """That the value is *value*."""
        return Equals(self, "is", (_searchable(self, value),))

    def any_of(self, *values: T) -> Condition[T]:
        """That the value is one of *values*."""
        if not values:
            raise InvalidDefinition(f"attribute {self.name!r}: any_of takes one value at least")
        return Condition(self, "any of", tuple(_searchable(self, value) for value in values))

    def at_least(self: Attribute[Ordered], value: Ordered, /) -> Condition[Ordered]:
        """That the value is *value* or comes after it."""
        return Condition(self, "at least", (_ordered(self, value),))

    def at_most(self: Attribute[Ordered], value: Ordered, /) -> Condition[Ordered]:
        """That the value is *value* or comes before it."""
        return Condition(self, "at most", (_ordered(self, value),))

    def between(self: Attribute[Ordered], low: Ordered, high: Ordered, /) -> Condition[Ordered]:
        """That the value is *low*, *high*, or lies between them."""
        ends = (_ordered(self, low), _ordered(self, high))
        if _order(ends[0]) != _order(ends[1]):
            raise InvalidDefinition(f"attribute {self.name!r}: nothing lies between {low!r} and {high!r}: they have no common order")
        return Condition(self, "between", ends)

    def starts_with(self: Attribute[str], prefix: str, /) -> Condition[str]:
        """That the value is text that begins with *prefix*."""
        if not isinstance(prefix, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(f"attribute {self.name!r}: starts_with takes text, not {prefix!r}")
        return Condition(self, "starts with", (_searchable(self, prefix),))

    def has(self: Attribute[set[str]] | Attribute[frozenset[str]], member: str, /) -> Condition[Any]:
        """That the value is a set which has *member*."""
        if not isinstance(member, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(f"attribute {self.name!r}: has takes a member, which is text, not {member!r}")
        return Condition(self, "has", (_searchable(self, member),))

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Attribute({self.name!r}, {getattr(self.type, '__name__', None) or self.type!r})"


Attributes: TypeAlias = "Mapping[Any, Any] | Iterable[Equals[Any]] | None"
"""The first attributes of what is started: by `Attribute` or name, or as ``[state.is_("new")]``."""


def given_attributes(given: Attributes) -> dict[Attribute[Any] | str, Any]:
    """*given* as a dict by `Attribute` or name. Raises `InvalidDefinition` for a condition that gives no value."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        values: Mapping[Any, Any] = given  # pyright: ignore[reportUnknownVariableType]
        for key in values:
            if not isinstance(key, (str, Attribute)):
                raise InvalidDefinition(f"attributes= takes attributes or their names, not {key!r}")
        return dict(values)
    if isinstance(given, str) or not isinstance(given, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidDefinition(f"attributes= takes a mapping, like {{Attribute('state', str): 'new'}}, not {given!r}")
    found: dict[Attribute[Any] | str, Any] = {}
    for condition in given:
        if not isinstance(condition, Equals):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(f"attributes= of a start takes values, like [state.is_('new')], not {condition!r}")
        found[condition.attribute] = condition.values[0]
    return found


def can_be_searched(value: object) -> str:
    """Why *value* cannot be searched; empty if it can."""
    # Imported here: to import the kernel is quick.
    from datetime import date
    from decimal import Decimal
    from enum import Enum
    from uuid import UUID

    if value is None or isinstance(value, (bool, int, float, Decimal, date, UUID, Enum)):
        return ""
    if isinstance(value, str):
        length = len(value.encode("utf-8", "surrogatepass"))
        return "" if length <= MAX_SEARCHED_BYTES else f"it has {length} bytes, and text of up to {MAX_SEARCHED_BYTES} is searched"
    if isinstance(value, (set, frozenset)):
        members = cast("set[object]", value)
        if all(isinstance(member, str) for member in members):
            return next((problem for member in members if (problem := can_be_searched(member))), "")
        return "of sets, those of text are searched"
    return f"values of type {type(value).__name__} are stored and read only"


def is_nan(value: float | Decimal) -> bool:
    """Whether a number is none. A signalling one of Decimal's cannot even be compared."""
    return value != value if isinstance(value, (int, float)) else value.is_nan()


def _searchable(attribute: Attribute[Any], value: Any) -> Any:
    if not attribute.search:
        raise InvalidDefinition(f"attribute {attribute.name!r} is not searched: it was made with search=False (start takes it in a dict)")
    if problem := can_be_searched(value):
        raise InvalidDefinition(f"attribute {attribute.name!r} cannot be searched for {value!r:.100}: {problem}")
    return value


def _ordered(attribute: Attribute[Any], value: Any) -> Any:
    if not _order(_searchable(attribute, value)):
        raise InvalidDefinition(f"attribute {attribute.name!r}: {value!r} has no order; compare text, numbers, dates and datetimes")
    return value


def _order(value: Any) -> str:
    """A word for the values that *value* can be compared with by order; empty if there are none."""
    from datetime import date, datetime
    from decimal import Decimal
    from enum import Enum

    match value:
        case bool() | Enum():
            return ""
        case int() | float() | Decimal():
            return "" if is_nan(value) else "number"
        case str():
            return "text"
        case datetime():
            return "local time" if value.utcoffset() is None else "instant"
        case date():
            return "date"
        case _:
            return ""
