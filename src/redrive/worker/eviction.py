"""Chooses the idle executions that a worker releases, the longest idle first.

All that is live is put in order at once, and served from until that order is used up: who had to look through a hundred
thousand to find one to put away would pay for that with each newcomer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from redrive.worker.life.active_execution import ActiveExecution

IDLE_SECONDS: Final = 30.0
SOON: Final = timedelta(seconds=60)
_LOOK_EVERY: Final = 1.0
"""Seconds between two looks for what has been idle for a while."""
_REST: Final = 20.0
"""After an order with nothing to put away, no other is made for so many times as long as it took."""


class Eviction:
    """Chooses among *lives*: those idle for long, and as many as are more than *cache*."""

    def __init__(self, lives: Mapping[str, ActiveExecution], cache: int) -> None:
        self._lives, self._cache = lives, cache
        self._order: deque[tuple[str, float]] = deque()
        """Ids, the longest idle first, with when each was used last: one that was used since has its place in the next order."""
        self._near: deque[tuple[str, float]] = deque()
        """Of this order those that have something due soon."""
        self._look_at = self._order_at = 0.0

    def dispensable(self, now: datetime) -> list[ActiveExecution]:
        """The executions that have been idle for a while and have nothing due soon; of more than the cache holds, as many as are too many,
        first those that have been idle for less, then those that have something due."""
        found = self._surplus(now)
        clock = time.monotonic()
        if clock >= self._look_at:
            self._look_at = clock + min(_LOOK_EVERY, IDLE_SECONDS)
            since, chosen = clock - IDLE_SECONDS, set(found)
            old = [live for live in self._lives.values() if live.used < since and live not in chosen]
            found += [live for live in old if _is_idle(live) and not _is_near(live, now)]
        return found

    def _surplus(self, now: datetime) -> list[ActiveExecution]:
        found: list[ActiveExecution] = []
        wanted, fresh = len(self._lives) - self._cache, False
        while len(found) < wanted:
            if self._order:
                live = self._valid(self._order.popleft())
                if live is not None and _is_near(live, now):
                    self._near.append((live.id, live.used))
                elif live is not None:
                    found.append(live)
            elif self._near:
                live = self._valid(self._near.popleft())
                if live is not None:
                    found.append(live)
            elif fresh or time.monotonic() < self._order_at:
                break
            else:
                fresh = True
                self._put_in_order({live.id for live in found})
        return found

    def _valid(self, entry: tuple[str, float]) -> ActiveExecution | None:
        id, used = entry
        live = self._lives.get(id)
        return live if live is not None and live.used == used and _is_idle(live) else None

    def _put_in_order(self, but: set[str]) -> None:
        began = time.monotonic()
        idle = [(live.used, live.id) for live in self._lives.values() if _is_idle(live) and live.id not in but]
        idle.sort()
        self._order.extend((id, used) for used, id in idle)
        if not idle:
            ended = time.monotonic()
            self._order_at = ended + _REST * (ended - began)


def _is_idle(live: ActiveExecution) -> bool:
    return live.machine is not None and live.idle


def _is_near(live: ActiveExecution, now: datetime) -> bool:
    """Whether something of it is due soon."""
    assert live.machine is not None
    due = live.machine.next_due
    return due is not None and due < now + SOON
