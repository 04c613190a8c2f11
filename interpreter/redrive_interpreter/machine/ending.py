"""How scopes and runs end: tasks first, then children, then undos, then the outcome."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from redrive_interpreter import kinds
from redrive_interpreter.commands.command import Command
from redrive_interpreter.commands.workflows import Invocation
from redrive_interpreter.errors import Cancelled, CodecError, WorkflowMisuse
from redrive_interpreter.history.rows import Ended
from redrive_interpreter.history.verdicts import Finished
from redrive_interpreter.keys import Key
from redrive_interpreter.machine.fibers import WAITING, Fiber, Frame, Reply
from redrive_interpreter.machine.places import place_of_function
from redrive_interpreter.machine.saga import Undoing, plan
from redrive_interpreter.machine.waits import ShieldedWait
from redrive_interpreter.outcomes import Err, Failure, Ok, Status
from redrive_interpreter.raised import note, shown

if TYPE_CHECKING:
    from redrive_interpreter.machine.run_state import RunState
    from redrive_interpreter.machine.scopes import Scope


def leave(run: RunState, fiber: Fiber, frame: Frame, value: Any, error: BaseException | None) -> Reply:
    """Take the finished *frame* off the stack, and end its scope if it opened one."""
    fiber.pop()
    if not frame.opens:
        return value, error
    scope = frame.scope
    root = fiber is run.root and not fiber.frames
    if scope.workflow is not None and error is None:
        _refuse_command(run, scope, value)
    if scope.tasks is None and not (root and run.has_open_children) and not _wants_undo(run, scope, error, root):
        return _thrown_instead(fiber, scope, value, error)
    leaving = LeavingFrame(scope, root, value, error)
    fiber.push(leaving)
    return leaving.resume(run, fiber, None, None)


class LeavingFrame(Frame):
    """The frame that ends a scope in stages, each of which may wait: tasks, children (at the root), undos."""

    __slots__ = ("_error", "_root", "_stage", "_value")

    def __init__(self, scope: Scope, root: bool, value: Any, error: BaseException | None) -> None:
        super().__init__(None, scope, False)
        self._root = root
        self._value = value
        self._error = error
        self._stage = 0

    @property
    def remembers(self) -> tuple[Any, ...]:
        return self._stage, self._value, self._error

    def resume(self, run: RunState, fiber: Fiber, value: Any, error: BaseException | None) -> Reply:
        if self._stage == 0:
            if self._tasks_end(run, fiber):
                return WAITING
            self._stage = 1
        if self._stage == 1:
            if self._root and run.continues is None and self._children_end(run, fiber):
                return WAITING
            self._stage = 2
        if self._stage == 2:
            self._stage = 3
            if _wants_undo(run, self.scope, self._error, self._root) and self._undo(run, fiber):
                return WAITING
        fiber.pop()
        return _thrown_instead(fiber, self.scope, self._value, self._error)

    def _tasks_end(self, run: RunState, fiber: Fiber) -> bool:
        """Cut and await the tasks that nobody joined; True while one of them still runs."""
        tasks = self.scope.tasks or []
        unfinished = [task for task in tasks if task.outcome is None]
        for task in unfinished:
            run.cut(task.fiber, ("its scope has ended", "parent"))
        if unfinished:
            unfinished[0].ending = fiber
            fiber.wait = ShieldedWait(Key(""), None, fiber)  # type: ignore[arg-type]
            return True
        for task in tasks:
            failure = None if task.outcome is None or task.joined else task.outcome[1]
            if failure is None or isinstance(failure, Cancelled):
                continue
            if self._error is None:
                self._error = failure
            else:
                note(self._error, f"then also, in task {task.key}:", failure)
        return False

    def _children_end(self, run: RunState, fiber: Fiber) -> bool:
        undo = _wants_undo(run, self.scope, self._error, self._root)
        awaited = [child for child in run.family.open if child.policy == "wait" or (undo and child.policy == "cancel")]
        for child in awaited:
            if child.policy == "cancel":
                run.family.cancel(run, child, "the parent has ended")
        if awaited:
            run.family.ending = fiber
            fiber.wait = ShieldedWait(Key(""), None, fiber)  # type: ignore[arg-type]
        return bool(awaited)

    def _undo(self, run: RunState, fiber: Fiber) -> bool:
        entries = run.saga.within(self.scope.prefix)
        if not entries:
            return False
        key = self.scope.key("__undo")
        entries = plan(run, key, kinds.UNDO_SCOPE, {}, entries)
        ending = (self._value, self._error) if self._root else None
        return Undoing(key, fiber, entries, False, lambda run, _: run.wake_shielded(fiber, None), ending).next(run)


def finish(run: RunState, value: Any, error: BaseException | None, *, bug: bool = False) -> None:
    """Record how the run ended, once its root fiber is over."""
    if run.finished is not None:
        return
    outcome: Ok[Any] | Err = Ok(None)
    status: Status
    root, continues = run.root, run.continues is not None
    cancel = root.cancel if root is not None and (root.thrown or continues) else None
    if cancel is not None:
        run.continues = None  # a run that was cancelled has no next one
    if error is None and not continues:
        try:
            outcome = Ok(run.codec.dump(value, run.workflow.result_type, f"the result of {run.workflow.name}"))
        except CodecError as unencodable:
            error, bug = unencodable, True
    bug = bug or (error is not None and run.is_bug(error))
    if error is not None:
        raises = (Cancelled,) if isinstance(error, Cancelled) else run.workflow.raises
        outcome = Err(run.codec.dump_error(error, raises))
        status = "cancelled" if isinstance(error, Cancelled) and cancel is not None else "failed"
    elif run.continues is not None:
        status = "continued"
    else:
        status = "completed" if cancel is None else "cancelled"
    if cancel is not None and cancel[1] == "deadline" and not bug:
        outcome, status = Err(Failure("WorkflowTimeout", "the deadline has passed")), "failed"
    _end(run, Finished(outcome, status=status, bug=bug))


def fail_compensation(run: RunState, failures: list[tuple[Key, Failure]]) -> None:
    """End the run because undos failed. Only an operator can retry them."""
    text = "; ".join(f"undo of {key}: {failure.type}: {failure.message}" for key, failure in failures)
    failure = Failure("CompensationFailed", text, failures[0][1].traceback, attempts=failures[0][1].attempts)
    _end(run, Finished(Err(failure), status="compensation_failed"))


def _end(run: RunState, verdict: Finished) -> None:
    run.stop_everything()
    run.finished = verdict
    if verdict.status != "continued":
        for child in run.family.open:
            if child.policy == "cancel":
                run.family.cancel(run, child, "the parent has ended")
    run.add_row(Ended(status=verdict.status, outcome=verdict.outcome, bug=verdict.bug, unread=run.mailbox.unread))


def _wants_undo(run: RunState, scope: Scope, error: BaseException | None, root: bool) -> bool:
    workflow = scope.workflow
    if workflow is None or (workflow.on_failure is None and workflow.on_cancel is None):
        return False
    if error is not None and (run.is_bug(error) or isinstance(error, WorkflowMisuse)):
        return False
    fiber = run.root
    if root and fiber is not None and fiber.thrown and fiber.cancel is not None and fiber.cancel[1] == "deadline":
        return workflow.on_failure is not None  # E4: also where the workflow caught it and returned
    if error is None:
        return False
    if isinstance(error, Cancelled):
        return (workflow.on_failure if error.by == "deadline" else workflow.on_cancel) is not None
    return workflow.on_failure is not None


def _thrown_instead(fiber: Fiber, scope: Scope, value: Any, error: BaseException | None) -> tuple[Any, BaseException | None]:
    """Pass a cancel on to the enclosing scope, if it came while *scope* was ending or *scope* caught it.

    Each scope gets it once (E3): a workflow run inline cannot keep it from the one around it.
    """
    if fiber.cancel is not None and fiber.frames and (not fiber.thrown or (scope.cut and error is None)):
        return None, fiber.cancelled(fiber.cancel)
    return value, error


def _refuse_command(run: RunState, scope: Scope, value: Any) -> None:
    assert scope.workflow is not None
    if isinstance(value, (Command, Invocation, Generator)):
        raise WorkflowMisuse(
            f"workflow {scope.workflow.name!r} returned {shown(cast('object', value))} without yielding it; say `return (yield from …)`",
            place_of_function(scope.workflow.fn),
        )
