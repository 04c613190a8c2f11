"""Answers: waits for the host's reply to a request that was stored with a turn, and the fact `Answered`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from redrive_interpreter.history.rebuilt_errors import execution_error, step_error
from redrive_interpreter.history.requests import AbandonStep
from redrive_interpreter.history.rows import Answered
from redrive_interpreter.machine.fibers import Waiting
from redrive_interpreter.machine.waits import EndedBy, Wait
from redrive_interpreter.outcomes import Ok

if TYPE_CHECKING:
    from redrive_interpreter.commands.command import Command
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.history.requests import Request
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.fibers import Fiber, Reply
    from redrive_interpreter.machine.run_state import RunState


class AnswerWait(Wait):
    """A wait for the host's reply to a request about the execution *target*. The reply comes soon, so a cut waits for it."""

    __slots__ = ("again", "refusing", "target", "then")
    ended_by: ClassVar[EndedBy] = "store"

    def __init__(self, key: Key, command: Command[Any], fiber: Fiber, target: str, again: Request, then: Callable[[], Reply]) -> None:
        super().__init__(key, command, fiber)
        self.target: str = target
        self.again: Request = again
        self.then: Callable[[], Reply] = then
        self.refusing: Callable[[], None] | None = None

    def answered(self, run: RunState, fact: Answered) -> None:
        run.took(fact)
        run.settle(self)
        if isinstance(fact.outcome, Ok):
            reply = self.then()
            if not isinstance(reply, Waiting):
                run.wake(self.fiber, *reply)
            return
        if self.refusing is not None:
            self.refusing()
        error = fact.outcome.error
        run.wake(self.fiber, None, run.threw(execution_error(error, self.target) or step_error(run.codec, error, self.key, ())))

    def cut(self, run: RunState, cancel: tuple[str, CancelledBy]) -> bool:
        if self.refusing is None or self.key not in run.unbegun:
            return False
        self.refusing()  # the child's start is not stored yet, and now never will be
        run.settle(self)
        run.request(AbandonStep(self.key))
        return True

    def requests(self) -> list[Request]:
        return [self.again]


def ask_host(run: RunState, fiber: Fiber, command: Any, target: str, request: Any) -> Reply:
    """Ask the host for *request*, which concerns the execution *target*, and let *fiber* wait for the reply."""
    run.request(request)
    return run.wait(fiber, AnswerWait(request.key, command, fiber, target, request, lambda: (None, None)))


def _answer(run: RunState, fact: Answered) -> None:
    wait = run.pending.get(fact.key) or run.waiting_for(fact.key, fact)
    if wait is not None:
        wait.answered(run, fact)


FACTS: Final[dict[type, Any]] = {Answered: _answer}
