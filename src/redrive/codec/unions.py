"""Unions: which member a value, or data, belongs to.

Members whose data cannot be mistaken for another's are stored as they are: ``Order | None`` is an object or
null. The rest wear the name of their type: ``{"$": "Card", "v": {…}}``. The name is only ever looked up among
the members of the declared union, never imported.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from redrive.codec.ordering import same
from redrive.codec.plans import (
    ARRAY,
    KINDS,
    OBJECT,
    TAG,
    Data,
    Plan,
    Wrong,
    describe,
    is_tagged,
    kind_of,
    refuse_data,
    refuse_value,
    tagged,
)
from redrive.codec.scalars import SCALARS, load_str, under_tag


def union_plan(name: str, members: tuple[Plan, ...]) -> Plan:
    members = tuple(dict.fromkeys(members))  # a NewType has the plan of what it is new of
    if len(members) == 1:
        return members[0]
    others = [plan for plan in members if plan.kinds != SCALARS[type(None)].kinds]
    if len(others) == 1 and len(members) == 2:
        return _optional(name, others[0])
    return _Union(name, members).plan()


def _optional(name: str, plan: Plan) -> Plan:
    if plan.anything:
        return plan
    encode, decode = plan.dump, plan.load

    def dump(value: Any) -> Data:
        return None if value is None else encode(value)

    def load(data: Data) -> Any:
        return None if data is None else decode(data)

    return Plan(
        name,
        dump,
        load,
        plan.kinds | {"null"},
        (*plan.classes, type(None)),
        plan.escapes,
        plain=plan.plain,
        small=plan.small,
        endless=plan.endless,
        anything=plan.anything,
    )


class _Union:
    def __init__(self, name: str, members: tuple[Plan, ...]) -> None:
        self.name = name
        self.members = members
        bare = [plan for plan in members if _stands_out(plan, members)]
        tags = _tags([plan for plan in members if plan not in bare])
        self.tagged = {tag: plan for plan, tag in tags.items()}
        self.by_class: dict[type, list[tuple[str | None, Plan]]] = {}
        for plan in members:
            for cls in plan.classes if not plan.anything else ():
                self.by_class.setdefault(cls, []).append((tags.get(plan), plan))
        if float in self.by_class:  # an int is a float to the type checkers
            self.by_class[int] = self.by_class.get(int, []) + self.by_class[float]
        self.catch_all = [(tags.get(plan), plan) for plan in members if plan.anything]
        self.by_kind = {kind: [plan for plan in bare if kind in plan.kinds] for kind in KINDS.values()}
        self.by_escape = {escape: plan for plan in reversed(bare) for escape in plan.escapes}

    def dump(self, value: object) -> Data:
        candidates = self.by_class.get(type(value)) or self._by_base(value) or self.catch_all
        deepest: Wrong | None = None
        for tag, plan in candidates:
            try:
                data = plan.dump(value)
            except Wrong as wrong:
                if deepest is None or len(wrong.steps) > len(deepest.steps):
                    deepest = wrong
            else:
                if tag is None:
                    return data
                return tagged(tag, under_tag(data) if tag == "str" else data)
        raise deepest or refuse_value(value, self.name)

    def load(self, data: Data) -> Any:
        if type(data) is OBJECT and type(tag := data.get(TAG)) is str:
            plan = self.tagged.get(tag)
            if plan is not None and len(data) == 2 and "v" in data:
                try:
                    return load_str(data) if plan is _STR else plan.load(data["v"])
                except Wrong as wrong:
                    return self._other_form(data, wrong)
            candidates = [self.by_escape[tag]] if tag in self.by_escape else self.by_kind["dict"]
        else:
            candidates = self.by_kind.get(kind_of(data), [])
        deepest: Wrong | None = None
        for plan in candidates:
            try:
                return plan.load(data)
            except Wrong as wrong:
                if deepest is None or len(wrong.steps) > len(deepest.steps):
                    deepest = wrong
        return self._other_form(data, deepest)

    def _other_form(self, data: Data, deepest: Wrong | None) -> Any:
        """Read *data* that was stored when the type was another, by the one member that can (N6)."""
        found: list[tuple[Plan, Any]] = []
        for plan in self.members:
            if plan.fields is not None and type(data) is OBJECT and data and TAG not in data and not plan.fields & data.keys():
                continue  # a class whose fields may all be missing would read anything
            try:
                value = plan.load(data)
            except Wrong as wrong:
                if deepest is None or len(wrong.steps) > len(deepest.steps):
                    deepest = wrong
            else:
                if _was_written(plan, value, data) and not any(_alike(value, other) for _, other in found):
                    found.append((plan, value))
        if len(found) > 1:
            found = _plainest(found, data)
        if len(found) > 1:
            names = " and ".join(plan.name for plan, _ in found)
            raise Wrong(self.name, f"stored is {describe(data)}, which {names} can read: nothing tells which of them stored it")
        if found:
            return found[0][1]
        if deepest is None or not deepest.steps:
            raise refuse_data(data, self.name)
        if self.name not in deepest.problem:
            deepest.problem += f", and no other of {self.name} reads it either"
        raise deepest

    def plan(self) -> Plan:
        tags: frozenset[str] = frozenset(self.tagged) | frozenset(self.by_escape)
        kinds = frozenset(kind for plan in self.members for kind in plan.kinds)
        return Plan(
            self.name,
            self.dump,
            self.load,
            kinds | {"dict"} if self.tagged else kinds,
            tuple({cls: None for plan in self.members for cls in plan.classes}),
            tags,
            plain=not self.tagged and all(plan.plain for plan in self.members),
            small=all(plan.small for plan in self.members),
            endless=any(plan.endless for plan in self.members),
            anything=bool(self.catch_all),
            refuses=self.members[0].refuses if all(plan.refuses for plan in self.members) else None,
        )

    def _by_base(self, value: object) -> list[tuple[str | None, Plan]]:
        """The members by base class that take subclasses; only those with the user's hooks do."""
        return [found for cls in type(value).__mro__[1:-1] for found in self.by_class.get(cls, ()) if found[1].takes_subclasses]


_STR: Final = SCALARS[str]
_UNMISTAKABLE: Final[dict[type, Callable[[str], bool]]] = {
    date: lambda text: True,
    datetime: lambda text: True,
    time: lambda text: True,
    UUID: lambda text: True,
    Decimal: lambda text: "." in text,
}
"""Types whose text form is hardly ever anything else. A number without a point is not among them: it may be an id."""

_EXACT: Final = frozenset({*_UNMISTAKABLE, bytes, bytearray, complex, timedelta})
"""Types for which the data of a value does not depend on its declared type."""


def _was_written(plan: Plan, value: Any, data: Data) -> bool:
    """Whether a value of *plan* is ever stored as *data*: ``date`` reads more texts than it writes."""
    return type(value) not in _EXACT or plan.classes != (type(value),) or is_tagged(data) or same(plan.dump(value), data)


def _alike(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # a class of the user's
        return False


def _plainest(found: list[tuple[Plan, Any]], data: Data) -> list[tuple[Plan, Any]]:
    """*found* without the members that read almost anything: text in the form of a date is a date, and an array a list, where
    those are members."""
    classes = [plan.classes for plan, _ in found]
    if type(data) is str and (str,) in classes:
        others = [(plan, value) for plan, value in found if plan.classes != (str,)]
        telling = _UNMISTAKABLE.get(others[0][0].classes[0]) if len(others) == 1 and others[0][0].classes else None
        return others if telling is not None and telling(data) else found
    if type(data) is ARRAY and (list,) in classes:
        return [(plan, value) for plan, value in found if not isinstance(value, tuple)]
    return found


def _stands_out(plan: Plan, members: tuple[Plan, ...]) -> bool:
    rivals = [other for other in members if other is not plan and other.kinds & plan.kinds]
    return not rivals or (plan.plain and all(other.plain for other in rivals))


def _tags(plans: list[Plan]) -> dict[Plan, str]:
    """The name for each plan: that of its type, with the module where two types share it."""
    tags: dict[Plan, str] = {}
    names = [plan.name for plan in plans]
    for plan in plans:
        ambiguous = names.count(plan.name) > 1
        tags[plan] = ".".join([*(f"{cls.__module__}" for cls in plan.classes), plan.name]) if ambiguous else plan.name
    if len(set(tags.values())) < len(tags):
        raise Wrong(" | ".join(names), "two members of this union have one name, and their values could not be told apart")
    return tags
