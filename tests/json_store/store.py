"""The verbs. Each is one transaction under the lock of the directory; claims are chosen among all executions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from redrive.ports.aside_values import Aside, HeldEvent
from redrive.ports.finding import EVERYTHING, MOST_COUNTED, Behind, Count, FoundPage, StoredFilter
from redrive.ports.parks import NewPark
from redrive.ports.rewrites import Audit, Hold, Rewrite
from redrive.ports.store import (
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
    Turn,
)
from redrive.stores.backends import Backend
from redrive.stores.change_notifier import EVENTS, WORK, ChangeNotifier
from redrive.stores.common import wall_clock
from redrive.stores.ledger import claim_rules, rewrite_rules, start_rules, turn_rules
from redrive.stores.ledger.reach import Reach, reach_of_message, reach_of_starts, reach_of_turns
from redrive.stores.memory import scans
from redrive.stores.memory.park_index import Worker
from redrive.stores.memory.record import Record
from redrive.stores.memory.unit_records import lock, look_for, write
from redrive.stores.times import maybe_from_us, to_us
from redrive_interpreter.errors import ExecutionNotFound
from tests.json_store.files import Transaction, locked

_MICROSECOND = timedelta(microseconds=1)
_notifiers: dict[Path, ChangeNotifier] = {}


class JsonStore:
    """A `Store` in the directory *path*. *clock* gives the time, an aware UTC datetime."""

    def __init__(self, path: str | Path, clock: Callable[[], datetime] = wall_clock) -> None:
        self.path, self._clock = Path(path), clock
        self._notifier = _notifiers.setdefault(self.path.absolute(), ChangeNotifier())

    async def open(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        return

    async def now(self) -> datetime:
        return self._clock()

    async def wait_for_changes(self, timeout: float, since: ChangeCounts | None = None) -> ChangeCounts:
        return await self._notifier.wait(timeout, since)

    @contextlib.contextmanager
    def _transaction(self) -> Generator[Transaction]:
        with locked(self.path):
            tx = Transaction(self.path, to_us(self._clock()))
            yield tx
            tx.write()
        if tx.changes:
            self._notifier.ring(tx.changes)

    # ── from outside ────────────────────────────────────────────────────────────────────────────
    async def start(self, new: NewExecution, *, claim_for: str | None = None, first: Turn | None = None) -> StartResult:
        with self._transaction() as tx:
            asked = [(new, claim_for, first)]
            work = lock(tx, reach_of_starts(asked), tx.now_us)
            look_for(tx, work, turn_rules.possible_repeats(work, start_rules.first_turns(work, asked)))
            alive = claim_for is not None and _is_alive(tx, claim_for)
            started = start_rules.start(work, new, claim_for, first, alive=alive)
            assert started is not None
            write(tx, work)
            tx.changes |= work.changes
            committed = CommitResult(inbox=tuple(tx[new.id].inbox)) if started.committed else None
            return StartResult(created=started.created, snapshot=tx[new.id].snapshot(), claim=started.claim, committed=committed)

    async def send(self, id: str, message: NewMessage) -> bool:
        with self._transaction() as tx:
            work = lock(tx, reach_of_message(id, message), tx.now_us)
            if id not in work.executions:
                raise ExecutionNotFound(id)
            stored = turn_rules.send(work, work.executions[id], message)
            write(tx, work)
            tx.changes |= work.changes
            return stored

    async def rewrite(self, id: str, change: Rewrite) -> Snapshot:
        with self._transaction() as tx:
            work = lock(tx, rewrite_rules.reach_of_rewrite(id, change), tx.now_us)
            rewrite_rules.rewrite(work, id, change)
            write(tx, work)
            tx.changes |= work.changes
            return tx[id].snapshot()

    async def hold(self, id: str, change: Hold) -> bool:
        with self._transaction() as tx:
            work = lock(tx, rewrite_rules.reach_of_hold(id, change), tx.now_us)
            done = rewrite_rules.hold(work, id, change)
            write(tx, work)
            tx.changes |= work.changes
            return done

    async def audit(self, id: str | None, limit: int) -> Sequence[Audit]:
        with self._transaction() as tx:
            return [one for one in tx.audits if id in (None, one.execution)][-limit:]

    async def operated(self, after: int | None) -> tuple[int, Sequence[str]]:
        with self._transaction() as tx:
            return len(tx.audits), () if after is None else list({one.execution: None for one in tx.audits[after:]})

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
        with self._transaction() as tx:
            records, mine = tx.every(), frozenset(workflows)
            _keep_due(tx, records)
            if worker not in tx.workers:
                _take_back_deaths(records, worker)
            started_us = tx.now_us if worker not in tx.workers else tx.workers[worker].started_us
            lease_us = lease // _MICROSECOND
            tx.workers[worker] = Worker(tx.now_us + lease_us, lease_us, build, mine, started_us)
            _expire_the_dead(tx)
            for record in records:
                if holds is not None and record.owner == worker and record.id not in holds:
                    record.owner = None
            listed = frozenset(name for other in tx.workers.values() for name in other.workflows)
            tx.parks.for_want_of_code([one for one in records if claim_rules.is_unlisted(one, listed, tx.now_us)], tx.now_us)
            claimant = tx.parks.claimant(worker, build, mine, frozenset(turns_only))
            due, retried = claim_rules.choose(claimant, records, tx.now_us, limit, retries)
            for record in retried:
                record.status = "parked"
            return [_give(record, worker, build) for record in (*due, *retried)]

    async def load(self, claim: Claim) -> ClaimedState:
        with self._transaction() as tx:
            record = _held(tx, claim)
            if record is None:
                raise LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more")
            return ClaimedState(history=record.current.history, inbox=tuple(record.inbox), paused=record.status == "paused")

    async def commit(self, claim: Claim, turn: Turn) -> CommitResult:
        with self._transaction() as tx:
            asked = [(claim, turn)]
            work = lock(tx, reach_of_turns(asked), tx.now_us)
            look_for(tx, work, turn_rules.possible_repeats(work, asked))
            turn_rules.apply(work, claim, turn, alone=True)
            write(tx, work)
            tx.changes |= work.changes
            return CommitResult(inbox=tx[claim.id].messages_after(turn.seen))

    async def release(self, claims: Sequence[Claim], *, parked: NewPark | None = None, at_rest: bool = False) -> None:
        with self._transaction() as tx:
            for record in filter(None, (_held(tx, claim) for claim in claims)):
                if parked is not None:
                    tx.parks.add(record, parked, tx.now_us)
                elif at_rest:
                    record.rested = record.fence
                record.owner = None
            tx.changes |= WORK

    async def poll_inboxes(self, worker: str, after: int) -> tuple[int, Mapping[str, Sequence[Message]]]:
        with self._transaction() as tx:
            return tx.newest_message, {one.id: new for one in tx.of(worker) if (new := one.messages_after(after))}

    async def next_wake(
        self, workflows: Sequence[str], build: str = "", worker: str | None = None, queues: Sequence[str] = ()
    ) -> datetime | None:
        with self._transaction() as tx:
            claimant = tx.parks.claimant(worker or "", build, frozenset(workflows), frozenset())
            dead = frozenset(id for id in tx.workers if not _is_alive(tx, id))
            return maybe_from_us(claim_rules.next_wake(claimant, tx.every(), dead, retries=worker is not None))

    async def deregister_worker(self, worker: str) -> None:
        with self._transaction() as tx:
            tx.workers.pop(worker, None)
            for record in tx.of(worker):
                record.owner = None
            tx.changes |= WORK

    # ── for readers ─────────────────────────────────────────────────────────────────────────────
    async def read(self, id: str) -> Snapshot | None:
        with self._transaction() as tx:
            record = tx.get(id)
            return None if record is None else record.snapshot()

    async def find(self, filter: StoredFilter = EVERYTHING, *, after: str | None = None, limit: int = 100) -> FoundPage:
        with self._transaction() as tx:
            return scans.find(tx.every(), filter, after, limit)

    async def count(self, filter: StoredFilter = EVERYTHING, by: str | None = None, most: int = MOST_COUNTED) -> Mapping[str, Count]:
        with self._transaction() as tx:
            return scans.count(tx.every(), filter, by, most)

    async def behind(self, attribute: str | None, limit: int) -> Sequence[Behind]:
        with self._transaction() as tx:
            return scans.behind(tx.every(), attribute)[:limit]

    async def catch_up(self, found: Sequence[tuple[Behind, tuple[str, ...]]]) -> None:
        with self._transaction() as tx:
            scans.catch_up(tx, found)

    async def history(self, id: str, run: int = -1) -> Json:
        with self._transaction() as tx:
            number = tx[id].number if run == -1 else run
            if not 1 <= number <= tx[id].number:
                raise ExecutionNotFound(id, f"it has no run {run}")
            return tx[id].runs[number - 1].history

    # ── events ──────────────────────────────────────────────────────────────────────────────────
    async def events(self, after: int | None, names: Sequence[str], limit: int) -> tuple[int, Sequence[Event]]:
        with self._transaction() as tx:
            if after is None:
                return tx.events.newest, ()
            found = tx.events.after(after, names, limit)
            return found[-1].seq if found and len(found) == limit else max(after, tx.events.newest), found

    async def take_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[Event]:
        with self._transaction() as tx:
            return tx.events.take(handler, event, worker, limit, lambda other: _is_alive(tx, other))

    async def events_done(self, handler: str, worker: str, through: int) -> None:
        with self._transaction() as tx:
            tx.events.done(handler, worker, through)

    async def hold_events(self, worker: str, held: Sequence[HeldEvent]) -> None:
        with self._transaction() as tx:
            tx.events.hold(worker, held)

    async def held_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[HeldEvent]:
        with self._transaction() as tx:
            return tx.events.held(handler, event, worker, limit)

    async def held_done(self, handler: str, worker: str, seq: int) -> None:
        with self._transaction() as tx:
            tx.events.held_done(handler, worker, seq)

    async def list_held(self, handler: str | None, dead: bool | None, limit: int) -> Sequence[HeldEvent]:
        with self._transaction() as tx:
            return tx.events.list_held(handler, dead)[:limit]

    async def retry_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        with self._transaction() as tx:
            found = tx.events.retry_held(handler, seqs)
            tx.changes |= EVENTS if found else 0
            return found

    async def drop_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        with self._transaction() as tx:
            return tx.events.drop_held(handler, seqs)

    # ── signals that were set aside ─────────────────────────────────────────────────────────────
    async def set_aside(self, id: str | None, limit: int) -> Sequence[Aside]:
        with self._transaction() as tx:
            found = (one for record in tx.every() if id in (None, record.id) for one in record.aside)
            return sorted(found, key=lambda one: one.seq)[:limit]

    async def redeliver(self, id: str, seqs: Sequence[int] | None) -> int:
        with self._transaction() as tx:
            record, work = tx[id], lock(tx, Reach(ids=[id]), tx.now_us)
            chosen = [one for one in record.aside if seqs is None or one.seq in seqs]
            for one in chosen:
                work.deliver(work.executions[id], NewMessage(kind="signal", name=one.name, data=one.data))
            write(tx, work)
            tx.changes |= work.changes
            record.aside = [one for one in record.aside if one not in chosen]
            return len(chosen)

    async def drop_aside(self, id: str, seqs: Sequence[int] | None) -> int:
        with self._transaction() as tx:
            before = len(tx[id].aside)
            tx[id].aside = [one for one in tx[id].aside if seqs is not None and one.seq not in seqs]
            return before - len(tx[id].aside)


# ── parts of verbs ──────────────────────────────────────────────────────────────────────────────
def _held(tx: Transaction, claim: Claim) -> Record | None:
    record = tx.get(claim.id)
    return record if record is not None and (record.fence, record.owner) == (claim.fence, claim.worker) else None


def _is_alive(tx: Transaction, worker: str) -> bool:
    known = tx.workers.get(worker)
    return known is not None and known.expires_us > tx.now_us


def _give(record: Record, worker: str, build: str) -> Claim:
    claim = record.claim(worker, build)
    record.owner, record.fence = worker, claim.fence
    return claim


def _keep_due(tx: Transaction, records: Sequence[Record]) -> None:
    """If the clock went back: what was due by then stays due."""
    latest_us, tx.all.latest_us = tx.all.latest_us, tx.now_us
    for record in records:
        if record.wake_us is not None and tx.now_us < record.wake_us <= latest_us:
            record.wake_us = tx.now_us


def _take_back_deaths(records: Sequence[Record], worker: str) -> None:
    for record in records:
        record.deaths = {build: claim_rules.take_back(deaths, worker) for build, deaths in record.deaths.items()}


def _expire_the_dead(tx: Transaction) -> None:
    for id, worker in tuple(tx.workers.items()):
        worker.expires_us = claim_rules.lease_end(worker.expires_us, worker.lease_us, tx.now_us)
        if worker.expires_us <= tx.now_us:
            del tx.workers[id]
            for record in tx.of(id):
                left = claim_rules.expire(record, record.deaths.get(worker.build), id, tx.now_us)
                record.owner, record.recoveries = None, left.recoveries
                record.deaths |= {} if left.deaths is None else {worker.build: left.deaths}


BACKEND = Backend(
    urls="json:///path/to/a/directory",
    open=lambda url: JsonStore(url.removeprefix("json://")),
    owns=lambda store: isinstance(store, JsonStore),
)
