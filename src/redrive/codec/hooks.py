"""The user's cattrs hooks: a type that has one goes through the user's converter, both ways.

The codec handles every other type, inside the user's hooks too: a hook that calls ``converter.unstructure`` for a part of its
value gets the data that the codec would store for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_origin

import attrs

from redrive.codec.moments import MOMENTS
from redrive.codec.plans import ANY_KIND, TAG, Data, Plan, Wrong, is_tagged, other_form, refuse_value, show
from redrive.codec.scalars import SCALARS
from redrive.codec.untyped import ANY, dump_any, load_any

if TYPE_CHECKING:
    from cattrs import Converter

    from redrive.codec.planner import Planner

    Converting: TypeAlias = Converter | Callable[[Converter], object]

_CLASSES: Final[tuple[type, ...]] = (*SCALARS, *MOMENTS, Enum, PurePath)


class Hooks:
    """The hooks that the user registered: on a converter of their own, or by a function that takes one."""

    def __init__(self, converting: Converting) -> None:
        from cattrs import Converter  # imported on demand: only hooks need it

        self._planner: Planner | None = None
        self._parts: dict[Any, Plan] = {}
        self._bare = self._bare_converter()
        self._converter = self._bare_converter()
        if isinstance(converting, Converter):
            self._copy_hooks(converting)
        else:
            converting(self._converter)

    def serve(self, planner: Planner) -> None:
        """Let *planner* make the plans of parts that have no hook."""
        self._planner = planner

    def plan(self, type_: Any) -> Plan | None:
        """The plan of a type for which the user registered a hook, in either direction."""
        if type_ is Any or type_ is object:
            return None
        if not (self._is_users("get_unstructure_hook", type_) or self._is_users("get_structure_hook", type_)):
            return None
        name = show(type_)
        cls: Any = get_origin(type_) or type_
        unstructure, structure = self._converter.unstructure, self._converter.structure

        def dump(value: Any) -> Data:
            if isinstance(cls, type) and not isinstance(value, cls):
                raise refuse_value(value, name)
            try:
                plain = unstructure(value, unstructure_as=type_)
            except Wrong:
                raise
            except Exception as error:
                raise Wrong(name, f"the converter's hook failed: {type(error).__name__}: {error}") from error
            return dump_any(plain)

        def load(data: Data) -> Any:
            if is_tagged(data) and data[TAG] not in ANY.escapes:
                return other_form(data, name, load, f"{cls.__module__}.{name}")
            plain = load_any(data)
            try:
                return structure(plain, type_)
            except Wrong:
                raise
            except Exception as error:
                raise Wrong(name, f"the converter's hook refused what is stored: {type(error).__name__}: {error}") from error

        classes: tuple[type, ...] = (cls,) if isinstance(cls, type) else ()
        return Plan(name, dump, load, ANY_KIND, classes, ANY.escapes, endless=True, takes_subclasses=True)

    def _is_users(self, get: str, type_: Any) -> bool:
        return not _same_hook(self._converter, self._bare, get, type_)

    def _bare_converter(self) -> Converter:
        """A converter on which the codec handles every type, until the user registers hooks on it."""
        from cattrs import Converter

        converter = Converter()
        unions: Mapping[Any, Any] = getattr(converter, "_union_struct_registry", {})  # hooks for unions have no precedence
        converter.register_unstructure_hook_factory(lambda _: True, self._dump_part)
        converter.register_structure_hook_func(lambda type_: type_ not in unions, self._load_part)
        for cls in _CLASSES:
            self._take(converter, cls)
        return converter

    def _take(self, converter: Converter, cls: type) -> None:
        """Give the codec's functions precedence over cattrs' own hooks for builtin classes, which would go before predicates."""
        converter.register_unstructure_hook(cls, self._dump_part(cls))
        converter.register_structure_hook(cls, self._load_part)

    def _copy_hooks(self, source: Any) -> None:
        """Copy the hooks registered since *source* was made, as ``Converter.copy`` does, onto the codec's converter.

        cattrs has no public way to ask which hooks a converter was given, so this reaches for the attributes that
        ``copy`` itself uses.
        """
        target: Any = self._converter
        try:
            source._unstructure_func.copy_to(target._unstructure_func, source._unstruct_copy_skip)
            source._structure_func.copy_to(target._structure_func, source._struct_copy_skip)
            target._union_struct_registry.update(source._union_struct_registry)
        except AttributeError:
            raise TypeError("the hooks of this converter cannot be copied: give a function that registers them instead") from None
        plain = type(self._converter)()
        for cls in _CLASSES:  # the copy includes cattrs' own hooks
            if _same_hook(source, plain, "get_unstructure_hook", cls) and _same_hook(source, plain, "get_structure_hook", cls):
                self._take(target, cls)

    def _dump_part(self, type_: Any) -> _Part:
        return _Part(self, type_)

    def _load_part(self, data: Data, type_: Any) -> Any:
        return self.ours(type_).load(data)

    def ours(self, type_: Any) -> Plan:
        """The codec's own functions, on which the user's hooks fall back: a hook may ask for the function that it replaced."""
        assert self._planner is not None
        if type_ not in self._parts:
            self._parts[type_] = self._planner.ours(type_)
        return self._parts[type_]


@attrs.frozen
class _Part:
    """The unstructure hook of a type without a hook of the user's."""

    hooks: Hooks
    type: Any

    def __call__(self, value: Any) -> Data:
        return self.hooks.ours(self.type).dump(value)


def _same_hook(one: Converter, other: Converter, get: str, type_: Any) -> bool:
    try:
        mine, theirs = getattr(one, get)(type_), getattr(other, get)(type_)
    except Exception:  # a type without a cattrs hook
        return True
    if isinstance(mine, _Part) and isinstance(theirs, _Part):
        return True
    return getattr(mine, "__func__", mine) is getattr(theirs, "__func__", theirs)
