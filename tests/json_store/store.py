"""The verbs. Each is one transaction under the lock of the directory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs

from redrive.ports.aside_values import Aside, HeldEvent
from redrive.ports.parks import EVERYBODY, NewPark
from redrive.ports.rewrites import Audit, Rewrite
from redrive.ports.store import (
    Begun,
    Claim,
    Committed,
    Event,
    Json,
    Loaded,
    LostClaim,
    Message,
    NewExecution,
    NewMessage,
    Snapshot,
    Told,
    Turn,
)
from redrive.stores.backends import Backend
from redrive.stores.bell import EVENTS, WORK, Bell
from redrive.stores.common import nobody_has, wall_clock
from redrive.stores.ledger import claim_rules, rewrite_rules, start_rules, turn_rules
from redrive.stores.ledger.claim_rules import Claimant, Found
from redrive.stores.ledger.parking import Parked, deaths_after, park_of, parked_by
from redrive.stores.ledger.reach import Reach, reach_of_message, reach_of_starts, reach_of_turns
from redrive.stores.snapshots import snapshot_of
from redrive.stores.times import maybe_from_us, to_us
from redrive_interpreter.errors import ExecutionNotFound
from tests.json_store.files import Execution, Handler, Transaction, Worker, locked
from tests.json_store.units import known, lock, look_for, write

_MICROSECOND = timedelta(microseconds=1)
_bells: dict[Path, Bell] = {}
_AT_ONCE = datetime.min.replace(tzinfo=UTC)


class JsonStore:
    """A `Store` in the directory *path*. *clock* gives the time, an aware UTC datetime."""

    def __init__(self, path: str | Path, clock: Callable[[], datetime] = wall_clock) -> None:
        self.path, self._clock = Path(path), clock
        self._bell = _bells.setdefault(self.path.absolute(), Bell())

    async def open(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        return

    async def now(self) -> datetime:
        return self._clock()

    async def changed(self, timeout: float, since: Told | None = None) -> Told:
        return await self._bell.wait(timeout, since)

    @contextlib.contextmanager
    def _transaction(self) -> Generator[Transaction]:
        with locked(self.path):
            tx = Transaction(self.path, to_us(self._clock()))
            yield tx
            tx.write()
        if tx.changes:
            self._bell.ring(tx.changes)

    # ── from outside ────────────────────────────────────────────────────────────────────────────
    async def start(self, new: NewExecution, *, claim_for: str | None = None, first: Turn | None = None) -> Begun:
        with self._transaction() as tx:
            asked = [(new, claim_for, first)]
            work = lock(tx, reach_of_starts(asked))
            look_for(tx, work, turn_rules.possible_repeats(work, start_rules.first_turns(work, asked)))
            alive = claim_for is not None and _is_alive(tx, claim_for)
            started = start_rules.start(work, new, claim_for, first, alive=alive)
            assert started is not None
            write(tx, work)
            found = known(tx, new.id)
            committed = Committed(inbox=found.inbox) if started.committed else None
            return Begun(created=started.created, snapshot=_snapshot(found), claim=started.claim, committed=committed)

    async def send(self, id: str, message: NewMessage) -> bool:
        with self._transaction() as tx:
            work = lock(tx, reach_of_message(id, message))
            if id not in work.executions:
                raise ExecutionNotFound(id)
            stored = turn_rules.send(work, work.executions[id], message)
            write(tx, work)
            return stored

    async def rewrite(self, id: str, change: Rewrite) -> Snapshot:
        with self._transaction() as tx:
            work = lock(tx, rewrite_rules.reach_of_rewrite(id, change))
            rewrite_rules.rewrite(work, id, change)
            write(tx, work)
            return _snapshot(known(tx, id))

    async def audit(self, id: str | None, limit: int) -> Sequence[Audit]:
        with self._transaction() as tx:
            return [one for one in tx.everything.audits if id in (None, one.execution)][-limit:]

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
        with self._transaction() as tx:
            executions, workers = tx.all(), tx.everything.workers
            _keep_due(tx, executions)
            known_since = tx.now_us if worker not in workers else workers[worker].started_us
            if worker not in workers:
                _take_back_deaths(executions, worker)
            lease_us = lease // _MICROSECOND
            workers[worker] = Worker(
                expires_us=tx.now_us + lease_us, lease_us=lease_us, build=build, workflows=list(workflows), started_us=known_since
            )
            _expire_the_dead(tx, executions)
            for one in executions:
                if holds is not None and one.owner == worker and one.id not in holds:
                    one.owner = None
            listed = frozenset(name for other in workers.values() for name in other.workflows)
            for one in executions:
                if claim_rules.is_unlisted(one, listed, tx.now_us):
                    parked = Parked(kind="unknown_workflow", reason=nobody_has(one.workflow), parked_us=tx.now_us)
                    _park(tx, one, EVERYBODY, parked)
            claimant = _claimant(tx, worker, build, workflows, turns_only)
            due, retried = claim_rules.choose(claimant, executions, tx.now_us, limit, retries)
            for one in retried:
                one.status = "parked"
            return [_give(one, claimant) for one in (*due, *retried)]

    async def load(self, claim: Claim) -> Loaded:
        with self._transaction() as tx:
            found = _held(tx, claim)
            if found is None:
                raise LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more")
            return Loaded(history=found.history(found.number), inbox=found.inbox)

    async def commit(self, claim: Claim, turn: Turn) -> Committed:
        with self._transaction() as tx:
            asked = [(claim, turn)]
            work = lock(tx, reach_of_turns(asked))
            look_for(tx, work, turn_rules.possible_repeats(work, asked))
            turn_rules.apply(work, claim, turn, alone=True)
            write(tx, work)
            return Committed(inbox=known(tx, claim.id).after(turn.seen))

    async def release(self, claims: Sequence[Claim], *, parked: NewPark | None = None, at_rest: bool = False) -> None:
        with self._transaction() as tx:
            for claim in claims:
                if (found := _held(tx, claim)) is None:
                    continue
                if parked is not None:
                    deaths = found.deaths.pop(parked.build, None)
                    valid = None if deaths is None else deaths.at(found.number, found.length)
                    alive = {id for id, worker in tx.everything.workers.items() if worker.build == parked.build}
                    it = parked_by(parked, found.parks.get(parked.build), valid, claim.worker, alive, tx.now_us)
                    _park(tx, found, parked.build, it)
                    if (after := deaths_after(it, found.number, found.length)) is not None:
                        found.deaths[parked.build] = after
                elif at_rest:
                    found.rested = found.fence
                found.owner = None
            tx.changes |= WORK

    async def mail(self, worker: str, after: int) -> tuple[int, Mapping[str, Sequence[Message]]]:
        with self._transaction() as tx:
            return tx.everything.messages, {one.id: new for one in tx.owned(worker) if (new := one.after(after))}

    async def next_wake(self, workflows: Sequence[str], build: str = "", worker: str | None = None) -> datetime | None:
        with self._transaction() as tx:
            claimant = _claimant(tx, worker or "", build, workflows, ())
            dead = frozenset(id for id, other in tx.everything.workers.items() if other.expires_us <= tx.now_us)
            return maybe_from_us(claim_rules.next_wake(claimant, tx.all(), dead, retries=worker is not None))

    async def retire(self, worker: str) -> None:
        with self._transaction() as tx:
            tx.everything.workers.pop(worker, None)
            for one in tx.owned(worker):
                one.owner = None
            tx.changes |= WORK

    # ── for readers ─────────────────────────────────────────────────────────────────────────────
    async def read(self, id: str) -> Snapshot | None:
        with self._transaction() as tx:
            found = tx.get(id)
            return None if found is None else _snapshot(found)

    async def list(self, *, workflow: str | None = None, status: str | None = None, limit: int = 100) -> Sequence[Snapshot]:
        with self._transaction() as tx:
            found = [one for one in reversed(tx.all()) if workflow in (None, one.workflow) and status in (None, one.status)]
            return [_snapshot(one) for one in found[:limit]]

    async def history(self, id: str, run: int = -1) -> Json:
        with self._transaction() as tx:
            found = known(tx, id)
            number = found.number if run == -1 else run
            if not 1 <= number <= found.number:
                raise ExecutionNotFound(id, f"it has no run {run}")
            return found.history(number)

    # ── events ──────────────────────────────────────────────────────────────────────────────────
    async def events(self, after: int | None, names: Sequence[str], limit: int) -> tuple[int, Sequence[Event]]:
        with self._transaction() as tx:
            newest = tx.everything.newest_event
            if after is None:
                return newest, ()
            found = [event for event in tx.everything.events if event.seq > after and event.name in names][:limit]
            return found[-1].seq if found and len(found) == limit else max(after, newest), found

    async def take_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[Event]:
        with self._transaction() as tx:
            new = Handler(event=event, done=tx.everything.newest_event, worker=worker)
            it = tx.everything.handlers.setdefault(handler, new)
            if it.worker != worker and _is_alive(tx, it.worker):
                return ()
            it.event, it.worker = event, worker
            return [one for one in tx.everything.events if one.seq > it.done and one.name == event][:limit]

    async def events_done(self, handler: str, worker: str, through: int) -> None:
        with self._transaction() as tx:
            if (it := _in_hand(tx, handler, worker)) is not None:
                it.done = max(it.done, through)

    async def hold_events(self, worker: str, held: Sequence[HeldEvent]) -> None:
        with self._transaction() as tx:
            for one in held:
                if (it := _in_hand(tx, one.handler, worker)) is None:
                    return
                others = [other for other in tx.everything.held if (other.handler, other.event.seq) != (one.handler, one.event.seq)]
                if one.event.seq > it.done or len(others) < len(tx.everything.held):
                    tx.everything.held = sorted([*others, one], key=lambda held: (held.handler, held.event.seq))
                    it.done = max(it.done, one.event.seq)

    async def held_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[HeldEvent]:
        with self._transaction() as tx:
            if _in_hand(tx, handler, worker) is None:
                return ()
            first: dict[str, HeldEvent] = {}
            for one in tx.everything.held:
                if one.handler == handler and one.event.name == event and not one.dead:
                    first.setdefault(one.event.execution, one)
            return sorted(first.values(), key=lambda one: (one.due or _AT_ONCE, one.event.seq))[:limit]

    async def held_done(self, handler: str, worker: str, seq: int) -> None:
        with self._transaction() as tx:
            if _in_hand(tx, handler, worker) is not None:
                tx.everything.held = [one for one in tx.everything.held if (one.handler, one.event.seq) != (handler, seq)]

    async def list_held(self, handler: str | None, dead: bool | None, limit: int) -> Sequence[HeldEvent]:
        with self._transaction() as tx:
            return [one for one in tx.everything.held if handler in (None, one.handler) and dead in (None, one.dead)][:limit]

    async def retry_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        with self._transaction() as tx:
            chosen, others = _chosen(tx, handler, seqs)
            again = [attrs.evolve(one, attempts=0, first_at=None, due=None, dead=False) for one in chosen]
            tx.everything.held = sorted([*others, *again], key=lambda one: (one.handler, one.event.seq))
            tx.changes |= EVENTS if chosen else 0
            return len(chosen)

    async def drop_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        with self._transaction() as tx:
            chosen, tx.everything.held = _chosen(tx, handler, seqs)
            return len(chosen)

    # ── signals that were set aside ─────────────────────────────────────────────────────────────
    async def set_aside(self, id: str | None, limit: int) -> Sequence[Aside]:
        with self._transaction() as tx:
            found = (one for execution in tx.all() if id in (None, execution.id) for one in execution.aside)
            return sorted(found, key=lambda one: one.seq)[:limit]

    async def redeliver(self, id: str, seqs: Sequence[int] | None) -> int:
        with self._transaction() as tx:
            found, work = known(tx, id), lock(tx, Reach(ids=[id]))
            chosen = [one for one in found.aside if seqs is None or one.seq in seqs]
            for one in chosen:
                work.deliver(work.executions[id], NewMessage(kind="signal", name=one.name, data=one.data))
            write(tx, work)
            found.aside = [one for one in found.aside if one not in chosen]
            return len(chosen)

    async def drop_aside(self, id: str, seqs: Sequence[int] | None) -> int:
        with self._transaction() as tx:
            found = known(tx, id)
            before, found.aside = len(found.aside), [one for one in found.aside if seqs is not None and one.seq not in seqs]
            return before - len(found.aside)


# ── parts of verbs ──────────────────────────────────────────────────────────────────────────────
def _held(tx: Transaction, claim: Claim) -> Execution | None:
    found = tx.get(claim.id)
    return found if found is not None and (found.fence, found.owner) == (claim.fence, claim.worker) else None


def _is_alive(tx: Transaction, worker: str) -> bool:
    it = tx.everything.workers.get(worker)
    return it is not None and it.expires_us > tx.now_us


def _claimant(tx: Transaction, worker: str, build: str, workflows: Sequence[str], turns_only: Sequence[str]) -> Claimant:
    it = tx.everything.workers.get(worker)
    started_us = 0 if it is None else it.started_us
    names = {"workflows": frozenset(workflows), "turns_only": frozenset(turns_only)}
    return Claimant(worker=worker, build=build, started_us=started_us, **names)


def _give(one: Execution, claimant: Claimant) -> Claim:
    found = Found(one.id, one.workflow, one.run, one.number, one.length, one.fence, one.recoveries, one.rested)
    claim = claim_rules.claim_found(found, claimant.worker, one.deaths.get(claimant.build), one.parks.get(claimant.build))
    one.owner, one.fence = claimant.worker, claim.fence
    return claim


def _park(tx: Transaction, one: Execution, build: str, parked: Parked) -> None:
    one.parks[build], one.status, one.updated_us = parked, "parked", tx.now_us


def _keep_due(tx: Transaction, executions: Sequence[Execution]) -> None:
    """If the clock went back: what was due by then stays due."""
    latest_us, tx.everything.latest_us = tx.everything.latest_us, tx.now_us
    for one in executions:
        if one.wake_us is not None and tx.now_us < one.wake_us <= latest_us:
            one.wake_us = tx.now_us


def _take_back_deaths(executions: Sequence[Execution], worker: str) -> None:
    for one in executions:
        one.deaths.update({build: claim_rules.take_back(deaths, worker) for build, deaths in one.deaths.items()})


def _expire_the_dead(tx: Transaction, executions: Sequence[Execution]) -> None:
    for id, worker in tuple(tx.everything.workers.items()):
        worker.expires_us = claim_rules.lease_end(worker.expires_us, worker.lease_us, tx.now_us)
        if worker.expires_us <= tx.now_us:
            del tx.everything.workers[id]
            for one in executions:
                if one.owner == id:
                    left = claim_rules.expire(one, one.deaths.get(worker.build), id, tx.now_us)
                    one.owner, one.recoveries = None, left.recoveries
                    if left.deaths is not None:
                        one.deaths[worker.build] = left.deaths


def _in_hand(tx: Transaction, handler: str, worker: str) -> Handler | None:
    it = tx.everything.handlers.get(handler)
    return it if it is not None and it.worker == worker else None


def _chosen(tx: Transaction, handler: str, seqs: Sequence[int] | None) -> tuple[list[HeldEvent], list[HeldEvent]]:
    chosen: list[HeldEvent] = []
    others: list[HeldEvent] = []
    for one in tx.everything.held:
        fits = one.handler == handler and (one.dead if seqs is None else one.event.seq in seqs)
        (chosen if fits else others).append(one)
    return chosen, others


def _snapshot(it: Execution) -> Snapshot:
    times = (it.created_us, it.updated_us, it.wake_us, it.deadline_us)
    creator = (None, None, None) if it.creator is None else (it.creator.id, it.creator.run, it.creator.key)
    columns = (it.id, it.workflow, it.status, it.run, it.number, it.length, it.input, *times, it.owner, it.recoveries, it.attributes)
    parks = tuple(park_of(build, parked) for build, parked in sorted(it.parks.items()))
    cancel = next((message.data for message in it.inbox if message.kind == "cancel"), None)
    return snapshot_of((*columns, it.outcome, it.unread, *creator), parks, cancel, str)


BACKEND = Backend(
    urls="json:///path/to/a/directory",
    open=lambda url: JsonStore(url.removeprefix("json://")),
    owns=lambda store: isinstance(store, JsonStore),
)
