"""Replay: drive a workflow from its history, comparing what it asks with what is recorded.

1. A history is a list of turns: a fact, then the rows that the turn made. `replay` feeds each fact to a
    machine that knows the turn's recorded rows (`RecordedTurn`), and gives back the machine at the end of them.
2. Each command must find its row: in its own scope, in order, in the same turn. A row that no command asks for, or a command
without a row before the last turn, raises `Diverged`.
3. Commands beyond the last turn's rows are new: their rows are unsaved, and must be stored before their requests are carried out.
4.  Notes and attributes are not compared; those of recorded turns are stored already and are not given again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from redrive_interpreter.errors import UnexpectedFact
from redrive_interpreter.history.rows import (
    FACTS,
    THE_RUN,
    Asked,
    CancelRequested,
    DeadlinePassed,
    Ended,
    Forked,
    RollbackRetried,
    SetAside,
)
from redrive_interpreter.live_codec import LIVE
from redrive_interpreter.machine.comparing import same_value
from redrive_interpreter.machine.forking import force_end
from redrive_interpreter.machine.machine import Machine, state_of
from redrive_interpreter.outcomes import Ok
from redrive_interpreter.replay.divergence import Watched, diverged_at_end, does_not_fit
from redrive_interpreter.replay.recorded import RecordedTurn

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.requests import Request
    from redrive_interpreter.history.rows import Row
    from redrive_interpreter.history.verdicts import Verdict
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.run_state import RunState

R = TypeVar("R")


@attrs.frozen
class Replayed(Generic[R]):
    """A machine at the end of its history; *rows* are not stored yet, *requests* are all that is pending."""

    machine: Machine[R]
    rows: list[Row]
    requests: list[Request]


def replay(
    workflow: Workflow[..., R],
    history: Sequence[Row],
    codec: Codec = LIVE,
    *,
    make: Callable[[Workflow[..., R], Codec], Machine[R]] = Machine,
) -> Replayed[R]:
    """Drive *workflow* from *history*. *make* builds the machine: a subclass can watch each turn.

    Raises `Diverged` at the first command that differs, `UndecodableValue` if today's types cannot read a stored value.
    """
    machine = make(workflow, codec)
    try:
        requests = _fold(machine, history)
    except BaseException:
        machine.close()
        raise
    notices = [request for request in requests if request.is_notice]
    return Replayed(machine, machine.take(), notices + machine.pending_requests())


def drive(workflow: Workflow[..., Any], history: Sequence[Row], codec: Codec = LIVE) -> Verdict:
    """How *workflow* stands after *history*: a pure function of the two."""
    replayed = replay(workflow, history, codec)
    replayed.machine.close()
    return replayed.machine.verdict


def _fold(machine: Machine[Any], history: Sequence[Row]) -> list[Request]:
    run = state_of(machine)
    requests: list[Request] = []
    watched = Watched(history)
    total, at = len(history), 0
    facts = FACTS_SET
    while at < total:
        fact = history[at]
        if type(fact) not in facts:
            raise does_not_fit(run, "", f"row {at + 1} is a {type(fact).__name__}, where a fact was expected")
        end = at + 1
        asked: list[Asked | None] = []
        aside: list[Key] = []
        forks: list[tuple[int, Forked]] | None = None
        ended: Ended | None = None
        while end < total:
            row = history[end]
            kind = type(row)
            if kind is Asked:
                asked.append(row)  # type: ignore[arg-type]
            elif kind in facts:
                break
            elif kind is Ended:
                ended = row  # type: ignore[assignment]
            elif kind is SetAside:
                aside.append(row.key)  # type: ignore[union-attr]
            elif kind is Forked:
                forks = [*(forks or ()), (len(asked), row)]  # type: ignore[list-item]
            end += 1
        last = end >= total
        watched.at = at
        turn = run.recorded = RecordedTurn(asked, last and (ended is None or ended.forced), watched, forks)
        turn.beyond = last and end == at + 1 + (
            0 if forks is None else len(forks)
        )  # only the fact is stored: everything that the turn does is new
        if aside:
            turn.aside = aside
        before = run.counted
        try:
            if end < total and at == 0 and _before_it_began(history[end]):
                requests = machine.hold(fact)  # type: ignore[arg-type]
            else:
                requests = machine.receive(fact)  # type: ignore[arg-type]
        except UnexpectedFact as error:
            raise does_not_fit(run, getattr(fact, "key", ""), str(error)) from error
        if run.counted == before:
            raise does_not_fit(run, getattr(fact, "key", ""), f"{type(fact).__name__} changed something then, and changes nothing now")
        if turn.rest:
            turn.finish(run)
        if turn.aside:
            raise does_not_fit(run, turn.aside[0], "a signal that could not be read was set aside then, and is not taken up now")
        if ended is not None or run.finished is not None:
            _check_end(run, ended, last, history, end)
        at = end
    run.recorded = None
    return requests


def _before_it_began(row: Row) -> bool:
    """Whether *row* ended the run before any of its code was called."""
    return isinstance(row, (CancelRequested, DeadlinePassed)) and row.unbegun is not None and THE_RUN in row.unbegun


def _check_end(run: RunState, ended: Ended | None, last: bool, history: Sequence[Row], end: int) -> None:
    if ended is not None and ended.forced and run.finished is None:
        force_end(run, ended)
    verdict = run.finished
    if ended is None:
        if verdict is not None and not last:
            raise diverged_at_end(run, None, Ended(status=verdict.status, outcome=verdict.outcome))
        if verdict is not None and not any(type(row) is Ended for row in run.rows):
            run.rows.append(Ended(status=verdict.status, outcome=verdict.outcome, bug=verdict.bug, unread=run.mailbox.unread))
        return
    if verdict is None or verdict.status != ended.status:
        asked = None if verdict is None else Ended(status=verdict.status, outcome=verdict.outcome)
        raise diverged_at_end(run, ended, asked)
    then, now = ended.outcome, verdict.outcome
    if isinstance(then, Ok) and isinstance(now, Ok) and not same_value(run.codec, run.workflow.result_type, then.value, now.value):
        raise diverged_at_end(run, ended, Ended(status=verdict.status, outcome=verdict.outcome))
    if not last and type(history[end]) is not RollbackRetried:
        raise does_not_fit(run, "", "rows follow the end of the run")


FACTS_SET = frozenset(FACTS)
