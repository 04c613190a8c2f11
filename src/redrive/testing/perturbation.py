"""Perturb the world for a while: a wrong clock, other random numbers, another environment, sets in another order.

What the workflow's module imported by name is changed there too. A set literal cannot be reached; sets that come
from outside (*reorder*) and those that ``set(…)`` makes can.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownLambdaType=false
from __future__ import annotations

import contextlib
import datetime as dt
import functools
import os
import random
import time
from collections.abc import Callable, Generator, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from redrive.codec import JsonCodec

if TYPE_CHECKING:
    from redrive_interpreter import Signature, Workflow

Facet: TypeAlias = Literal["the clock", "random numbers", "the environment", "the order of a set"]
FACETS: Final[tuple[Facet, ...]] = ("the clock", "random numbers", "the environment", "the order of a set")
_SEEDS: Final = (1, 2)  # their first numbers are small and large, so that a random branch goes both ways
_LUCK: Final = tuple(random.Random(seed).getstate() for seed in _SEEDS)
_FIRST: Final = tuple(random.Random(seed).random() for seed in _SEEDS)
_SHIFTS: Final = (dt.timedelta(days=431, hours=7, seconds=13.5), dt.timedelta(days=-3, hours=-11, seconds=-1.25))
_FILLERS: Final = tuple(object() for _ in range(30))
WORLDS: Final = 2
_SETS: Final = (("set", set), ("frozenset", frozenset))
_NOW: Final = ("now", "utcnow", "today")


class _Disguised(type):
    """The metaclass of a class that replaces *real*: it makes real instances, and real instances are its instances."""

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


def _turned(items: list[Any]) -> list[Any]:
    """*items* in reverse; of an odd number, the middle one is moved as well, so that none keeps its place."""
    items.reverse()
    if len(items) % 2 and len(items) > 1:
        middle = len(items) // 2
        items[middle], items[middle + 1] = items[middle + 1], items[middle]
    return items


class _Turned(frozenset[Any]):
    """A frozen set that iterates in another order. Stored values are made plain again."""

    def __iter__(self) -> Any:
        return iter(_turned(list(super().__iter__())))


class _TurnedSet(set[Any]):
    """A set that iterates in another order, and pops another member first."""

    def __iter__(self) -> Any:
        return iter(_turned(list(super().__iter__())))

    def pop(self) -> Any:
        for item in self:
            self.discard(item)
            return item
        return super().pop()

    def copy(self) -> Any:
        return _TurnedSet(super().copy())


_TURNED: Final[dict[type, Callable[[Any], Any]]] = {_Turned: frozenset, _TurnedSet: set}
_PLAIN: Final = frozenset((str, int, float, bool, bytes, type(None)))


def _plain(value: Any, depth: int) -> Any:
    """*value* without turned sets; containers of one are copied."""
    cls: Any = type(value)
    if cls in _PLAIN or depth > 20:
        return value
    if cls in _TURNED:
        return _TURNED[cls](value)
    if cls is list or cls is tuple:
        return cls([_plain(item, depth + 1) for item in value])
    if cls is dict:
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    changed: dict[str, Any] = {}
    for name in _fields(cls):
        before = getattr(value, name, None)
        if type(before) in _PLAIN:
            continue
        after = _plain(before, depth + 1)
        if after is not before and after != [] and after != {} and after != ():
            changed[name] = after
    return _with(value, cls, changed) if changed else value


def _with(value: Any, cls: Any, changed: dict[str, Any]) -> Any:
    """A copy of *value* with other fields; ``copy.copy`` takes four times as long."""
    made = object.__new__(cls)
    if hasattr(value, "__dict__"):
        made.__dict__.update(value.__dict__)
    for name in _fields(cls):
        if name in changed or hasattr(value, name):
            object.__setattr__(made, name, changed[name] if name in changed else getattr(value, name))
    return made


@functools.cache
def _set_class(real: Any) -> Any:
    made = _Disguised(real.__name__, (), {"__new__": lambda cls, *args: _reordered(real(*args))})
    made.real = real
    return made


class Used:
    """Whether random numbers or sets were used since `forget`: other numbers may change nothing by chance, and turned sets must
    be made plain."""

    luck: bool = False
    sets: bool = False

    def forget(self) -> None:
        self.luck = self.sets = False


used: Final = Used()


def _reordered(items: Any) -> Any:
    """The same set in another order. Numbers have the same order in every process; only the size of the table may change it."""
    if len(items) < 2:
        return items
    for item in items:
        if not isinstance(item, int):
            used.sets = True
            return _Turned(items) if type(items) is frozenset else _TurnedSet(items)
    if type(items) is set:
        items.update(_FILLERS)
        items.difference_update(_FILLERS)
    return items


@functools.cache
def _clock(n: int) -> list[tuple[Any, str, Any]]:
    shift = _SHIFTS[n]
    seconds = shift.total_seconds()
    changes: list[tuple[Any, str, Any]] = [
        (dt, "datetime", _shifted_class(dt.datetime, shift)),
        (dt, "date", _shifted_class(dt.date, shift)),
    ]
    for name in ("time", "monotonic", "perf_counter"):
        changes.append((time, name, _later(getattr(time, name), seconds)))
        changes.append((time, f"{name}_ns", _later(getattr(time, f"{name}_ns"), int(seconds * 1e9))))
    for name in ("localtime", "gmtime"):
        changes.append((time, name, _at_another_time(getattr(time, name), seconds)))
    return changes


def _later(real: Callable[[], Any], by: float) -> Callable[[], Any]:
    return lambda: real() + by


def _at_another_time(real: Callable[[float], Any], by: float) -> Callable[..., Any]:
    now = time.time
    return lambda moment=None: real(now() + by if moment is None else moment)


class _OtherEnvironment(dict[str, str]):
    """An environment in which every variable is set, to another value."""

    def __init__(self, real: Mapping[str, str]) -> None:
        self._real = real

    def __missing__(self, key: str) -> str:
        return self._real.get(key, "") + "elsewhere"

    def get(self, key: str, default: Any = None) -> Any:
        return self[key]

    def __contains__(self, key: object) -> bool:
        return True


def _environment(n: int) -> list[tuple[Any, str, Any]]:
    return [(os, "environ", _OtherEnvironment(os.environ) if n == 0 else {})]


_CHANGES: Final[Mapping[Facet, Callable[[int], list[tuple[Any, str, Any]]]]] = {"the clock": _clock, "the environment": _environment}


@contextlib.contextmanager
def perturbed(workflow: Workflow[..., Any], n: int, facets: tuple[Facet, ...], luck: int) -> Generator[None]:
    """Perturb the module of *workflow* in the given *facets*, as world number *n*, with random state *luck*."""
    names: dict[str, Any] = getattr(workflow.fn, "__globals__", {})
    changes = [change for facet in facets if facet in _CHANGES for change in _CHANGES[facet](n)]
    before = [getattr(module, name) for module, name, _ in changes]
    replaced = {id(real): other for real, (_, _, other) in zip(before, changes, strict=True)}
    imported = {name: replaced[at] for name, value in names.items() if (at := id(value)) in replaced}
    if "the order of a set" in facets:
        imported |= {name: _set_class(real) for name, real in _SETS if name not in names}
    hidden = {name: names[name] for name in imported if name in names}
    before_luck = random.getstate()
    try:
        for module, name, other in changes:
            setattr(module, name, other)
        names.update(imported)
        random.setstate(_LUCK[luck])
        yield
    finally:
        # Drawing one more number tells whether any was drawn, in a thousandth of the time of comparing states.
        used.luck = used.luck or random.random() != _FIRST[luck]
        random.setstate(before_luck)
        for name in imported.keys() - hidden.keys():
            del names[name]
        names.update(hidden)
        for (module, name, _), real in zip(changes, before, strict=True):
            setattr(module, name, real)


class Reordering:
    """*codec*, but sets are read in another order."""

    def __init__(self, codec: JsonCodec) -> None:
        self._codec = codec
        for name in ("dump_error", "load_error", "same", "same_call"):
            setattr(self, name, getattr(codec, name))

    def dump(self, value: object, type: Any, where: str, root: str = "value") -> Any:
        return self._codec.dump(_plain(value, 0) if used.sets else value, type, where, root)

    def dump_call(self, signature: Signature, args: tuple[object, ...], kwargs: Mapping[str, object], where: str) -> Any:
        if used.sets:
            args, kwargs = tuple([_plain(arg, 0) for arg in args]), {name: _plain(arg, 0) for name, arg in kwargs.items()}
        return self._codec.dump_call(signature, args, kwargs, where)

    def load(self, data: Any, type: Any, where: str, root: str = "value") -> Any:
        return _reorder(self._codec.load(data, type, where, root), 0)

    def load_call(self, signature: Signature, data: Any, where: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = self._codec.load_call(signature, data, where)
        return tuple([_reorder(arg, 0) for arg in args]), {name: _reorder(arg, 0) for name, arg in kwargs.items()}


def _reorder(value: Any, depth: int) -> Any:
    """*value* with the sets in it in another order."""
    cls: Any = type(value)
    if cls in _PLAIN or depth > 20:
        return value
    if cls is frozenset or cls is set:
        return _reordered(value)
    if cls is list:
        value[:] = [_reorder(item, depth + 1) for item in value]
    elif cls is tuple:
        return tuple([_reorder(item, depth + 1) for item in value])
    elif cls is dict:
        for key, item in value.items():
            value[key] = _reorder(item, depth + 1)
    else:
        for name in _fields(cls):
            before = getattr(value, name, None)
            if type(before) in _PLAIN:
                continue
            after = _reorder(before, depth + 1)
            if after is not before:
                object.__setattr__(value, name, after)
    return value


@functools.cache
def _fields(cls: Hashable) -> tuple[str, ...]:
    return tuple(field.name for field in getattr(cls, "__attrs_attrs__", ())) or tuple(getattr(cls, "__dataclass_fields__", ()))
