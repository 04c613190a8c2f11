"""The events of the memory store, and how far its durable handlers have got."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime

import attrs

from redrive.ports.store import Event, NewEvent
from redrive.stores.common import EVENTS_KEPT, PRUNE_EVERY


@attrs.define
class _Handler:
    event: str
    done: int
    worker: str


class EventLog:
    """Used under the store's lock."""

    def __init__(self) -> None:
        self.newest = 0
        self._events: list[Event] = []
        self._handlers: dict[str, _Handler] = {}
        self._pruned_at: datetime | None = None

    def emit(self, execution: str, emitted: set[str], new: Sequence[NewEvent], now: datetime) -> None:
        """*emitted*: the keys of the run's events so far."""
        for event in new:
            if event.key in emitted:
                continue
            emitted.add(event.key)
            self.newest += 1
            self._events.append(Event(seq=self.newest, name=event.name, payload=event.payload, execution=execution, at=now))
        if new and (self._pruned_at is None or now - self._pruned_at >= PRUNE_EVERY):
            self._pruned_at = now
            self._events = [event for event in self._events if event.at > now - EVENTS_KEPT or self._awaited(event)]

    def after(self, seq: int, names: Sequence[str], limit: int) -> tuple[Event, ...]:
        wanted = frozenset(names)
        newer = itertools.islice(self._events, bisect_right(self._events, seq, key=_seq), None)
        return tuple(itertools.islice((event for event in newer if event.name in wanted), limit))

    def take(self, handler: str, event: str, worker: str, limit: int, is_alive: Callable[[str], bool]) -> tuple[Event, ...]:
        known = self._handlers.setdefault(handler, _Handler(event, self.newest, worker))
        if known.worker != worker and is_alive(known.worker):
            return ()
        known.event, known.worker = event, worker
        return self.after(known.done, [event], limit)

    def done(self, handler: str, worker: str, through: int) -> None:
        known = self._handlers.get(handler)
        if known is not None and known.worker == worker:
            known.done = max(known.done, through)

    def _awaited(self, event: Event) -> bool:
        return any(handler.event == event.name and handler.done < event.seq for handler in self._handlers.values())


def _seq(event: Event) -> int:
    return event.seq
