"""Rewrites of histories in the memory store, by the rules of the ledger, and the audit of what operators did."""

from __future__ import annotations

import itertools
import json
from abc import ABC, abstractmethod
from datetime import datetime
from typing import TYPE_CHECKING

from redrive.ports.rewrites import Audit
from redrive.ports.store import Message
from redrive.stores.ledger import rewrite_rules
from redrive.stores.ledger.locked_execution import LockedExecution
from redrive.stores.ledger.unit_of_work import UnitOfWork
from redrive.stores.times import from_us, maybe_from_us, maybe_us, to_us

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Sequence

    from redrive.ports.rewrites import NewAudit, Rewrite
    from redrive.ports.store import NewExecution, Snapshot
    from redrive.stores.bell import Bell
    from redrive.stores.ledger.reach import Reach
    from redrive.stores.ledger.unit_of_work import StoredMessage
    from redrive.stores.memory_due import DueQueue
    from redrive.stores.memory_parks import Parks
    from redrive.stores.memory_records import Record


class RewritesInMemory(ABC):
    """The verbs of `RewritesHistories`, for a store that has the rest."""

    _lock: threading.RLock
    _bell: Bell
    _records: dict[str, Record]
    _parks: Parks
    _due: DueQueue
    _newest_message: int

    def __init__(self) -> None:
        super().__init__()
        self._audits: list[Audit] = []

    @abstractmethod
    def _now(self) -> datetime: ...

    @abstractmethod
    def _disown(self, record: Record) -> None: ...

    def _tell(self, kinds: int) -> None:
        if kinds:
            self._bell.ring(kinds)

    async def rewrite(self, id: str, change: Rewrite) -> Snapshot:
        with self._lock:
            now = self._now()
            work = self._locked(rewrite_rules.reach_of_rewrite(id, change), now)
            rewrite_rules.rewrite(work, id, change)
            self._write(work, now)
            snapshot = self._records[id].snapshot()
        self._tell(work.changes)
        return snapshot

    async def audit(self, id: str | None, limit: int) -> Sequence[Audit]:
        with self._lock:
            found = (one for one in reversed(self._audits) if id in (None, one.execution))
            return list(itertools.islice(found, limit))[::-1]

    def _copied(self, record: Record, new: NewExecution, now: datetime) -> None:
        """Give a new execution that is a copy what goes back into its inbox, and note whose copy it is."""
        execution = _locked(record)
        self._store(rewrite_rules.back_into(execution, new.back, ()))
        if new.audit is not None and new.copy_of is not None:
            for id in (new.id, new.copy_of):
                self._note(id, new.audit, now)

    def _note(self, id: str, act: NewAudit, now: datetime) -> None:
        texts = {"by": act.by, "verb": act.verb, "reason": act.reason, "detail": act.detail, "key": act.key}
        self._audits.append(Audit(seq=len(self._audits) + 1, execution=id, at=now, **texts))

    def _locked(self, reach: Reach, now: datetime) -> UnitOfWork:
        work = UnitOfWork(to_us(now))
        parents = [record.creator.id for id in reach.parents_of if (record := self._records.get(id)) is not None and record.creator]
        work.add(_locked(self._records[id]) for id in {*reach.ids, *parents} if id in self._records)
        work.stored_audits = {(one.execution, one.key) for one in self._audits} & set(reach.audits)
        return work

    def _write(self, work: UnitOfWork, now: datetime) -> None:
        for refilled in work.refilled:
            self._records[refilled.execution.id].inbox.clear()
            self._store(refilled.messages)
        for _, chunk in work.chunks:
            record = self._records[chunk.id]
            if chunk.number == record.number:  # of an execution that was ended, before it began
                record.runs[-1] += _rows(chunk.rows)
            else:
                record.runs.append(_rows(chunk.rows))
        for execution, attributes in work.attributes.values():
            self._records[execution.id].attributes = attributes
        for execution in (*work.unparked_for_all, *work.hurried):
            self._parks.end_all(self._records[execution.id])
        self._store(work.messages)
        for execution, deadline_us in work.deadlines:
            self._records[execution.id].deadline = maybe_from_us(deadline_us)
        for execution in work.changed:
            self._save(execution, now)
        for id, act in work.audits:
            self._note(id, act, now)

    def _store(self, messages: Iterable[StoredMessage]) -> None:
        for stored in messages:
            record, message = self._records[stored.execution.id], stored.message
            self._newest_message += 1
            at = from_us(stored.stored_us)
            record.inbox.append(Message(seq=self._newest_message, kind=message.kind, name=message.name, data=message.data, stored_at=at))
            record.last_stored = max(record.last_stored, at)

    def _save(self, it: LockedExecution, now: datetime) -> None:
        record = self._records[it.id]
        if it.owner is None:
            self._disown(record)
        if it.run != record.run:
            record.emitted.clear()
        record.run, record.status, record.fence, record.recoveries = it.run, it.status, it.fence, it.recoveries  # type: ignore[assignment]
        record.unread, record.cancelled_run, record.updated_at = it.unread, it.cancelled_run, now
        record.wake_at = maybe_from_us(it.wake_us)
        if it.has_outcome:
            record.outcome = it.outcome
        self._due.put(record)


def _rows(text: str) -> list[str]:
    return [json.dumps(row, separators=(",", ":")) for row in json.loads(f"[{text}]")]


def _locked(record: Record) -> LockedExecution:
    return LockedExecution(
        n=1,
        id=record.id,
        workflow=record.workflow,
        run=record.run,
        number=record.number,
        length=len(record.runs[-1]),
        status=record.status,
        owner=record.owner,
        fence=record.fence,
        wake_us=maybe_us(record.wake_at),
        recoveries=record.recoveries,
        unread=record.unread,
        stored_us=to_us(record.last_stored),
        cancelled_run=record.cancelled_run,
        creator=record.creator,
        first_run=record.first_run,
        newest=record.inbox[-1].seq if record.inbox else 0,
        inbox=list(record.inbox),
    )
