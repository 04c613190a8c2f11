"""The verbs of operators that change how an execution goes on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload
from uuid import uuid4

from redrive.patience import patiently
from redrive_interpreter.commands.durations import positive_duration
from redrive_interpreter.commands.workflows import Invocation
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.keys import check_name
from redrive_interpreter.outcomes import Err, Failure, Ok

if TYPE_CHECKING:
    from redrive.operating.audit_entries import AuditEntry
    from redrive.operating.change_report import Change
    from redrive.operating.stored_acts import Children, Edit, Wish
    from redrive.operating.subjects import Edited, Subject
    from redrive.service import AsyncDurableService
    from redrive_interpreter.commands.durations import Duration
    from redrive_interpreter.commands.steps import Step, StepId

T = TypeVar("T")


class Why(TypedDict, total=False):
    """Why an operator does something: *reason* and *by* are kept in the audit. With *dry_run* nothing is stored."""

    reason: str
    by: str
    dry_run: bool


class HistoryActs:
    """See `Operator`."""

    _service: AsyncDurableService

    async def retry(
        self, id: str, since: str | None = None, *, timeout: Duration | None = None, children: Children | None = None, **why: Unpack[Why]
    ) -> Change:
        """Have a failed or parked execution go on from before its failure: every stored success is kept, the step that failed gets
        its attempts anew.

        With *since*, a key, all that was asked from there on is performed again, under new ids and idempotency keys; then a
        cancelled execution may be retried too. *timeout* gives it a new deadline, which one past its own needs. *children* says what
        happens to running children whose start is taken back. Raises `OperationRefused`, `ExecutionNotFound`.
        """
        from redrive.operating import edits

        limit = positive_duration(timeout, "timeout")
        return await self._act(id, "retry", why, lambda subject: edits.retry(subject, since), limit, children)

    @overload
    async def edit_step(self, id: str, step: Step[T], result: T, /, *, since: str | None = None, **why: Unpack[Why]) -> Change: ...
    @overload
    async def edit_step(self, id: str, step: StepId[T], result: T, /, *, since: str | None = None, **why: Unpack[Why]) -> Change: ...
    @overload
    async def edit_step(
        self, id: str, step: Step[Any] | StepId[Any] | str, /, *, error: Exception, since: str | None = None, **why: Unpack[Why]
    ) -> Change: ...
    @overload
    async def edit_step(self, id: str, step: str, result: object, /, *, since: str | None = None, **why: Unpack[Why]) -> Change: ...
    async def edit_step(
        self, id: str, step: Any, /, *result: Any, since: str | None = None, error: Exception | None = None, **why: Any
    ) -> Change:
        """Give a step another outcome than the one it had: *result*, or *error*.

        *step* is a key, a ready step such as ``quote("sku")``, or a `StepId`. What came after stays if the workflow still asks for
        it; else give *since*, from where on all is performed again. Raises `OperationRefused`, `ExecutionNotFound`.
        """
        return await self._answer("edit_step", id, step, result, error, since, why)

    @overload
    async def skip_step(self, id: str, step: Step[T], result: T, /, *, since: str | None = None, **why: Unpack[Why]) -> Change: ...
    @overload
    async def skip_step(self, id: str, step: StepId[T], result: T, /, *, since: str | None = None, **why: Unpack[Why]) -> Change: ...
    @overload
    async def skip_step(self, id: str, step: str, result: object, /, *, since: str | None = None, **why: Unpack[Why]) -> Change: ...
    async def skip_step(self, id: str, step: Any, result: Any, /, *, since: str | None = None, **why: Any) -> Change:
        """Go on as if a step that failed, or has not answered, or an undo, had given *result*. See `edit_step`.

        Raises `OperationRefused` (also for a step that succeeded), `ExecutionNotFound`.
        """
        return await self._answer("skip_step", id, step, (result,), None, since, why)

    async def retry_now(self, id: str, key: str | None = None, **why: Unpack[Why]) -> Change:
        """End the wait for the next attempt of the step at *key*, or of all steps that wait for one.

        Raises `OperationRefused`, `ExecutionNotFound`.
        """
        from redrive.operating import edits

        return await self._act(id, "retry_now", why, lambda subject: edits.retry_now(subject, key))

    async def force_fail(self, id: str, error: Exception | str, **why: Unpack[Why]) -> Change:
        """End an execution ``failed`` with *error* at once: no undo runs, no cleanup, and its code need not be here.

        Its children are cancelled, its parent is told. `retry` takes the end back. Raises `OperationRefused`, `ExecutionNotFound`.
        """
        from redrive.operating import stored_acts

        failure = Failure("ForcedFailure", error) if isinstance(error, str) else self._service.codec.dump_error(error, ())
        return await stored_acts.force_fail(self._service, self._wish(id, "force_fail", why), Err(failure))

    async def pause(self, id: str, **why: Unpack[Why]) -> Change:
        """Hold an execution back: from now on it asks for nothing and starts nothing, while bodies that run go on and are recorded.

        Signals are accepted; timers and the deadline are handled late, on `resume`. A cancel, and `force_fail`, end a pause. Raises
        `OperationRefused`, `ExecutionNotFound`.
        """
        from redrive.operating import stored_acts

        return await stored_acts.hold(self._service, self._wish(id, "pause", why), paused=True)

    async def resume(self, id: str, **why: Unpack[Why]) -> Change:
        """Let a paused execution go on. Raises `OperationRefused`, `ExecutionNotFound`."""
        from redrive.operating import stored_acts

        return await stored_acts.hold(self._service, self._wish(id, "resume", why), paused=False)

    async def fork(
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
        from redrive.operating import edits, stored_acts

        copy_id = check_name(id, "execution id") if id is not None else str(uuid4())
        limit = positive_duration(timeout, "timeout")
        call = None if input is None else self._call(execution, input)

        def edit(subject: Subject, deadline: datetime | None) -> Edited:
            return edits.fork(subject, copy_id, before, deadline, call)

        return await stored_acts.copy(self._service, self._wish(execution, "fork", why), copy_id, edit, limit)

    async def audit(self, id: str | None = None, *, limit: int = 100) -> Sequence[AuditEntry]:
        """The acts of operators on one execution, or to all: the newest *limit* acts, oldest first."""
        from redrive.operating.audit_entries import audit_entry

        service = self._service
        service._check_open()
        return [audit_entry(one) for one in await patiently(lambda: service.store.audit(id, limit))]

    # ── what they share ─────────────────────────────────────────────────────────────────────────
    def _wish(self, id: str, verb: str, why: Why) -> Wish:
        from redrive.operating.stored_acts import Wish

        self._service._check_open()
        if unknown := set(why) - {"reason", "by", "dry_run"}:
            raise TypeError(f"{verb}() got an unexpected keyword argument {min(unknown)!r}")
        return Wish(id=check_name(id, "execution id"), verb=verb, **why)

    async def _act(
        self, id: str, verb: str, why: Why, edit: Edit, timeout: timedelta | None = None, children: Children | None = None
    ) -> Change:
        from redrive.operating import stored_acts

        return await stored_acts.act(self._service, self._wish(id, verb, why), edit, timeout=timeout, children=children)

    async def _answer(
        self, verb: str, id: str, step: Any, result: tuple[Any, ...], error: Exception | None, since: str | None, why: Any
    ) -> Change:
        from redrive.operating import edits
        from redrive.operating.step_keys import check_means_step, key_of

        check_means_step(verb, step)
        if (error is None) == (not result) or len(result) > 1:
            raise InvalidDefinition(f"{verb} takes a result or error=, one of them")
        value: Any = next(iter(result), None)

        def edit(subject: Subject) -> Edited:
            key = key_of(subject, verb, step)
            edits.check_step(subject, verb, key)
            if verb == "skip_step":
                edits.check_skipped(subject, key)
            if error is not None:
                return edits.answer(subject, verb, key, Err(edits.encoded_error(subject, verb, key, error)), since)
            return edits.answer(subject, verb, key, Ok(edits.encoded(subject, verb, key, value)), since)

        return await self._act(id, verb, why, edit)

    def _call(self, id: str, input: Invocation[Any]) -> tuple[str, Any]:
        if not isinstance(input, Invocation):
            raise InvalidDefinition(f"input= takes an invocation, like process_order(order), not {input!r}")
        workflow = self._service.workflows.get(input.workflow.name, input.workflow)
        data = self._service.codec.dump_call(workflow.signature, input.args, input.kwargs, f"workflow {workflow.name}")
        return workflow.name, data
