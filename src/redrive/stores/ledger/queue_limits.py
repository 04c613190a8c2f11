"""The limits of queues as stores keep them, and which of those that builds declared are in force."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive.ports.queue_port import QueueLimits, RateLimit

if TYPE_CHECKING:
    from collections.abc import Sequence

REMEMBERED_US: Final = 600_000_000
"""Microseconds for which a build counts as there since it last declared the queue."""
_MICROSECOND: Final = timedelta(microseconds=1)


def dump_limits(limits: QueueLimits) -> str:
    """As JSON text, without what is not limited."""
    found: dict[str, Any] = {}
    for name, value in attrs.asdict(limits, recurse=False).items():
        if isinstance(value, RateLimit):
            found[name] = [value.limit, value.per // _MICROSECOND, value.spread]
        elif value is not None:
            found[name] = value
    return json.dumps(found, sort_keys=True)


def load_limits(text: str | None) -> QueueLimits:
    """Limits of later releases that are not known here are passed over."""
    found = {name: _value(stored) for name, stored in json.loads(text or "{}").items() if name in _NAMES}
    return QueueLimits(**found)


def _value(stored: Any) -> Any:
    if stored is None or isinstance(stored, (int, str)):
        return stored
    limit, per_us, spread = stored
    return RateLimit(limit=limit, per=timedelta(microseconds=per_us), spread=spread)


_NAMES: Final = frozenset(field.name for field in attrs.fields(QueueLimits))


def older_workers(workers: Sequence[str], queues: Sequence[str]) -> str:
    """Why *queues* cannot be declared while *workers* live."""
    return (
        f"queues {', '.join(map(repr, queues))} cannot be declared while workers of a release without queues are at work "
        f"({', '.join(workers)}): they would begin what waits, and keep its place for ever; stop them, or upgrade them first"
    )


@attrs.frozen
class Declaration:
    """The limits that *build* declares: its first worker came at *first_us*, and one said so last at *seen_us*."""

    build: str
    limits: str
    first_us: int
    seen_us: int


def declared(before: Declaration | None, build: str, limits: str, now_us: int) -> Declaration:
    """What *build* declares now; one that was away for long counts as new, so that a roll-back takes effect."""
    away = before is None or now_us - before.seen_us > REMEMBERED_US
    return Declaration(build, limits, now_us if away or before is None else min(before.first_us, now_us), now_us)


def in_force(declarations: Sequence[Declaration], now_us: int) -> str:
    """The limits of the build whose first worker came last, among those that are there."""
    there = [one for one in declarations if now_us - one.seen_us <= REMEMBERED_US]
    newest = max(there or declarations, key=lambda one: (one.first_us, one.build), default=None)
    return "{}" if newest is None else newest.limits
