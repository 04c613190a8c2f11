"""Another world for a while: a clock that is off, other luck, another environment, sets in another order.

What the workflow's module imported by name is changed there too. A set literal cannot be reached; sets that come
from outside (*reorder*) and those that ``set(…)`` makes can.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownLambdaType=false
from __future__ import annotations

import contextlib
import copy
import datetime as dt
import functools
import os
import random
import time
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from redrive.codec import JsonCodec

if TYPE_CHECKING:
    from redrive_interpreter import Signature, Workflow

Facet: TypeAlias = Literal["the clock", "random numbers", "the environment", "the order of a set"]
FACETS: Final[tuple[Facet, ...]] = ("the clock", "random numbers", "the environment", "the order of a set")
_LUCK: Final = tuple(
    random.Random(seed).getstate() for seed in (1, 2)
)  # the first numbers are small and large: a branch by lot goes both ways
_SHIFTS: Final = (dt.timedelta(days=431, hours=7, seconds=13.5), dt.timedelta(days=-3, hours=-11, seconds=-1.25))
_TABLES: Final = (30, 120)
_FILLERS: Final = tuple(object() for _ in range(max(_TABLES)))
WORLDS: Final = 2
_SETS: Final = (("set", set), ("frozenset", frozenset))
_NOW: Final = ("now", "utcnow", "today")


class _Disguised(type):
    """A class that stands in for *real*: what it makes is real, and what is real is one of it."""

    real: Any

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.real)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.real, name)


def _shifted_class(real: Any, shift: dt.timedelta) -> Any:
    def moved(name: str) -> Any:
        return staticmethod(lambda *args, **kwargs: getattr(real, name)(*args, **kwargs) + shift)

    names: dict[str, Any] = {name: moved(name) for name in _NOW if hasattr(real, name)}
    names["__new__"] = lambda cls, *args, **kwargs: real(*args, **kwargs)
    made = _Disguised(real.__name__, (), names)
    made.real = real
    return made


class _Turned(frozenset[Any]):
    """A frozen set read from its end: no other room can be given to one. What is stored is made plain again."""

    def __iter__(self) -> Any:
        return reversed(list(super().__iter__()))


def _plain(value: Any, depth: int) -> Any:
    """*value* without `_Turned`; what holds one is copied."""
    if not used.sets or isinstance(value, (str, int, float, type(None))) or depth > 20:
        return value
    if type(value) is _Turned:
        return frozenset(value)
    if type(value) in (list, tuple):
        return type(value)(_plain(item, depth + 1) for item in value)
    if type(value) is dict:
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    copied = value
    for name in _fields(value):
        before = getattr(value, name, None)
        after = _plain(before, depth + 1)
        if after is not before and after != [] and after != {} and after != ():
            copied = copy.copy(value) if copied is value else copied
            object.__setattr__(copied, name, after)
    return copied


@functools.cache
def _set_class(real: Any, table: int) -> Any:
    made = _Disguised(real.__name__, (), {"__new__": lambda cls, *args: _made(real, set(*args), table)})
    made.real = real
    return made


class Used:
    """Whether random numbers or sets were seen since `forget`: what one other world may by chance not change."""

    luck = False
    sets = False

    def forget(self) -> None:
        self.luck = self.sets = False


used: Final = Used()


def _made(real: Any, items: set[Any], table: int) -> Any:
    used.sets = True
    return _respread(items, table) if real is set else _Turned(items)


def _respread(items: set[Any], table: int) -> set[Any]:
    """The same set with room for *table* more, so that its members stand in another order."""
    used.sets = True
    items.update(_FILLERS[:table])
    items.difference_update(_FILLERS)
    return items


@functools.cache
def _clock(n: int) -> dict[tuple[Any, str], Any]:
    shift = _SHIFTS[n]
    seconds = shift.total_seconds()
    changes: dict[tuple[Any, str], Any] = {
        (dt, "datetime"): _shifted_class(dt.datetime, shift),
        (dt, "date"): _shifted_class(dt.date, shift),
    }
    for name in ("time", "monotonic", "perf_counter"):
        changes[time, name] = _later(getattr(time, name), seconds)
        changes[time, f"{name}_ns"] = _later(getattr(time, f"{name}_ns"), int(seconds * 1e9))
    for name in ("localtime", "gmtime"):
        changes[time, name] = _at_another_time(getattr(time, name), seconds)
    return changes


def _later(real: Callable[[], Any], by: float) -> Callable[[], Any]:
    return lambda: real() + by


def _at_another_time(real: Callable[[float], Any], by: float) -> Callable[..., Any]:
    now = time.time
    return lambda moment=None: real(now() + by if moment is None else moment)


class _OtherEnvironment(dict[str, str]):
    """Every variable is set, and to something else."""

    def __init__(self, real: Mapping[str, str]) -> None:
        self._real = real

    def __missing__(self, key: str) -> str:
        return self._real.get(key, "") + "elsewhere"

    def get(self, key: str, default: Any = None) -> Any:
        return self[key]

    def __contains__(self, key: object) -> bool:
        return True


def _environment(n: int) -> dict[tuple[Any, str], Any]:
    return {(os, "environ"): _OtherEnvironment(os.environ) if n == 0 else {}}


_CHANGES: Final[Mapping[Facet, Callable[[int], dict[tuple[Any, str], Any]]]] = {"the clock": _clock, "the environment": _environment}


@contextlib.contextmanager
def elsewhere(workflow: Workflow[..., Any], n: int, facets: tuple[Facet, ...], luck: int) -> Generator[None]:
    """World number *n* for the module of *workflow*, as far as *facets* go, with *luck* of its own."""
    names: dict[str, Any] = getattr(workflow.fn, "__globals__", {})
    changes = {place: other for facet in facets if facet in _CHANGES for place, other in _CHANGES[facet](n).items()}
    before = {place: getattr(*place) for place in changes}
    replaced = {id(before[place]): other for place, other in changes.items()}
    imported = {name: replaced[id(value)] for name, value in names.items() if id(value) in replaced}
    if "the order of a set" in facets:
        imported |= {name: _set_class(real, _TABLES[n]) for name, real in _SETS if name not in names}
    hidden = {name: names[name] for name in imported if name in names}
    before_luck = random.getstate()
    try:
        for (module, name), other in changes.items():
            setattr(module, name, other)
        names.update(imported)
        random.setstate(_LUCK[luck])
        yield
    finally:
        used.luck = used.luck or random.getstate() != _LUCK[luck]
        random.setstate(before_luck)
        for name in imported.keys() - hidden.keys():
            del names[name]
        names.update(hidden)
        for (module, name), real in before.items():
            setattr(module, name, real)


class Reordering:
    """*codec*, but sets are read in another order, number *n*."""

    def __init__(self, codec: JsonCodec, n: int) -> None:
        self._codec = codec
        self._table = _TABLES[n]
        for name in ("dump_error", "load_error", "same", "same_call"):
            setattr(self, name, getattr(codec, name))

    def dump(self, value: object, type: Any, where: str, root: str = "value") -> Any:
        return self._codec.dump(_plain(value, 0), type, where, root)

    def dump_call(self, signature: Signature, args: tuple[object, ...], kwargs: Mapping[str, object], where: str) -> Any:
        if used.sets:
            args, kwargs = tuple(_plain(arg, 0) for arg in args), {name: _plain(arg, 0) for name, arg in kwargs.items()}
        return self._codec.dump_call(signature, args, kwargs, where)

    def load(self, data: Any, type: Any, where: str, root: str = "value") -> Any:
        return self._reorder(self._codec.load(data, type, where, root), 0)

    def load_call(self, signature: Signature, data: Any, where: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = self._codec.load_call(signature, data, where)
        return tuple(self._reorder(arg, 0) for arg in args), {name: self._reorder(arg, 0) for name, arg in kwargs.items()}

    def _reorder(self, value: Any, depth: int) -> Any:
        if isinstance(value, (str, int, float, type(None))) or depth > 20:
            return value
        if type(value) is frozenset:
            used.sets = True
            return value if all(isinstance(item, int) for item in value) else _Turned(value)  # numbers keep their order anywhere
        if isinstance(value, set):
            return _respread(value, self._table)
        if isinstance(value, list):
            value[:] = [self._reorder(item, depth + 1) for item in value]
        elif type(value) is tuple:
            return tuple(self._reorder(item, depth + 1) for item in value)
        elif isinstance(value, dict):
            for key, item in value.items():
                value[key] = self._reorder(item, depth + 1)
        else:
            for name in _fields(value):
                before = getattr(value, name, None)
                after = self._reorder(before, depth + 1)
                if after is not before:
                    object.__setattr__(value, name, after)
        return value


def _fields(value: Any) -> list[str]:
    cls = type(value)
    return [field.name for field in getattr(cls, "__attrs_attrs__", ())] or list(getattr(cls, "__dataclass_fields__", ()))
