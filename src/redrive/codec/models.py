"""Pydantic's models and types, for programs that have imported pydantic: nothing here imports it.

A model is stored by its fields, like an attrs class, and comes back as it was, without its validators: a stored value was
valid when it was made, and a replay must not validate it again (``FutureDate`` would refuse it one day). JSON from outside is
validated, see `validating`. Fields that were left to their defaults are noted under ``$unset``, so that
``model_dump(exclude_unset=True)`` says the same as before.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from redrive.codec.plans import ANY_KIND, OBJECT, TAG, Data, Plan, Wrong, brief, other_form, refuse_data, refuse_value, refused_part, show
from redrive.codec.scalars import is_plain_key
from redrive.codec.untyped import ANY, dump_any, load_any

UNSET: Final = "$unset"
_DICT: Final = frozenset({"dict"})
_outside: ContextVar[bool] = ContextVar("redrive_outside", default=False)


@contextmanager
def validating() -> Generator[None]:
    """Inside the block, models are validated as they are loaded, because their data comes from outside."""
    token = _outside.set(True)
    try:
        yield
    finally:
        _outside.reset(token)


def is_model(cls: Any) -> bool:
    pydantic = sys.modules.get("pydantic")
    base = getattr(pydantic, "BaseModel", None)
    return base is not None and issubclass(cls, base) and hasattr(cls, "model_fields") and cls is not base


def model_plan(cls: Any, plan_of: Callable[[Any], Plan]) -> Plan:
    """The plan of a model, its fields stored by *plan_of* their annotations."""
    name = show(cls)
    if not cls.__pydantic_complete__ and cls.model_rebuild(raise_errors=False) is False:
        raise Wrong(name, "its annotations cannot be resolved at run time: define what they name, or call its model_rebuild()")
    fields: dict[str, Any] = dict(cls.model_fields)
    plans = {at: plan_of(field.annotation) for at, field in fields.items()}
    plans |= {at: plan_of(type_) for at, type_ in _private_types(cls).items()}
    extras = cls.model_config.get("extra") == "allow"
    allowed = frozenset(plans)

    def dump(value: Any) -> Data:
        if type(value) is not cls:
            raise refuse_value(value, name)
        state: Mapping[str, Any] = value.__dict__
        data: dict[str, Data] = {}
        at = ""
        try:
            for at in fields:
                if at in state:
                    data[at] = plans[at].dump(state[at])
            for at, member in _items(value.__pydantic_private__):
                data[at] = plans[at].dump(member) if at in plans else dump_any(member)
            for at, member in _items(value.__pydantic_extra__):
                if not is_plain_key(at) or at in plans:
                    raise Wrong(name, f"an extra field cannot be called {brief(at)}")
                data[at] = dump_any(member)
        except Wrong as wrong:
            raise wrong.under("." + at) from wrong.__cause__
        if unset := [at for at in fields if at in state and at not in value.__pydantic_fields_set__]:
            data[UNSET] = list(unset)
        return data

    def load(data: Data) -> Any:
        if type(data) is not OBJECT:
            raise refuse_data(data, name)
        if TAG in data:
            return other_form(data, name, load, f"{cls.__module__}.{name}".partition("[")[0])
        state: dict[str, Any] = {}
        private: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        at = ""
        try:
            for at, item in data.items():
                if at in fields:
                    state[at] = plans[at].load(item)
                elif at in plans:
                    private[at] = plans[at].load(item)
                elif extras and at != UNSET:
                    extra[at] = load_any(item)
        except Wrong as wrong:
            raise wrong.under("." + at) from wrong.__cause__
        unset = data.get(UNSET, ())
        return _made(cls, name, fields, state, private, extra if extras else None, unset)

    endless = extras or any(plan.endless for plan in plans.values())
    return Plan(
        name,
        dump,
        load,
        _DICT,
        (cls,),
        endless=endless,
        fields=None if extras else allowed,
        refuses=refused_part((f".{at}", plans[at]) for at in fields),
    )


def _items(members: dict[str, Any] | None) -> Iterable[tuple[str, Any]]:
    return members.items() if members else ()


def _made(
    cls: Any, name: str, fields: dict[str, Any], state: dict[str, Any], private: dict[str, Any], extra: dict[str, Any] | None, unset: Any
) -> Any:
    given = {at: value for at, value in state.items() if at not in unset}
    try:
        if _outside.get():
            return _validated(cls, fields, {**given, **(extra or {})})
        whole: dict[str, Any] = {}
        for at, field in fields.items():
            if at in state:
                whole[at] = state[at]
            elif field.is_required():
                raise Wrong(name, f"stored without {at!r}, which has no default")
            else:
                whole[at] = _default(field, whole)
        made = cls.__new__(cls)
        _restore(made, whole, set(given), extra, None)
        if cls.__pydantic_post_init__:
            made.model_post_init(None)  # the private attributes, and what the class adds to it
        _restore(made, whole, set(given), extra, {**(made.__pydantic_private__ or {}), **private} if cls.__private_attributes__ else None)
    except Wrong:
        raise
    except Exception as error:
        raise Wrong(name, f"the class refused the stored fields: {type(error).__name__}: {error}") from error
    return made


def _restore(made: Any, state: dict[str, Any], given: set[str], extra: dict[str, Any] | None, private: dict[str, Any] | None) -> None:
    object.__setattr__(made, "__dict__", dict(state))
    object.__setattr__(made, "__pydantic_fields_set__", given | set(extra or ()))
    object.__setattr__(made, "__pydantic_extra__", extra)
    object.__setattr__(made, "__pydantic_private__", private)


def _validated(cls: Any, fields: dict[str, Any], given: dict[str, Any]) -> Any:
    if any(base.__name__ == "RootModel" for base in cls.__mro__):
        return cls.model_validate(given["root"])
    named = {_alias(at, fields.get(at)): value for at, value in given.items()}
    return cls.model_validate(named)


def _alias(name: str, field: Any) -> str:
    alias = None if field is None else (field.validation_alias or field.alias)
    return alias if isinstance(alias, str) else name


def _default(field: Any, state: dict[str, Any]) -> Any:
    try:
        return field.get_default(call_default_factory=True, validated_data=state)
    except TypeError:  # before pydantic 2.10
        return field.get_default(call_default_factory=True)


def _private_types(cls: Any) -> dict[str, Any]:
    if not cls.__private_attributes__:
        return {}
    try:
        hints = typing.get_type_hints(cls)
    except Exception:  # evaluating annotations may raise anything
        hints = {}
    return {at: hints.get(at, Any) for at in cls.__private_attributes__}


# ── types of pydantic's own ─────────────────────────────────────────────────────────────────────
def own_plan(cls: Any, plan_of: Callable[[Any], Plan]) -> Plan | None:
    """The plan of a type that only pydantic can read and write (``HttpUrl``, ``EmailStr``, ``AwareDatetime``), None if it is none."""
    pydantic = sys.modules.get("pydantic")
    if pydantic is None or not hasattr(cls, "__get_pydantic_core_schema__"):
        return None
    name = show(cls)
    try:
        adapter = pydantic.TypeAdapter(cls)
    except Exception:  # without a schema it is a class like any other
        return None
    builtin = builtin_of(adapter)
    if builtin is not None:
        return plan_of(builtin)

    def dump(value: Any) -> Data:
        try:
            data = dump_any(adapter.dump_python(value, mode="json"))
            again = read(data)
        except Wrong:
            raise
        except Exception as error:
            raise Wrong(name, f"pydantic cannot store this value: {type(error).__name__}: {error}") from error
        if type(again) is not type(value) or again != value:
            raise Wrong(name, "as pydantic writes this value, it would come back as another one")
        return data

    def read(data: Data) -> Any:
        return adapter.validate_python(load_any(data))

    def load(data: Data) -> Any:
        try:
            return read(data)
        except Wrong:
            return other_form(data, name, load)
        except Exception as error:
            raise Wrong(name, f"pydantic cannot read what is stored: {error}") from error

    return Plan(name, dump, load, ANY_KIND, (cls,), ANY.escapes, endless=True, takes_subclasses=True)


_BUILTIN: Final[Mapping[str, Any]] = {
    "datetime": datetime,
    "date": date,
    "time": time,
    "timedelta": timedelta,
    "decimal": Decimal,
    "uuid": UUID,
}
"""The types of Python behind pydantic's names for moments, ``AwareDatetime`` and the like."""


def builtin_of(adapter: Any) -> Any:
    """The type of Python's own that the values of a pydantic type have, None if it is another."""
    return _BUILTIN.get(str(adapter.core_schema.get("type")))
