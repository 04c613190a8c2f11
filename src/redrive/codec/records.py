"""Classes with fields, stored as objects: a field more with a default, or a field less, still fits (N2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from redrive.codec.fields import Field, Shape
from redrive.codec.plans import (
    OBJECT,
    TAG,
    Data,
    Load,
    Plan,
    Wrong,
    brief,
    is_tagged,
    key,
    other_form,
    refuse_data,
    refuse_value,
    refused_part,
)

_DICT: Final = frozenset({"dict"})
_UNSET: Final = object()


def record_plan(name: str, shape: Shape, plans: dict[str, Plan]) -> Plan:
    cls = shape.cls
    dumps = tuple((field.name, plans[field.name].dump) for field in shape.fields)
    optional = frozenset(field.name for field in shape.fields if field.argument is None)

    def dump(value: Any) -> Data:
        if type(value) is not cls:
            raise refuse_value(value, name)
        data: dict[str, Data] = {}
        at = ""
        try:
            for at, encode in dumps:
                data[at] = encode(getattr(value, at))
        except Wrong as wrong:
            raise wrong.under("." + at) from wrong.__cause__
        except AttributeError:
            return _dump_partly(value)
        return data

    def _dump_partly(value: Any) -> Data:
        """Dump *value* without its unset fields, which are allowed where ``__init__`` does not take them."""
        data: dict[str, Data] = {}
        for at, encode in dumps:
            member = getattr(value, at, _UNSET)
            if member is not _UNSET:
                try:
                    data[at] = encode(member)
                except Wrong as wrong:
                    raise wrong.under("." + at) from wrong.__cause__
            elif at not in optional:
                raise Wrong(name, f"its field {at} is not set")
        return data

    simple = shape.make is not None and all(f.argument is not None and not f.keyword and not f.exact for f in shape.fields)
    simple = simple and bool(plans.keys() - {"v"})  # the data of every tagged value has a v
    load = _positional(name, shape, plans) if simple and _in_order(shape) else _general(name, shape, plans)
    small = len(plans) <= 32 and all(plan.small for plan in plans.values())
    return Plan(
        name,
        dump,
        load,
        _DICT,
        (cls,),
        small=small,
        endless=any(plan.endless for plan in plans.values()),
        fields=frozenset(plans),
        refuses=refused_part((f".{field.name}", plans[field.name]) for field in shape.fields if field.argument is not None),
    )


def _in_order(shape: Shape) -> bool:
    import inspect

    if shape.make is None:
        return False
    try:
        parameters = list(inspect.signature(shape.make).parameters)
    except (TypeError, ValueError):
        return False
    return parameters[: len(shape.fields)] == [field.argument for field in shape.fields]


def _positional(name: str, shape: Shape, plans: dict[str, Plan]) -> Load:
    """The loader of the usual class, in which every field is a positional argument and kept as given."""
    general = _general(name, shape, plans)
    make: Any = shape.make
    loads = tuple((field.name, plans[field.name].load) for field in shape.fields)

    def load(data: Data) -> Any:
        if type(data) is not OBJECT:
            raise refuse_data(data, name)
        args: list[Any] = []
        at = ""
        try:
            for at, decode in loads:
                args.append(decode(data[at]))
        except Wrong as wrong:
            raise wrong.under("." + at) from wrong.__cause__
        except KeyError:
            return general(data)
        try:
            return make(*args)
        except Exception as error:
            raise _refused(name, error) from error

    return load


def _general(name: str, shape: Shape, plans: dict[str, Plan]) -> Load:
    cls: Any = shape.cls
    make = shape.make
    loads = tuple((field, plans[field.name].load) for field in shape.fields)

    def load(data: Data) -> Any:
        if type(data) is not OBJECT:
            raise refuse_data(data, name)
        if TAG in data:
            return other_form(data, name, load, f"{cls.__module__}.{name}".partition("[")[0])
        arguments: dict[str, Any] = {}
        exact: dict[str, Any] = {}
        for field, decode in loads:
            member = _load_field(name, field, decode, data)
            if member is _UNSET:
                continue
            if field.argument is not None:
                arguments[field.argument] = member
            if field.exact or make is None:
                exact[field.name] = member
        try:
            instance = cls.__new__(cls) if make is None else make(**arguments)
        except Exception as error:
            raise _refused(name, error) from error
        for at, member in exact.items():
            object.__setattr__(instance, at, member)  # also where the class is frozen
        return instance

    def _load_field(name: str, field: Field, decode: Load, data: dict[str, Data]) -> Any:
        if field.name in data:
            try:
                return decode(data[field.name])
            except Wrong as wrong:
                raise wrong.under("." + field.name) from wrong.__cause__
        if field.required:
            raise Wrong(name, f"stored without {field.name!r}, which has no default")
        if make is None and field.default is not None:
            return field.default()
        return _UNSET

    return load


def _refused(name: str, error: Exception) -> Wrong:
    return Wrong(name, f"the class refused the stored fields: {type(error).__name__}: {error}")


def typed_dict_plan(name: str, fields: tuple[Field, ...], plans: dict[str, Plan]) -> Plan:
    required = frozenset(field.name for field in fields if field.required)

    def convert(functions: dict[str, Callable[[Any], Any]], items: dict[Any, Any], lax: bool) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for at, item in items.items():
            function = functions.get(at)
            if function is None:
                if lax:
                    continue
                raise Wrong(name, f"the key {brief(at)} is not declared")
            try:
                out[at] = function(item)
            except Wrong as wrong:
                raise wrong.under(key(at)) from wrong.__cause__
        if not required <= out.keys():
            raise Wrong(name, f"the key {min(required - out.keys())!r} is missing")
        return out

    dumps = {at: plan.dump for at, plan in plans.items()}
    loads = {at: plan.load for at, plan in plans.items()}

    def dump(value: Any) -> Data:
        if type(value) is not OBJECT:
            raise refuse_value(value, name)
        return convert(dumps, value, False)

    def load(data: Data) -> Any:
        if type(data) is not OBJECT:
            raise refuse_data(data, name)
        if is_tagged(data) and TAG not in plans:
            return other_form(data, name, load, "dict")
        return convert(loads, data, True)

    return Plan(name, dump, load, _DICT, (dict,), endless=any(plan.endless for plan in plans.values()), fields=frozenset(plans))
