"""Forgetting what has ended, and looking for what may be stuck, in the memory store."""

from __future__ import annotations

import heapq
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import attrs

from redrive.ports.purging import EndedExecution, EndedRuns, Retention
from redrive.ports.suspects import Suspects
from redrive.status import CANCELLING, PARKED, SUSPENDED
from redrive.stores.change_notifier import ENDS
from redrive.stores.ledger import purge_rules
from redrive.stores.memory.aside_lists import AsideInMemory
from redrive.stores.memory.unit_records import note
from redrive.stores.times import from_us, to_us

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from redrive.ports.rewrites import NewAudit
    from redrive.ports.suspects import Suspicion
    from redrive.stores.memory.record import Record

_MICROSECOND = timedelta(microseconds=1)


class PurgesInMemory(AsideInMemory):
    """The verbs of `Purges` and `KnowsSuspects`, for a store that has the rest."""

    async def ended(self, before: datetime, after: str | None, limit: int) -> Sequence[EndedExecution]:
        with self._lock:
            us, _, id = (after or "-1:").partition(":")
            place, records = (int(us), id), self._tables.records
            behind = ((record.updated_us, record.id) for record in records.values() if record.ended)
            found = heapq.nsmallest(limit, (one for one in behind if place < one and one[0] < to_us(before)))
            return [_ended(records[id]) for _, id in found]

    async def ended_runs(self, before: datetime, after: str | None, limit: int) -> Sequence[EndedRuns]:
        with self._lock:
            records = self._tables.records.values()
            chosen = (record for record in records if record.oldest_run < record.number and record.id > (after or ""))
            return [_ended_runs(record, to_us(before)) for record in heapq.nsmallest(limit, chosen, key=lambda record: record.id)]

    async def purge(self, chosen: Sequence[EndedExecution], act: NewAudit) -> Sequence[str]:
        gone: list[str] = []
        with self._lock:
            tables, now_us = self._tables, self._now_us()
            for one in chosen:
                record = tables.records.get(one.id)
                if record is None:
                    continue
                if not purge_rules.is_as_described(one, record.number, record.status, record.updated_us):
                    continue
                tables.parks.end_all(record)
                del tables.records[one.id]
                tables.events.forget(one.id)
                tables.audits[:] = [audit for audit in tables.audits if audit.execution != one.id]
                note(tables, one.id, _with(act, purge_rules.detail_of(one)), from_us(now_us))
                gone.append(one.id)
        if gone:
            self._notifier.ring(ENDS)  # those who wait for its end look, and find nothing
        return gone

    async def purge_runs(self, chosen: Sequence[EndedRuns], act: NewAudit) -> int:
        gone = 0
        with self._lock:
            tables, now_us = self._tables, self._now_us()
            for one in chosen:
                record = tables.records.get(one.id)
                if record is None or record.oldest_run != one.first or not one.first <= one.last < record.number:
                    continue
                for run in record.runs[one.first - 1 : one.last]:
                    run.chunks = [""]
                record.oldest_run = one.last + 1
                note(tables, one.id, _with(act, purge_rules.detail_of_runs(one)), from_us(now_us))
                gone += one.last - one.first + 1
        return gone

    async def collect(self, limit: int) -> bool:
        return False

    async def state_retention(self, worker: str, stated: Retention | None) -> None:
        with self._lock:
            self._tables.retentions.pop(worker, None)
            if stated is not None:
                now_us = self._now_us()
                old_us = now_us - purge_rules.FORGOTTEN_AFTER // _MICROSECOND
                for name in [name for name, (at_us, _) in self._tables.retentions.items() if at_us < old_us]:
                    del self._tables.retentions[name]
                self._tables.retentions[worker] = (now_us, stated)

    async def retentions(self) -> Sequence[Retention]:
        with self._lock:
            tables, now_us = self._tables, self._now_us()
            fresh_us = now_us - purge_rules.STATED_FOR // _MICROSECOND
            stated = tables.retentions.items()
            return [one for worker, (at_us, one) in stated if at_us >= fresh_us or tables.is_alive(worker, now_us)]

    async def suspects(self, suspicion: Suspicion, after: int, most: int) -> Suspects:
        with self._lock:
            behind = (record for record in self._tables.records.values() if not record.ended and record.n > after)
            looked_at = heapq.nsmallest(most, behind, key=lambda record: record.n)
            found = [record.id for record in looked_at if _is_suspect(record, suspicion)]
            return Suspects(found, looked_at[-1].n if len(looked_at) == most else None)


def _is_suspect(record: Record, suspicion: Suspicion) -> bool:
    if record.status in (PARKED, CANCELLING) or record.unread or record.recoveries >= suspicion.recoveries:
        return True
    if record.wake_us is not None and record.wake_us < to_us(suspicion.due_before):
        return True
    if record.owner is not None and record.updated_us < to_us(suspicion.silent_since):
        return True
    between = record.status == SUSPENDED and record.wake_us is not None
    return between and record.waits.startswith(("step:", "undo:"))


def _ended(record: Record) -> EndedExecution:
    return EndedExecution(
        id=record.id,
        workflow=record.workflow,
        status=record.status,
        number=record.number,
        rows=record.length,
        ended_at=from_us(record.updated_us),
        place=f"{record.updated_us}:{record.id}",
    )


def _ended_runs(record: Record, before_us: int) -> EndedRuns:
    numbers = range(record.oldest_run, min(record.number, record.oldest_run + purge_rules.MOST_RUNS))
    runs = [(number, record.runs[number].began_us) for number in numbers]
    first, last, us = purge_rules.runs_before(runs, before_us - 1) or (record.oldest_run, record.oldest_run - 1, 0)
    return EndedRuns(id=record.id, workflow=record.workflow, first=first, last=last, ended_at=from_us(us), place=record.id)


def _with(act: NewAudit, detail: str) -> NewAudit:
    return attrs.evolve(act, detail=detail, key=str(uuid4()))
