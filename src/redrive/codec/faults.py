"""Exceptions as data: enough to read in a log, and, of a declared error, enough to raise it again.

A rebuilt error is made without its ``__init__``, which may take other arguments than the error has and may
do anything: like pickle, from ``args`` and the attributes; unlike pickle, only as one of the classes that
``raises=`` lists, and from values that the codec reads.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final

import attrs

from redrive.codec.plans import Data
from redrive_interpreter.errors import CodecError
from redrive_interpreter.raised import message_of

MAX_MESSAGE: Final = 1 << 16
"""Characters of an error's message that are kept."""

Dumping = Callable[[object, Any, str], Data]
Loading = Callable[[Data, Any, str], Any]

_CONTEXT: Final = frozenset({"__cause__", "__context__", "__traceback__", "__suppress_context__"})


def short_message_of(error: BaseException) -> str:
    text = message_of(error)
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def dump_fields(error: BaseException, declared: type[BaseException], dump: Dumping) -> Data:
    """``{"args": […], "attrs": {…}}``. Raises `CodecError` if any of them cannot be stored.

    Values that need no declared type are stored without one. The others have the type that the *declared* class gives: that of
    the annotated attribute, of the attrs field, or of the parameter of ``__init__`` with that name or place.
    """
    hints, names = _hints(declared), _parameters(declared)
    args = [_dump_one(item, names[at] if at < len(names) else None, hints, dump, f"args[{at}]") for at, item in enumerate(_args(error))]
    state = {name: _dump_one(item, name, hints, dump, name) for name, item in _state(error).items()}
    return {"args": args, "attrs": state}


def rebuild(cls: type[BaseException], fields: Data, load: Loading) -> BaseException:
    """Make the error again from its stored fields. A class that has changed since may raise any exception."""
    hints = _hints(cls)
    args = tuple(_load_one(item, hints, load, f"args[{at}]") for at, item in enumerate(fields["args"]))
    error = cls.__new__(cls, *args)
    _native_init(cls)(error, *args)
    for name, item in fields["attrs"].items():
        object.__setattr__(error, name, _load_one(item, hints, load, name))
    return error


def _dump_one(value: object, name: str | None, hints: dict[str, Any], dump: Dumping, path: str) -> Data:
    """``[data]``, or ``[data, name]`` where *name* has the declared type."""
    try:
        return [dump(value, Any, path)]
    except CodecError:
        if name is None or name not in hints:
            raise
        return [dump(value, hints[name], path), name]


def _load_one(item: Data, hints: dict[str, Any], load: Loading, path: str) -> Any:
    return load(item[0], Any if len(item) == 1 else hints[item[1]], path)


def _args(error: BaseException) -> tuple[object, ...]:
    """The arguments of *error*. Errors made in C keep some of them outside of ``args`` (``OSError.filename``), and give them back
    by ``__reduce__``."""
    cls: Any = type(error)
    if not isinstance(cls.__reduce__, FunctionType):
        reduced = error.__reduce__()
        if isinstance(reduced, tuple) and isinstance(reduced[1], tuple):
            return typing.cast("tuple[object, ...]", reduced[1])
    return error.args


def _state(error: BaseException) -> dict[str, object]:
    state = dict(vars(error)) if hasattr(error, "__dict__") else {}
    names = [name for cls in type(error).__mro__ for name in _slots(cls)]
    cls: Any = type(error)
    if attrs.has(cls):
        names += [a.name for a in attrs.fields(cls)]
    for name in names:
        if hasattr(error, name):
            state.setdefault(name, getattr(error, name))
    return {name: value for name, value in state.items() if name not in _CONTEXT}


def _slots(cls: type) -> tuple[str, ...]:
    slots = vars(cls).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if not name.startswith("__"))


def _native_init(cls: type[BaseException]) -> Callable[..., None]:
    """The nearest ``__init__`` written in C: it fills only the fields that the error keeps outside of ``__dict__``."""
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if init is not None and not isinstance(init, FunctionType):
            return typing.cast("Callable[..., None]", init)
    return BaseException.__init__


def _hints(cls: Any) -> dict[str, Any]:
    """The declared types of attributes; those of the parameters of ``__init__`` count for attributes of the same name."""
    hints: dict[str, Any] = {}
    sources: list[Any] = [base.__dict__["__init__"] for base in reversed(cls.__mro__) if "__init__" in base.__dict__]
    for source in (*sources, cls):
        try:
            hints.update(typing.get_type_hints(source, include_extras=True))
        except Exception:  # unresolvable: these attributes have no declared types
            continue
    return hints


def _parameters(cls: Any) -> list[str]:
    code = getattr(cls.__init__, "__code__", None)
    return list(code.co_varnames[1 : code.co_argcount]) if code is not None else []
