"""Tasks: fibers that Spawn starts beside the workflow, and Join waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from redrive_interpreter import kinds
from redrive_interpreter.commands.parallel import Join, Spawn, Task
from redrive_interpreter.errors import WorkflowMisuse
from redrive_interpreter.machine.fibers import WAITING, Fiber
from redrive_interpreter.machine.scopes import Scope
from redrive_interpreter.machine.start_frame import StartFrame
from redrive_interpreter.machine.waits import EndedBy, Wait

if TYPE_CHECKING:
    from datetime import datetime

    from redrive_interpreter.commands.command import Command
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.fibers import Reply
    from redrive_interpreter.machine.run_state import RunState

_AFTER_BRANCHES: Final = 1 << 32
"""Offset in a fiber's order: tasks run after the branches of the same fiber, oldest first."""


class TaskState:
    """A spawned task: its fiber, then its outcome; *waiters* join it, *ending* ends the scope that owns it."""

    __slots__ = ("ended_at", "ending", "fiber", "joined", "key", "outcome", "waiters")

    def __init__(self, key: Key, fiber: Fiber) -> None:
        self.key: Key = key
        self.fiber: Fiber = fiber
        self.outcome: tuple[Any, BaseException | None] | None = None
        self.waiters: list[Fiber] = []
        self.ending: Fiber | None = None
        self.joined: bool = False
        self.ended_at: datetime | None = None

    def ended(self, run: RunState, value: Any, error: BaseException | None) -> None:
        """Keep the outcome, and wake the fibers that wait for the task."""
        self.outcome, self.ended_at = (value, error), run.now
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            (run.wake_next if len(waiters) == 1 else run.wake)(waiter, value, error)
        if self.ending is not None:
            run.wake_shielded(self.ending, None)


class JoinWait(Wait):
    """A wait for a spawned task's end."""

    __slots__ = ("task",)
    ended_by: ClassVar[EndedBy] = "task"

    def __init__(self, key: Key, command: Command[Any], fiber: Fiber, task: TaskState) -> None:
        super().__init__(key, command, fiber)
        self.task: TaskState = task

    def cut(self, run: RunState, cancel: tuple[str, CancelledBy]) -> bool:
        self.task.waiters.remove(self.fiber)
        self.task.joined = bool(self.task.waiters)
        return True


def _spawn(run: RunState, fiber: Fiber, command: Spawn[Any]) -> Reply:
    key = fiber.scope.key_of(command)
    run.ask(key, kinds.SPAWN, "", None, None, command)
    scope = fiber.scope
    if run.tasks is None:
        run.tasks = {}
    child = Fiber(Scope(f"{key}/"), (*fiber.order, _AFTER_BRANCHES + len(run.tasks)))
    task = TaskState(key, child)
    child.task = task
    run.tasks[key] = task
    if scope.tasks is None:
        scope.tasks = []
    scope.tasks.append(task)
    child.push(StartFrame(child.scope, command.branch))
    fiber.value = Task(key)
    run.schedule(fiber)
    run.schedule(child)
    return WAITING


def _join(run: RunState, fiber: Fiber, command: Join[Any]) -> Reply:
    task = None if run.tasks is None else run.tasks.get(command.task.key)
    if task is None:
        raise WorkflowMisuse(f"Join of {command.task.key!r}, which this run never spawned")
    key = fiber.scope.key_of(command)
    run.ask(key, kinds.JOIN, task.key, None, None, command)
    task.joined = True
    if task.outcome is not None:
        return task.outcome
    task.waiters.append(fiber)
    fiber.wait = JoinWait(key, command, fiber, task)
    return WAITING


HANDLERS: Final[dict[Any, Any]] = {Spawn: _spawn, Join: _join}
