"""Fibers: the lines of execution inside one run, each a stack of generators.

A generator that yields another workflow or generator puts it on the stack instead of calling it, so a
thousand workflows can be nested without a thousand Python frames.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias, final

from redrive_interpreter.errors import Cancelled
from redrive_interpreter.raised import note

if TYPE_CHECKING:
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.machine.branches import Group
    from redrive_interpreter.machine.run_state import RunState
    from redrive_interpreter.machine.scopes import Scope
    from redrive_interpreter.machine.task_waits import TaskState
    from redrive_interpreter.machine.waits import Wait


@final
class Waiting:
    """The reply of a handler whose fiber must wait."""

    __slots__ = ()


WAITING = Waiting()
Reply: TypeAlias = "Waiting | tuple[Any, BaseException | None]"
"""The reply of a handler: (value, None), (None, error to throw), or `WAITING`."""


class Frame:
    """A generator on a fiber's stack, and the scope that it asks in (*opens*: the scope begins with it)."""

    __slots__ = ("gen", "opens", "scope")

    def __init__(self, gen: Generator[Any, Any, Any] | None, scope: Scope, opens: bool) -> None:
        self.gen: Generator[Any, Any, Any] | None = gen
        self.scope: Scope = scope
        self.opens: bool = opens

    @property
    def remembers(self) -> tuple[Any, ...]:
        """The state of a frame without a generator, beside its scope."""
        return ()

    def resume(self, run: RunState, fiber: Fiber, value: Any, error: BaseException | None) -> Reply:
        """For frames without a generator: take the result of the frame above, and give back the reply for the frame below."""
        raise NotImplementedError


class Fiber:
    """One line of execution. *order* sorts fibers by key: the place in the tree of branches.

    *cancel* is set once the fiber was asked to stop, *thrown* once `Cancelled` was thrown into it; each scope gets it once.
    """

    __slots__ = (
        "cancel", "done", "error", "frames", "group", "index", "order", "scope", "streak", "task", "thrown", "value", "wait",
    )  # fmt: skip

    def __init__(self, scope: Scope, order: tuple[int, ...]) -> None:
        self.scope: Scope = scope
        self.order: tuple[int, ...] = order
        self.frames: list[Frame] = []
        self.wait: Wait | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self.cancel: tuple[str, CancelledBy] | None = None
        self.thrown: bool = False
        self.done: bool = False
        self.group: Group | None = None
        self.index: int = 0
        self.task: TaskState | None = None
        self.streak: int = 0

    def cancelled(self, cancel: tuple[str, CancelledBy], instead_of: BaseException | None = None) -> Cancelled:
        """The `Cancelled` to throw now. Every scope on the stack is marked as cut."""
        self.thrown = True
        for frame in self.frames:
            frame.scope.cut = True
        cancelled = Cancelled(*cancel)
        if instead_of is not None and not isinstance(instead_of, Cancelled):
            note(cancelled, "instead of", instead_of)
        return cancelled

    def push(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.scope = frame.scope

    def pop(self) -> Frame:
        """Take off the top frame; the scope is the next one's again."""
        frame = self.frames.pop()
        if self.frames:
            self.scope = self.frames[-1].scope
        return frame
