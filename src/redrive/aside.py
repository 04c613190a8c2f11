"""Messages that are kept for people, as they see them: signals that were set aside, and events whose handler failed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from redrive.codec import from_json
from redrive.ports.aside_values import Aside, HeldEvent
from redrive_interpreter.source_names import read_name


@attrs.frozen(kw_only=True)
class SetAsideSignal:
    """A signal that its execution could not read. *payload* is as it is stored, *error* says why it does not fit.

    It was sent at *sent_at* and set aside at *at*. ``operator.redeliver`` sends it again, ``operator.drop`` forgets it.
    """

    seq: int
    execution: str
    name: str
    payload: Any
    error: str
    sent_at: datetime
    at: datetime


@attrs.frozen(kw_only=True)
class DeadLetter:
    """An event that *handler* has not done. *payload* is as it is stored, *execution* emitted it at *at*.

    *attempts* failed, the last with *error* (its type and message, then its traceback). *due* is when the next one comes,
    None where there is none: ``operator.redeliver_events`` begins anew, ``operator.drop_events`` forgets it.
    """

    seq: int
    handler: str
    event: str
    payload: Any
    execution: str
    at: datetime
    attempts: int
    error: str
    dead: bool
    due: datetime | None = None


def set_aside_signal(aside: Aside) -> SetAsideSignal:
    return SetAsideSignal(
        seq=aside.seq,
        execution=aside.execution,
        name=read_name(aside.name)[0],
        payload=from_json(aside.data),
        error=aside.error,
        sent_at=aside.sent_at,
        at=aside.at,
    )


def dead_letter(held: HeldEvent) -> DeadLetter:
    event = held.event
    return DeadLetter(
        seq=event.seq,
        handler=held.handler,
        event=read_name(event.name)[0],
        payload=from_json(event.payload),
        execution=event.execution,
        at=event.at,
        attempts=held.attempts,
        error=held.error,
        dead=held.dead,
        due=held.due,
    )
