"""The store port: what keeps executions, and what every store must promise.

The promises, each with a test in `redrive.testing.contracts`:

1.  Each verb is atomic: it takes effect whole, or not at all, and survives ``kill -9`` once it returned.
2.  `start`, `send` and `commit` may be repeated after a lost acknowledgement; they take effect once.
3.  An execution is owned by one worker at a time. `claim` takes those that need somebody and whose owner is
    nobody or dead (its lease has passed), and raises the *fence*. Every `commit` carries the fence it claimed
    under; with an older one it raises `LostClaim` and writes nothing.
4.  Senders write to the inbox only; a commit takes a prefix of the inbox, in the order in which it was stored.
    Stored times never decrease within one execution's inbox.
5.  No lost wake-up: `commit` gives back every inbox message that it has not been told of (``turn.seen``), and
    anything stored later makes the execution claimable, or shows in `poll_inboxes` to its owner.
6.  A commit that ends the run, or is its first turn, while a cancel request lies unseen in the inbox, or that fires a timer while a
    message stored at or before ``turn.not_after`` lies unseen, raises `Stale` and writes nothing. One that comes when the store's
    clock has reached ``turn.deadline`` raises `Overdue` and writes nothing; with a start, the start alone is written.
7.  Times are aware UTC datetimes with microseconds, and come from the store's `now`.
8.  Ids, names and data are opaque: any text, lone surrogates included, comes back as it was; no two are taken for one.
9.  While a message lies in an execution's inbox, the execution is due at once (a ``pending`` one for a cancel only).
    What is due stays so when the clock goes back.
10. An unseen cancel keeps the status at ``cancelling``, whatever a turn says.

"Ended" means: in one of the statuses of `FINAL`. What has ended is owned by nobody and never due.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

import attrs

from redrive.ports.aside_values import HoldsEvents, KeepsAside, NewAside
from redrive.ports.creators import Creator as Creator
from redrive.ports.finding import FindsExecutions, Searchable
from redrive.ports.parks import NewPark, ParkKind
from redrive.ports.rewrites import NewAudit, PutBack, RewritesHistories
from redrive.ports.snapshot import Snapshot as Snapshot
from redrive.ports.store_errors import LostClaim as LostClaim
from redrive.ports.store_errors import Overdue as Overdue
from redrive.ports.store_errors import Stale as Stale
from redrive.ports.store_errors import StoreError as StoreError
from redrive.ports.store_errors import UnusableStore as UnusableStore
from redrive.status import FINAL as FINAL
from redrive.status import RUNNING
from redrive.status import ExecutionStatus as ExecutionStatus

Json: TypeAlias = str
"""A value as JSON text, pure ASCII."""
NO_ROOM: Final[Mapping[str, int]] = MappingProxyType({})
"""The room of a worker that serves no queue."""


@attrs.frozen(kw_only=True)
class NewExecution:
    """An execution to be started. *started* is its `Started` row; *input* is compared when the id exists.

    A copy of the execution *copy_of* comes with the rows of its *history* behind the start, with what goes *back* into its inbox,
    and with an *audit*, which is stored for both.
    With a *queue* it waits there, in *partition*, by *priority* (lower is sooner), until it is admitted; *dedup* names it in the queue
    until it has ended.
    """

    id: str
    workflow: str
    run: str
    input: Json
    started: Json
    not_before: datetime | None = None
    deadline: datetime | None = None
    attributes: Json = "{}"
    searchable: Searchable = ()
    creator: Creator | None = None
    restart: frozenset[str] = frozenset()
    first_message: NewMessage | None = None
    copy_of: str | None = None
    history: Sequence[Json] = ()
    back: Sequence[PutBack] = ()
    audit: NewAudit | None = None
    queue: str | None = None
    partition: str = ""
    priority: int = 0
    dedup: str | None = None


@attrs.frozen(kw_only=True)
class NewMessage:
    """Something for an inbox. *kind*: ``signal`` (name, data = payload), ``cancel`` (data = {"reason", "by"}),
    ``child`` (name = child id, data = {"status", "outcome"}), ``answer`` (name = key, data = outcome), ``retry_rollback``.

    *dedup* makes it land once per execution, for the execution's life; a signal's ``key=`` is
    ``key:<signal name>:<key>``.

    *audit* is stored with it, where an operator sends it.

    *unbegun* comes with a ``cancel``: the turn that ends a pending or parked execution that nobody owns, of which only the
    `Started` row is there, and no run before it but those that were restarted. The store applies it instead of storing the
    message: no worker and no code is needed.
    """

    kind: Literal["signal", "cancel", "child", "answer", "retry_rollback", "retrying", "attempt"]
    name: str = ""
    data: Json = "null"
    dedup: str | None = None
    unbegun: Turn | None = None
    audit: NewAudit | None = None


@attrs.frozen(kw_only=True)
class Message:
    """A message in an inbox, as stored. *seq* rises in the order of storing."""

    seq: int
    kind: str
    name: str
    data: Json
    stored_at: datetime


@attrs.frozen(kw_only=True)
class Claim:
    """The right to write one execution's history. *length* is the number of rows in its current run when claimed.

    It stays good for all turns until it is released, lost, or the execution ends; after a turn with ``next_run``
    go on with ``attrs.evolve(claim, run=…, number=claim.number + 1, workflow=…, length=1)``.

    *recoveries* is how many workers in a row lost the execution without a new row of it: they died, or seemed to. *deaths* is
    how many of those were of this worker's build, died since that build parked it last, and did not come back. *tries* is how
    often the build has parked it without a new row, the last time as *parked*. *at_rest*: its last owner gave it back and said
    that no body which it asks for had begun.
    *in_family*: it is in a queue, or an execution that waits for it may be: its turns say what it waits for (`Turn.awaits`).
    *queue* and *partition* are where it has a place.
    """

    id: str
    worker: str
    fence: int
    workflow: str
    run: str
    number: int
    length: int
    recoveries: int = 0
    deaths: int = 0
    tries: int = 0
    parked: ParkKind | None = None
    at_rest: bool = False
    in_family: bool = False
    queue: str | None = None
    partition: str = ""


@attrs.frozen(kw_only=True)
class ClaimedState:
    """The state of an execution, for the holder of its claim.

    *history* is one JSON array text of all rows of the current run (``json.loads(loaded.history)`` is the list of
    rows: one text, because a hundred thousand small ones take longer to hand over than to parse); *inbox* the whole
    inbox, oldest first. *paused*: the store takes no turn but one with `Turn.held`.
    """

    history: Json
    inbox: Sequence[Message]
    paused: bool = False


@attrs.frozen(kw_only=True)
class NewEvent:
    """An emitted event; *key* makes it land once per run."""

    name: str
    payload: Json
    key: str


@attrs.frozen(kw_only=True)
class Event:
    seq: int
    name: str
    payload: Json
    execution: str
    at: datetime


@attrs.frozen(kw_only=True)
class Outgoing:
    """A message to another execution, sent in the same transaction. With *answer_to*, the sender's inbox gets an
    ``answer`` message for that key: ``{"ok": null}``, or ``{"err": {"type": "ExecutionNotFound" | "ExecutionFinished", "message": …}}``."""

    target: str
    message: NewMessage
    answer_to: str | None = None


@attrs.frozen(kw_only=True)
class NewChild:
    """A child to be started in the same transaction, before `Turn.outgoing` is sent (a cancel in the same turn reaches it);
    the parent's inbox gets an ``answer`` for *answer_to*: ``{"ok": null}``, or ``{"err": {"type": "ExecutionConflict", …}}``.
    Started by the same creator already: ok.

    One of the same creator (id, run and key) in a status of ``execution.restart`` starts anew as its next run, as by `start`,
    unless its current run is ``execution.run`` already; in any other status it is left as it is. A stranger's never is.
    Without *answer_to* nobody is told that it was started; what is refused comes as a ``child`` message:
    ``{"status": "failed", "outcome": {"err": {"type": "ExecutionConflict", …}}}``.
    """

    execution: NewExecution
    answer_to: str | None = None


@attrs.frozen(kw_only=True)
class NextRun:
    """The run that ContinueAs begins: its `Started` row, which becomes the first of an empty history."""

    run: str
    workflow: str
    started: Json


@attrs.define(kw_only=True)  # not frozen, which costs a microsecond a turn; nothing changes one all the same
class Turn:
    """All that a worker's turn (or several in a row) changes; a store applies it whole or not at all.

    *rows* are appended to the history, which must be *expects* rows long (else `Stale`, or, if exactly these
    rows were appended by this claim already, a repeat that is answered like the first time).
    *taken* is the seq of the last inbox message that the rows contain (0: none), which are deleted up to it;
    *seen* that of the last one the worker knows of. *not_after*: the due time of the newest timer fired.
    *wake_at*: when somebody must look at the execution again (None: only when a message comes; while steps run,
    the turn's own time, so that a dead worker's successor takes it up; of two past times either may be kept).
    *outcome* belongs to a final status: ``{"ok": value}`` or ``{"err": failure}``; the store then tells the parent by a
    ``child`` message with ``{"status": …, "outcome": …}``, unless the parent has ended, and deletes nothing else. The
    owner loses its claim with it. *unread*: signals taken and never waited for; a final turn's are counted up by those left in the inbox.
    *attributes*: all of them, as one JSON object; None leaves them; *searchable* are the texts of those that changed. *waits* is what it
    waits for, as `redrive.wait_lines` writes it. *aside*: signals to be kept aside.
    *held* goes into the execution's own inbox, and nothing else is applied: what bodies gave while it was paused.
    *awaits*: the ids of all children that the execution waits for now, None where that is what it was; only of an execution
    whose claim says `Claim.in_family`.
    A turn with rows sets the count of recoveries to 0. *deadline* is the execution's, where the turn goes on as if it had not
    passed: then the store refuses it from that moment on, by its own clock.
    """

    expects: int
    rows: Sequence[Json] = ()
    status: ExecutionStatus = RUNNING
    wake_at: datetime | None = None
    taken: int = 0
    seen: int = 0
    not_after: datetime | None = None
    events: Sequence[NewEvent] = ()
    outgoing: Sequence[Outgoing] = ()
    children: Sequence[NewChild] = ()
    attributes: Json | None = None
    searchable: Searchable = ()
    waits: str = ""
    outcome: Json | None = None
    unread: int = 0
    next_run: NextRun | None = None
    aside: Sequence[NewAside] = ()
    deadline: datetime | None = None
    held: Sequence[NewMessage] = ()
    awaits: Sequence[str] | None = None


@attrs.frozen(kw_only=True)
class CommitResult:
    """*inbox*: the messages newer than ``turn.seen``, oldest first (all of them the worker has not seen).

    *waits_for_place*: the turn is stored, but the execution's queue has no place for it: it was parked, and lent its place. The
    worker has lost its claim, and must begin nothing; the execution is claimed again once it has a place.
    """

    inbox: Sequence[Message] = ()
    waits_for_place: bool = False


@attrs.frozen(kw_only=True)
class StartResult:
    """The result of `start`: *created* is False where the same execution existed; *claim* where it was claimed at once,
    as it is before the first turn; *committed*: the first turn was applied with it."""

    created: bool
    snapshot: Snapshot
    claim: Claim | None = None
    committed: CommitResult | None = None


class ChangeCounts(NamedTuple):
    """How often it was told that an execution may be due or has mail (*work*), has ended, or has emitted an event, and that a
    schedule has changed or is due."""

    work: int = 0
    ends: int = 0
    events: int = 0
    schedules: int = 0


class Store(KeepsAside, HoldsEvents, RewritesHistories, FindsExecutions, Protocol):
    """Keeps executions. See the module's docstring for what each implementation promises."""

    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises `UnusableStore`."""
        ...

    async def close(self) -> None: ...

    async def now(self) -> datetime:
        """The clock by which due times and leases are judged."""
        ...

    async def start(self, new: NewExecution, *, claim_for: str | None = None, first: Turn | None = None) -> StartResult:
        """Store *new*, or give back the execution that has its id (whatever its input: the caller compares).

        An existing one in a status of ``new.restart`` starts anew as its next run: history kept; input, creator, deadline,
        attributes and inbox replaced, dedup keys and parks forgotten. Whose current run is ``new.run`` already: a repeat,
        answered like the first time.
        ``new.first_message`` is put into the inbox in the same transaction, also of an existing one that has not ended.
        With *claim_for*, a new execution that may run now belongs to that worker from the start, if that worker is alive
        (has called `claim`); `StartResult.claim` says so. The turn *first* of such a one (``expects=1``, nothing taken or seen) is
        then applied in the same transaction, as by `commit`; it is ignored where the execution existed or was not claimed,
        or with ``new.first_message``. `StartResult.snapshot` is that before the turn or after it.

        What is in a queue is never claimed here. Where no execution has the id and another one holds ``new.dedup`` in that queue,
        the holder is given back. (Both only of a store that is a `KeepsQueues`.)
        """
        ...

    async def send(self, id: str, message: NewMessage) -> bool:
        """Put *message* into an inbox; False if its dedup key landed before.

        Raises `ExecutionNotFound`, or `ExecutionFinished` (not for a repeat; for ``retry_rollback`` only
        unless the status is ``compensation_failed``, which it turns back to ``running``; False where nothing has
        failed yet). A second ``cancel`` in a run is a repeat. A cancel changes the status to ``cancelling``. But
        what never began is ended by ``message.unbegun``; and what is parked stays so, and its parks that say nothing of the code
        may be retried at once.
        """
        ...

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
        """Take up to *limit* executions that are due (``wake_at`` reached), oldest first, of these *workflows*, whose owner is
        nobody or dead, and which this *build* has not parked. A dead owner's raises ``recoveries`` and the deaths of its build
        by one, if it was due; a worker that comes back after that was not dead, and takes its deaths back.

        Up to *retries* more, within *limit*, are such as this *build* has parked, the longest parked first: before *worker*
        was first heard of, or whose `Park.retry_at` has come. A quarter of *limit*, one at least, is for these
        before what is due. None that *worker* has met itself, parks with `NewPark.anew` apart. They are ``parked`` until their
        next commit.

        Counts as a heartbeat of *worker*: from now it is alive for *lease* at most, three quarters of it at least; the
        store remembers its *workflows* until then. Anything due whose workflow no live worker lists becomes ``parked``
        for the build `EVERYBODY`, and is claimed like others once a worker lists it. Any other execution of an unlisted
        workflow is left alone.

        With *holds*, what the worker owns and is not listed there becomes nobody's first: after an answer that was lost,
        it is how a worker comes by what it was given and does not know of.

        Of the workflows in *turns_only* the worker takes no execution that only wants a body run, for it has no room for it: none
        that is ``running`` without a message in its inbox, or ``pending`` without a cancel, unless its deadline has passed.

        *room* are the queues that the worker serves, and how many executions it may admit from each, within *limit*; a quarter of
        that is kept for them. What it admits becomes due; those of *workflows* are among the claims. (See `KeepsQueues`.)
        """
        ...

    async def load(self, claim: Claim) -> ClaimedState:
        """Raises `LostClaim`."""
        ...

    def commit(self, claim: Claim, turn: Turn) -> Awaitable[CommitResult]:
        """Apply *turn*. Raises `LostClaim` or `Stale`; either way nothing was written.

        Any other error (`StoreError`) leaves open whether it was written: repeat the same turn. A store that gives back an
        `Answer` saves workers a task for each turn; an ``async def`` will do.
        """
        ...

    async def release(self, claims: Sequence[Claim], *, parked: NewPark | None = None, at_rest: bool = False) -> None:
        """Give up ownership, without changing anything else; lost claims are ignored. With *at_rest*,
        no body of what is given back had begun: the next claim of each execution says so, by any worker; the one after it does not.

        With *parked*, the claims' executions also become ``parked``, and their deaths 0. The park's build gets this run
        again as a retry only (see `claim`); other builds may claim it at once. A commit makes the execution what the
        turn says; it ends the parks of its worker's build and of `EVERYBODY`.
        """
        ...

    async def poll_inboxes(self, worker: str, after: int) -> tuple[int, Mapping[str, Sequence[Message]]]:
        """The newest seq there is, and this worker's executions that have messages with a seq above *after*, with those
        messages, oldest first: a live machine takes them up without a `load`."""
        ...

    async def next_wake(
        self, workflows: Sequence[str], build: str = "", worker: str | None = None, queues: Sequence[str] = ()
    ) -> datetime | None:
        """The earliest ``wake_at`` of executions without an owner (or with a dead one) that *build* has not parked: when `claim` is
        next worth a call. With *worker*, also the earliest time at which it may retry what *build* has parked; with *queues*, also
        when something may next be admitted from one of them."""
        ...

    async def read(self, id: str) -> Snapshot | None: ...

    async def history(self, id: str, run: int = -1) -> Json:
        """The rows of a run as one JSON array: 1 is the first run, -1 the newest. Raises `ExecutionNotFound`, of a run as well."""
        ...

    async def events(self, after: int | None, names: Sequence[str], limit: int) -> tuple[int, Sequence[Event]]:
        """Events with a seq above *after* and one of *names*, oldest first, and the seq to go on from. ``after=None``: none,
        only the newest seq. Events older than seven days may be gone, once all durable handlers have done them."""
        ...

    async def take_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[Event]:
        """Events that the durable *handler* has not done, oldest first, if no other live worker has them in hand.

        A handler seen for the first time begins with the events stored from now on."""
        ...

    async def events_done(self, handler: str, worker: str, through: int) -> None:
        """*handler* has done its events up to seq *through*."""
        ...

    async def deregister_worker(self, worker: str) -> None:
        """The worker is gone for good: its executions and handlers have no owner from now on."""
        ...

    async def wait_for_changes(self, timeout: float, since: ChangeCounts | None = None) -> ChangeCounts:
        """Return when something may have been written that a worker, a waiter or a subscriber did not cause himself, or
        after *timeout* seconds at the latest. Plain turns (rows, status, timers) of this process are not told.

        Gives back counts of what was told; what another process wrote may count as all of them. With *since*, an earlier
        answer, returns at once if there was more in between: ``seen = await wait_for_changes(0)``, look,
        ``seen = await wait_for_changes(30, seen)``, look again: nothing is missed. A hint only: what it misses costs time, never progress.
        """
        ...
