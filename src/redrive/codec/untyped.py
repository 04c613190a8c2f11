"""Values without a declared type: JSON as it is, Python's built-in types under a tag, nothing else."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import attrs

from redrive.codec import moments, scalars
from redrive.codec.ordering import in_order
from redrive.codec.plans import ANY_KIND, ARRAY, KINDS, OBJECT, TAG, Data, Dump, Load, Plan, Wrong, index, key, show, tagged, untagged
from redrive_interpreter.keys import Key


def dump_any(value: Any) -> Data:
    try:
        dump = _DUMPS[type(value)]
    except KeyError:
        raise _undeclared(value) from None
    return dump(value)


def load_any(data: Data) -> Any:
    if type(data) is OBJECT:
        return _load_dict(data)
    if type(data) is ARRAY:
        return _load_list(data)
    return data


def _dump_list(value: Any) -> Data:
    out: list[Data] = []
    try:
        out.extend(map(dump_any, value))
    except Wrong as wrong:
        raise wrong.under(index(len(out))) from wrong.__cause__
    return out


def _load_list(data: list[Data]) -> list[Any]:
    out: list[Any] = []
    try:
        out.extend(map(load_any, data))
    except Wrong as wrong:
        raise wrong.under(index(len(out))) from None
    return out


def _dump_dict(value: dict[Any, Any]) -> Data:
    for name in value:
        if not scalars.is_plain_key(name):
            return tagged("dict", _dump_pairs(value))
    out: dict[str, Data] = {}
    name = None
    try:
        for name, item in value.items():
            out[name] = dump_any(item)
    except Wrong as wrong:
        raise wrong.under(key(name)) from wrong.__cause__
    return out


def _load_dict(data: dict[str, Data]) -> Any:
    if TAG in data:
        tag, inner = untagged(data, "Any")
        load = _LOADS.get(tag)
        if load is None:
            raise Wrong("Any", f"stored is a value with the tag {tag!r}, which means something only to a declared type")
        return load(inner)
    out: dict[str, Any] = {}
    name = ""
    try:
        for name, item in data.items():
            out[name] = load_any(item)
    except Wrong as wrong:
        raise wrong.under(key(name)) from None
    return out


def _dump_pairs(value: dict[Any, Any]) -> Data:
    out: list[Data] = []
    name = None
    try:
        for name, item in value.items():
            out.append([dump_any(name), dump_any(item)])
    except Wrong as wrong:
        raise wrong.under(key(name)) from wrong.__cause__
    return out


def _load_pairs(data: Data) -> dict[Any, Any]:
    try:
        return {load_any(name): load_any(item) for name, item in data}
    except (TypeError, ValueError):
        raise Wrong("dict", "the stored pairs do not make a mapping") from None


def _load_set(data: Data) -> set[Any]:
    try:
        return set(_load_list(data))
    except TypeError:
        raise Wrong("set", "the stored items do not make a set") from None


def _dump_set(value: Any) -> Data:
    return in_order([dump_any(item) for item in value])


def _undeclared(value: object) -> Wrong:
    name = show(type(value))
    if isinstance(value, type):
        return Wrong("Any", f"the class {show(value)} itself is not a value that can be stored")
    if attrs.has(type(value)) or hasattr(type(value), "__dataclass_fields__") or isinstance(value, (enum.Enum, tuple)):
        advice = "annotate the parameter, the result or the field, or give the StepId, Signal or Event a type"
        return Wrong("Any", f"a value of class {name} needs a declared type: {advice}")
    if callable(value):
        return Wrong("Any", f"a {name} cannot be stored: pass what it needs as plain values")
    return Wrong("Any", f"a value of class {name} cannot be stored without a declared type")


def _tagging(tag: str, dump: Dump) -> Dump:
    return lambda value: tagged(tag, dump(value))


_BUILTIN: Final[tuple[tuple[str, type, Dump, Load], ...]] = (
    ("tuple", tuple, _dump_list, lambda data: tuple(_load_list(data))),
    ("set", set, _dump_set, _load_set),
    ("frozenset", frozenset, _dump_set, lambda data: frozenset(_load_set(data))),
    ("bytes", bytes, scalars.dump_bytes, scalars.read_bytes),
    ("bytearray", bytearray, scalars.dump_bytearray, scalars.load_bytearray),
    ("complex", complex, scalars.dump_complex, scalars.load_complex),
    ("decimal", Decimal, scalars.dump_decimal, scalars.load_decimal),
    ("uuid", UUID, scalars.dump_uuid, scalars.load_uuid),
    ("key", Key, scalars.dump_key, scalars.load_key),
    ("date", date, moments.dump_date, moments.load_date),
    ("datetime", datetime, moments.dump_datetime, moments.load_datetime),
    ("time", time, moments.dump_time, moments.load_time),
    ("timedelta", timedelta, moments.dump_timedelta, moments.load_timedelta),
)

_DUMPS: Final[dict[type, Dump]] = {
    type(None): lambda value: value,
    bool: lambda value: value,
    int: scalars.dump_int,
    float: scalars.dump_float,
    str: scalars.dump_str,
    list: _dump_list,
    dict: _dump_dict,
    **{cls: _tagging(tag, dump) for tag, cls, dump, _ in _BUILTIN},
}
_LOADS: Final[dict[str, Load]] = {
    "int": lambda data: scalars.read_int(tagged("int", data)),
    "float": lambda data: scalars.read_float(tagged("float", data)),
    "str": lambda data: scalars.load_str(tagged("str", data)),
    "dict": _load_pairs,
    # Names that a union gives to types with the same form here.
    "Any": load_any,
    "Decimal": scalars.load_decimal,
    "UUID": scalars.load_uuid,
    "Key": scalars.load_key,
    **{tag: load for tag, _, _, load in _BUILTIN},
}

ANY: Final = Plan("Any", dump_any, load_any, ANY_KIND, tuple(KINDS), frozenset(_LOADS), endless=True, anything=True)
