"""From a stored outcome to what `Execution.result` returns or raises."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from redrive.attendance import unattended, workers_of
from redrive.errors import CompensationFailed, DamagedData, ExecutionCancelled, ExecutionEnded, ExecutionFailed, WorkflowTimeout, stopped_by
from redrive.ports.store import StoreError
from redrive.status import CANCELLED, COMPENSATION_FAILED, COMPLETED, FAILED, FINAL, PARKED
from redrive.stored import Origin
from redrive.timeline import json_object, timeline
from redrive.waiters import End
from redrive_interpreter import kinds
from redrive_interpreter.commands.durations import duration
from redrive_interpreter.errors import ExecutionNotFound
from redrive_interpreter.history.rows import CancelRequested
from redrive_interpreter.outcomes import Failure, Ok

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.execution import AsyncExecution
    from redrive.service import AsyncDurableService
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.rows import Row

_MOST_CHILDREN: Final = 10
"""Children, and children of children, that a `TimeoutError` looks at."""

_ERRORS: Final[dict[str, type[ExecutionEnded]]] = {
    FAILED: ExecutionFailed,
    CANCELLED: ExecutionCancelled,
    COMPENSATION_FAILED: CompensationFailed,
}


_TO_SAY_WHY: Final = 1.0
"""Seconds past a caller's timeout in which the store may still say how the execution stands."""


async def result_of(execution: AsyncExecution[Any], timeout: float | timedelta | None) -> Any:
    """Wait for the end of *execution*, at most *timeout* seconds; its result, or the error that ended it.

    The timeout bounds the whole call: a store that does not answer is not waited for either.
    """
    if timeout is None:
        return await _result(execution, None)
    seconds = max(0.0, duration(timeout, "timeout").total_seconds())
    whole = asyncio.timeout(seconds + _TO_SAY_WHY)
    try:
        async with whole:
            return await _result(execution, seconds)
    except TimeoutError as error:
        if not whole.expired():
            raise
        raise TimeoutError(f"execution {execution.id!r}: the store did not answer within {seconds + _TO_SAY_WHY:g} s") from error


async def _result(execution: AsyncExecution[Any], seconds: float | None) -> Any:
    service, id, workflow = execution._service, execution.id, execution.workflow
    began = asyncio.get_running_loop().time()
    await execution._check()
    service._check_open()
    if service._worker is not None and service._worker.broken is not None:
        raise stopped_by(service._worker.broken)
    waiter = service._waiters.add(id)
    try:
        end = await _end(service, id, waiter, None if seconds is None else began + seconds)
    finally:
        service._waiters.remove(id, waiter)
    if workflow is None or workflow.name in service.workflows:
        workflow = await service._workflow_of(id, workflow)
    origin = Origin(id, service.store_name)
    return await ended_with(origin, end, workflow, service.codec, lambda: service._history(id))


async def _end(service: AsyncDurableService, id: str, waiter: asyncio.Future[End], until: float | None) -> End:
    if service._worker is None or id not in service._worker.lives:  # else the worker tells us, and the store need not be asked
        snapshot = await service._read(id)
        if snapshot.status in FINAL:
            return End(snapshot.status, snapshot.outcome or "{}")
    if until is None:
        return await waiter
    done, _ = await asyncio.wait([waiter], timeout=max(0.0, until - asyncio.get_running_loop().time()))
    if done:
        return waiter.result()
    raise TimeoutError(await _why_late(service, id))


async def _why_late(service: AsyncDurableService, id: str) -> str:
    """How execution *id* stands, and why nobody works on it, or on a child that it waits for, where that can be said."""
    text = str(await service._info(id, None))
    with contextlib.suppress(StoreError, ExecutionNotFound):  # how it stands is known; the rest would have been more
        workers, now = await workers_of(service.store), await service.store.now()
        todo = [id]
        for child in todo:
            snapshot = await service._read(child)
            lacks = unattended(snapshot, workers, now)
            if child != id and snapshot.status == PARKED:
                lacks = next(iter(snapshot.parked.values()), "").partition("\n")[0]
            if lacks:
                return f"{text}; {lacks}" if child == id else f"{text}; child {child!r} is {snapshot.status}: {lacks}"
            if len(todo) < _MOST_CHILDREN and snapshot.status not in FINAL:
                todo += [other for other in _awaited(await service._history(child)) if other not in todo]
    return text


def _awaited(rows: list[Row]) -> list[str]:
    """The ids of the children that an execution waits for."""
    waits = [entry for entry in timeline(rows).open if entry.kind in kinds.CHILD_WAITS]
    return [entry.label if entry.kind == kinds.WAIT_CHILD else str((json_object(entry.input) or {}).get("id")) for entry in waits]


async def ended_with(
    origin: Origin, end: End, workflow: Workflow[..., Any] | None, codec: JsonCodec, rows: Callable[[], Awaitable[list[Row]]]
) -> Any:
    """The result, or the error raised; *rows* gives those of the last run, for the reason of a cancel."""
    id, outcome = origin.id, origin.outcome(end.outcome)
    if end.status == COMPLETED:
        if not isinstance(outcome, Ok):
            raise DamagedData(id, origin.store, "outcome", "it is a failure, and the status is completed")
        if workflow is None:
            return codec.load_untyped(outcome.value)
        return codec.load(outcome.value, workflow.result_type, f"the result of {workflow.name}", "result")
    failure = Failure("", "") if isinstance(outcome, Ok) else outcome.error
    if end.status == CANCELLED:
        reason = next((row.reason for row in reversed(await rows()) if type(row) is CancelRequested), failure.message)
        raise ExecutionCancelled(id, "Cancelled", reason)
    cause = None if workflow is None else codec.load_error(failure, workflow.raises)
    if cause is None and failure.type == "WorkflowTimeout":
        cause = WorkflowTimeout(failure.message)
    raise _ERRORS[end.status](id, failure.type, failure.message, failure.traceback, cause)
