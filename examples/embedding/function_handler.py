"""The kernel in functions that keep nothing: a handler that gets a message, and a bucket that holds one blob an execution.

`handle` gives back the messages to send, each with the moment at which it is to arrive. A queue may deliver one twice, or
two at a time: *put* takes a blob only if the one it was made of is still there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from redrive_interpreter import (
    DeadlinePassed,
    Fact,
    Finished,
    Key,
    Request,
    RunStep,
    SetTimer,
    Signalled,
    Started,
    State,
    TimerFired,
    Workflow,
    advance,
    step_results,
)  # fmt: skip
from redrive_interpreter.keys import DEADLINE

_RUNS = UUID("5f4f6a4e-6a43-4b0e-8d7e-0b5b8a3f9c11")
Message = dict[str, Any]
Put = Callable[[str, bytes, bytes], bool]


def handle(message: Message, workflow: Workflow[..., Any], get: Callable[[str], bytes], put: Put) -> list[Message]:
    """Take *message* (``start``, ``perform``, ``timer`` or ``signal``) for the execution that its ``id`` names."""
    while True:
        state = State(workflow, get(message["id"]))
        fact = _fact(message, state)
        if fact is None:
            return _messages(message["id"], state.pending_requests)  # delivered twice: what is open is asked once more
        after, requests = advance(state, fact)
        if put(message["id"], after.blob, state.blob):  # rows before requests
            return [] if isinstance(after.verdict, Finished) else _messages(message["id"], requests)


def _fact(message: Message, state: State[Any]) -> Fact | None:
    """What *message* tells the run; None if it knows that already."""
    now, run = datetime.now(UTC), uuid5(_RUNS, message["id"])
    if not state.blob:
        return Started(id=message["id"], run=run, args=tuple(message["start"]), at=now)
    pending = {request.key: request for request in state.pending_requests if isinstance(request, (RunStep, SetTimer))}
    match message:
        case {"timer": key} if isinstance(pending.get(key), SetTimer):
            return DeadlinePassed(at=now) if key == DEADLINE else TimerFired(Key(key), at=now)
        case {"signal": name, "payload": payload} if not isinstance(state.verdict, Finished):
            return Signalled(name, payload, at=now)
        case {"perform": key, "attempt": attempt} if isinstance(perform := pending.get(key), RunStep) and perform.attempt == attempt:
            try:
                args, kwargs = step_results.arguments_of(perform, state.codec)
                return step_results.succeeded(perform, perform.step.fn(*args, **kwargs), codec=state.codec, now=datetime.now(UTC))
            except Exception as error:
                return step_results.failed(perform, error, run=run, codec=state.codec, now=datetime.now(UTC))
        case _:
            return None


def _messages(id: str, requests: list[Request] | tuple[Request, ...]) -> list[Message]:
    performs = [request for request in requests if isinstance(request, RunStep)]
    timers = [request for request in requests if isinstance(request, SetTimer)]
    return [{"id": id, "perform": one.key, "attempt": one.attempt, "at": one.due} for one in performs] + [
        {"id": id, "timer": timer.key, "at": timer.due} for timer in timers
    ]
