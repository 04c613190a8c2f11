"""All that the memory store keeps, with what finds it. Used under the store's lock."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import attrs

from redrive.ports.purging import Retention
from redrive.ports.rewrites import Audit
from redrive.stores.ledger.claim_rules import expire, lease_end
from redrive.stores.memory.due_queue import DueQueue
from redrive.stores.memory.event_log import EventLog
from redrive.stores.memory.park_index import ParkIndex, Worker
from redrive.stores.memory.queue_tables import QueueTables
from redrive.stores.memory.record import Record
from redrive.stores.memory.schedule_table import ScheduleTable
from redrive_interpreter.errors import ExecutionNotFound


@attrs.define(eq=False)
class Indexes:
    records: dict[str, Record] = attrs.Factory(dict[str, Record])
    workers: dict[str, Worker] = attrs.Factory(dict[str, Worker])
    owned: dict[str, set[str]] = attrs.Factory(dict[str, set[str]])
    """The ids of what each worker owns."""
    newest_message: int = 0
    events: EventLog = attrs.Factory(EventLog)
    audits: list[Audit] = attrs.Factory(list[Audit])
    retentions: dict[str, tuple[int, Retention]] = attrs.Factory(dict[str, tuple[int, Retention]])
    """What workers have stated, and when."""
    schedules: ScheduleTable = attrs.Factory(ScheduleTable)
    due: DueQueue = attrs.field(init=False)
    parks: ParkIndex = attrs.field(init=False)
    _numbers: Iterator[int] = attrs.Factory(lambda: itertools.count(1))
    queues: QueueTables = attrs.field(init=False)
    _aside_seqs: Iterator[int] = attrs.Factory(lambda: itertools.count(1))

    def __attrs_post_init__(self) -> None:
        self.due = DueQueue(self.records)
        self.queues = QueueTables(self.records)
        self.parks = ParkIndex(self.records, self.workers, self.queues)

    def known(self, id: str) -> Record:
        try:
            return self.records[id]
        except KeyError:
            raise ExecutionNotFound(id) from None

    def next_number(self) -> int:
        return next(self._numbers)

    def next_aside(self) -> int:
        return next(self._aside_seqs)

    def is_alive(self, worker: str, now_us: int) -> bool:
        known = self.workers.get(worker)
        return known is not None and known.expires_us > now_us

    def give(self, record: Record, owner: str | None) -> None:
        """Note that *owner* owns *record* now, or that nobody does, and when it is due."""
        if record.owner != owner:
            if record.owner is not None:
                mine = self.owned[record.owner]
                mine.discard(record.id)
                if not mine:
                    del self.owned[record.owner]
            if owner is not None:
                self.owned.setdefault(owner, set()).add(record.id)
            record.owner = owner
        self.due.put(record)

    def of(self, worker: str) -> list[Record]:
        """The executions that *worker* owns."""
        return [self.records[id] for id in self.owned.get(worker, ())]

    # ── workers ─────────────────────────────────────────────────────────────────────────────────
    def beat(
        self, worker: str, lease_us: int, build: str, workflows: frozenset[str], now_us: int, queues: frozenset[str] = frozenset()
    ) -> None:
        known = self.workers.get(worker)
        started_us = now_us if known is None else known.started_us
        self.workers[worker] = Worker(now_us + lease_us, lease_us, build, workflows, started_us, queues)
        if known is None:
            self.parks.came_back(worker)

    def expire_the_dead(self, now_us: int) -> None:
        for name, worker in tuple(self.workers.items()):
            worker.expires_us = lease_end(worker.expires_us, worker.lease_us, now_us)
            if worker.expires_us <= now_us:
                self._expire(name, now_us)

    def _expire(self, name: str, now_us: int) -> None:
        build = self.workers.pop(name).build
        for record in self.of(name):
            left = expire(record, record.deaths.get(build), name, now_us)
            record.recoveries = left.recoveries
            if left.deaths is not None:
                record.deaths[build] = left.deaths
            self.give(record, None)

    def listed(self) -> frozenset[str]:
        """The workflows that live workers list."""
        return frozenset[str]().union(*(worker.workflows for worker in self.workers.values()))
