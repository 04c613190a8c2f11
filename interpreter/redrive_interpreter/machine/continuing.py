"""ContinueAs: a run ends, and the next run takes over its children, deadline and unread signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter import kinds
from redrive_interpreter.commands.child_workflows import ContinueAs
from redrive_interpreter.errors import WorkflowMisuse
from redrive_interpreter.history.rows import Started
from redrive_interpreter.machine.places import close_frames
from redrive_interpreter.machine.start_frame import StartFrame

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from redrive_interpreter.codec import Codec
    from redrive_interpreter.history.rows import Asked
    from redrive_interpreter.machine.comparing import Comparison
    from redrive_interpreter.machine.fibers import Fiber, Reply
    from redrive_interpreter.machine.run_state import RunState


def next_run(run: RunState, started: Started, next_id: UUID, at: datetime) -> Started:
    """The first row of the next run. Children, deadline and unread signals stay with the execution (E9)."""
    invocation = run.continues
    assert invocation is not None, "the run was not continued"
    name = invocation.workflow.name
    return Started(
        id=started.id,
        run=next_id,
        at=at,
        input=run.codec.dump_call(invocation.workflow.signature, invocation.args, invocation.kwargs, name),
        workflow=name,
        number=started.number + 1,
        parent=started.parent,
        execution_started_at=started.execution_started_at or started.at,
        scheduled_for=started.scheduled_for,
        deadline=started.deadline,
        unread=run.mailbox.left(),
        children=run.family.left(),
    )


def _continue_as(run: RunState, fiber: Fiber, command: ContinueAs[Any]) -> Reply:
    if fiber is not run.root or any(frame.opens for frame in fiber.frames[1:]):
        raise WorkflowMisuse("ContinueAs works only in the workflow that the execution runs, not in a branch or one run inline")
    invocation = command.invocation
    call = run.codec.dump_call(invocation.workflow.signature, invocation.args, invocation.kwargs, invocation.workflow.name)
    run.ask(fiber.scope.key_of(command), kinds.CONTINUE_AS, invocation.workflow.name, call, None, command)
    run.continues = invocation
    scope = fiber.frames[0].scope
    close_frames(run, fiber)
    fiber.frames.append(StartFrame.over(scope))
    return None, None


def _same_call(codec: Codec, row: Asked, input: Any, command: Any) -> bool:
    return codec.same_call(command.invocation.workflow.signature, row.input, input, row.label)


HANDLERS: Final[dict[Any, Any]] = {ContinueAs: _continue_as}
COMPARISONS: Final[dict[str, Comparison]] = {"as a workflow's call": _same_call}
