"""The law of stores: whatever is done to them, in whatever order, memory, SQLite and PostgreSQL say the same."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redrive import status as table
from redrive.ports.parks import NewPark
from redrive.ports.rewrites import Hold, NewAudit, PutBack, Rewrite
from redrive.ports.store import (
    FINAL,
    Claim,
    Creator,
    NewChild,
    NewEvent,
    NewExecution,
    NewMessage,
    NextRun,
    Outgoing,
    Snapshot,
    Store,
    Turn,
)
from redrive.stores.memory import MemoryStore
from redrive.stores.sqlite import SQLiteStore
from redrive.testing.contracts.lab import newest
from redrive_interpreter.errors import RedriveError
from tests.contracts.clocks import Clock
from tests.json_store.store import JsonStore
from tests.postgres.clocks import ClockedStore
from tests.postgres.server import Server

LEASE = timedelta(seconds=15)
_numbers = itertools.count()
IDS = st.sampled_from(["a", "b", "c", "no\ud800pe"])
WORKERS = st.sampled_from(["ada", "bob"])
WORKFLOWS = st.sampled_from(["w", "v"])
BUILDS = st.sampled_from(["b-1", "b-2"])
MESSAGES = st.builds(
    NewMessage,
    kind=st.sampled_from(["signal", "signal", "signal", "cancel", "retry_rollback"]),
    name=st.sampled_from(["approved", "\0"]),
    data=st.sampled_from(["1", "2"]),
    dedup=st.sampled_from([None, None, "once", "twice"]),
)
UNBEGUN = Turn(expects=1, rows=['"cancel"', '"ended"'], status="cancelled", outcome='{"err": 1}')
CANCEL = NewMessage(kind="cancel", data="1", unbegun=UNBEGUN)
CANCELS = st.builds(NewMessage, kind=st.just("cancel"), data=st.just("1"), unbegun=st.just(UNBEGUN))
STATUSES = st.sampled_from(["running", "running", "suspended", "cancelling", "completed", "failed", "compensation_failed", "cancelled"])
OFFSETS = st.sampled_from([None, 0, 1, 20])


@attrs.frozen
class Start:
    id: str
    workflow: str
    delay: int | None
    restart: bool
    message: NewMessage | None
    worker: str | None
    run: int


@attrs.frozen
class Send:
    id: str
    message: NewMessage


@attrs.frozen
class Take:
    worker: str
    build: str
    workflows: tuple[str, ...]
    retries: int


@attrs.frozen
class Commit:
    """By the holder of the nth newest claim, in the state in which it was last seen."""

    claim: int
    rows: int
    status: str
    wake: int | None
    take: int
    see: bool
    not_after: bool
    events: tuple[str, ...]
    targets: tuple[str, ...]
    child: str | None
    attempt: int
    next_run: bool
    expects: int


@attrs.frozen
class Release:
    claim: int
    park: NewPark | None


@attrs.frozen
class Pass:
    seconds: int


@attrs.frozen
class Retire:
    worker: str


@attrs.frozen
class Handle:
    handler: str
    worker: str
    done: bool


@attrs.frozen
class Edit:
    """An operator cuts the history of an execution to *rows*, as it was last seen or a turn before."""

    id: str
    rows: int
    status: str
    wake: int | None
    back: tuple[str, ...]
    asked: tuple[str, ...]
    late: bool
    forked: bool


@attrs.frozen
class Pause:
    """An operator pauses an execution, or lets it go on."""

    id: str
    paused: bool


Op = Pause | Edit | Start | Send | Take | Commit | Release | Pass | Retire | Handle
NTH = st.sampled_from([0, 0, 0, 1, 1, 2, 5])
STARTS = st.builds(Start, IDS, WORKFLOWS, OFFSETS, st.booleans(), st.none() | MESSAGES, st.none() | WORKERS, st.integers(0, 3))
TAKES = st.builds(Take, WORKERS, BUILDS, st.sampled_from([("w",), ("v",), ("w", "v"), ("w", "v")]), st.sampled_from([0, 0, 100]))
PARKS = st.builds(
    NewPark,
    build=BUILDS,
    kind=st.sampled_from(["diverged", "killed", "cut_off"]),
    reason=st.sampled_from(["one", "no\ud800pe"]),
    retry_after=st.sampled_from([timedelta(0), timedelta(seconds=20)]),
    rest=st.sampled_from([timedelta(0), timedelta(seconds=20)]),
    anew=st.booleans(),
)
COMMITS = st.builds(
    Commit,
    NTH,
    st.integers(0, 2),
    STATUSES,
    OFFSETS,
    st.integers(0, 3),
    st.sampled_from([True, True, False]),
    st.sampled_from([False, False, True]),
    st.lists(st.sampled_from("xy"), max_size=2).map(tuple),
    st.lists(IDS, max_size=2).map(tuple),
    st.none() | IDS,
    st.sampled_from([1, 1, 2, 3]),
    st.sampled_from([False, False, True]),
    st.sampled_from([0, 0, 0, 0, 1]),
)
OPS: st.SearchStrategy[Op] = st.one_of(
    STARTS,
    TAKES,
    COMMITS,
    COMMITS,
    COMMITS,
    st.builds(Send, IDS, MESSAGES | CANCELS),
    st.builds(Release, NTH, st.none() | PARKS),
    st.builds(Pause, IDS, st.booleans()),
    st.builds(
        Edit,
        IDS,
        st.integers(1, 3),
        STATUSES,
        OFFSETS,
        st.lists(st.sampled_from(["signal", "answer", "child", "retrying", "cancel"]), max_size=2).map(tuple),
        st.lists(st.sampled_from(["to a", "to b", "a", "b"]), max_size=2).map(tuple),
        st.sampled_from([False, False, False, True]),
        st.booleans(),
    ),
    st.builds(Pass, st.sampled_from([0, 1, 4, 16, -3, 90_000])),
    st.builds(Retire, WORKERS),
    st.builds(Handle, st.sampled_from(["h", "g"]), WORKERS, st.booleans()),
)


class Driver:
    """Does the same to one store as another driver does to another, and notes what it says."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock = store, clock
        self.claims: list[Claim] = []
        self.commits = 0
        self.statuses: dict[str, tuple[int, table.ExecutionStatus]] = {}
        """The run and the status in which each execution was last seen."""

    async def do(self, op: Op) -> object:
        try:
            return plain(await self._do(op), self.clock)
        except RedriveError as refused:
            return type(refused).__name__

    async def _do(self, op: Op) -> Any:
        store = self.store
        match op:
            case Start():
                begun = await store.start(self.new(op), claim_for=op.worker)
                if begun.claim is not None:
                    self.claims.append(begun.claim)
                return begun
            case Send(id, message):
                return await store.send(id, message)
            case Take(worker, build, workflows, retries):
                taken = sorted(await store.claim(worker, LEASE, build, workflows, 100, retries=retries), key=lambda claim: claim.id)
                self.claims += taken
                return taken
            case Commit():
                return await self.commit(op)
            case Edit():
                return await self.edit(op)
            case Pause(id, paused):
                self.commits += 1
                return await store.hold(id, Hold(paused=paused, audit=NewAudit(verb="hold", key=f"{self.commits}")))
            case Release(n, park):
                if self.claims:
                    await store.release([self.claims[-1 - n % len(self.claims)]], parked=park)
                return None
            case Retire(worker):
                return await store.deregister_worker(worker)
            case Handle(handler, worker, done):
                events = await store.take_events(handler, "x", worker, 2)
                if done and events:
                    await store.events_done(handler, worker, events[0].seq)
                return events
            case Pass():
                return None

    def new(self, op: Start) -> NewExecution:
        return NewExecution(
            id=op.id,
            workflow=op.workflow,
            run=f"run {op.run}",
            input=f'"{op.run}"',
            started='"started"',
            not_before=None if op.delay is None else self.clock.now + timedelta(seconds=op.delay),
            restart=FINAL if op.restart else frozenset(),
            first_message=op.message,
        )

    async def commit(self, op: Commit) -> Any:
        if not self.claims:
            return None
        self.commits += 1
        position = -1 - op.claim % len(self.claims)
        claim = self.claims[position]
        inbox = (await self.store.load(claim)).inbox
        taken = inbox[min(op.take, len(inbox)) - 1].seq if op.take and inbox else 0
        final = op.status in FINAL
        next_run = NextRun(run=f"{claim.run}+", workflow=claim.workflow, started='"again"') if op.next_run and not final else None
        turn = Turn(
            expects=claim.length - op.expects,
            rows=[f'"{claim.length}.{n}"' for n in range(op.rows)],
            status=op.status,  # type: ignore[arg-type]
            wake_at=None if op.wake is None else self.clock.now + timedelta(seconds=op.wake),
            taken=taken,
            seen=max(taken, inbox[-1].seq if op.see and inbox else 0),
            not_after=self.clock.now if op.not_after else None,
            events=[NewEvent(name=name, payload=str(n), key=f"{n}.{self.commits}") for n, name in enumerate(op.events)],
            outgoing=[Outgoing(target=id, message=NewMessage(kind="signal", name="from"), answer_to=f"to {id}") for id in op.targets]
            + ([] if op.child is None or op.see else [Outgoing(target=op.child, message=CANCEL)]),
            children=[] if op.child is None else [self.child(op.child, claim, op.attempt)],
            attributes='{"a": 1}' if op.see else None,
            outcome='{"ok": 1}' if final else None,
            unread=op.take,
            next_run=next_run,
        )
        committed = await self.store.commit(claim, turn)
        self.claims[position] = attrs.evolve(claim, length=claim.length + op.rows)
        if next_run is not None:
            self.claims[position] = attrs.evolve(claim, run=next_run.run, number=claim.number + 1, length=1)
        if op.rows and op.status == "running" and next_run is None:
            assert await self.store.commit(claim, turn) == committed
        return committed

    async def edit(self, op: Edit) -> Any:
        found = await self.store.read(op.id)
        if found is None:
            return None
        self.commits += 1
        final = op.status in FINAL
        change = Rewrite(
            number=found.number,
            length=found.length - op.late,
            before=found.status,
            rows=[f'"{self.commits}.{n}"' for n in range(op.rows)],
            run=f"{found.run}'" if op.forked else found.run,
            status=op.status,  # type: ignore[arg-type]
            wake_at=None if op.wake is None else self.clock.now + timedelta(seconds=op.wake),
            deadline=found.deadline,
            outcome='{"ok": 1}' if final else None,
            back=[PutBack(kind=kind, name="x", data="1", stored_at=found.created_at) for kind in op.back],
            asked=frozenset(op.asked),
            children=frozenset(op.asked),
            cancelled=op.late,
            outgoing=[Outgoing(target=id, message=CANCEL) for id in op.asked if id in ("a", "b") and id != op.id],
            audit=NewAudit(verb="edit", key=f"{self.commits}"),
        )
        said = await self.store.rewrite(op.id, change)
        assert plain(await self.store.rewrite(op.id, change), self.clock) == plain(said, self.clock)
        return said, [(one.verb, one.key, one.at) for one in await self.store.audit(op.id, 5)]

    def child(self, id: str, parent: Claim, attempt: int) -> NewChild:
        creator = Creator(id=parent.id, run=parent.run, key="child")
        first = NewExecution(id=id, workflow="w", run=f"child of {parent.id}", input="1", started='"child"', creator=creator)
        if attempt == 1:
            return NewChild(execution=first, answer_to="child")
        later = self.clock.now + timedelta(seconds=attempt - 2)
        run = f"attempt {attempt} for {parent.id}"
        return NewChild(execution=attrs.evolve(first, run=run, not_before=later, restart=frozenset({"failed", "cancelled"})))

    def check_transitions(self, snapshots: list[Snapshot]) -> None:
        """Each status that changed did so by a transition of the table.

        One verb may add a cancel to another: a turn starts a child and cancels it, a start brings its first message.
        """
        for found in snapshots:
            number, before = self.statuses.get(found.id, (0, None))
            rows = [row for row in table.TRANSITIONS if row.cause != "restart" or number < found.number]
            reached = {after for row in rows for old, after in row.pairs() if old == before}
            cancels = [row for row in rows if row.cause in ("cancel", "cancel before the first turn")]
            reached |= {after for row in cancels for between, after in row.pairs() if between in reached}
            assert found.status in reached | {before}, f"{type(self.store).__name__} moves {found.id!r} from {before} to {found.status}"
            self.statuses[found.id] = (found.number, found.status)

    async def state(self) -> object:
        snapshots = sorted(await newest(self.store, limit=1000), key=lambda found: found.id)
        self.check_transitions(snapshots)
        histories = [await self.store.history(found.id, run) for found in snapshots for run in range(1, found.number + 1)]
        mail = [await self.store.poll_inboxes(worker, 0) for worker in ("ada", "bob")]
        events = await self.store.events(0, ["x", "y"], 100)
        wakes = [await self.store.next_wake(["w", "v"], build) for build in ("", "b-1", "b-2")]
        wakes += [await self.store.next_wake(["w", "v"], build, worker) for build in ("b-1", "b-2") for worker in ("ada", "bob", "eve")]
        past = [None if wake is None else max(wake, self.clock.now) for wake in wakes]
        return [[plain(found, self.clock) for found in snapshots], histories, mail, events, past]


def plain(said: Any, clock: Clock) -> Any:
    """Of two past times either may be kept, and of a clock that goes back ``updated_at`` knows nothing."""
    if isinstance(said, Snapshot):
        wake_at = None if said.wake_at is None else max(said.wake_at, clock.now)
        return attrs.evolve(said, wake_at=wake_at, updated_at=said.created_at)
    if attrs.has(type(said)) and hasattr(said, "snapshot"):
        return attrs.evolve(said, snapshot=plain(said.snapshot, clock))
    return list(said) if isinstance(said, tuple) else said


def run_both(ops: list[Op], make: Callable[[Clock], Store]) -> None:
    async def run() -> None:
        clock = Clock()
        store = make(clock)
        await store.open()
        try:
            one, other = Driver(MemoryStore(clock), clock), Driver(store, clock)
            for op in ops:
                if isinstance(op, Pass):
                    clock.now += timedelta(seconds=op.seconds)
                said, said_too = await one.do(op), await other.do(op)
                assert said == said_too, op
                assert await one.state() == await other.state(), op
        finally:
            await store.close()

    asyncio.run(run())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.tuples(STARTS, STARTS, TAKES), st.lists(OPS, min_size=1, max_size=25))
def test_memory_and_sqlite_agree(first: tuple[Op, ...], ops: list[Op]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        run_both([*first, *ops], lambda clock: SQLiteStore(str(Path(directory) / "redrive.db"), synchronous="normal", clock=clock))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.tuples(STARTS, STARTS, TAKES), st.lists(OPS, min_size=1, max_size=15))
def test_memory_and_a_small_store_agree(first: tuple[Op, ...], ops: list[Op]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        run_both([*first, *ops], lambda clock: JsonStore(directory, clock))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.tuples(STARTS, STARTS, TAKES), st.lists(OPS, min_size=1, max_size=25))
def test_memory_and_postgres_agree(postgres: Server, schema: str, first: tuple[Op, ...], ops: list[Op]) -> None:
    name = f"{schema}_{next(_numbers)}"
    try:
        run_both([*first, *ops], lambda clock: ClockedStore(postgres, name, clock))
    finally:
        postgres.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
