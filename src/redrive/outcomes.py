"""From a stored outcome to what `Execution.result` returns or raises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from redrive.codec import from_json
from redrive.errors import CompensationFailed, ExecutionCancelled, ExecutionEnded, ExecutionFailed, WorkflowTimeout
from redrive_interpreter.history import load_outcome
from redrive_interpreter.outcomes import Failure, Ok
from redrive_interpreter.rows import CancelRequested

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.waiters import End
    from redrive_interpreter.rows import Row
    from redrive_interpreter.workflows import Workflow

_ERRORS: Final[dict[str, type[ExecutionEnded]]] = {
    "failed": ExecutionFailed,
    "cancelled": ExecutionCancelled,
    "compensation_failed": CompensationFailed,
}


async def ended_with(
    id: str, end: End, workflow: Workflow[..., Any] | None, codec: JsonCodec, rows: Callable[[], Awaitable[list[Row]]]
) -> Any:
    """The result, or the error raised; *rows* gives those of the last run, for the reason of a cancel."""
    outcome = load_outcome(from_json(end.outcome))
    if end.status == "completed":
        assert isinstance(outcome, Ok)
        where = id if workflow is None else workflow.name
        return codec.load(outcome.value, Any if workflow is None else workflow.result_type, f"the result of {where}", "result")
    failure = Failure("", "") if isinstance(outcome, Ok) else outcome.error
    if end.status == "cancelled":
        reason = next((row.reason for row in reversed(await rows()) if type(row) is CancelRequested), failure.message)
        raise ExecutionCancelled(id, "Cancelled", reason)
    cause = None if workflow is None else codec.load_error(failure, workflow.raises)
    if cause is None and failure.type == "WorkflowTimeout":
        cause = WorkflowTimeout(failure.message)
    raise _ERRORS[end.status](id, failure.type, failure.message, failure.traceback, cause)
