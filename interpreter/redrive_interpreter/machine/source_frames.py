"""Where every fiber of a machine stands, generator by generator, with the local variables.

Nothing here changes the machine; the locals are handed out as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from redrive_interpreter.machine.machine import state_of
from redrive_interpreter.machine.places import fibers, users_generators

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redrive_interpreter.commands.command import Command
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.fibers import Fiber
    from redrive_interpreter.machine.machine import Machine


@attrs.frozen(kw_only=True)
class StandingFrame:
    """A generator of the user's code: the *line* of *file* at which it stands, and its *locals* by name.

    The keys of its commands begin with *scope*; *workflow* names the workflow whose body it is, if any.
    """

    file: str
    line: int
    function: str
    scope: str
    workflow: str
    locals: Mapping[str, object]


@attrs.frozen(kw_only=True)
class StandingFiber:
    """A fiber that is not over: its generators, the outermost first, and the *command* at *key* that it waits for.

    A branch that is a single command has no generators.
    """

    scope: str
    key: Key | None
    command: Command[Any] | None
    frames: tuple[StandingFrame, ...]


def standing(machine: Machine[Any]) -> Iterator[StandingFiber]:
    """The fibers that are not over, the root first, then branches and tasks in order."""
    for fiber in fibers(state_of(machine)):
        yield _standing_fiber(fiber)


def _standing_fiber(fiber: Fiber) -> StandingFiber:
    scope = fiber.frames[0].scope if fiber.frames else fiber.scope
    frames = tuple(
        StandingFrame(
            file=at.f_code.co_filename,
            line=at.f_lineno,
            function=at.f_code.co_name,
            scope=frame.scope.prefix,
            workflow=frame.scope.workflow.name if first and frame.scope.workflow is not None and frame.opens else "",
            locals={name: value for name, value in at.f_locals.items() if name.isidentifier()},
        )
        for frame in fiber.frames
        for first, at in users_generators(frame.gen)
    )
    wait = fiber.wait
    return StandingFiber(
        scope=scope.prefix, key=None if wait is None else wait.key, command=None if wait is None else wait.command, frames=frames
    )
