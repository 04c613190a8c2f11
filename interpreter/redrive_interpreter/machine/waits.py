"""What a fiber can wait for, and what cutting the fiber does to each wait.

``cut`` gives back whether `Cancelled` can be thrown at once; if not, it is thrown when the wait ends.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from redrive_interpreter.commands.messages import texts_of
from redrive_interpreter.history.rebuilt_errors import execution_error, step_error
from redrive_interpreter.history.requests import CancelExecution, Drop, Perform

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.basics import Command, Step, WaitSignal
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.history.requests import Request
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.branches import Group
    from redrive_interpreter.machine.fibers import Fiber, Reply, TaskState
    from redrive_interpreter.machine.machine import Machine
    from redrive_interpreter.machine.saga import Undoing


class Wait:
    """Something a fiber waits for; *key* is that of the command which asked for it."""

    __slots__ = ("command", "fiber", "key")

    def __init__(self, key: Key, command: Command[Any], fiber: Fiber) -> None:
        self.key = key
        self.command = command
        self.fiber = fiber

    def cut(self, machine: Machine[Any], cancel: tuple[str, CancelledBy]) -> bool:
        """Stop waiting if that may be done now."""
        raise NotImplementedError

    def requests(self) -> list[Request]:
        """What the host must be asked (again) so that this wait can end."""
        return []


class StepWait(Wait):
    """A step's answer. *doubt*: an attempt may have taken effect without our knowing.

    *undoing* is set where the step is an undo: then the saga, not the fiber, gets the answer. *run* is the run in which the
    step was asked, of an undo the one in which the step that it undoes was.
    """

    __slots__ = ("asked_at", "attempt", "doubt", "due", "input", "run", "started", "undoing")
    command: Step[Any]

    def __init__(self, key: Key, command: Step[Any], fiber: Fiber, input: Any, asked_at: datetime, run: UUID) -> None:
        self.key = key
        self.command = command
        self.fiber = fiber
        self.input = input
        self.asked_at = asked_at
        self.run = run
        self.attempt = 1
        self.due: datetime | None = None
        self.started = False
        self.doubt = False
        self.undoing: Undoing | None = None

    def cut(self, machine: Machine[Any], cancel: tuple[str, CancelledBy]) -> bool:
        spec = self.command.spec
        if self.undoing is not None:
            return False  # E3: never into a Rollback
        in_flight = self.key not in machine.unbegun and self.in_flight(machine)
        if in_flight and (spec.undo is not None or spec.at_most_once):
            return False  # S10: its effect must be known, so that it can be undone or is not repeated
        machine.settle(self)
        machine.request(Drop(self.key))
        if in_flight or self.doubt:
            machine.saga.doubt(self.key, spec.undo, self.run)
        return True

    def in_flight(self, machine: Machine[Any]) -> bool:
        """Whether an attempt may be running: one that waited for its time runs once that has come."""
        return self.due is None or self.due <= machine.now

    def requests(self) -> list[Request]:
        return [Perform(self.key, self.command, self.input, self.attempt, self.due, self.asked_at, self.started, self.run)]


class TimerWait(Wait):
    """A sleep."""

    __slots__ = ()

    def cut(self, machine: Machine[Any], cancel: tuple[str, CancelledBy]) -> bool:
        machine.settle(self)
        machine.clear_timer(self.key)
        return True


class SignalWait(Wait):
    """A signal called *name*, stored up to *due*. *texts* are those that it may come under: its own, and its bare name."""

    __slots__ = ("due", "name", "texts")
    command: WaitSignal[Any]

    def __init__(self, key: Key, command: WaitSignal[Any], fiber: Fiber, name: str, due: datetime | None) -> None:
        super().__init__(key, command, fiber)
        self.name = name
        self.texts = texts_of(command.signal)
        self.due = due

    def cut(self, machine: Machine[Any], cancel: tuple[str, CancelledBy]) -> bool:
        machine.settle(self)
        machine.mailbox.forget(self)
        machine.clear_timer(self.key)
        return True


class AnswerWait(Wait):
    """The host's word on something stored with the turn about the execution *target*; short, so a cut waits for it."""

    __slots__ = ("again", "refusing", "target", "then")

    def __init__(self, key: Key, command: Command[Any], fiber: Fiber, target: str, again: Request, then: Callable[[], Reply]) -> None:
        super().__init__(key, command, fiber)
        self.target = target
        self.again = again
        self.then = then
        self.refusing: Callable[[], None] | None = None

    def refused(self, codec: Codec, error: Any) -> BaseException:
        """The error to throw where the host said no."""
        if self.refusing is not None:
            self.refusing()
        return execution_error(error, self.target) or step_error(codec, error, self.key, ())

    def cut(self, machine: Machine[Any], cancel: tuple[str, CancelledBy]) -> bool:
        if self.refusing is None or self.key not in machine.unbegun:
            return False
        self.refusing()  # a child whose start is not stored: it never is
        machine.settle(self)
        machine.request(Drop(self.key))
        return True

    def requests(self) -> list[Request]:
        return [self.again]


class ChildWait(Wait):
    """A child's end. *owned*: the command started it, so a cut cancels it and waits for it."""

    __slots__ = ("child", "owned")

    def __init__(self, key: Key, command: Command[Any], fiber: Fiber, child: str, owned: bool) -> None:
        super().__init__(key, command, fiber)
        self.child = child
        self.owned = owned

    def cut(self, machine: Machine[Any], cancel: tuple[str, CancelledBy]) -> bool:
        machine.clear_timer(self.key)
        if self.owned:
            machine.family.last_attempt(self.child)
            machine.request(CancelExecution(self.key, self.child, cancel[0]))
            return False
        machine.settle(self)
        machine.family.forget(self)
        return True


class JoinWait(Wait):
    """A spawned task's end."""

    __slots__ = ("task",)

    def __init__(self, key: Key, command: Command[Any], fiber: Fiber, task: TaskState) -> None:
        super().__init__(key, command, fiber)
        self.task = task

    def cut(self, machine: Machine[Any], cancel: tuple[str, CancelledBy]) -> bool:
        self.task.waiters.remove(self.fiber)
        self.task.joined = bool(self.task.waiters)
        return True


class GroupWait(Wait):
    """The branches of a combinator: a cut cuts them all (`Machine.cut`) and waits for them."""

    __slots__ = ("group",)

    def __init__(self, key: Key, command: Command[Any], fiber: Fiber, group: Group) -> None:
        super().__init__(key, command, fiber)
        self.group = group


class ShieldedWait(Wait):
    """The end of tasks or children at the end of a scope: a cancel waits for them, and goes on to the children."""

    __slots__ = ()

    def cut(self, machine: Machine[Any], cancel: tuple[str, CancelledBy]) -> bool:
        machine.family.cut(machine, self.fiber, cancel)
        return False
