"""Facts that were taken and go back into an inbox, as messages (F13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redrive.codec import to_json
from redrive.ports.rewrites import PutBack
from redrive_interpreter.history.row_json import dump_outcome, dump_row
from redrive_interpreter.history.rows import Answered, AttemptStarted, CancelRequested, ChildFinished, Retrying, Signalled
from redrive_interpreter.source_names import stored_name

if TYPE_CHECKING:
    from redrive_interpreter.history.rows import Fact


def put_back(fact: Fact) -> PutBack:
    """*fact* as the message that it was, or would have been."""
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
