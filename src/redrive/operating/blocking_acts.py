"""The verbs of operators for the blocking service. No logic of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

if TYPE_CHECKING:
    from redrive.blocking import DurableService
    from redrive.operating.audit_entries import AuditEntry
    from redrive.operating.change_report import Change
    from redrive.operating.history_acts import Why
    from redrive.operating.stored_acts import Children
    from redrive_interpreter.commands.durations import Duration
    from redrive_interpreter.commands.steps import Step, StepId
    from redrive_interpreter.commands.workflows import Invocation

T = TypeVar("T")


class BlockingHistoryActs:
    """See `BlockingOperator`."""

    _service: DurableService

    def retry(
        self, id: str, since: str | None = None, *, timeout: Duration | None = None, children: Children | None = None, **why: Unpack[Why]
    ) -> Change:
        """Have a failed or parked execution go on from before its failure: every stored success is kept, the step that failed gets
        its attempts anew.

        With *since*, a key, all that was asked from there on is performed again, under new ids and idempotency keys; then a
        cancelled execution may be retried too. *timeout* gives it a new deadline, which one past its own needs. *children* says what
        happens to running children whose start is taken back. Raises `OperationRefused`, `ExecutionNotFound`.
        """
        return self._service._call(self._service.aio.operator.retry(id, since, timeout=timeout, children=children, **why))

    @overload
    def edit_step(self, id: str, step: Step[T], result: T, /, *, since: str | None = None, **why: Unpack[Why]) -> Change: ...
    @overload
    def edit_step(self, id: str, step: StepId[T], result: T, /, *, since: str | None = None, **why: Unpack[Why]) -> Change: ...
    @overload
    def edit_step(
        self, id: str, step: Step[Any] | StepId[Any] | str, /, *, error: Exception, since: str | None = None, **why: Unpack[Why]
    ) -> Change: ...
    @overload
    def edit_step(self, id: str, step: str, result: object, /, *, since: str | None = None, **why: Unpack[Why]) -> Change: ...
    def edit_step(self, id: str, step: Any, /, *result: Any, **options: Any) -> Change:
        """Give a step another outcome than the one it had: *result*, or *error*.

        *step* is a key, a ready step such as ``quote("sku")``, or a `StepId`. What came after stays if the workflow still asks for
        it; else give *since*, from where on all is performed again. Raises `OperationRefused`, `ExecutionNotFound`.
        """
        return self._service._call(self._service.aio.operator.edit_step(id, step, *result, **options))

    @overload
    def skip_step(self, id: str, step: Step[T], result: T, /, *, since: str | None = None, **why: Unpack[Why]) -> Change: ...
    @overload
    def skip_step(self, id: str, step: StepId[T], result: T, /, *, since: str | None = None, **why: Unpack[Why]) -> Change: ...
    @overload
    def skip_step(self, id: str, step: str, result: object, /, *, since: str | None = None, **why: Unpack[Why]) -> Change: ...
    def skip_step(self, id: str, step: Any, result: Any, /, **options: Any) -> Change:
        """Go on as if a step that failed, or has not answered, or an undo, had given *result*. See `edit_step`.

        Raises `OperationRefused` (also for a step that succeeded), `ExecutionNotFound`.
        """
        return self._service._call(self._service.aio.operator.skip_step(id, step, result, **options))

    def retry_now(self, id: str, key: str | None = None, **why: Unpack[Why]) -> Change:
        """End the wait for the next attempt of the step at *key*, or of all steps that wait for one.

        Raises `OperationRefused`, `ExecutionNotFound`.
        """
        return self._service._call(self._service.aio.operator.retry_now(id, key, **why))

    def force_fail(self, id: str, error: Exception | str, **why: Unpack[Why]) -> Change:
        """End an execution ``failed`` with *error* at once: no undo runs, no cleanup, and its code need not be here.

        Its children are cancelled, its parent is told. `retry` takes the end back. Raises `OperationRefused`, `ExecutionNotFound`.
        """
        return self._service._call(self._service.aio.operator.force_fail(id, error, **why))

    def pause(self, id: str, **why: Unpack[Why]) -> Change:
        """Hold an execution back: from now on it asks for nothing and starts nothing, while bodies that run go on and are recorded.

        Signals are accepted; timers and the deadline are handled late, on `resume`. A cancel, and `force_fail`, end a pause. Raises
        `OperationRefused`, `ExecutionNotFound`.
        """
        return self._service._call(self._service.aio.operator.pause(id, **why))

    def resume(self, id: str, **why: Unpack[Why]) -> Change:
        """Let a paused execution go on. Raises `OperationRefused`, `ExecutionNotFound`."""
        return self._service._call(self._service.aio.operator.resume(id, **why))

    def fork(
        self,
        execution: str,
        /,
        before: str | int,
        input: Invocation[Any] | None = None,
        id: str | None = None,
        *,
        timeout: Duration | None = None,
        **why: Unpack[Why],
    ) -> Change:
        """Start a copy of an execution that goes on from *before* a command (its key) or a row (its number, from 1).

        The copy, `Change.copy`, is a new execution called *id*. What was answered before is not performed again; what comes after is,
        by today's code, under ids and idempotency keys of its own. *input* gives it another call of the same workflow. Raises
        `OperationRefused`, `ExecutionNotFound`, `ExecutionConflict`.
        """
        operator = self._service.aio.operator
        return self._service._call(operator.fork(execution, before, input, id, timeout=timeout, **why))

    def audit(self, id: str | None = None, *, limit: int = 100) -> Sequence[AuditEntry]:
        """The acts of operators on one execution, or to all: the newest *limit* acts, oldest first."""
        return self._service._call(self._service.aio.operator.audit(id, limit=limit))
