"""A child's attempts: whether one that failed is started again, and when.

1. The machine decides when the failure arrives, and records the decision in the same turn (S4). Replay reads it from there;
today's policies decide only about failures still to come (N3).
2.  The next attempt is stored with the decision: the same execution, pending until it is due, under a run of its own
    that derives from the command's key and the number. So nothing waits here, and a child between two attempts
    is like any other that starts later: it can be cancelled, awaited, sent signals, and outlive the run (E9, E10).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import attrs

from redrive_interpreter import kinds
from redrive_interpreter.commands.retry import after_failure
from redrive_interpreter.history.rebuilt_errors import workflow_error
from redrive_interpreter.history.requests import NextAttempt
from redrive_interpreter.keys import Key
from redrive_interpreter.machine.chance import uuid_of
from redrive_interpreter.outcomes import Err

if TYPE_CHECKING:
    from redrive_interpreter.history.requests import StartExecution
    from redrive_interpreter.history.rows import ChildFinished
    from redrive_interpreter.machine.family import ChildState
    from redrive_interpreter.machine.run_state import RunState

_REFUSED: Final = "ExecutionConflict"
"""The failure type by which the host says that it did not start the child again."""


def starts_again(run: RunState, child: ChildState, ended: ChildFinished) -> bool:
    """Decide whether *child*, which has ended, gets another attempt; ask for it if so."""
    start = child.start
    if start is None or ended.status != "failed":
        return False
    attempt = child.attempt + 1
    key = Key(f"{child.key}/__attempt#{attempt}")
    due = _recorded(run, key, start) if _is_recorded(run, key) else _decided(run, child, start, ended, key)
    if due is None:
        return False
    assert child.asked_at is not None
    child.attempt = attempt
    again = NextAttempt(
        attempt=attempt, run=uuid_of(child.run or run.run_id, f"attempt:{key}"), due=due, of=start.key, first_at=child.asked_at
    )
    run.request(attrs.evolve(start, key=key, again=again))
    return True


def _is_recorded(run: RunState, key: Key) -> bool:
    """Whether the decision is recorded; where the record ends with the failure itself, it is still to be taken."""
    return run.recorded is not None and (run.recorded.has(key) or not run.recorded.may_ask(key))


def _recorded(run: RunState, key: Key, start: StartExecution) -> datetime | None:
    assert run.recorded is not None
    if not run.recorded.has(key):
        return None  # there was no policy then
    due = run.ask(key, kinds.CHILD_ATTEMPT, start.workflow, None, None, start.command).input["due"]
    return None if due is None else datetime.fromisoformat(due)


def _decided(run: RunState, child: ChildState, start: StartExecution, ended: ChildFinished, key: Key) -> datetime | None:
    policies, outcome = start.command.retry, ended.outcome
    if not policies or not isinstance(outcome, Err) or outcome.error.type == _REFUSED:
        return None
    assert child.asked_at is not None
    error = workflow_error(run.codec, outcome.error, start.command.invocation.workflow.raises)
    token = f"{child.run or run.run_id}:{child.key}"
    due = after_failure(policies, error, attempt=child.attempt, first_at=child.asked_at, now=run.now, token=token)
    run.ask(key, kinds.CHILD_ATTEMPT, start.workflow, {"due": None if due is None else due.isoformat()}, None, start.command)
    return due
