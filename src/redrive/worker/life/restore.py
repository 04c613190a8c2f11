"""Gives an active execution its machine: from its start, or from its history."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from redrive.worker.life import precedence
from redrive_interpreter.history.requests import AbandonStep, CancelExecution, ClearTimer, RunStep, SetTimer
from redrive_interpreter.history.row_json import load_row
from redrive_interpreter.history.rows import Asked, CancelRequested
from redrive_interpreter.replay.replay import replay

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.ports.store import Message
    from redrive.worker.life.active_execution import ActiveExecution
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.requests import Request
    from redrive_interpreter.history.rows import Row
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.machine import Machine

_OF_BODIES: Final = frozenset({"answer", "retrying", "attempt"})
"""Kinds of messages about a step, which an operator put back."""
Make: TypeAlias = "Callable[[Workflow[..., Any], Codec], Machine[Any]]"
"""Builds the machine of a run: the shell may look on."""


def restore(live: ActiveExecution, history: list[Any], codec: JsonCodec, now: datetime, make: Make) -> None:
    """Give *live* the machine that *history* leads to, and what that asks for once more."""
    rows = [load_row(row) for row in history]
    if len(rows) == 1:
        _begin(live, rows[0], codec, now, make)
    else:
        _go_on(live, rows, codec, make)


def _begin(live: ActiveExecution, started: Any, codec: JsonCodec, now: datetime, make: Make) -> None:
    """Nothing but the start is stored: all that the run does is new. Whatever cancels it was there first."""
    machine = live.machine = make(live.workflow, codec)
    live.untouched = live.interrupt_first = precedence.is_waiting(live, started.deadline, now)
    live.requests = machine.hold(started) if live.untouched else machine.receive(started)
    live.uncertain = {}
    live.rows = machine.take()[1:]
    live.cancelling = False


def _go_on(live: ActiveExecution, rows: list[Row], codec: JsonCodec, make: Make) -> None:
    """The run was on its way: bring the machine to where the history ends."""
    replayed = replay(live.workflow, rows, codec, make=make)
    live.machine, live.rows = replayed.machine, replayed.rows
    live.cancelling = any(type(row) is CancelRequested for row in rows)
    # What was asked in a stored turn was carried out in the same transaction; only bodies and timers begin again.
    fresh = {row.key for row in replayed.rows if type(row) is Asked}
    live.requests = [request for request in replayed.requests if _anew(request, fresh)]
    if live.inbox and any(message.kind in _OF_BODIES for message in live.inbox):
        live.requests = list(_not_answered(live.requests, live.inbox))
    if live.uncertain is None:
        live.uncertain = {
            request.key: request.due
            for request in live.requests
            if isinstance(request, RunStep) and request.key not in fresh and (request.interrupted or not request.step.spec.at_most_once)
        }
    if live.machine.finished is not None and live.inbox:
        live.inbox = deque(sorted(live.inbox, key=lambda message: message.kind != "retry_rollback"))


def _not_answered(requests: Sequence[Request], inbox: Iterable[Message]) -> Iterator[Request]:
    """*requests* without the bodies whose outcome lies in the inbox, where an operator had it put back: they must not run."""
    last = {message.name: message.kind for message in inbox if message.kind in _OF_BODIES}
    for request in requests:
        kind = last.get(request.key) if isinstance(request, RunStep) else None
        if kind is None:
            yield request
        elif kind == "attempt" and isinstance(request, RunStep):
            yield attrs.evolve(request, interrupted=True)


def _anew(request: Request, fresh: set[Key]) -> bool:
    match request:
        case CancelExecution():
            return request.answer or bool(fresh)
        case RunStep() | SetTimer() | ClearTimer() | AbandonStep():
            return True
        case _:
            return request.key in fresh
