"""The events of the memory store, how far its durable handlers have got, and what they could not handle."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import attrs

from redrive.ports.aside_values import HeldEvent
from redrive.ports.store import Event, NewEvent
from redrive.stores.common import EVENTS_KEPT, PRUNE_EVERY

_AT_ONCE: Final = datetime.min.replace(tzinfo=UTC)


@attrs.define
class Handler:
    """A durable handler: it has done its events up to the seq *done*, and *worker* has the rest in hand."""

    event: str
    done: int
    worker: str


@attrs.define(eq=False)
class EventLog:
    """Used under the store's lock."""

    newest: int = 0
    """The seq of the last event that was ever emitted."""
    _events: list[Event] = attrs.Factory(list[Event])
    _handlers: dict[str, Handler] = attrs.Factory(dict[str, Handler])
    _pruned_at: datetime | None = None
    _held: dict[tuple[str, int], HeldEvent] = attrs.Factory(dict[tuple[str, int], HeldEvent])

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
        known = self._handlers.setdefault(handler, Handler(event, self.newest, worker))
        if known.worker != worker and is_alive(known.worker):
            return ()
        known.event, known.worker = event, worker
        return self.after(known.done, [event], limit)

    def done(self, handler: str, worker: str, through: int) -> None:
        known = self._handlers.get(handler)
        if known is not None and known.worker == worker:
            known.done = max(known.done, through)

    def hold(self, worker: str, held: Sequence[HeldEvent]) -> None:
        for one in held:
            known, key = self._handlers.get(one.handler), (one.handler, one.event.seq)
            if known is None or known.worker != worker:
                return
            if one.event.seq > known.done or key in self._held:
                self._held[key] = one
                known.done = max(known.done, one.event.seq)

    def held(self, handler: str, event: str, worker: str, limit: int) -> tuple[HeldEvent, ...]:
        known = self._handlers.get(handler)
        if known is None or known.worker != worker:
            return ()
        first: dict[str, HeldEvent] = {}
        for one in self.list_held(handler, False):
            if one.event.name == event:
                first.setdefault(one.event.execution, one)
        return tuple(sorted(first.values(), key=lambda one: (one.due or _AT_ONCE, one.event.seq))[:limit])

    def held_done(self, handler: str, worker: str, seq: int) -> None:
        known = self._handlers.get(handler)
        if known is not None and known.worker == worker:
            self._held.pop((handler, seq), None)

    def list_held(self, handler: str | None, dead: bool | None) -> list[HeldEvent]:
        return [one for _, one in sorted(self._held.items()) if handler in (None, one.handler) and dead in (None, one.dead)]

    def retry_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        found = self._chosen(handler, seqs)
        for one in found:
            key = (handler, one.event.seq)
            self._held[key] = attrs.evolve(one, attempts=0, first_at=None, due=None, dead=False)
        return len(found)

    def drop_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        found = self._chosen(handler, seqs)
        for one in found:
            del self._held[handler, one.event.seq]
        return len(found)

    def forget(self, execution: str) -> None:
        """Forget the execution's dead letters, and its events but for those that a handler has not done."""
        self._events = [event for event in self._events if event.execution != execution or self._awaited(event)]
        self._held = {key: one for key, one in self._held.items() if one.event.execution != execution or not one.dead}

    def _chosen(self, handler: str, seqs: Sequence[int] | None) -> list[HeldEvent]:
        return [one for one in self.list_held(handler, True if seqs is None else None) if seqs is None or one.event.seq in seqs]

    def _awaited(self, event: Event) -> bool:
        return any(handler.event == event.name and handler.done < event.seq for handler in self._handlers.values())


def _seq(event: Event) -> int:
    return event.seq
