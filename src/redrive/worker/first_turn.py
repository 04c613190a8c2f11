"""The first turn of an execution that is being started where it will run: stored with the start, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from redrive.codec import from_json, to_json
from redrive.ports.store import Claim
from redrive.worker.active_execution import ActiveExecution

if TYPE_CHECKING:
    from typing import Any

    from redrive.ports.store import NewExecution, Turn
    from redrive.worker.turn import Draft
    from redrive.worker.turn_runner import TurnRunner
    from redrive_interpreter.commands.workflows import Workflow


@attrs.frozen
class FirstTurn:
    """A live execution that is not stored yet, and the *turn* to be stored with its start."""

    live: ActiveExecution
    draft: Draft
    turn: Turn


def open_with(new: NewExecution, workflow: Workflow[..., Any], worker: str, runner: TurnRunner) -> FirstTurn | None:
    """Compute the first turn of *new*; None if it can only be had from the store."""
    if new.first_message is not None:
        return None
    claim = Claim(id=new.id, worker=worker, fence=0, workflow=new.workflow, run=new.run, number=1, length=1)
    live = ActiveExecution(claim, workflow, new.started)
    draft = runner.begin(live)
    if draft is None:
        return None
    attributes = None if draft.attributes is None else to_json(from_json(new.attributes) | draft.attributes)
    return FirstTurn(live, draft, draft.turn(0, attributes))
