"""Messages that the memory store keeps for people: signals that were set aside, and events that wait for their handlers or are dead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from redrive.ports.aside_values import Aside, HeldEvent
from redrive.ports.store import NewMessage
from redrive.stores.change_notifier import EVENTS, WORK, ChangeNotifier
from redrive.stores.ledger.reach import Reach
from redrive.stores.memory.indexes import Indexes
from redrive.stores.memory.unit_records import lock, write
from redrive.stores.times import to_us


class AsideInMemory:
    """The verbs of `KeepsAside` and `HoldsEvents`, for a store that has the rest. *clock* gives the time, an aware UTC datetime."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._notifier = ChangeNotifier()
        self._tables = Indexes()

    def _now_us(self) -> int:
        now_us, due = to_us(self._clock()), self._tables.due
        if now_us > due.latest_us:
            due.latest_us = now_us
        return now_us

    # ── signals ─────────────────────────────────────────────────────────────────────────────────
    async def set_aside(self, id: str | None, limit: int) -> Sequence[Aside]:
        with self._lock:
            records = self._tables.records
            chosen = records.values() if id is None else [records[id]] if id in records else []
            return sorted((one for record in chosen for one in record.aside), key=lambda one: one.seq)[:limit]

    async def redeliver(self, id: str, seqs: Sequence[int] | None) -> int:
        with self._lock:
            record = self._tables.known(id)
            found = [one for one in record.aside if seqs is None or one.seq in seqs]
            work = lock(self._tables, Reach(ids=[id]), self._now_us())
            for one in found:
                work.deliver(work.executions[id], NewMessage(kind="signal", name=one.name, data=one.data))
            write(self._tables, work)
            record.aside = [one for one in record.aside if one not in found]
        if found:
            self._notifier.ring(WORK)
        return len(found)

    async def drop_aside(self, id: str, seqs: Sequence[int] | None) -> int:
        with self._lock:
            record = self._tables.known(id)
            before = len(record.aside)
            record.aside = [one for one in record.aside if seqs is not None and one.seq not in seqs]
            return before - len(record.aside)

    # ── events ──────────────────────────────────────────────────────────────────────────────────
    async def hold_events(self, worker: str, held: Sequence[HeldEvent]) -> None:
        with self._lock:
            self._tables.events.hold(worker, held)

    async def held_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[HeldEvent]:
        with self._lock:
            return self._tables.events.held(handler, event, worker, limit)

    async def held_done(self, handler: str, worker: str, seq: int) -> None:
        with self._lock:
            self._tables.events.held_done(handler, worker, seq)

    async def list_held(self, handler: str | None, dead: bool | None, limit: int) -> Sequence[HeldEvent]:
        with self._lock:
            return self._tables.events.list_held(handler, dead)[:limit]

    async def retry_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        with self._lock:
            found = self._tables.events.retry_held(handler, seqs)
        if found:
            self._notifier.ring(EVENTS)
        return found

    async def drop_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        with self._lock:
            return self._tables.events.drop_held(handler, seqs)
