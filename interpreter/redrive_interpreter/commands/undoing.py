"""Commands about a run's undos: Rollback and Commit."""

from __future__ import annotations

from typing import ClassVar, Literal

from redrive_interpreter import kinds
from redrive_interpreter.commands.command import Command, building, text_of
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.frozen import put
from redrive_interpreter.keys import Key


class Rollback(Command[tuple[Key, ...]]):
    """Run the undos of the steps that completed in this scope, newest first; the answer is a tuple of the keys undone.

    With *on_error* ``"stop"`` an undo that fails ends the execution, ``compensation_failed``; ``"continue"`` tries them all first.
    """

    __slots__ = ("on_error", "reason")
    kind: ClassVar[str] = kinds.ROLLBACK
    reason: str
    on_error: Literal["stop", "continue"]

    def __init__(self, reason: str = "", on_error: Literal["stop", "continue"] = "stop") -> None:
        building(self)
        if on_error not in ("stop", "continue"):
            raise InvalidDefinition(f"Rollback: on_error is 'stop' or 'continue', not {on_error!r}")
        put(self, "reason", text_of(reason, "Rollback reason"))
        put(self, "on_error", on_error)


class Commit(Command[None]):
    """The point of no return: the undos recorded so far in this scope are dropped."""

    __slots__ = ("reason",)
    kind: ClassVar[str] = kinds.COMMIT
    reason: str

    def __init__(self, reason: str = "") -> None:
        building(self)
        put(self, "reason", text_of(reason, "Commit reason"))
