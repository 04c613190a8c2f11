"""Frozen values without a class generator.

Each of the thirty kinds of commands and definitions costs time when redrive is imported: attrs takes a third of a millisecond to
make a class, this module a hundredth of one. Rows, requests and what users store are attrs classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from attrs.exceptions import FrozenInstanceError

put: Callable[[object, str, Any], None] = object.__setattr__
"""How the constructors of frozen classes set their fields."""


class Frozen:
    """A value with the fields of its ``__slots__``, compared and shown by them, never changed.

    *_uncompared* names the fields that equality ignores, because they say nothing about what is asked. Constructors must set
    every field, with `put`.
    """

    __slots__ = ()
    _uncompared: ClassVar[frozenset[str]] = frozenset()
    _frozen_fields: ClassVar[tuple[str, ...]] = ()
    _frozen_compared: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        slots = cls.__dict__.get("__slots__", ())
        written = (name for name in cls.__annotations__ if name in slots)  # in the order that they are written
        cls._frozen_fields = (*cls._frozen_fields, *written)
        cls._frozen_compared = tuple(name for name in cls._frozen_fields if name not in cls._uncompared)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._frozen_compared)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in self._frozen_compared)))

    def __repr__(self) -> str:
        shown = ((name, getattr(self, name)) for name in self._frozen_fields)
        text = ", ".join(f"{name}={value!r}" for name, value in shown if value is not None and value != () and value != "")
        return f"{type(self).__name__}({text})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._frozen_fields}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            put(self, name, value)


def fields_of(value: Frozen) -> tuple[str, ...]:
    """The names of the fields of *value*, in the order in which they are written."""
    return value._frozen_fields


def compared_fields_of(value: Frozen) -> tuple[str, ...]:
    """The names of the fields by which *value* is compared."""
    return value._frozen_compared
