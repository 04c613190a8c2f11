"""The user's cattrs hooks: a type that has one goes through the user's converter, both ways.

Every other type is ours, inside the user's hooks too: a hook that calls ``converter.unstructure`` for a
part of its value gets what the codec would store for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, get_origin

from redrive.codec.plans import ANY_KIND, Data, Plan, Wrong, refuse_value, show
from redrive.codec.untyped import ANY, dump_any, load_any

if TYPE_CHECKING:
    from cattrs import Converter

    from redrive.codec.planner import Planner

    Converting: TypeAlias = Converter | Callable[[Converter], object]


class Hooks:
    """What the user registered: on a converter of their own, or by a function that is given one."""

    def __init__(self, converting: Converting) -> None:
        from cattrs import Converter  # on demand: without hooks nothing needs it

        self._planner: Planner | None = None
        self._bare = self._ours()
        self._converter = self._ours()
        if isinstance(converting, Converter):
            _copy_hooks(converting, self._converter)
        else:
            converting(self._converter)

    def serve(self, planner: Planner) -> None:
        """Parts that no hook of the user's is for are stored by *planner*'s plans."""
        self._planner = planner

    def plan(self, type_: Any) -> Plan | None:
        """The plan of a type that the user registered a hook for, in either direction."""
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
        try:
            found = getattr(self._converter, get)(type_)
            default = getattr(self._bare, get)(type_)
        except Exception:  # a type that cattrs has nothing for
            return False
        if found in (self._dump_part, self._load_part):
            return False
        return getattr(found, "__func__", found) is not getattr(default, "__func__", default)

    def _ours(self) -> Converter:
        """A converter on which every type is the codec's, until the user registers something on top."""
        from cattrs import Converter

        converter = Converter()
        converter.register_unstructure_hook_func(_everything, self._dump_part)
        converter.register_structure_hook_func(_everything, self._load_part)
        return converter

    def _dump_part(self, value: Any) -> Data:
        assert self._planner is not None
        return self._planner.plan(type(value)).dump(value)

    def _load_part(self, data: Data, type_: Any) -> Any:
        assert self._planner is not None
        return self._planner.plan(type_).load(data)


def _everything(_type: Any) -> bool:
    return True


def _copy_hooks(source: Any, target: Any) -> None:
    """What ``Converter.copy`` does, onto *target*: hooks registered since the converter was made, class hooks and predicates alike.

    cattrs has no public way to ask which hooks a converter was given, so this reaches for the two
    attributes that ``copy`` itself uses.
    """
    try:
        source._unstructure_func.copy_to(target._unstructure_func, source._unstruct_copy_skip)
        source._structure_func.copy_to(target._structure_func, source._struct_copy_skip)
    except AttributeError:
        raise TypeError("the hooks of this converter cannot be copied: give a function that registers them instead") from None
