"""Observation of a run: an observer that is told what the code yields and asks, and views of a run at rest for debuggers and test
kits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from redrive_interpreter.machine.places import fibers, innermost_place
from redrive_interpreter.machine.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.history.rows import Asked
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.fibers import Fiber, Frame, Reply
    from redrive_interpreter.machine.places import Place


class Observer:
    """Callbacks of a machine, in replay too. A subclass overrides those it needs; none may raise."""

    def yielded(self, command: Any) -> None:
        """Called when the workflow yields *command*: a command, an invocation, a generator, or something that is refused."""

    def asked(self, key: Key, kind: str, label: str, command: Any) -> None:
        """Called when *command* is asked under *key*, or replay finds it recorded there."""

    def threw(self, error: BaseException) -> None:
        """Called before *error*, which a fact brought, is thrown into the workflow."""

    def ending(self, error: BaseException) -> None:
        """Called when *error* has left a scope, or the run, and the machine judges whether the code is at fault."""


class ObservedRun(RunState):
    """A run that calls *observer*. Other runs have no cost from it."""

    __slots__ = ("_observer",)

    def __init__(self, workflow: Workflow[..., Any], codec: Codec, observer: Observer) -> None:
        super().__init__(workflow, codec)
        self._observer = observer

    def perform(self, fiber: Fiber, command: Any) -> Reply:
        self._observer.yielded(command)
        return super().perform(fiber, command)

    def ask(self, key: Key, kind: str, label: str = "", input: Any = None, undo: str | None = None, command: Any = None) -> Asked:
        self._observer.asked(key, kind, label, command)
        return super().ask(key, kind, label, input, undo, command)

    def threw(self, error: BaseException) -> BaseException:
        self._observer.threw(error)
        return super().threw(error)

    def is_bug(self, error: BaseException) -> bool:
        self._observer.ending(error)
        return super().is_bug(error)


@attrs.frozen
class FrameView:
    """One frame of a stack: the *generator* of a workflow, or a frame of the kernel's own, its *name* and what it *remembers*."""

    generator: Generator[Any, Any, Any] | None
    name: str
    remembers: tuple[Any, ...]


@attrs.frozen(kw_only=True)
class FiberView:
    """One fiber: its *order* among the others, the *cancel* it was told, and whether that was *thrown*; *key* is that of the
    command it waits for, *place* the innermost line of its generators."""

    order: tuple[int, ...]
    cancel: tuple[str, CancelledBy] | None
    thrown: bool
    key: Key | None
    place: Place | None
    frames: tuple[FrameView, ...]


@attrs.frozen(kw_only=True)
class OpenChild:
    """A child that has not ended. *asked_at* is when it was first started (None: by an earlier run), *retry* the policies for its
    failure."""

    id: str
    workflow: str
    asked_at: datetime | None
    retry: tuple[Any, ...]


def fiber_views(run: RunState) -> list[FiberView]:
    """All fibers that are not over, the root first."""
    return [
        FiberView(
            order=fiber.order,
            cancel=fiber.cancel,
            thrown=fiber.thrown,
            key=None if fiber.wait is None else fiber.wait.key,
            place=innermost_place(fiber),
            frames=tuple(_view(frame) for frame in fiber.frames),
        )
        for fiber in fibers(run)
    ]


def _view(frame: Frame) -> FrameView:
    return FrameView(frame.gen, type(frame).__name__, frame.remembers)


def open_children(run: RunState) -> tuple[OpenChild, ...]:
    """The children that have not ended, oldest first."""
    if not run.has_open_children:
        return ()
    return tuple(
        OpenChild(
            id=child.id,
            workflow=child.workflow,
            asked_at=child.asked_at,
            retry=() if child.start is None else child.start.command.retry,
        )
        for child in run.family.open
    )
