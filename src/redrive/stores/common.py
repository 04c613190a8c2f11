"""What every store says in the same words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from redrive.ports.store import FINAL, Stale

if TYPE_CHECKING:
    from collections.abc import Sequence
    from logging import Logger

    from redrive.ports.store import Claim, Json, Message, Turn

OK: Final[Json] = '{"ok": null}'
EVENTS_KEPT: Final = timedelta(days=7)
_LONGEST_KEY: Final = 400
PRUNE_EVERY: Final = timedelta(hours=1)


def wall_clock() -> datetime:
    return datetime.now(UTC)


def short_key(text: str) -> str:
    """*text* as a part of an index, whose entries are short; the same in every store, so that it can be moved."""
    return text if len(text) <= _LONGEST_KEY else "sha256:" + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def refusal(error: str, id: str) -> Json:
    """The answer to a command whose other execution cannot take it: *error* names an error class."""
    return json.dumps({"err": {"type": error, "message": id}})


def child_result(status: str, outcome: Json | None) -> Json:
    return f'{{"status": "{status}", "outcome": {"null" if outcome is None else outcome}}}'


def check_unseen(claim: Claim, turn: Turn, unseen: Sequence[Message]) -> None:
    """Raises `Stale` if *turn* may not be, since it does not know of *unseen*."""
    ends = turn.status in FINAL or turn.next_run is not None
    if (ends or turn.expects == 1) and any(message.kind == "cancel" for message in unseen):
        raise Stale(f"execution {claim.id!r} was asked to cancel before it {'ended' if ends else 'began'}")
    if turn.not_after is not None and any(message.stored_at <= turn.not_after for message in unseen):
        raise Stale(f"execution {claim.id!r} got a message before its timer was due")


def nobody_has(workflow: str) -> str:
    return f"no worker has workflow {workflow!r}"


def log_unlisted(log: Logger, workflow: str, count: int, ids: Sequence[str]) -> None:
    """Log that *count* executions of *workflow* were parked, some of them with *ids*."""
    which = ", ".join(map(repr, ids)) + (", …" if count > len(ids) else "")
    what = "execution is" if count == 1 else "executions are"
    log.warning("%d %s parked (unknown workflow): %s: %s", count, what, nobody_has(workflow), which)
