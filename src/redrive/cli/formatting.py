"""Times, durations and stored values as a person reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import attrs

from redrive.ports.store import Snapshot
from redrive.stored import Origin


def span(duration: timedelta) -> str:
    """*duration* in its two largest units: ``850 ms``, ``12.3 s``, ``2 h 5 min``, ``3 d 4 h``."""
    seconds = duration.total_seconds()
    if seconds < 0:
        return f"-{span(-duration)}"
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def moment(at: datetime) -> str:
    """*at* in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def when(at: datetime, now: datetime) -> str:
    """*at*, and how far from *now* that is."""
    distance = at - now
    return f"{moment(at)} ({f'in {span(distance)}' if distance >= timedelta(0) else f'{span(-distance)} ago'})"


def brief(value: Any, width: int = 100) -> str:
    """A JSON value on one line of at most *width* characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def plain(thing: Any) -> Any:
    """*thing* as JSON values: attrs classes become objects, moments ISO texts."""
    cls: type[Any] = thing.__class__
    if attrs.has(cls):
        return {field.name: plain(getattr(thing, field.name)) for field in attrs.fields(cls)}
    if isinstance(thing, (list, tuple)):
        return [plain(item) for item in cast("Sequence[Any]", thing)]
    if isinstance(thing, datetime):
        return thing.astimezone(UTC).isoformat()
    return thing


def snapshot_object(snapshot: Snapshot, origin: Origin) -> dict[str, Any]:
    """An execution as `show --json` and `list --json` print it. Values that the store keeps as JSON are JSON here too."""
    shown: dict[str, Any] = plain(snapshot)
    shown["parked"] = snapshot.parked
    for field in ("input", "attributes", "outcome", "cancel"):
        shown[field] = None if shown[field] is None else origin.object(shown[field], field)
    return shown
