"""What a run knows of itself, and what it hands to the run after it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from redrive_interpreter.history.rows import Started
from redrive_interpreter.history.verdicts import Finished
from redrive_interpreter.keys import DEADLINE
from redrive_interpreter.run_info import RunInfo

if TYPE_CHECKING:
    from uuid import UUID

    from redrive_interpreter.history.rows import Ended, Forked
    from redrive_interpreter.machine.machine import Machine


def info_of(machine: Machine[Any], started: Started) -> RunInfo:
    """The answer to `Info`."""
    return RunInfo(
        id=started.id,
        run=started.run,
        number=started.number,
        workflow=machine.workflow.name,
        parent=started.parent,
        started_at=started.execution_started_at or started.at,
        scheduled_for=started.scheduled_for,
        deadline=started.deadline,
        rows=machine.counted,
    )


def fork(machine: Machine[Any], row: Forked) -> None:
    """Go on as the run of *row*: what was asked before keeps the run that it was asked in (F2)."""
    started = machine.started
    assert started is not None
    machine.run = row.run
    if not row.id:
        machine.started = attrs.evolve(started, run=row.run)
        return
    machine.started = attrs.evolve(started, id=row.id, run=row.run, parent=None, deadline=row.deadline)
    machine.clear_timer(DEADLINE)
    if row.deadline is not None:
        machine.set_timer(DEADLINE, row.deadline)


def force_end(machine: Machine[Any], row: Ended) -> None:
    """Stop where the run stands: an operator ended it."""
    machine.stop_everything()
    machine.verdict_ = Finished(row.outcome, status=row.status)


def next_run(machine: Machine[Any], started: Started, run: UUID, at: datetime) -> Started:
    """The first row of the run that ContinueAs began: children, deadline and unread signals stay with the execution (E9)."""
    invocation = machine.continues
    assert invocation is not None, "the run was not continued"
    name = invocation.workflow.name
    return Started(
        id=started.id,
        run=run,
        at=at,
        input=machine.codec.dump_call(invocation.workflow.signature, invocation.args, invocation.kwargs, name),
        workflow=name,
        number=started.number + 1,
        parent=started.parent,
        execution_started_at=started.execution_started_at or started.at,
        scheduled_for=started.scheduled_for,
        deadline=started.deadline,
        unread=machine.mailbox.left(),
        children=machine.family.left(),
    )
