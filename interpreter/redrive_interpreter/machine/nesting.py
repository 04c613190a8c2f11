"""Frames on top of the workflow that yields them, on the same fiber: workflows run inline, generators, and Settle."""

from __future__ import annotations

from inspect import GEN_CREATED, getgeneratorstate
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter.commands.parallel import Settle
from redrive_interpreter.commands.workflows import Invocation
from redrive_interpreter.errors import WorkflowMisuse
from redrive_interpreter.machine.fibers import Fiber, Frame
from redrive_interpreter.machine.scopes import Scope
from redrive_interpreter.outcomes import Err, Ok

if TYPE_CHECKING:
    from redrive_interpreter.machine.fibers import Reply
    from redrive_interpreter.machine.run_state import RunState


class SettleFrame(Frame):
    """Makes a value of a failure."""

    __slots__ = ()

    def resume(self, run: RunState, fiber: Fiber, value: Any, error: BaseException | None) -> Reply:
        fiber.pop()
        if error is None:
            return Ok(value), None
        return (Err(error), None) if isinstance(error, Exception) else (None, error)


def _settle(run: RunState, fiber: Fiber, command: Settle[Any]) -> Reply:
    fiber.push(SettleFrame(None, fiber.scope, False))
    return run.perform(fiber, command.branch)


def _inline(run: RunState, fiber: Fiber, invocation: Invocation[Any]) -> Reply:
    workflow = invocation.workflow
    if workflow.fn is None:
        raise WorkflowMisuse(f"workflow {workflow.name!r} is known by name only; start it as a child, it cannot run inline")
    scope = Scope(fiber.scope.key(workflow.name) + "/", workflow)
    fiber.push(Frame(workflow.fn(*invocation.args, **invocation.kwargs), scope, True))
    return None, None


def _generator(run: RunState, fiber: Fiber, generator: Any) -> Reply:
    if getgeneratorstate(generator) != GEN_CREATED:
        name = generator.__qualname__
        raise WorkflowMisuse(f"the generator {name} has been begun already: call its function again for another run of it")
    fiber.push(Frame(generator, fiber.scope, False))
    return None, None


HANDLERS: Final[dict[Any, Any]] = {Settle: _settle, Invocation: _inline, GeneratorType: _generator}
