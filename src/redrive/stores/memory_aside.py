"""What the memory store keeps for people: signals that were set aside, and events that wait for their handlers or are dead."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from redrive.ports.aside_values import Aside, HeldEvent, NewAside
from redrive.ports.store import NewMessage
from redrive.stores.bell import EVENTS, WORK

if TYPE_CHECKING:
    import threading

    from redrive.stores.bell import Bell
    from redrive.stores.event_log import EventLog
    from redrive.stores.memory_records import Record


class AsideInMemory(ABC):
    """The verbs of `KeepsAside` and `HoldsEvents`, for a store that has the rest."""

    _lock: threading.RLock
    _bell: Bell
    _events: EventLog
    _records: dict[str, Record]

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)

    @abstractmethod
    def _now(self) -> datetime: ...

    @abstractmethod
    def _known(self, id: str) -> Record: ...

    @abstractmethod
    def _deliver(self, record: Record, message: NewMessage, now: datetime) -> bool: ...

    def _keep_aside(self, record: Record, new: Sequence[NewAside], now: datetime) -> None:
        for one in new:
            seq = next(self._numbers)
            record.aside.append(
                Aside(seq=seq, execution=record.id, name=one.name, data=one.data, sent_at=one.sent_at, error=one.error, at=now)
            )

    # ── signals ─────────────────────────────────────────────────────────────────────────────────
    async def set_aside(self, id: str | None, limit: int) -> Sequence[Aside]:
        with self._lock:
            records = self._records.values() if id is None else [record for record in [self._records.get(id)] if record is not None]
            return sorted((one for record in records for one in record.aside), key=lambda one: one.seq)[:limit]

    async def redeliver(self, id: str, seqs: Sequence[int] | None) -> int:
        with self._lock:
            record, now = self._known(id), self._now()
            found = [one for one in record.aside if seqs is None or one.seq in seqs]
            for one in found:
                self._deliver(record, NewMessage(kind="signal", name=one.name, data=one.data), now)
            record.aside = [one for one in record.aside if one not in found]
        if found:
            self._bell.ring(WORK)
        return len(found)

    async def drop_aside(self, id: str, seqs: Sequence[int] | None) -> int:
        with self._lock:
            record = self._known(id)
            before = len(record.aside)
            record.aside = [one for one in record.aside if seqs is not None and one.seq not in seqs]
            return before - len(record.aside)

    # ── events ──────────────────────────────────────────────────────────────────────────────────
    async def hold_events(self, worker: str, held: Sequence[HeldEvent]) -> None:
        with self._lock:
            self._events.hold(worker, held)

    async def held_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[HeldEvent]:
        with self._lock:
            return self._events.held(handler, event, worker, limit)

    async def held_done(self, handler: str, worker: str, seq: int) -> None:
        with self._lock:
            self._events.held_done(handler, worker, seq)

    async def list_held(self, handler: str | None, dead: bool | None, limit: int) -> Sequence[HeldEvent]:
        with self._lock:
            return self._events.list_held(handler, dead)[:limit]

    async def retry_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        with self._lock:
            found = self._events.retry_held(handler, seqs)
        if found:
            self._bell.ring(EVENTS)
        return found

    async def drop_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        with self._lock:
            return self._events.drop_held(handler, seqs)
