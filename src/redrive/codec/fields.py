"""The fields of classes and their types: attrs classes, dataclasses, named tuples, TypedDicts."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args, get_origin

import attrs

from redrive.codec.plans import Wrong, show
from redrive_interpreter.commands.annotations import names_of_class


@attrs.frozen(kw_only=True)
class Field:
    """One field. *argument* is its name in ``__init__`` (None if it has none), *exact* whether it must be
    set again after ``__init__``, which may have changed what it was given."""

    name: str
    type: Any
    argument: str | None
    required: bool = True
    keyword: bool = False
    exact: bool = False
    default: Callable[[], Any] | None = None


@attrs.frozen(kw_only=True)
class Shape:
    """The fields of a class, and how to make an instance: *make* takes the arguments (None: set every field on a bare instance)."""

    cls: type
    fields: tuple[Field, ...]
    make: Callable[..., Any] | None


def shape_of(type_: Any) -> Shape | None:
    """The shape of a class (or of a parametrised generic one), None if it is of no known kind."""
    cls: Any = get_origin(type_) or type_
    read = _reader(cls)
    return None if read is None else read(cls, _Types(type_, cls))


def _reader(cls: Any) -> Callable[[Any, _Types], Shape] | None:
    if not inspect.isclass(cls):
        return None
    if hasattr(cls, "_fields") and tuple in cls.__mro__:
        return _named_tuple
    if attrs.has(cls):
        return _attrs_class if _is_whole(cls) else None
    return _dataclass if dataclasses.is_dataclass(cls) and _is_whole(cls) else None


def typed_dict_fields(type_: Any) -> tuple[Field, ...]:
    cls = get_origin(type_) or type_
    types = _Types(type_, cls)
    fields: list[Field] = []
    for name, hint in types.hints.items():
        # __required_keys__ is wrong where annotations are strings (python/cpython#97727): the hint has the last word.
        says = getattr(get_origin(hint), "_name", None)
        required = (name in cls.__required_keys__ and says != "NotRequired") or says == "Required"
        fields.append(Field(name=name, type=types.of(name, Any), argument=name, required=required))
    return tuple(fields)


def _is_whole(cls: type) -> bool:
    """Whether the known fields of *cls* are all that it has; a plain subclass of an attrs class may have more."""
    own = vars(cls)
    return "__attrs_attrs__" in own or "__dataclass_fields__" in own or not ("__init__" in own or _own_annotations(cls))


def _attrs_class(cls: type, types: _Types) -> Shape:
    changes = hasattr(cls, "__attrs_post_init__") or hasattr(cls, "__attrs_pre_init__")
    fields = tuple(
        Field(
            name=a.name,
            type=types.of(a.name, a.type),
            argument=a.alias if a.init else None,
            required=a.init and a.default is attrs.NOTHING,
            keyword=a.kw_only,
            exact=changes or a.converter is not None or not a.init,
        )
        for a in attrs.fields(cls)
    )
    return Shape(cls=cls, fields=fields, make=_bare_init(cls) if "__attrs_init__" in vars(cls) else cls)


def _bare_init(cls: Any) -> Callable[..., Any]:
    """A function that makes an instance by ``__attrs_init__``, because the class has an ``__init__`` of its own."""

    def make(*args: Any, **kwargs: Any) -> Any:
        instance = cls.__new__(cls)
        instance.__attrs_init__(*args, **kwargs)
        return instance

    return make


def _dataclass(cls: Any, types: _Types) -> Shape:
    # An InitVar is not kept, so its value is unknown. Then, and with an __init__ written by hand, fields are set directly.
    declared: list[Any] = list(cls.__dataclass_fields__.values())
    takes_fields = cls.__dataclass_params__.init and not any(f._field_type.name == "_FIELD_INITVAR" for f in declared)
    changes = hasattr(cls, "__post_init__")
    fields = tuple(
        Field(
            name=f.name,
            type=types.of(f.name, f.type),
            argument=f.name if f.init else None,
            required=f.init and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING,
            keyword=bool(f.kw_only),
            exact=changes or not f.init,
            default=_dataclass_default(f),
        )
        for f in dataclasses.fields(cls)
    )
    return Shape(cls=cls, fields=fields, make=cls if takes_fields else None)


def _dataclass_default(f: dataclasses.Field[Any]) -> Callable[[], Any] | None:
    if f.default_factory is not dataclasses.MISSING:
        return f.default_factory
    if f.default is not dataclasses.MISSING:
        return lambda: f.default
    return None


def _named_tuple(cls: Any, types: _Types) -> Shape:
    defaults = cls._field_defaults
    fields = tuple(Field(name=name, type=types.of(name, Any), argument=name, required=name not in defaults) for name in cls._fields)
    return Shape(cls=cls, fields=fields, make=cls)


class _Types:
    """The annotations of a class, with the type variables of each base replaced by what they stand for."""

    def __init__(self, type_: Any, cls: Any) -> None:
        self.cls = cls
        self.hints = _hints(cls)
        self.bindings: dict[Any, Mapping[Any, Any]] = {}
        _bind(cls, get_args(type_), self.bindings)

    def of(self, name: str, default: Any) -> Any:
        hint = self.hints.get(name, default)
        if hint is None and name not in self.hints:
            return Any  # attrs without annotations
        if isinstance(hint, str):
            raise Wrong(show(self.cls), f"the annotation {hint!r} of its field {name} cannot be resolved at run time")
        owner = next((base for base in self.cls.__mro__ if name in _own_annotations(base)), self.cls)
        return substitute(hint, self.bindings.get(owner, {}))


def _hints(cls: Any) -> dict[str, Any]:
    around = names_of_class(cls)
    try:
        if not around:
            return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # evaluating annotations may raise anything
        pass
    try:  # a class in a function's body is in no module, but its annotations may name it
        return typing.get_type_hints(cls, include_extras=True, localns={cls.__name__: cls, **around})
    except Exception as error:
        advice = "define what they name in the module, and not under TYPE_CHECKING"
        raise Wrong(show(cls), f"its annotations cannot be resolved at run time ({error}): {advice}") from None


def _own_annotations(cls: Any) -> Mapping[str, Any]:
    """The annotations of *cls* without those of its bases; as written, where Python 3.14 would evaluate them."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(cls)


def _bind(cls: Any, args: tuple[Any, ...], bindings: dict[Any, Mapping[Any, Any]]) -> None:
    parameters = getattr(cls, "__parameters__", ())
    bindings[cls] = dict(zip(parameters, args, strict=False))
    bases: tuple[Any, ...] = cls.__dict__.get("__orig_bases__", ())
    for base in bases:
        origin: Any = get_origin(base)
        if inspect.isclass(origin) and origin.__name__ not in ("Generic", "Protocol"):
            _bind(origin, tuple(substitute(arg, bindings[cls]) for arg in get_args(base)), bindings)


def substitute(type_: Any, binding: Mapping[Any, Any]) -> Any:
    if isinstance(type_, TypeVar):
        return binding.get(type_, type_)
    parameters = getattr(type_, "__parameters__", ())
    if not parameters or inspect.isclass(type_):
        return type_
    return type_[tuple(binding.get(parameter, parameter) for parameter in parameters)]
