"""Types with a fixed list of values: enums and Literals.

An enum member is stored by its name: two members may trade values (``auto()`` makes them do so when a line
is inserted), and then a stored value would silently mean the other one. Flags have no name for a
combination, and are stored by value.
"""

from __future__ import annotations

import enum
from typing import Any

from redrive.codec.plans import KINDS, OBJECT, TAG, Data, Plan, Wrong, brief, is_tagged, other_form, refuse_data, refuse_value, show, tagged
from redrive.codec.scalars import dump_bytes, dump_int, load_int


def enum_plan(cls: type[enum.Enum]) -> Plan:
    name = show(cls)
    members = cls.__members__

    def dump(value: Any) -> Data:
        if type(value) is not cls:
            raise refuse_value(value, name)
        return value.name

    def load(data: Data) -> Any:
        if type(data) is str:
            try:
                return members[data]
            except KeyError:
                raise Wrong(name, f"there is no member {brief(data)} (any more)") from None
        return other_form(data, name, load, f"{cls.__module__}.{name}")

    return Plan(name, dump, load, frozenset({"str"}), (cls,), small=True)


def flag_plan(cls: type[enum.Flag]) -> Plan:
    name = show(cls)

    def dump(value: Any) -> Data:
        if type(value) is not cls:
            raise refuse_value(value, name)
        return dump_int(value.value)

    def load(data: Data) -> Any:
        if is_tagged(data) and data[TAG] != "int":
            return other_form(data, name, load, f"{cls.__module__}.{name}")
        number = load_int(data)
        try:
            flag = cls(number)
        except ValueError:
            flag = None
        if type(flag) is not cls:
            raise Wrong(name, f"{number} has bits that are no member (any more)")
        return flag

    return Plan(name, dump, load, frozenset({"int"}), (cls,), frozenset({"int"}), small=True)


def literal_plan(name: str, values: tuple[Any, ...]) -> Plan:
    """Each value as itself; members of enums by name, with a tag unless all are of one enum."""
    if values and isinstance(values[0], enum.Enum) and all(type(value) is type(values[0]) for value in values):
        return _members_plan(name, values)
    stored: dict[tuple[type, Any], Data] = {}
    found: dict[tuple[type, Any], Any] = {}
    for value in values:
        data = _dump_literal(value)
        stored[type(value), value] = data
        found[_identity(data)] = value

    def dump(value: Any) -> Data:
        try:
            return stored[type(value), value]
        except (KeyError, TypeError):
            raise Wrong(name, f"the value {brief(value)} is none of these") from None

    def load(data: Data) -> Any:
        try:
            return found[_identity(data)]
        except (KeyError, TypeError):
            pass
        if type(data) is str and len(named := [value for value in values if isinstance(value, enum.Enum) and value.name == data]) == 1:
            return named[0]  # it was stored when the type was that enum alone
        return other_form(data, name, load, *tags)

    tags = {"Literal", *(show(type(value)) for value in values)}
    plain = all(type(data) in KINDS and type(data) is not OBJECT for data in stored.values())
    kinds = frozenset(KINDS[type(data)] for data in stored.values())
    return Plan(name, dump, load, kinds, tuple({type(value): None for value in values}), plain=plain, small=True)


def _members_plan(name: str, values: tuple[Any, ...]) -> Plan:
    cls = values[0].__class__
    plan = enum_plan(cls)

    def dump(value: Any) -> Data:
        data = plan.dump(value)
        if value not in values:
            raise Wrong(name, f"the value {brief(value)} is none of these")
        return data

    def load(data: Data) -> Any:
        value = load_wrapped(data) if is_tagged(data) else plan.load(data)
        if value not in values:
            raise refuse_data(data, name)
        return value

    def load_wrapped(data: Data) -> Any:
        return other_form(data, name, load, "Literal", plan.name, f"{cls.__module__}.{plan.name}")

    return Plan(name, dump, load, plan.kinds, plan.classes, small=True)


def _dump_literal(value: Any) -> Data:
    if isinstance(value, enum.Enum):
        return tagged(show(type(value)), value.name)
    if type(value) is bytes:
        return tagged("bytes", dump_bytes(value))
    return value


def _identity(data: Data) -> tuple[type, Any]:
    if type(data) is OBJECT:
        return dict, tuple(sorted(data.items()))
    return data.__class__, data
