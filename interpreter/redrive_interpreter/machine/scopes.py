"""Scopes give commands their keys, and own the tasks started in them.

A scope is the root workflow, a workflow run inline, a branch of a combinator, or a spawned task. Its counts
are its own, so a branch's keys do not depend on what other branches do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redrive_interpreter.keys import Key, escape

if TYPE_CHECKING:
    from redrive_interpreter.commands.command import Command
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.machine.task_waits import TaskState


class Scope:
    """One scope.

    Keys inside begin with *prefix*; *workflow* is the one whose body this is (None: a branch). *cut* is set if it was open when
    its fiber was cancelled.
    """

    __slots__ = ("_counts", "cut", "prefix", "tasks", "workflow")

    def __init__(self, prefix: str, workflow: Workflow[..., Any] | None = None) -> None:
        self.prefix: str = prefix
        self.workflow: Workflow[..., Any] | None = workflow
        self._counts: dict[str, int] | None = None
        self.tasks: list[TaskState] | None = None
        self.cut: bool = False

    def key(self, id: str) -> Key:
        """The key of the next command with *id* in this scope."""
        counts = self._counts
        if counts is None:
            counts = self._counts = {}
        n = counts.get(id, 0) + 1
        counts[id] = n
        name = self.prefix + escape(id)
        return Key(name if n == 1 else f"{name}#{n}")

    def key_of(self, command: Command[Any]) -> Key:
        """The key of *command*, which is yielded next in this scope."""
        return self.key(command.command_id or command.default_id)

    def holds(self, key: str) -> bool:
        """Whether *key* belongs to this scope or to one inside it."""
        return key.startswith(self.prefix)
