"""What a worker lets go of: idle executions, the longest idle first."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from redrive.worker.live import Live

IDLE_SECONDS: Final = 30.0
SOON: Final = timedelta(seconds=60)


def dispensable(lives: Collection[Live], cache: int, now: datetime) -> list[Live]:
    """Those that have been idle for a while and have nothing due soon; of more than *cache*, as many as are too many,
    first those that have been idle for less, then those that have something due."""
    idle_since, soon = time.monotonic() - IDLE_SECONDS, now + SOON
    surplus = len(lives) - cache
    found: list[Live] = []
    near: list[Live] = []
    for live in sorted(lives, key=lambda live: live.used):
        if not live.idle or live.machine is None:
            continue
        due = live.machine.next_due
        if due is not None and due < soon:
            near.append(live)
        elif len(found) < surplus or live.used < idle_since:
            found.append(live)
    return found + near[: max(0, surplus - len(found))]
