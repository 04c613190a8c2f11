"""`advance` for hosts that keep nothing in memory: a state in, a state and requests out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from redrive_interpreter.errors import CodecError, UndecodableValue
from redrive_interpreter.history.row_json import dump_row, load_row
from redrive_interpreter.live_codec import LIVE
from redrive_interpreter.replay.replay import replay

if TYPE_CHECKING:
    from datetime import datetime

    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.requests import Request
    from redrive_interpreter.history.rows import Fact
    from redrive_interpreter.history.verdicts import Verdict
    from redrive_interpreter.machine.machine import Machine

R = TypeVar("R")


@attrs.frozen
class Standing:
    """How a run stands: its *verdict*, what it still asks of its host (*requests*), and when its next timer is due."""

    verdict: Verdict
    requests: tuple[Request, ...]
    next_due: datetime | None


@attrs.frozen
class State(Generic[R]):
    """A run at rest: *blob* is its history as JSON (empty before it began), which is all that need be kept.

    A state that `advance` gave knows how its run stands. One made from a blob replays it once, when it is first asked.
    """

    workflow: Workflow[..., R]
    blob: bytes = b""
    codec: Codec = LIVE
    _known: list[Standing] = attrs.field(factory=list[Standing], init=False, eq=False, repr=False)

    @property
    def verdict(self) -> Verdict:
        """How the run stands."""
        return self._standing.verdict

    @property
    def pending_requests(self) -> tuple[Request, ...]:
        """Every request that has no answer yet, once more."""
        return self._standing.requests

    @property
    def next_due(self) -> datetime | None:
        """The time at which the next timer, retry or deadline is due; None if only an answer or a message can end the wait."""
        return self._standing.next_due

    @property
    def _standing(self) -> Standing:
        if not self._known:
            machine = replay(self.workflow, _rows(self.blob), self.codec).machine
            self._known.append(_standing_of(machine))
            machine.close()
        return self._known[0]


def advance(state: State[R], fact: Fact) -> tuple[State[R], list[Request]]:
    """The state after *fact*, and the requests that the host carries out once that state is stored.

    Raises what `replay` and `Machine.receive` raise, and `CodecError` where the codec's data is not JSON.
    """
    rows = _rows(state.blob)
    replayed = replay(state.workflow, rows, state.codec)
    machine = replayed.machine
    try:
        requests = machine.receive(fact)
        rows = [*rows, *replayed.rows, *machine.take()]
        standing = _standing_of(machine)
    finally:
        machine.close()
    try:
        blob = json.dumps([dump_row(row) for row in rows], separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise CodecError(state.workflow.name, "history", "JSON", f"{error}; give the State a codec whose data is JSON") from error
    after = State(state.workflow, blob, state.codec)
    after._known.append(standing)
    return after, requests


def _standing_of(machine: Machine[Any]) -> Standing:
    return Standing(machine.verdict, tuple(machine.pending_requests()), machine.next_due)


def _rows(blob: bytes) -> list[Any]:
    if not blob:
        return []
    try:
        data = json.loads(blob)
    except ValueError as error:
        raise UndecodableValue(f"the state is not JSON: {error}") from error
    return [load_row(row) for row in data]
