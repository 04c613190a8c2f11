"""Messages from an inbox, as the facts that a machine takes, and the other way round."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from redrive.codec import from_json, to_json
from redrive.ports.rewrites import PutBack
from redrive.ports.store import NewMessage
from redrive_interpreter.history.row_json import dump_outcome, dump_row, load_outcome, load_row
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
from redrive_interpreter.source_names import read_name, stored_name

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


def put_back(fact: Fact) -> PutBack:
    """*fact* as the message that it was, or would have been; the inverse of `fact_of`."""
    match fact:
        case Signalled():
            return PutBack(
                kind="signal", name=stored_name(fact.name, fact.path), data=to_json(fact.payload), stored_at=fact.sent_at or fact.at
            )
        case ChildFinished():
            ended = {"status": fact.status, "outcome": dump_outcome(fact.outcome)}
            return PutBack(kind="child", name=fact.id, data=to_json(ended), stored_at=fact.at)
        case CancelRequested():
            return PutBack(kind="cancel", name="", data=to_json({"reason": fact.reason, "by": fact.by}), stored_at=fact.at)
        case Answered():
            answer = dump_outcome(fact.outcome) | ({"doubt": True} if fact.in_doubt else {}) | ({"by": fact.by} if fact.by else {})
            return PutBack(kind="answer", name=fact.key, data=to_json(answer), stored_at=fact.at)
        case Retrying():
            return PutBack(kind="retrying", name=fact.key, data=to_json(dump_row(fact)), stored_at=fact.at)
        case AttemptStarted():
            return PutBack(kind="attempt", name=fact.key, data=to_json(dump_row(fact)), stored_at=fact.at)
        case _:
            raise ValueError(f"a {type(fact).__name__} does not come from an inbox")


def message_of(fact: Fact, dedup: str) -> NewMessage:
    """*fact* as a message to be stored once."""
    back = put_back(fact)
    return NewMessage(kind=back.kind, name=back.name, data=back.data, dedup=dedup)  # type: ignore[arg-type]
