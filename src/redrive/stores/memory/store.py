"""The memory store: what a store does, for as long as its process lives.

All services that hold the same object share it, on whatever thread or event loop; ``memory://name`` is one such
object per name and process. Every verb runs under one lock. Plain turns and signals are written at once (`fast_turns`); all else
is worked out by the rules of the ledger.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from redrive.ports.answer import Answer, failed, given
from redrive.ports.ends import End
from redrive.ports.parks import NewPark
from redrive.ports.queue_port import PartitionState, QueueLimits, QueuePlace, QueueState, WorkflowQueue
from redrive.ports.rewrites import Audit, Hold, Rewrite
from redrive.ports.store import (
    FINAL,
    NO_ROOM,
    ChangeCounts,
    Claim,
    ClaimedState,
    CommitResult,
    Event,
    Json,
    LostClaim,
    Message,
    NewExecution,
    NewMessage,
    Snapshot,
    StartResult,
    StoreError,
    Turn,
)
from redrive.ports.workers import KnownWorker
from redrive.status import HELD_BACK, PARKED, PAUSED
from redrive.stores.change_notifier import WORK
from redrive.stores.common import wall_clock
from redrive.stores.ledger import claim_rules, purge_rules, rewrite_rules, start_rules, turn_rules
from redrive.stores.ledger.locked_execution import PLACED
from redrive.stores.ledger.parking import reserved
from redrive.stores.ledger.reach import reach_of_message, reach_of_starts, reach_of_turns
from redrive.stores.memory import fast_turns, queue_views
from redrive.stores.memory.forgetting import PurgesInMemory
from redrive.stores.memory.record import Record
from redrive.stores.memory.scans import ScansMemory
from redrive.stores.memory.schedule_lists import SchedulesInMemory
from redrive.stores.memory.unit_records import lock, look_for, write
from redrive.stores.times import maybe_from_us
from redrive_interpreter.errors import ExecutionNotFound

_MICROSECOND = timedelta(microseconds=1)
_NOTHING = CommitResult()


class MemoryStore(SchedulesInMemory, PurgesInMemory, ScansMemory):
    """A `Store` in the memory of this process. *clock* gives the time, an aware UTC datetime."""

    def __init__(self, clock: Callable[[], datetime] = wall_clock) -> None:
        super().__init__(clock)

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def now(self) -> datetime:
        return self._clock()

    # ── from outside ────────────────────────────────────────────────────────────────────────────
    async def start(self, new: NewExecution, *, claim_for: str | None = None, first: Turn | None = None) -> StartResult:
        tables, asked = self._tables, [(new, claim_for, first)]
        with self._lock:
            now_us = self._now_us()
            work = lock(tables, reach_of_starts(asked), now_us)
            look_for(tables, work, turn_rules.possible_repeats(work, start_rules.first_turns(work, asked)))
            alive = claim_for is not None and tables.is_alive(claim_for, now_us)
            started = start_rules.start(work, new, claim_for, first, alive=alive)
            assert started is not None  # which waits for others of its transaction only
            write(tables, work)
            record = tables.records[started.id]
            committed = CommitResult(inbox=tuple(record.inbox)) if started.committed else None
            begun = StartResult(created=started.created, snapshot=record.snapshot(), claim=started.claim, committed=committed)
        self._tell(work.changes)
        return begun

    async def send(self, id: str, message: NewMessage) -> bool:
        with self._lock:
            now_us = self._now_us()
            record, changes = self._tables.known(id), WORK
            stored = fast_turns.send(self._tables, record, message, now_us)
            if stored is None:
                work = lock(self._tables, reach_of_message(id, message), now_us)
                stored = turn_rules.send(work, work.executions[id], message)
                write(self._tables, work)
                changes = work.changes
        self._tell(changes if stored else 0)
        return stored

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
        room: Mapping[str, int] = NO_ROOM,
    ) -> Sequence[Claim]:
        tables = self._tables
        with self._lock:
            now_us = self._now_us()
            tables.due.keep(now_us)
            tables.beat(worker, lease // _MICROSECOND, build, frozenset(workflows), now_us, frozenset(room))
            tables.expire_the_dead(now_us)
            if holds is not None:
                kept = frozenset(holds)
                for mine in tables.of(worker):
                    if mine.id not in kept:
                        tables.give(mine, None)
            claimant = tables.parks.claimant(worker, build, frozenset(workflows), frozenset(turns_only))
            ready = claim_rules.longest_parked(claimant, tables.parks.parked_by(build), now_us)[:retries] if retries else []
            self._park_unlisted(now_us)
            claims: list[Claim] = []
            passed_over: list[Record] = []
            admitting = reserved(limit, sum(room.values())) if room else 0
            limit -= admitting
            for_due = limit - claim_rules.kept_for_retries(limit, retries, ready)
            for due in tables.due.take(now_us, claimant.workflows) if for_due > 0 else ():
                if claim_rules.may_claim(claimant, due, now_us):
                    claims.append(self._claim(due, claimant))
                    if len(claims) == for_due:
                        break
                else:
                    passed_over.append(due)
            for record in passed_over:
                tables.due.put(record)
            for record in ready[: limit - len(claims)]:
                claims.append(self._claim(record, claimant))
                record.status = PARKED
            if admitting:
                claims += self._admit(claimant, room, limit + admitting - len(claims), now_us)
        if room:
            self._tell(WORK if any(claim.queue for claim in claims) else 0)
        return claims

    def _admit(self, claimant: claim_rules.Claimant, room: Mapping[str, int], limit: int, now_us: int) -> list[Claim]:
        """Admit from the worker's queues, and give it what it has the code of; the rest is due for others."""
        claims: list[Claim] = []
        for id in self._tables.queues.admit(room, limit, now_us):
            record = self._tables.records[id]
            record.queued, record.updated_us = PLACED, now_us
            if record.status in HELD_BACK:  # it has its turn, and lends its place
                self._tables.queues.park(id)
                continue
            record.wake_us = now_us
            self._tables.due.put(record)
            if claim_rules.may_claim(claimant, record, now_us):
                claims.append(self._claim(record, claimant))
        return claims

    def _park_unlisted(self, now_us: int) -> None:
        due = list(self._tables.due.take_unlisted(now_us, self._tables.listed()))
        self._tables.parks.for_want_of_code(due, now_us)
        for record in due:
            self._tables.due.put(record)

    def _claim(self, record: Record, claimant: claim_rules.Claimant) -> Claim:
        claim = record.claim(claimant.worker, claimant.build)
        self._tables.give(record, claimant.worker)
        record.fence = claim.fence
        return claim

    async def load(self, claim: Claim) -> ClaimedState:
        with self._lock:
            record = self._tables.records.get(claim.id)
            if record is None or record.fence != claim.fence or record.owner != claim.worker:
                raise LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more")
            return ClaimedState(history=record.current.history, inbox=tuple(record.inbox), paused=record.status == PAUSED)

    def commit(self, claim: Claim, turn: Turn) -> Answer[CommitResult]:
        with self._lock:
            now_us = self._now_us()
            changes = fast_turns.commit(self._tables, claim, turn, now_us)
            if changes is None:
                try:
                    committed, changes = self._commit(claim, turn, now_us)
                except StoreError as error:
                    return failed(error)
            else:
                committed = _NOTHING
        self._tell(changes)
        return given(committed)

    def _commit(self, claim: Claim, turn: Turn, now_us: int) -> tuple[CommitResult, int]:
        tables, asked = self._tables, [(claim, turn)]
        work = lock(tables, reach_of_turns(asked), now_us)
        look_for(tables, work, turn_rules.possible_repeats(work, asked))
        turn_rules.apply(work, claim, turn, alone=True)
        write(tables, work)
        if work.again:
            return CommitResult(waits_for_place=True), work.changes
        return CommitResult(inbox=tables.records[claim.id].messages_after(turn.seen)), work.changes

    async def release(self, claims: Sequence[Claim], *, parked: NewPark | None = None, at_rest: bool = False) -> None:
        with self._lock:
            now_us = self._now_us()
            for claim in claims:
                record = self._tables.records.get(claim.id)
                if record is None or record.fence != claim.fence or record.owner != claim.worker:
                    continue
                if parked is not None:
                    self._tables.parks.add(record, parked, now_us)
                elif at_rest:
                    record.rested = record.fence
                self._tables.give(record, None)
        self._notifier.ring(WORK)

    async def poll_inboxes(self, worker: str, after: int) -> tuple[int, Mapping[str, Sequence[Message]]]:
        with self._lock:
            found: dict[str, Sequence[Message]] = {}
            if after < self._tables.newest_message:
                for record in self._tables.of(worker):
                    if new := record.messages_after(after):
                        found[record.id] = new
            return self._tables.newest_message, found

    async def next_wake(
        self, workflows: Sequence[str], build: str = "", worker: str | None = None, queues: Sequence[str] = ()
    ) -> datetime | None:
        tables = self._tables
        with self._lock:
            now_us = self._now_us()
            claimant = tables.parks.claimant(worker or "", build, frozenset(workflows), frozenset())
            dead = frozenset(name for name, known in tables.workers.items() if known.expires_us <= now_us)
            left = [record for name in dead for record in tables.of(name)]
            if worker is not None:
                left += tables.parks.parked_by(build)
            wakes = [
                tables.due.first(claimant.workflows, lambda record: claim_rules.fits(claimant, record)),
                claim_rules.next_wake(claimant, left, dead, retries=worker is not None),
                *(tables.queues.next_us(queue, now_us) for queue in queues),
            ]
            return maybe_from_us(min((us for us in wakes if us is not None), default=None))

    async def deregister_worker(self, worker: str) -> None:
        with self._lock:
            self._tables.workers.pop(worker, None)
            for record in self._tables.of(worker):
                self._tables.give(record, None)
        self._notifier.ring(WORK)

    # ── queues ──────────────────────────────────────────────────────────────────────────────────
    async def declare(
        self, worker: str, build: str, queues: Mapping[str, QueueLimits | None], workflows: Mapping[str, WorkflowQueue]
    ) -> None:
        """See `KeepsQueues`, for this and the next."""
        with self._lock:
            self._tables.queues.declare(build, queues, workflows, self._now_us())
        self._tell(WORK)

    async def workflow_queue(self, workflow: str) -> WorkflowQueue | None:
        with self._lock:
            return self._tables.queues.workflows.get(workflow)

    async def queues(self, names: Sequence[str] | None = None) -> Sequence[QueueState]:
        with self._lock:
            return queue_views.states(self._tables.queues, names, self._tables.workers.values(), self._now_us())

    async def queue_partitions(self, queue: str, limit: int, after: str | None = None) -> Sequence[PartitionState]:
        with self._lock:
            return queue_views.partitions(self._tables.queues, queue, limit, after)

    async def queue_place(self, id: str) -> QueuePlace | None:
        with self._lock:
            return queue_views.place(self._tables.queues, id)

    async def limit_queue(self, queue: str, limits: QueueLimits | None) -> None:
        with self._lock:
            self._tables.queues.override(queue, limits)
        self._tell(WORK)

    async def pause_queue(self, queue: str, reason: str | None) -> None:
        with self._lock:
            self._tables.queues.known(queue).paused = reason
        self._tell(WORK)

    # ── what operators do ───────────────────────────────────────────────────────────────────────
    async def rewrite(self, id: str, change: Rewrite) -> Snapshot:
        with self._lock:
            work = lock(self._tables, rewrite_rules.reach_of_rewrite(id, change), self._now_us())
            rewrite_rules.rewrite(work, id, change)
            write(self._tables, work)
            snapshot = self._tables.records[id].snapshot()
        self._tell(work.changes)
        return snapshot

    async def hold(self, id: str, change: Hold) -> bool:
        with self._lock:
            work = lock(self._tables, rewrite_rules.reach_of_hold(id, change), self._now_us())
            done = rewrite_rules.hold(work, id, change)
            write(self._tables, work)
        self._tell(work.changes)
        return done

    async def operated(self, after: int | None) -> tuple[int, Sequence[str]]:
        with self._lock:
            audits = self._tables.audits
            return len(audits), () if after is None else list({one.execution: None for one in audits[after:]})

    async def audit(self, id: str | None, limit: int) -> Sequence[Audit]:
        with self._lock:
            found = (one for one in reversed(self._tables.audits) if id in (None, one.execution))
            return list(itertools.islice(found, limit))[::-1]

    # ── for readers ─────────────────────────────────────────────────────────────────────────────
    async def read(self, id: str) -> Snapshot | None:
        with self._lock:
            record = self._tables.records.get(id)
            return None if record is None else record.snapshot()

    async def ends(self, ids: Sequence[str]) -> Sequence[End]:
        """See `ReadsEnds`."""
        with self._lock:
            found = (self._tables.records.get(id) for id in ids)
            return [(record.id, record.status, record.outcome) for record in found if record is not None and record.status in FINAL]

    async def workers(self) -> Sequence[KnownWorker]:
        with self._lock:
            now_us = self._now_us()
            return [worker.known(id, now_us, len(self._tables.of(id))) for id, worker in self._tables.workers.items()]

    async def history(self, id: str, run: int = -1) -> Json:
        with self._lock:
            record = self._tables.known(id)
            number = record.number if run == -1 else run
            if not record.oldest_run <= number <= record.number:
                raise ExecutionNotFound(id, purge_rules.no_run(run, record.oldest_run))
            return record.runs[number - 1].history

    # ── events ──────────────────────────────────────────────────────────────────────────────────
    async def events(self, after: int | None, names: Sequence[str], limit: int) -> tuple[int, Sequence[Event]]:
        with self._lock:
            log = self._tables.events
            if after is None:
                return log.newest, ()
            found = log.after(after, names, limit)
            return found[-1].seq if found and len(found) == limit else max(after, log.newest), found

    async def take_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[Event]:
        with self._lock:
            now_us = self._now_us()
            return self._tables.events.take(handler, event, worker, limit, lambda other: self._tables.is_alive(other, now_us))

    async def events_done(self, handler: str, worker: str, through: int) -> None:
        with self._lock:
            self._tables.events.done(handler, worker, through)

    async def wait_for_changes(self, timeout: float, since: ChangeCounts | None = None) -> ChangeCounts:
        return await self._notifier.wait(timeout, since)

    def _tell(self, kinds: int) -> None:
        if kinds:
            self._notifier.ring(kinds)
