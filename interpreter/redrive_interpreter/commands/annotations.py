"""Resolve the names in a function's annotations to what they mean where the function is defined.

Annotations that are text (all of a module under ``from __future__ import annotations``) are resolved later than Python would
resolve them, and the scopes they were written in may be over by then. One rule finds the names, whichever way a function
became a step or a workflow: first the variables that the function has closed over, then the class that it is a method of,
then the functions on the stack that it is local to, innermost first, and what functions local to the same one know of it.
`typing.get_type_hints` adds the module and the builtins.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FrameType, FunctionType
from typing import Any, Final, ForwardRef, Literal, get_args, get_origin
from weakref import WeakKeyDictionary, ref

_KERNEL: Final = __name__.partition(".")[0]
_DOTTED: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_KEPT: Final = 512
_LOCAL: Final = ".<locals>."
_MISSING: Final = object()
NOTHING_AROUND: Final[Mapping[str, Any]] = {}


def annotated(fn: Callable[..., Any]) -> Any:
    """The object that holds the annotations of *fn*: the inner function of a partial or a decorated one, the ``__init__`` of a
    class."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if inspect.isfunction(fn) or inspect.ismethod(fn):
        return inspect.unwrap(fn)
    if inspect.isclass(fn):
        return fn.__init__
    return getattr(type(fn), "__call__", fn)  # noqa: B004 - its annotations are wanted


def names_around(fn: Callable[..., Any], depth: int) -> Mapping[str, Any]:
    """The names that annotations of *fn* use and that are in no module, asked for *depth* calls below the user's code."""
    plain = type(fn) is FunctionType and not fn.__dict__  # not wrapped: the common case, as workflows make many of these
    holder: Any = fn if plain else annotated(fn)
    names = _names_of(holder)
    if not names or (plain and "." not in holder.__code__.co_qualname):
        return NOTHING_AROUND
    wanted = [name.partition(".")[0] for name in names]
    frames = _frames(holder, sys._getframe(depth + 1), wanted)
    found = _pick(wanted, (_closure(holder), NOTHING_AROUND if plain else _class_of(fn, holder), *frames))
    for value in found.values():
        if isinstance(value, type) and "." in value.__qualname__ and value not in _around:
            _remember(value, frames)
    return found


def names_of_class(cls: type) -> Mapping[str, Any]:
    """The names that annotations in a local class use, where a function beside it was seen to use the class."""
    found: dict[str, Any] = {}
    for name, it in _around.get(cls, NOTHING_AROUND).items():
        value: Any = it() if isinstance(it, ref) else it  # pyright: ignore[reportUnknownVariableType]
        if value is not None:
            found[name] = value
    return found


def _remember(cls: type, frames: list[Mapping[str, Any]]) -> None:
    """Keep the names of *frames* that the annotations of *cls* use: the frames are over when its fields are read."""
    wanted = [name.partition(".")[0] for base in cls.__mro__ for name in _names_of(base)]
    found = _pick(wanted, frames)
    _around[cls] = {name: ref(it) if isinstance(it, type) else it for name, it in found.items()}
    for it in found.values():
        if isinstance(it, type) and "." in it.__qualname__ and it not in _around:
            _remember(it, frames)


_around: Final[WeakKeyDictionary[type, Mapping[str, Any]]] = WeakKeyDictionary()


def _pick(wanted: list[str], scopes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for scope in scopes:
        for name in scope:
            if name not in found and name in wanted:
                found[name] = scope[name]
    return found


def meaning(fn: Any, scope: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """A hashable key of everything that the types of a plain function depend on; None if there is none.

    Functions made by one ``def`` share their code, and yet may have other annotations, or the same with other names in them.
    """
    annotations = _annotations(fn)
    if not annotations:
        return ()
    known = (*annotations, *annotations.values())
    try:
        names = _names_of(fn)
        if names:
            module = fn.__globals__
            known += tuple([_look_up(name, scope, module) for name in names])
        hash(known)
    except Exception:  # an annotation without a hash, or a name whose attributes cannot be read
        return None
    return known


def _look_up(name: str, scope: Mapping[str, Any], module: Mapping[str, Any]) -> Any:
    first, *rest = (name,) if "." not in name else name.split(".")
    found = scope[first] if first in scope else module[first] if first in module else getattr(builtins, first, _MISSING)
    for attribute in rest:
        found = getattr(found, attribute, _MISSING)
    return found if type(found) is type else (type(found), found)  # 1 == True


def _annotations(holder: Any) -> Mapping[str, Any]:
    try:
        return getattr(holder, "__annotations__", None) or NOTHING_AROUND
    except NameError:  # Python 3.14 evaluates them now, in the function's own scopes: no other names are of use
        return NOTHING_AROUND


def _names_of(holder: Any) -> tuple[str, ...]:
    """The names, also dotted ones, in annotations that are text."""
    annotations = _annotations(holder)
    if not annotations:
        return ()
    known = tuple(annotations.values())
    try:
        names = _names.get(known)
    except TypeError:  # an annotation without a hash
        return _names_in(known)
    if names is None:
        if len(_names) >= _KEPT:
            _names.clear()
        names = _names[known] = _names_in(known)
    return names


def _names_in(annotations: tuple[Any, ...]) -> tuple[str, ...]:
    texts = (text for annotation in annotations for text in _texts(annotation))
    return tuple(dict.fromkeys(name for text in texts for name in _DOTTED.findall(text)))


_names: dict[tuple[Any, ...], tuple[str, ...]] = {}


def _texts(annotation: Any) -> Iterator[str]:
    if isinstance(annotation, str):
        yield annotation
    elif isinstance(annotation, ForwardRef):
        yield annotation.__forward_arg__
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _texts(part)


def _closure(holder: Any) -> Mapping[str, Any]:
    cells = getattr(holder, "__closure__", None)
    if not cells:
        return NOTHING_AROUND
    found: dict[str, Any] = {}
    for name, cell in zip(holder.__code__.co_freevars, cells, strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _class_of(fn: Any, holder: Any) -> Mapping[str, Any]:
    """The namespace of the class that *fn*, a method or a callable object, has its code from."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if inspect.isfunction(fn):
        return NOTHING_AROUND
    if inspect.isclass(fn):
        return vars(sys.modules[fn.__module__]) if fn.__module__ in sys.modules else NOTHING_AROUND
    owner: Any = getattr(fn, "__self__", fn)
    plain = getattr(holder, "__func__", holder)
    for base in (owner if inspect.isclass(owner) else type(owner)).__mro__:
        if any(getattr(member, "__func__", member) is plain for member in vars(base).values()):
            return vars(base)
    return NOTHING_AROUND


def _frames(holder: Any, frame: FrameType | None, wanted: list[str]) -> list[Mapping[str, Any]]:
    """The names of those callers that *holder* was defined in, or beside."""
    code = getattr(holder, "__code__", None)
    if code is None or "." not in code.co_qualname:
        return []
    name, file = code.co_qualname, code.co_filename
    outermost, is_local, _ = name.partition(_LOCAL)
    around: list[Mapping[str, Any]] = []
    beside: list[Mapping[str, Any]] = []
    while frame is not None and not frame.f_globals.get("__name__", "").startswith(_KERNEL):
        its = frame.f_code
        if its.co_filename == file:
            is_function = its.co_flags & inspect.CO_OPTIMIZED
            if name.startswith(its.co_qualname + (_LOCAL if is_function else ".")):
                if not is_function or any(one in its.co_varnames or one in its.co_cellvars or one in its.co_freevars for one in wanted):
                    around.append(frame.f_locals)
            elif is_local and its.co_freevars and its.co_qualname.startswith(outermost + _LOCAL):
                values = frame.f_locals
                beside.append({free: values[free] for free in its.co_freevars if free in values})
        frame = frame.f_back
    return around + beside
