"""Messages from an inbox, as the facts that a machine takes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from redrive.codec import from_json
from redrive_interpreter.history.row_json import load_outcome, load_row
from redrive_interpreter.history.rows import (
    Answered,
    AttemptStarted,
    CancelRequested,
    ChildFinished,
    Fact,
    Retrying,
    RollbackRetried,
    Signalled,
)
from redrive_interpreter.keys import Key
from redrive_interpreter.source_names import read_name

if TYPE_CHECKING:
    from redrive.ports.store import Message


def fact_of(message: Message, at: datetime) -> Fact:
    """The fact of *message*, taken up at *at* (never before it was stored)."""
    at = max(at, message.stored_at)
    data: Any
    try:
        data = from_json(message.data)
    except ValueError:  # put there by hand: no signal of its type, whatever that is (G6)
        if message.kind != "signal":
            raise
        data = message.data
    match message.kind:
        case "signal":
            name, path = read_name(message.name)
            return Signalled(name, data, at=at, sent_at=message.stored_at, path=path)
        case "cancel":
            return CancelRequested(reason=data["reason"], by=data["by"], at=at)
        case "child":
            outcome = load_outcome(data["outcome"])
            return ChildFinished(id=message.name, status=data["status"], outcome=outcome, at=at)
        case "answer":
            return Answered(Key(message.name), load_outcome(data), at=at, in_doubt="doubt" in data, by=data.get("by", ""))
        case "retrying" | "attempt":  # what an operator put back
            row = load_row(data)
            assert isinstance(row, (Retrying, AttemptStarted))
            return attrs.evolve(row, at=at)
        case "retry_rollback":
            return RollbackRetried(at=at)
        case _:
            raise ValueError(f"a message of kind {message.kind!r}, which this release of redrive does not know")
