"""Declared types that are subclasses of built-in ones: the collections of the standard library, and users' own kinds of text and number.

Each comes back as an instance of its class. A value with more state than its base (attributes, a ``defaultdict`` with another
factory than its type says) is refused.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, Final, get_origin

from redrive.codec.containers import list_plan, mapping_plan
from redrive.codec.plans import Data, Plan, Wrong, brief, is_tagged, other_form, refuse_value, show
from redrive.codec.scalars import SCALARS

_BASES: Final = (str, int, float, bytes)


def collection_plan(origin: Any, args: tuple[Any, ...], name: str, plan_of: Callable[[Any], Plan]) -> Plan | None:
    """The plan of an `OrderedDict`, `Counter`, `defaultdict` or `deque`, None if *origin* is none of them."""
    if origin is OrderedDict:
        keys, items = args or (Any, Any)
        return _as(OrderedDict, mapping_plan(name, plan_of(keys), plan_of(items)), name, dict, OrderedDict)
    if origin is Counter:
        return _as(Counter, mapping_plan(name, plan_of(args[0] if args else Any), plan_of(int)), name, dict, Counter)
    if origin is defaultdict:
        keys, items = args or (Any, Any)
        factory = _factory(items)

        def plain(value: Any) -> Any:
            if value.default_factory is not factory:
                made = getattr(value.default_factory, "__name__", value.default_factory)
                raise Wrong(name, f"its default_factory is {made}, and only the one that its type says ({show(factory)}) comes back")
            return dict(value)

        return _as(defaultdict, mapping_plan(name, plan_of(keys), plan_of(items)), name, plain, lambda data: defaultdict(factory, data))
    if origin is deque:

        def bounded(value: Any) -> Any:
            if value.maxlen is not None:
                raise Wrong(name, f"its maxlen is {value.maxlen}, which would be lost")
            return list(value)

        return _as(deque, list_plan(name, plan_of(args[0] if args else Any)), name, bounded, deque)
    return None


def _as(cls: Any, plan: Plan, name: str, plain: Callable[[Any], Any], make: Callable[[Any], Any]) -> Plan:
    def dump(value: Any) -> Data:
        if type(value) is not cls:
            raise refuse_value(value, name)
        return plan.dump(plain(value))

    def load(data: Data) -> Any:
        return make(plan.load(data))

    return Plan(name, dump, load, plan.kinds, (cls,), plan.escapes, endless=plan.endless)


def _factory(items: Any) -> Any:
    """The factory of a `defaultdict`, by the type of its items; None if the type does not tell."""
    cls = get_origin(items) or items
    return cls if isinstance(cls, type) and cls is not object and cls is not type(None) else None


def scalar_plan(cls: Any) -> Plan | None:
    """The plan of a class derived from str, int, float or bytes."""
    base: Any = next((base for base in _BASES if issubclass(cls, base)), None)
    if base is None:
        return None
    plan, name = SCALARS[base], show(cls)

    def make(plain: Any) -> Any:
        try:
            made = cls(plain)
        except Exception as error:
            raise Wrong(name, f"it cannot be made of a {base.__name__} alone: {type(error).__name__}: {error}") from error
        return made

    def dump(value: Any) -> Data:
        if type(value) is not cls:
            raise refuse_value(value, name)
        plain = base.__new__(base, value) if base is not str else str.__str__(value)
        made = make(plain)
        if type(made) is not cls or made != value or vars_of(made) != vars_of(value):
            raise Wrong(name, f"made of {brief(plain)} it would come back as something else")
        return plan.dump(plain)

    def load(data: Data) -> Any:
        if is_tagged(data) and data["$"] not in plan.escapes:
            return other_form(data, name, load, f"{cls.__module__}.{name}")
        return make(plan.load(data))

    return Plan(name, dump, load, plan.kinds, (cls,), plan.escapes)


def vars_of(value: Any) -> Any:
    return getattr(value, "__dict__", {})
