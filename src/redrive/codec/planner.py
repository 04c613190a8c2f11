"""From a declared type to its plan, made once per type and kept."""

from __future__ import annotations

import collections.abc as abc
import enum
import functools
import inspect
import sys
import threading
import types
import typing
from pathlib import PurePath
from typing import Any, Final, ForwardRef, Literal, Never, NoReturn, TypeVar, get_args, get_origin

import attrs

from redrive.codec.choices import enum_plan, flag_plan, literal_plan
from redrive.codec.containers import fixed_plan, list_plan, mapping_plan, sequence_plan, set_plan, variadic_plan
from redrive.codec.fields import shape_of, substitute, typed_dict_fields
from redrive.codec.hooks import Hooks
from redrive.codec.moments import MOMENTS
from redrive.codec.plans import ANY_KIND, Plan, Wrong, is_tagged, other_form, refuse_value, refusing, show
from redrive.codec.records import record_plan, typed_dict_plan
from redrive.codec.scalars import SCALARS, dump_str, load_str
from redrive.codec.subclasses import collection_plan, scalar_plan
from redrive.codec.unions import union_plan
from redrive.codec.untyped import ANY

_LISTS: Final = {list, abc.MutableSequence}
_SEQUENCES: Final = {abc.Sequence, abc.Collection, abc.Iterable, abc.Reversible, abc.Container}
_MAPPINGS: Final = {dict, abc.Mapping, abc.MutableMapping}
_SETS: Final[dict[Any, tuple[type, ...]]] = {
    set: (set,),
    frozenset: (frozenset,),
    abc.MutableSet: (set,),
    abc.Set: (set, frozenset),
}
_WRAPPERS: Final = ("Final", "Required", "NotRequired", "ReadOnly")
_KNOWN: Final[dict[Any, Plan]] = {**SCALARS, **MOMENTS, None: SCALARS[type(None)], Any: ANY, object: ANY}


class Planner:
    """Makes and keeps plans. Any thread may ask."""

    def __init__(self, hooks: Hooks | None) -> None:
        self.plans: dict[Any, Plan] = {}
        self._hooks = hooks
        self._growing: dict[Any, Plan] = {}
        self._promised: set[Any] = set()
        self._lock = threading.RLock()

    def plan(self, type_: Any) -> Plan:
        """The plan of *type_*. A type that cannot be stored has one that says so; raises `Wrong` only for
        annotations that cannot be resolved (yet)."""
        try:
            known = self.plans.get(type_)
        except TypeError:  # an Annotated with metadata that has no hash
            return self._build(type_)
        if known is not None:
            return known
        with self._lock:
            if type_ in self._growing:
                self._promised.add(type_)
                return self._growing[type_]
            return self._grow(type_)

    def _grow(self, type_: Any) -> Plan:
        """Make the plan of a type that may contain itself: its parts get a promise of the plan, which is filled before anyone
        calls it."""
        outermost = not self._growing
        promise = self._growing[type_] = _promise(type_)
        try:
            plan = self._build(type_)
            if type_ in self._promised:
                _keep(promise, plan)
                plan = promise
            self._growing[type_] = plan
            if outermost:
                self.plans.update(self._growing)
        finally:
            if outermost:
                self._growing.clear()
                self._promised.clear()
        return plan

    def _build(self, type_: Any) -> Plan:
        if self._hooks is not None and (own := self._hooks.plan(type_)) is not None:
            return own
        return self.ours(type_)

    def ours(self, type_: Any) -> Plan:
        """A new plan of *type_* that ignores hooks for the type itself, but not for its parts."""
        if _is_hashable(type_) and (known := _KNOWN.get(type_)) is not None:
            return known
        try:
            return self._of_alias(type_) or self._of_class(type_) or refusing(show(type_), _UNSTORABLE)
        except _Impossible as error:
            return refusing(show(type_), str(error))

    def _of_alias(self, type_: Any) -> Plan | None:
        """The plan of a type that is not a plain class: generic alias, union, Literal, Annotated, NewType, type variable."""
        if isinstance(type_, (str, ForwardRef)):
            _resolved(type_)
        if isinstance(type_, TypeVar):
            constraints: tuple[Any, ...] = type_.__constraints__
            return self.plan(_union(constraints) if constraints else type_.__bound__ or Any)
        if isinstance(type_, typing.NewType):
            return self.plan(type_.__supertype__)
        if _is_named_alias(type_):
            return self.plan(type_.__value__)
        if type_ is NoReturn or type_ is Never:
            return refusing("Never", "no value has this type")
        origin, args, name = get_origin(type_), get_args(type_), show(type_)
        if origin is typing.Union or origin is types.UnionType:
            return union_plan(name, tuple(self.plan(arg) for arg in args))
        if origin is Literal:
            return literal_plan(name, args)
        if origin is typing.Annotated or getattr(origin, "_name", None) in _WRAPPERS:
            return self.plan(args[0])
        if _is_named_alias(origin):
            return self.plan(substitute(origin.__value__, dict(zip(origin.__type_params__, args, strict=False))))
        if origin is tuple and args[1:] != (Ellipsis,) and (args or repr(type_).endswith("[()]")):
            return fixed_plan(name, tuple(self.plan(arg) for arg in args))
        return self._of_container(origin or type_, args, name)

    def _of_container(self, origin: Any, args: tuple[Any, ...], name: str) -> Plan | None:
        if not _is_hashable(origin):
            return None
        if origin in _MAPPINGS:
            keys, items = args or (Any, Any)
            return mapping_plan(name, self.plan(keys), self.plan(items))
        if origin is tuple:
            return variadic_plan(name, self.plan(args[0] if args else Any))
        item = args[0] if args else Any
        if origin in _LISTS:
            return list_plan(name, self.plan(item))
        if origin in _SEQUENCES:
            return sequence_plan(name, self.plan(item))
        if origin in _SETS:
            return set_plan(name, self.plan(item), _SETS[origin])
        return collection_plan(origin, args, name, self.plan)

    def _of_class(self, type_: Any) -> Plan | None:
        cls: Any = get_origin(type_) or type_
        if not inspect.isclass(cls):
            return None
        if issubclass(cls, enum.Enum) and cls.__members__:
            return flag_plan(cls) if issubclass(cls, enum.Flag) else enum_plan(cls)
        if _is_typed_dict(cls):
            fields = typed_dict_fields(type_)
            return typed_dict_plan(show(type_), fields, {field.name: self.plan(field.type) for field in fields})
        models = _models()
        if models is not None and models.is_model(cls):
            made: Plan = models.model_plan(cls, self.plan)
            return made
        if (shape := shape_of(type_)) is not None:
            return record_plan(show(type_), shape, {field.name: self.plan(field.type) for field in shape.fields})
        return _path_plan(cls) or scalar_plan(cls) or (None if models is None else models.own_plan(cls, self.plan))


def _models() -> types.ModuleType | None:
    """The module for pydantic's types; None in a program that has not imported pydantic."""
    if "pydantic" not in sys.modules:
        return None
    from redrive.codec import models

    return models


_UNSTORABLE: Final = "values of this class cannot be stored: use an attrs class or a dataclass, or give converter= hooks for it"


class _Impossible(Exception):
    """A type that cannot be stored, and why."""


def _resolved(name: str | ForwardRef) -> NoReturn:
    # Also for one that is resolved: typing shares it among modules, and another module may have resolved it.
    text = name if isinstance(name, str) else name.__forward_arg__
    raise Wrong(text, "this annotation cannot be resolved at run time")


def _promise(type_: Any) -> Plan:
    """A promise of the plan of *type_*. For a class it knows already how values and data look, which a union needs."""
    cls = get_origin(type_) or type_
    kinds, classes = (frozenset({"dict"}), (cls,)) if inspect.isclass(cls) else (ANY_KIND, ())
    plan = Plan(show(type_), lambda value: plan.dump(value), lambda data: plan.load(data), kinds, classes, endless=True)
    return plan


def _keep(promise: Plan, plan: Plan) -> None:
    for field in attrs.fields(Plan):
        setattr(promise, field.name, getattr(plan, field.name))


def _union(types: tuple[Any, ...]) -> Any:
    return functools.reduce(lambda one, other: one | other, types)


def _is_hashable(type_: Any) -> bool:
    try:
        hash(type_)
    except TypeError:
        return False
    return True


def _is_named_alias(type_: Any) -> bool:
    """A ``type X = …`` of Python 3.12, or its backport."""
    return type(type_).__name__ == "TypeAliasType" and hasattr(type_, "__value__")


def _is_typed_dict(cls: Any) -> bool:
    return dict in cls.__mro__ and hasattr(cls, "__required_keys__")


def _path_plan(cls: Any) -> Plan | None:
    if not issubclass(cls, PurePath):
        return None
    name = show(cls)
    try:
        concrete = type(cls())
    except NotImplementedError:
        raise _Impossible("paths of another operating system cannot be made on this one") from None

    def dump(value: Any) -> Any:
        if type(value) is not concrete:
            raise refuse_value(value, name)
        return dump_str(str(value))

    def load(data: Any) -> Any:
        if is_tagged(data) and data["$"] != "str":
            return other_form(data, name, load, f"{cls.__module__}.{name}")
        return cls(load_str(data))

    return Plan(name, dump, load, frozenset({"str"}), (concrete,), frozenset({"str"}))
