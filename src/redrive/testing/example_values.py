"""Example values for exploration: results of a step by its declared type, and the errors that it declares."""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# Values of any type are looked into here.
from __future__ import annotations

import enum
import inspect
import types
from collections import abc
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import attrs

from redrive.codec.models import builtin_of, is_model

_PLAIN: Final[dict[Any, tuple[Any, ...]]] = {
    Any: (None,),
    None: (None,),
    type(None): (None,),
    object: (None,),
    bool: (True, False),
    int: (1,),
    float: (1.0,),
    Decimal: (Decimal(1),),
    bytes: (b"sample",),
    datetime: (datetime(2026, 1, 1, tzinfo=UTC),),
    date: (date(2026, 1, 1),),
    time: (time(12),),
    timedelta: (timedelta(hours=1),),
    UUID: (UUID(int=1),),
}
_ABSTRACT: Final[dict[Any, Any]] = {
    abc.Sequence: list,
    abc.Iterable: list,
    abc.Collection: list,
    abc.MutableSequence: list,
    abc.Set: frozenset,
    abc.MutableSet: set,
    abc.Mapping: dict,
    abc.MutableMapping: dict,
}
_DEEP: Final = 8


class NoExample(TypeError):
    """No example can be made of a type; pass a value instead."""


def example_values(type_: Any, name: str, depth: int = 0) -> list[Any]:
    """Values of *type_*, one for each case that a workflow is likely to branch on. Text is *name*. Raises `NoExample`."""
    if depth > _DEEP:
        raise NoExample(f"no sample of {type_!r}")
    if type_ is str:
        return [name]
    try:
        if type_ in _PLAIN:
            return list(_PLAIN[type_])
    except TypeError:
        pass
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return example_values(args[0], name, depth)
    if origin is Literal:
        return list(args)
    if origin in (Union, types.UnionType):
        return [value for arg in args for value in example_values(arg, name, depth + 1)]
    if origin is tuple:
        return [tuple(_one(arg, name, depth) for arg in args if arg is not ...)]
    made = origin or type_
    made = _ABSTRACT.get(made, made)
    if made in (list, set, frozenset, tuple):
        return [made([_one(args[0], name, depth)] if args else [])]
    if not isinstance(made, type):
        raise NoExample(f"no sample of {type_!r}")
    if issubclass(made, enum.Enum):
        return list(made)
    if issubclass(made, dict):
        return [made()]
    return [_instance(made, name, depth)]


def example_error(cls: type[BaseException]) -> BaseException:
    """An instance of *cls*. Raises `NoExample` if its arguments cannot be guessed."""
    if attrs.has(cls):
        made: BaseException = _instance(cls, cls.__name__, 0)
        return made
    for args in ((), (cls.__name__,)):
        try:
            return cls(*args)
        except TypeError:
            continue
    try:
        return cls(*_arguments(cls))
    except NoExample:
        raise
    except Exception as error:
        raise NoExample(f"no sample of the error {cls.__name__}: {error}") from error


def _arguments(cls: type[BaseException]) -> list[Any]:
    """Sample arguments of the constructor of *cls*, by its annotations; text where it has none."""
    try:
        parameters = list(inspect.signature(cls).parameters.values())
        hints = get_type_hints(cls.__init__)
    except (TypeError, ValueError, NameError) as error:
        raise NoExample(f"no sample of the error {cls.__name__}: {error}") from error
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        raise NoExample(f"no sample of the error {cls.__name__}, which has keyword-only parameters")
    wanted = [p for p in parameters if p.kind in positional and p.default is p.empty]
    return [_one(hints.get(p.name, str), p.name, 0) for p in wanted]


def _one(type_: Any, name: str, depth: int) -> Any:
    return example_values(type_, name, depth + 1)[0]


def _instance(cls: type, name: str, depth: int) -> Any:
    if is_model(cls):
        return _model(cls, name, depth)
    if hasattr(cls, "__get_pydantic_core_schema__") and not hasattr(cls, "__dataclass_fields__"):
        return _of_pydantic(cls, name)
    fields = getattr(cls, "__attrs_attrs__", None) or tuple(getattr(cls, "__dataclass_fields__", {}).values())
    if not fields and hasattr(cls, "_fields"):
        return cls(*(_one(hint, name, depth) for hint in get_type_hints(cls).values()))
    try:
        hints = get_type_hints(cls) if fields else {}
        given: dict[str, Any] = {}
        for field in fields:
            missing = getattr(field, "default_factory", None)
            plain = field.default is attrs.NOTHING or type(field.default).__name__ == "_MISSING_TYPE"
            if field.init and plain and (missing is None or type(missing).__name__ == "_MISSING_TYPE"):
                given[getattr(field, "alias", None) or field.name] = _one(hints.get(field.name, Any), name, depth)
        return cls(**given)
    except NoExample:
        raise
    except Exception as error:
        raise NoExample(f"no sample of {cls.__name__}: {error}") from error


def _model(cls: Any, name: str, depth: int) -> Any:
    needed = {at: field for at, field in cls.model_fields.items() if field.is_required()}
    given = {at: _one(field.annotation, name, depth) for at, field in needed.items()}
    try:
        return cls.model_validate(given["root"] if list(given) == ["root"] else {needed[at].alias or at: it for at, it in given.items()})
    except Exception:  # an example need not be valid, and rarely is where a pattern or a future date is required
        return cls.model_construct(**given)


def _of_pydantic(cls: Any, name: str) -> Any:
    import pydantic

    adapter = pydantic.TypeAdapter(cls)
    builtin = builtin_of(adapter)
    if builtin is not None:
        return _one(builtin, name, 0)
    for text in (name, f"{name}@example.com", "https://example.com/", "127.0.0.1", "1", "postgresql://localhost/sample"):
        try:
            return adapter.validate_python(text)
        except pydantic.ValidationError:
            continue
    raise NoExample(f"no sample of {cls.__name__}")
