"""The place in the source where an execution stands, found by a read-only replay with the code at hand."""

from __future__ import annotations

from collections.abc import Sequence

from redrive.cli.client import Client
from redrive.ports.store import Snapshot
from redrive_interpreter import RedriveError, Row, replay


def location_of(client: Client, snapshot: Snapshot, rows: Sequence[Row]) -> tuple[list[str], str]:
    """The lines at which branches wait, or the reason why they are unknown: the code is not at hand, or does not fit."""
    workflow = client.workflows.get(snapshot.workflow)
    if workflow is None or workflow.fn is None:
        known = "its code is not at hand: name it with --app module:service"
        return [], known if not client.workflows else f"workflow {snapshot.workflow!r} is not among those of {client.where}"
    if not rows:
        return [], ""
    try:
        machine = replay(workflow, rows, client.codec).machine
    except RedriveError as error:
        return [], f"the code here does not fit: {error}"
    try:
        return [str(place) for place in machine.where()], ""
    finally:
        machine.close()
