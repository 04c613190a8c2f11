"""The memory store: the reference for what a store does, for as long as its process lives.

All services that hold the same object share it, on whatever thread or event loop; ``memory://name`` is one such
object per name and process. Every verb runs under one lock, checks first and writes after.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import attrs

from redrive.ports.answer import Answer, failed, given
from redrive.ports.ends import End
from redrive.ports.parks import NewPark
from redrive.ports.store import (
    FINAL,
    Begun,
    Claim,
    Committed,
    Event,
    Json,
    Loaded,
    LostClaim,
    Message,
    NewChild,
    NewExecution,
    NewMessage,
    Outgoing,
    Snapshot,
    Stale,
    StoreError,
    Told,
    Turn,
)
from redrive.ports.workers import KnownWorker
from redrive.status import CANCELLING, COMPENSATION_FAILED, FAILED, HELD_BACK, PARKED, PENDING, RUNNING
from redrive.stores.bell import ENDS, EVENTS, WORK, Bell
from redrive.stores.common import wall_clock
from redrive.stores.event_log import EventLog
from redrive.stores.ledger.answers import OK, child_result, refusal
from redrive.stores.ledger.parking import reserved
from redrive.stores.ledger.turn_rules import check_unseen
from redrive.stores.memory_aside import AsideInMemory
from redrive.stores.memory_due import DueQueue
from redrive.stores.memory_parks import Parks, Worker
from redrive.stores.memory_records import Record, array_of
from redrive.stores.memory_rewrites import RewritesInMemory
from redrive_interpreter.errors import ExecutionFinished, ExecutionNotFound


class MemoryStore(AsideInMemory, RewritesInMemory):
    """A `Store` in the memory of this process. *clock* gives the time, an aware UTC datetime."""

    def __init__(self, clock: Callable[[], datetime] = wall_clock) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.RLock()
        self._bell = Bell()
        self._records: dict[str, Record] = {}
        self._workers: dict[str, Worker] = {}
        self._parks = Parks(self._records, self._workers)
        self._owned: dict[str, set[str]] = {}
        self._due = DueQueue(self._records)
        self._newest_message = 0
        self._events = EventLog()

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def now(self) -> datetime:
        return self._clock()

    # ── from outside ────────────────────────────────────────────────────────────────────────────
    async def start(self, new: NewExecution, *, claim_for: str | None = None, first: Turn | None = None) -> Begun:
        news = 0
        with self._lock:
            now = self._now()
            record = self._records.get(new.id)
            repeat = record is not None and record.run == new.run
            created = record is None or repeat or record.status in new.restart
            if record is None or (created and not repeat):
                record = self._begin(new, now)
                self._copied(record, new, now)
                if claim_for is not None and self._is_alive(claim_for) and (record.wake_at or now) <= now:
                    self._give(record, claim_for)
            if new.first_message is not None and not record.ended and not repeat:
                self._deliver(record, new.first_message, now)
            claimed = created and claim_for is not None and record.owner == claim_for
            claim, committed = record.claim() if claimed else None, None
            snapshot = record.snapshot()
            if claim is not None and first is not None and new.first_message is None:
                with contextlib.suppress(Stale):  # a repeat, and it has gone on since
                    committed, news = self._commit(attrs.evolve(claim, length=1), first)
                    claim = attrs.evolve(claim, length=1)
            begun = Begun(created=created, snapshot=snapshot, claim=claim, committed=committed)
        self._tell(news if claimed else news | WORK)
        return begun

    async def send(self, id: str, message: NewMessage) -> bool:
        with self._lock:
            landed = self._deliver(self._known(id), message, self._now())
        self._tell((WORK | ENDS if message.unbegun is not None else WORK) if landed else 0)
        return landed

    # ── for workers ─────────────────────────────────────────────────────────────────────────────
    async def claim(
        self,
        worker: str,
        lease: timedelta,
        build: str,
        workflows: Sequence[str],
        limit: int,
        *,
        holds: Sequence[str] | None = None,
        retries: int = 0,
        turns_only: Sequence[str] = (),
    ) -> Sequence[Claim]:
        with self._lock:
            now = self._now()
            self._due.keep(now)
            known, mine = self._workers.get(worker), frozenset(workflows)
            self._workers[worker] = Worker(now + lease, lease, build, mine, now if known is None else known.started)
            if known is None:
                self._parks.came_back(worker)
            for name, other in tuple(self._workers.items()):
                other.expires = min(other.expires, now + other.lease)  # the clock went back: nobody lives longer for it
                if other.expires <= now:
                    self._bury(name, now)
            if holds is not None:
                for id in self._owned.get(worker, set[str]()) - frozenset(holds):
                    self._disown(self._records[id])
            listed = frozenset[str]().union(*(other.workflows for other in self._workers.values()))
            ready = self._parks.ready(worker, build, mine, now)[:retries] if retries else []
            kept = min(reserved(limit, retries), len(ready))
            claims: list[Claim] = []
            passed_over: list[Record] = []
            while len(claims) < limit - kept and (record := self._due.take(now)) is not None:
                only_turns = record.workflow in turns_only and record.wants_a_body(now)
                if record.workflow in mine and build not in record.parks and not only_turns:
                    self._give(record, worker)
                    claims.append(record.claim(build))
                    continue
                passed_over.append(record)
            unlisted = [one for one in passed_over if one.workflow not in listed and one.status != PARKED]
            self._parks.for_want_of_code(unlisted, now)
            for record in passed_over:
                self._due.put(record)
            for record in ready[: max(0, limit - len(claims))]:
                self._give(record, worker)
                record.status = PARKED
                claims.append(record.claim(build))
            return claims

    async def load(self, claim: Claim) -> Loaded:
        with self._lock:
            record = self._owned_by(claim)
            return Loaded(history=array_of(record.runs[-1]), inbox=tuple(record.inbox))

    def commit(self, claim: Claim, turn: Turn) -> Answer[Committed]:
        try:
            with self._lock:
                committed, news = self._commit(claim, turn)
        except StoreError as error:
            return failed(error)
        self._tell(news)
        return given(committed)

    def _commit(self, claim: Claim, turn: Turn) -> tuple[Committed, int]:
        now = self._now()
        record = self._records.get(claim.id)
        if record is None or record.fence != claim.fence:
            raise LostClaim(f"execution {claim.id!r} belongs to another worker now")
        unseen = record.mail(turn.seen) if record.inbox else ()
        if turn.rows and claim.number <= record.number and record.runs[claim.number - 1][turn.expects :] == list(turn.rows):
            return Committed(inbox=unseen), 0
        if record.owner != claim.worker:
            raise LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more")
        if claim.number != record.number or turn.expects != len(record.runs[-1]):
            raise Stale(f"execution {claim.id!r} has {len(record.runs[-1])} rows in run {record.number}, not {turn.expects}")
        if unseen:
            check_unseen(claim, turn, unseen)

        record.runs[-1].extend(turn.rows)
        record.updated_at = now
        record.recoveries = 0 if turn.rows else record.recoveries
        if turn.attributes is not None:
            record.attributes = turn.attributes
        while record.inbox and record.inbox[0].seq <= turn.taken:
            record.inbox.popleft()
        self._events.emit(record.id, record.emitted, turn.events, now)
        self._keep_aside(record, turn.aside, now)
        for child in turn.children:
            self._bear(record, child, now)
        for outgoing in turn.outgoing:
            self._post(record, outgoing, now)
        self._parks.goes_on(record, claim.worker)
        asked = bool(record.inbox and record.cancelled_run) and any(message.kind == "cancel" for message in record.inbox)
        record.status = CANCELLING if asked and turn.status not in FINAL else turn.status
        record.unread = turn.unread
        record.wake_at = turn.wake_at if not record.inbox else min(turn.wake_at or now, now)
        if turn.next_run is not None:
            record.run, record.workflow = turn.next_run.run, turn.next_run.workflow
            record.runs.append([turn.next_run.started])
            self._parks.end_all(record)
            record.emitted.clear()
            record.recoveries = 0
        if turn.status in FINAL:
            self._end(record, turn.outcome, now)
        news = (EVENTS if turn.events else 0) | (ENDS if turn.status in FINAL else 0)
        if turn.outgoing and any(outgoing.message.unbegun is not None for outgoing in turn.outgoing):
            news |= ENDS
        if turn.outgoing or turn.children or (turn.status in FINAL and record.creator is not None):
            news |= WORK
        return Committed(inbox=record.mail(turn.seen) if record.inbox else ()), news

    async def release(self, claims: Sequence[Claim], *, parked: NewPark | None = None, at_rest: bool = False) -> None:
        with self._lock:
            for claim in claims:
                record = self._records.get(claim.id)
                if record is None or record.fence != claim.fence or record.owner != claim.worker:
                    continue
                if parked is not None:
                    self._parks.add(record, parked, self._now())
                if at_rest:
                    record.rested = record.fence
                self._disown(record)
        self._bell.ring(WORK)

    async def mail(self, worker: str, after: int) -> tuple[int, Mapping[str, Sequence[Message]]]:
        with self._lock:
            found: dict[str, Sequence[Message]] = {}
            if after < self._newest_message:
                for id in self._owned.get(worker, ()):
                    if new := self._records[id].mail(after):
                        found[id] = new
            return self._newest_message, found

    async def next_wake(self, workflows: Sequence[str], build: str = "", worker: str | None = None) -> datetime | None:
        with self._lock:
            now = self._now()
            mine = frozenset(workflows)

            def fits(record: Record) -> bool:
                return record.workflow in mine and build not in record.parks

            wakes: list[datetime] = []
            if (first := self._due.first(fits)) is not None:
                wakes.append(first)
            for name, other in self._workers.items():
                if other.expires <= now:
                    left = (self._records[id] for id in self._owned.get(name, ()))
                    wakes.extend(record.wake_at for record in left if record.wake_at is not None and fits(record))
            if worker is not None:
                wakes.extend(at for at, _ in self._parks.claimable(worker, build, mine))
            return min(wakes, default=None)

    async def retire(self, worker: str) -> None:
        with self._lock:
            self._workers.pop(worker, None)
            for id in tuple(self._owned.get(worker, ())):
                self._disown(self._records[id])
        self._bell.ring(WORK)

    # ── for readers ─────────────────────────────────────────────────────────────────────────────
    async def read(self, id: str) -> Snapshot | None:
        with self._lock:
            record = self._records.get(id)
            return None if record is None else record.snapshot()

    async def ends(self, ids: Sequence[str]) -> Sequence[End]:
        """See `ReadsEnds`."""
        with self._lock:
            found = (self._records.get(id) for id in ids)
            return [(record.id, record.status, record.outcome) for record in found if record is not None and record.status in FINAL]

    async def list(self, *, workflow: str | None = None, status: str | None = None, limit: int = 100) -> Sequence[Snapshot]:
        with self._lock:
            fitting = (
                record
                for record in reversed(self._records.values())
                if workflow in (None, record.workflow) and status in (None, record.status)
            )
            return [record.snapshot() for record in itertools.islice(fitting, limit)]

    async def workers(self) -> Sequence[KnownWorker]:
        with self._lock:
            return [worker.known(id, self._now(), len(self._owned.get(id, ()))) for id, worker in self._workers.items()]

    async def history(self, id: str, run: int = -1) -> Json:
        with self._lock:
            runs = self._known(id).runs
            number = len(runs) if run == -1 else run
            if not 1 <= number <= len(runs):
                raise ExecutionNotFound(id, f"it has no run {run}")
            return array_of(runs[number - 1])

    # ── events ──────────────────────────────────────────────────────────────────────────────────
    async def events(self, after: int | None, names: Sequence[str], limit: int) -> tuple[int, Sequence[Event]]:
        with self._lock:
            if after is None:
                return self._events.newest, ()
            found = self._events.after(after, names, limit)
            return found[-1].seq if found and len(found) == limit else max(after, self._events.newest), found

    async def take_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[Event]:
        with self._lock:
            return self._events.take(handler, event, worker, limit, self._is_alive)

    async def events_done(self, handler: str, worker: str, through: int) -> None:
        with self._lock:
            self._events.done(handler, worker, through)

    async def changed(self, timeout: float, since: Told | None = None) -> Told:
        return await self._bell.wait(timeout, since)

    # ── parts of verbs; all run under the lock ──────────────────────────────────────────────────
    def _known(self, id: str) -> Record:
        try:
            return self._records[id]
        except KeyError:
            raise ExecutionNotFound(id) from None

    def _is_alive(self, worker: str) -> bool:
        known = self._workers.get(worker)
        return known is not None and known.expires > self._clock()

    def _owned_by(self, claim: Claim) -> Record:
        record = self._records.get(claim.id)
        if record is None or record.fence != claim.fence or record.owner != claim.worker:
            raise LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more")
        return record

    def _begin(self, new: NewExecution, now: datetime) -> Record:
        record = self._records.get(new.id)
        if record is None:
            record = self._records[new.id] = Record.begin(new, now)
        else:
            self._parks.end_all(record)
            record.begin_again(new, now)
        self._due.put(record)
        return record

    def _give(self, record: Record, worker: str) -> None:
        record.owner, record.ticket = worker, 0
        record.fence += 1
        self._owned.setdefault(worker, set()).add(record.id)

    def _disown(self, record: Record) -> None:
        if record.owner is not None:
            self._owned[record.owner].discard(record.id)
            if not self._owned[record.owner]:
                del self._owned[record.owner]
        record.owner = None
        self._due.put(record)

    def _bury(self, worker: str, now: datetime) -> None:
        build = self._workers.pop(worker).build
        for id in tuple(self._owned.get(worker, ())):
            record = self._records[id]
            if record.wake_at is not None and record.wake_at <= now:
                self._parks.died(record, worker, build)
            self._disown(record)

    def _now(self) -> datetime:
        now = self._clock()
        self._due.saw(now)
        return now

    def _deliver(self, record: Record, message: NewMessage, now: datetime) -> bool:
        cancel, again = message.kind == "cancel", message.kind == "retry_rollback"
        if (cancel and record.cancelled_run == record.number) or (message.dedup is not None and message.dedup in record.landed):
            return False
        if again and not record.ended:
            return False
        if record.ended and not (again and record.status == COMPENSATION_FAILED):
            raise ExecutionFinished(record.id, f"it is {record.status}")
        if message.unbegun is not None and record.never_began:
            return self._end_unbegun(record, message.unbegun)
        if message.dedup is not None:
            record.landed.add(message.dedup)
        self._newest_message += 1
        record.last_stored = max(now, record.last_stored)
        record.inbox.append(
            Message(seq=self._newest_message, kind=message.kind, name=message.name, data=message.data, stored_at=record.last_stored)
        )
        record.updated_at = now
        if again:
            record.status, record.outcome = RUNNING, None
        waits_for_its_start = record.status == PENDING and not cancel
        if cancel:
            record.cancelled_run = record.number
            self._parks.hurry(record, now)
            if record.status not in HELD_BACK:
                record.status = CANCELLING
        if not waits_for_its_start and (record.wake_at is None or record.wake_at > now):
            record.wake_at = now
            self._due.put(record)
        return True

    def _end_unbegun(self, record: Record, turn: Turn) -> bool:
        record.cancelled_run = record.number
        self._give(record, "")
        self._commit(record.claim(), turn)
        self._parks.end_all(record)
        return True

    def _post(self, sender: Record, outgoing: Outgoing, now: datetime) -> None:
        answer, target = OK, self._records.get(outgoing.target)
        if target is None:
            answer = refusal("ExecutionNotFound", outgoing.target)
        else:
            try:
                self._deliver(target, outgoing.message, now)
            except ExecutionFinished:
                answer = refusal("ExecutionFinished", outgoing.target)
        self._answer(sender, outgoing.answer_to, answer, now)

    def _bear(self, parent: Record, child: NewChild, now: datetime) -> None:
        new = child.execution
        known, answer = self._records.get(new.id), OK
        if known is not None and (known.creator is None or known.creator != new.creator):
            answer = refusal("ExecutionConflict", new.id)
            if child.answer_to is None:
                self._deliver(parent, NewMessage(kind="child", name=new.id, data=child_result(FAILED, answer)), now)
        elif known is None or (known.run != new.run and known.status in new.restart):
            self._begin(new, now)
        self._answer(parent, child.answer_to, answer, now)

    def _answer(self, record: Record, key: str | None, answer: Json, now: datetime) -> None:
        if key is not None:
            self._deliver(record, NewMessage(kind="answer", name=key, data=answer), now)

    def _end(self, record: Record, outcome: Json | None, now: datetime) -> None:
        record.outcome = outcome
        record.unread += sum(message.kind == "signal" for message in record.inbox)
        record.wake_at = None
        self._disown(record)
        parent = None if record.creator is None else self._records.get(record.creator.id)
        if parent is not None and not parent.ended:
            self._deliver(parent, NewMessage(kind="child", name=record.id, data=child_result(record.status, outcome)), now)
