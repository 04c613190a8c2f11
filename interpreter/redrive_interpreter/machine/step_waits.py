"""Steps: the request that a yielded Step makes, and the facts about its attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from redrive_interpreter import kinds
from redrive_interpreter.commands.steps import Step
from redrive_interpreter.history.rebuilt_errors import step_error
from redrive_interpreter.history.requests import AbandonStep, RunStep
from redrive_interpreter.history.rows import AttemptStarted, Retrying
from redrive_interpreter.machine.fibers import WAITING
from redrive_interpreter.machine.waits import EndedBy, Wait
from redrive_interpreter.outcomes import Err, Ok

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from redrive_interpreter.codec import Codec
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.history.requests import Request
    from redrive_interpreter.history.rows import Answered, Asked
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.comparing import Comparison
    from redrive_interpreter.machine.fibers import Fiber, Reply
    from redrive_interpreter.machine.run_state import RunState
    from redrive_interpreter.machine.saga import Undoing


class StepWait(Wait):
    """A wait for a step's answer. *doubt* is set once an attempt may have taken effect with an unknown outcome.

    *undoing* is set where the step is an undo: then the saga, not the fiber, gets the answer. *run* is the run in which the
    step was asked, of an undo the one in which the step that it undoes was.
    """

    __slots__ = ("asked_at", "attempt", "doubt", "input", "retry_due", "run", "started", "undoing")
    command: Step[Any]
    ended_by: ClassVar[EndedBy] = "body"

    def __init__(self, key: Key, command: Step[Any], fiber: Fiber, input: Any, asked_at: datetime, run: UUID) -> None:
        self.key = key
        self.command = command  # pyright: ignore[reportIncompatibleVariableOverride]
        self.fiber = fiber
        self.input: Any = input
        self.asked_at: datetime = asked_at
        self.run: UUID = run
        self.attempt: int = 1
        self.retry_due: datetime | None = None
        self.started: bool = False
        self.doubt: bool = False
        self.undoing: Undoing | None = None

    @property
    def is_cut(self) -> bool:
        return self.undoing is None and self.fiber.cancel is not None and not self.fiber.thrown

    @property
    def can_be_cut(self) -> bool:
        return self.undoing is None and self.fiber.cancel is None

    def in_flight(self, run: RunState) -> bool:
        """Whether an attempt may be running: a retry runs once it is due."""
        return self.retry_due is None or self.retry_due <= run.now

    def requests(self) -> list[Request]:
        return [RunStep(self.key, self.command, self.input, self.attempt, self.retry_due, self.asked_at, self.started, self.run)]

    def answered(self, run: RunState, fact: Answered) -> None:
        run.took(fact)
        run.settle(self)
        spec, outcome = self.command.spec, fact.outcome
        if type(outcome) is Ok:
            if self.undoing is not None:
                self.undoing.answered(run, self, None)
                return
            value = run.scalar(outcome.value, spec.result_type, self.key)
            if spec.undo is not None:
                run.saga.completed(self.key, spec.undo, outcome.value, spec.result_type, self.run)
            run.wake(self.fiber, value)
            return
        assert isinstance(outcome, Err)
        error = run.threw(step_error(run.codec, outcome.error, self.key, spec.raises))
        if self.undoing is not None:
            self.undoing.answered(run, self, error)
            return
        if fact.in_doubt or self.doubt:
            run.saga.doubt(self.key, spec.undo, self.run)
        run.wake(self.fiber, None, error)

    def cut(self, run: RunState, cancel: tuple[str, CancelledBy]) -> bool:
        spec = self.command.spec
        if self.undoing is not None:
            return False  # E3: never into a Rollback
        in_flight = self.key not in run.unbegun and self.in_flight(run)
        if in_flight and (spec.undo is not None or spec.at_most_once):
            return False  # S10: its effect must be known, so that it can be undone or is not repeated
        run.settle(self)
        run.request(AbandonStep(self.key))
        if in_flight or self.doubt:
            run.saga.doubt(self.key, spec.undo, self.run)
        return True

    def abandon(self, run: RunState) -> None:
        run.request(AbandonStep(self.key))
        if self.undoing is None and (self.in_flight(run) or self.doubt):
            run.saga.doubtful.append(self.key)


def _step(run: RunState, fiber: Fiber, command: Step[Any]) -> Reply:
    spec = command.spec
    step_id = command.step_id
    key = fiber.scope.key(command.command_id or step_id)
    input = run.codec.dump_call(spec.signature, command.args, command.kwargs, step_id)
    run_id = run.run_id  # read before `ask`: a fork may begin right after the row
    run.ask(key, kinds.STEP, step_id, input, spec.undo_id, command)
    wait = StepWait(key, command, fiber, input, run.now, run_id)
    if run.recorded is None:
        run.requests.append(RunStep(key, command, input, 1, None, run.now, run=run_id))
    fiber.wait = wait
    run.pending[key] = wait
    return WAITING


def _attempt_started(run: RunState, fact: AttemptStarted) -> None:
    wait = run.waiting_for(fact.key, fact)
    if type(wait) is StepWait:
        run.took(fact)
        wait.attempt, wait.started, wait.retry_due = fact.attempt, True, None


def _retry(run: RunState, fact: Retrying) -> None:
    wait = run.waiting_for(fact.key, fact)
    if type(wait) is not StepWait:
        return
    run.took(fact)
    wait.attempt, wait.retry_due, wait.started = fact.attempt + 1, fact.due, False
    wait.doubt = wait.doubt or fact.in_doubt
    if wait.fiber.cancel is not None and not wait.fiber.thrown and wait.undoing is None:
        run.settle(wait)  # S10: no further attempt
        if wait.doubt:
            run.saga.doubt(wait.key, wait.command.spec.undo, wait.run)
        run.wake(wait.fiber, None)
    else:
        for request in wait.requests():
            run.request(request)


def _same_call(codec: Codec, row: Asked, input: Any, command: Any) -> bool:
    return codec.same_call(command.spec.signature, row.input, input, row.label)


HANDLERS: Final[dict[Any, Any]] = {Step: _step}
FACTS: Final[dict[type, Any]] = {AttemptStarted: _attempt_started, Retrying: _retry}
COMPARISONS: Final[dict[str, Comparison]] = {"as a step's call": _same_call}
