"""Notes and attributes, for people and programs to read: Note and SetAttribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from redrive_interpreter import kinds
from redrive_interpreter.commands.command import Command, building, text_of
from redrive_interpreter.commands.conditions import Attribute
from redrive_interpreter.commands.messages import Payload
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.frozen import put

A = TypeVar("A")


class Note(Command[None]):
    """Write an entry into the audit trail; replay does not compare it."""

    __slots__ = ("data", "text")
    kind: ClassVar[str] = kinds.NOTE
    text: str
    data: Mapping[str, Any]

    def __init__(self, text: str, /, **data: object) -> None:
        building(self)
        put(self, "text", text_of(text, "Note"))
        put(self, "data", data)


class SetAttribute(Command[None]):
    """Set a typed value that clients can read and search while the execution runs."""

    __slots__ = ("attribute", "value")
    kind: ClassVar[str] = kinds.SET_ATTRIBUTE
    attribute: Attribute[Any]
    value: Any

    def __init__(self, attribute: Attribute[A], value: Payload[A], /) -> None:
        building(self)
        if not isinstance(attribute, Attribute):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(f"SetAttribute: {attribute!r} is not an Attribute")
        put(self, "attribute", attribute)
        put(self, "value", value)
