"""Values that are the same on every replay: Now, NewId, Random, Info, Patch."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from redrive_interpreter import kinds
from redrive_interpreter.commands.command import Command, building
from redrive_interpreter.frozen import put
from redrive_interpreter.keys import check_id
from redrive_interpreter.run_info import RunInfo


class Now(Command[datetime]):
    """The time of the fact that began this turn, in UTC; never decreases."""

    __slots__ = ()
    kind: ClassVar[str] = kinds.NOW

    def __init__(self) -> None:
        building(self)


class NewId(Command[UUID]):
    """A UUID that is the same on every replay; each *name* is a sequence of its own."""

    __slots__ = ("name",)
    kind: ClassVar[str] = kinds.NEW_ID
    name: str

    def __init__(self, name: str = "") -> None:
        building(self)
        put(self, "name", check_id(name, "NewId name") if name != "" else "")


class Random(Command[float]):
    """A number from 0 up to 1 that is the same on every replay."""

    __slots__ = ()
    kind: ClassVar[str] = kinds.RANDOM

    def __init__(self) -> None:
        building(self)


class Info(Command[RunInfo]):
    """Get the `RunInfo` of this run."""

    __slots__ = ()
    kind: ClassVar[str] = kinds.INFO

    def __init__(self) -> None:
        building(self)


class Patch(Command[bool]):
    """True for runs that reach it first with this code, False for those recorded before it was written."""

    __slots__ = ("patch_id",)
    kind: ClassVar[str] = kinds.PATCH
    patch_id: str

    def __init__(self, id: str, /) -> None:
        building(self)
        put(self, "patch_id", check_id(id, "patch id"))
