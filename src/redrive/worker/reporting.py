"""Writes the worker's part of the log: failed attempts and executions, signals set aside, takeovers and lost leases, once each.

A replay and a turn that is computed again say nothing: the attempt was told when its body ended, the execution is told
when its end is stored.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from redrive.codec import from_json
from redrive.status import CANCELLED, COMPLETED
from redrive_interpreter.history.requests import RunStep
from redrive_interpreter.history.row_json import load_outcome
from redrive_interpreter.history.rows import Retrying
from redrive_interpreter.outcomes import Err, Failure
from redrive_interpreter.raised import users_traceback
from redrive_interpreter.source_names import read_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive.ports.aside_values import NewAside
    from redrive.ports.store import Json
    from redrive.worker.life.actions import Note
    from redrive.worker.life.active_execution import ActiveExecution
    from redrive_interpreter.history.rows import Answered

log: Final = logging.getLogger("redrive.worker")


def attempt_failed(id: str, perform: RunStep, fact: Answered | Retrying, error: BaseException | None = None) -> None:
    """Log one failed attempt of a step, with the traceback of its body's *error*; *fact* is what the worker made of it."""
    if isinstance(fact, Retrying):
        failure, then = fact.failure, f"the next one is due at {fact.due.isoformat(timespec='milliseconds')}"
    else:
        assert isinstance(fact.outcome, Err)
        failure, then = fact.outcome.error, "it is the last one"
    trace = None if error is None else users_traceback(error)
    log.log(
        # An error that the step declares is an outcome that its workflow knows of.
        logging.WARNING if failure.declared is None else logging.INFO,
        "execution %r: attempt %d of step %s failed, %s: %s: %s",
        id,
        perform.attempt,
        perform.key,
        then,
        failure.type,
        failure.message,
        exc_info=None if error is None or trace is None else (type(error), error, trace),
        extra={"execution_id": id, "step_key": perform.key, "attempt": perform.attempt},
    )


def execution_ended(id: str, workflow: str, status: str, outcome: Json) -> None:
    """Log the stored end of an execution that did not complete, with the traceback of its workflow."""
    if status == COMPLETED:
        return
    ended = load_outcome(from_json(outcome))
    failure: Any = ended.error if isinstance(ended, Err) else Failure("", "")
    why = ": ".join(part for part in (failure.type, failure.message) if part)
    level = logging.INFO if status == CANCELLED else logging.ERROR
    trace = "" if status == CANCELLED else failure.traceback
    log.log(
        level,
        "execution %r of workflow %r ended %s%s%s",
        id,
        workflow,
        status,
        f": {why}" if why else "",
        f"\n{trace.rstrip()}" if "  File " in trace else "",
        extra={"execution_id": id},
    )


def signal_set_aside(id: str, aside: NewAside) -> None:
    """Log that a signal was set aside, once that is stored."""
    name, _ = read_name(aside.name)
    log.warning("execution %r: a signal %s was set aside, and its wait continues with the next one: %s", id, name, aside.error)


def note(live: ActiveExecution, note: Note) -> None:
    """Log what the life of *live* is worth a warning for."""
    log.warning("execution %r: " + note.text, live.id, *note.values)


def taken_over(live: ActiveExecution, again: Sequence[str]) -> None:
    """Log that this worker continues what another one left: it died, or its lease passed."""
    log.warning(
        "execution %r is taken over here: its worker died, or lost its lease (%s in a row without a new row); %s",
        live.id,
        "once" if live.claim.recoveries == 1 else f"{live.claim.recoveries} times",
        f"to be run again: step {', '.join(again)}" if again else "no step was under way",
        extra={"execution_id": live.id, "step_keys": list(again)},
    )


def lease_lost(live: ActiveExecution, stopped: Sequence[str]) -> None:
    """Log that another worker has taken over what this one holds; nothing is written for it here any more."""
    log.warning(
        "execution %r is not this worker's any more: its lease was lost; %s",
        live.id,
        f"told to stop: step {', '.join(stopped)}" if stopped else "no step was under way",
        extra={"execution_id": live.id, "step_keys": list(stopped)},
    )
