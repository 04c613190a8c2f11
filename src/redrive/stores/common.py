"""Messages and small functions that all stores share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from logging import Logger


EVENTS_KEPT: Final = timedelta(days=7)
_LONGEST_KEY: Final = 400
PRUNE_EVERY: Final = timedelta(hours=1)


def wall_clock() -> datetime:
    return datetime.now(UTC)


def short_key(text: str) -> str:
    """*text* as a part of an index, whose entries are short; the same in every store, so that it can be moved."""
    return text if len(text) <= _LONGEST_KEY else "sha256:" + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def nobody_has(workflow: str) -> str:
    return f"no worker has workflow {workflow!r}"


def log_unlisted(log: Logger, workflow: str, count: int, ids: Sequence[str]) -> None:
    """Log that *count* executions of *workflow* were parked, some of them with *ids*."""
    which = ", ".join(map(repr, ids)) + (", …" if count > len(ids) else "")
    what = "execution is" if count == 1 else "executions are"
    log.warning("%d %s parked (unknown workflow): %s: %s", count, what, nobody_has(workflow), which)
