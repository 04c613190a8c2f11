"""Operators' acts on a run, recorded as rows that replay passes: a fork, and a forced end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from redrive_interpreter.history.rows import Asked
from redrive_interpreter.history.verdicts import Finished
from redrive_interpreter.keys import DEADLINE

if TYPE_CHECKING:
    from redrive_interpreter.history.rows import Ended, Forked
    from redrive_interpreter.machine.run_state import RunState


def fork(run: RunState, row: Forked) -> None:
    """Continue as the run of *row*. Commands asked earlier keep the run in which they were asked (F2)."""
    started = run.started
    assert started is not None
    run.run_id = row.run
    if not row.id:
        run.started = attrs.evolve(started, run=row.run)
        return
    run.started = attrs.evolve(started, id=row.id, run=row.run, parent=None, deadline=row.deadline)
    run.clear_timer(DEADLINE)
    if row.deadline is not None:
        run.set_timer(DEADLINE, row.deadline)


def force_end(run: RunState, row: Ended) -> None:
    """End the run where it stands, because an operator did."""
    for asked in run.rows:  # and never stored: nothing of it was begun
        if type(asked) is Asked and (wait := run.pending.get(asked.key)) is not None:
            run.settle(wait)
    run.rows.clear()
    run.stop_everything()
    run.finished = Finished(row.outcome, status=row.status)
