"""Makes plain data of any value, for people to look at, without running code of the value's class.

1.  Neither `repr`, `str`, a property nor an iterator of the user's is called: containers are read by the methods of Python's own
    types, fields from where instances keep them (their `__dict__` and slots).
2.  Fields are shown of attrs classes, dataclasses, pydantic models, named tuples and errors. Of anything else the codec is asked,
    if it has hooks; else the name of its class is all that is shown.
3.  What is shown is bounded in depth and size; what was left out is said.
"""

# The values here are of any class: their items have no types that could be known.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import PosixPath, PurePosixPath
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, NoneType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs

if TYPE_CHECKING:
    from redrive.codec import JsonCodec

DEPTH: Final = 4
SIZE: Final = 2_000
"""Characters of one value that are shown."""
CUT: Final = "…"
_MRO: Final = type.__dict__["__mro__"].__get__
_SPACE: Final = type.__dict__["__dict__"].__get__
_NAME: Final = type.__dict__["__qualname__"].__get__
_TEXTS: Final = (Decimal, date, timedelta, UUID, PosixPath, PurePosixPath, ZoneInfo, timezone, complex)
"""Classes, exactly, whose texts are made by Python's own code alone."""
_ZONES: Final = (NoneType, timezone, ZoneInfo)
_LONGEST_INT: Final = 1_000
"""Bits of a whole number that is written out."""
_MISSING: Final = object()


@attrs.frozen(kw_only=True)
class Walked:
    """*value* is plain data for JSON; *cut*: there was more of it. *opaque*: nothing but its *type* can be shown."""

    type: str
    value: Any = None
    cut: bool = False
    opaque: bool = False


def walk(value: object, codec: JsonCodec | None = None) -> Walked:
    """*value* as data, as far as it can be shown. *codec* is asked for what has no fields of its own."""
    walker = _Walker(codec)
    data = walker.data(value, DEPTH)
    if walker.opaque and data == _named(type(value)):
        return Walked(type=type_of(value), opaque=True)
    return Walked(type=type_of(value), value=data, cut=walker.cut)


def type_of(value: object) -> str:
    """The name of the class of *value*, with its module where it is not Python's own."""
    return _type_name(type(value))


def _type_name(cls: type) -> str:
    module, name = _SPACE(cls).get("__module__"), _NAME(cls)
    return f"{module}.{name}" if type(module) is str and module != "builtins" else name


def _named(cls: type) -> str:
    return f"<{_type_name(cls)}>"


class _Walker:
    """One walk; it ends where *left* characters are used up."""

    def __init__(self, codec: JsonCodec | None) -> None:
        self.left = SIZE
        self.cut = self.opaque = False
        self._codec = codec

    def data(self, value: Any, depth: int) -> Any:
        cls = type(value)
        bases = _MRO(cls)
        if value is None or cls is bool:
            self.left -= 5
            return value
        if _is(Enum, bases):
            name = _instance_dict(value, bases).get("_name_")
            return self._text(f"{_NAME(cls)}.{name}" if type(name) is str else _named(cls))
        if _is(int, bases):
            return self._number(int.__int__(value))
        if _is(float, bases):
            self.left -= 10
            number = float.__float__(value)
            return number if number - number == 0 else float.__repr__(number)
        if _is(str, bases):
            return self._text(str.__str__(value))
        if _is(bytes, bases) or _is(bytearray, bases):
            return self._bytes(value, bytes if _is(bytes, bases) else bytearray)
        if (text := _own_text(value, cls)) is not None:
            return self._text(text)
        if cls is FunctionType:
            return self._text(f"<function {value.__qualname__}>")
        return self._inside(value, cls, bases, depth)

    def _inside(self, value: Any, cls: type, bases: tuple[type, ...], depth: int) -> Any:
        fields = _fields(value, bases)
        if fields is not None:
            return self._pairs(fields, depth)
        if _is(tuple, bases):
            return self._items(tuple.__iter__(value), depth)
        if _is(list, bases):
            return self._items(list.__iter__(value), depth)
        if _is(deque, bases):
            return self._items(deque.__iter__(value), depth)
        if _is(set, bases) or _is(frozenset, bases):
            return self._items((set if _is(set, bases) else frozenset).__iter__(value), depth)
        if _is(dict, bases):
            return self._pairs(dict.items(value), depth)
        if _is(BaseException, bases):
            return self._pairs([("args", BaseException.args.__get__(value))], depth)  # type: ignore[attr-defined]
        return self._coded(value, cls, depth)

    def _coded(self, value: Any, cls: type, depth: int) -> Any:
        """The value as the user's own hooks encode it for the store."""
        if self._codec is not None and self._codec.converter is not None:
            try:
                return self.data(self._codec.dump(value, cls, "inspect"), depth - 1)
            except Exception:  # a hook of the user's may raise anything, and there is nothing to store here
                pass
        self.opaque = True
        return self._text(_named(cls))

    def _items(self, items: Iterable[Any], depth: int) -> list[Any]:
        out: list[Any] = []
        for item in items:
            if depth <= 0 or self.left <= 0:
                self.cut = True
                out.append(CUT)
                break
            self.left -= 2
            out.append(self.data(item, depth - 1))
        return out

    def _pairs(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, item in pairs:
            if depth <= 0 or self.left <= 0:
                self.cut = True
                out[CUT] = CUT
                break
            key = self._key(name)
            out[key] = self.data(item, depth - 1)
        return out

    def _key(self, name: Any) -> str:
        data = self.data(name, 1)
        return data if type(data) is str else str(data)

    def _text(self, text: str) -> str:
        room = max(self.left, 20)
        self.left -= min(len(text), room) + 2
        if len(text) <= room:
            return text
        self.cut = True
        return text[:room] + CUT

    def _number(self, number: int) -> Any:
        if number.bit_length() > _LONGEST_INT:
            self.cut = True
            return self._text(f"<int of {number.bit_length()} bits>")
        self.left -= 8
        return number

    def _bytes(self, value: Any, base: type[bytes] | type[bytearray]) -> str:
        length = base.__len__(value)
        start = bytes(base.__getitem__(value, slice(0, 40)))
        if length > len(start):
            self.cut = True
        return self._text(f"{start!r}" + (f"{CUT} ({length} bytes)" if length > len(start) else ""))


def _is(cls: type, among: tuple[type, ...]) -> bool:
    """``cls in among`` without the `__eq__` of a metaclass."""
    return any(cls is one for one in among)


def _own_text(value: Any, cls: type) -> str | None:
    if _is(cls, _TEXTS):
        return str(value)
    if cls is datetime or cls is time:
        zone = value.tzinfo
        if _is(type(zone), _ZONES):
            return value.isoformat()  # type: ignore[no-any-return]
        return f"{value.replace(tzinfo=None).isoformat()} {_named(type(zone))}"  # the zone is the user's code
    return None


def _instance_dict(value: Any, bases: tuple[type, ...]) -> dict[str, Any]:
    for base in bases:
        descriptor = _SPACE(base).get("__dict__")
        if type(descriptor) is GetSetDescriptorType:
            try:
                found = descriptor.__get__(value)
            except (AttributeError, TypeError):
                continue
            return found if type(found) is dict else {}
    return {}


def _fields(value: Any, bases: tuple[type, ...]) -> list[tuple[str, Any]] | None:
    """The fields that the class declares, with what the instance has in them; None if it declares none."""
    names = _field_names(bases)
    if names is None:
        return None
    if _is(tuple, bases):  # a named tuple
        return list(zip(names, tuple.__iter__(value), strict=False))
    kept = _instance_dict(value, bases)
    found = [(name, kept[name] if name in kept else _slot(value, bases, name)) for name in names]
    return [(name, item) for name, item in found if item is not _MISSING]


def _field_names(bases: tuple[type, ...]) -> list[str] | None:
    for base in bases:
        space = _SPACE(base)
        if type(declared := space.get("__attrs_attrs__")) is not NoneType and _is(tuple, _MRO(type(declared))):
            return [one.name for one in tuple.__iter__(declared) if type(one) is attrs.Attribute]
        for where in ("__dataclass_fields__", "__pydantic_fields__"):
            if type(declared := space.get(where)) is dict:
                return [name for name in declared if type(name) is str]
        if _is(tuple, bases) and type(declared := space.get("_fields")) is tuple:
            return [name for name in declared if type(name) is str]
    return None


def _slot(value: Any, bases: tuple[type, ...], name: str) -> Any:
    for base in bases:
        descriptor = _SPACE(base).get(name)
        if type(descriptor) is MemberDescriptorType:
            try:
                return descriptor.__get__(value)
            except AttributeError:
                return _MISSING
    return _MISSING
