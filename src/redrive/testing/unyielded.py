"""Find commands that a workflow builds and never yields, which would do nothing without a sign."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter import Machine
from redrive_interpreter.commands.command import Built, performing
from redrive_interpreter.frozen import Frozen, fields_of
from redrive_interpreter.machine.observing import Observer

if TYPE_CHECKING:
    from redrive_interpreter import Codec, Fact, Request, Workflow

_OURS: Final = str(Path(__file__).parent.parent)
_CONTAINERS: Final = (tuple, list, set, frozenset)


class UnyieldedCommand(UserWarning):
    """A workflow built a command or an invocation, ended well, and had never yielded it: probably without ``yield from``."""


class Notes(Built, Observer):
    """The commands that one run has built and not yielded yet, each with the place at which it was built."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Any, str]] = {}  # keeps the objects alive, so that their ids stay unique

    def add(self, made: Any, place: str) -> None:
        if not place.startswith(_OURS):  # commands that the kernel builds itself, an undo say, are not yielded
            self._open[id(made)] = (made, place)

    def replace(self, old: Any, new: Any) -> None:
        known = self._open.pop(id(old), None)
        if known is not None:
            self._open[id(new)] = (new, known[1])

    def yielded(self, command: Any) -> None:
        """Drop *command*, which was yielded, and all commands that it contains."""
        todo: list[Any] = [command]
        while todo and self._open:
            one = todo.pop()
            if isinstance(one, Frozen):
                self._open.pop(id(one), None)
                todo += [getattr(one, name, None) for name in fields_of(one)]
                todo.append(getattr(getattr(one, "spec", None), "undo", None))
            elif isinstance(one, _CONTAINERS):
                todo += one
            elif isinstance(one, dict):
                todo += one.values()

    @property
    def left(self) -> list[tuple[Any, str]]:
        """The commands that were built and not yielded, oldest first, each with its file and line."""
        return list(self._open.values())


class Watching(Machine[Any]):
    """A machine that notes the commands that its workflow builds and does not yield."""

    __slots__ = ("notes",)

    def __init__(self, workflow: Workflow[..., Any], codec: Codec, notes: Notes | None = None) -> None:
        self.notes: Notes = notes or Notes()
        super().__init__(workflow, codec, self.notes)

    def receive(self, fact: Fact) -> list[Request]:
        before = performing.set(self.notes)
        try:
            return super().receive(fact)
        finally:
            performing.reset(before)


def unyielded(machine: Machine[Any]) -> list[tuple[Any, str]]:
    """The commands that the run of *machine* has built and not yielded, each with its place."""
    return machine.notes.left if isinstance(machine, Watching) else []


def warn(made: Iterable[tuple[Any, str]]) -> None:
    """Warn of each command at the line that built it."""
    for command, place in made:
        file, _, line = place.rpartition(":")
        text = f"{command!r} is built here and never yielded: nothing runs; write `yield from`"
        warnings.warn_explicit(text, UnyieldedCommand, file, int(line))
