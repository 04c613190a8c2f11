"""`advance` for hosts that keep nothing in memory: a state in, a state and requests out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from redrive_interpreter.errors import CodecError, Unreadable
from redrive_interpreter.history.row_json import dump_row, load_row
from redrive_interpreter.live_codec import LIVE
from redrive_interpreter.replay.replay import replay

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.requests import Request
    from redrive_interpreter.history.rows import Fact
    from redrive_interpreter.history.verdicts import Verdict

R = TypeVar("R")


@attrs.frozen
class State(Generic[R]):
    """A run at rest: *blob* is its history as JSON (empty before it began), which is all that need be kept."""

    workflow: Workflow[..., R]
    blob: bytes = b""
    codec: Codec = LIVE

    @property
    def verdict(self) -> Verdict:
        """How the run stands. Replays the history."""
        replayed = replay(self.workflow, _rows(self.blob), self.codec)
        replayed.machine.close()
        return replayed.machine.verdict


def advance(state: State[R], fact: Fact) -> tuple[State[R], list[Request]]:
    """The state after *fact*, and what the host is to do once that state is stored.

    Raises what `replay` and `Machine.receive` raise, and `CodecError` where the codec's data is not JSON.
    """
    rows = _rows(state.blob)
    replayed = replay(state.workflow, rows, state.codec)
    machine = replayed.machine
    try:
        requests = machine.receive(fact)
        rows = [*rows, *replayed.rows, *machine.take()]
    finally:
        machine.close()
    try:
        blob = json.dumps([dump_row(row) for row in rows], separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise CodecError(state.workflow.name, "history", "JSON", f"{error}; give the State a codec whose data is JSON") from error
    return attrs.evolve(state, blob=blob), requests


def _rows(blob: bytes) -> list[Any]:
    if not blob:
        return []
    try:
        data = json.loads(blob)
    except ValueError as error:
        raise Unreadable(f"the state is not JSON: {error}") from error
    return [load_row(row) for row in data]
