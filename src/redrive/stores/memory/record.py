"""One execution in the memory store; times in microseconds since 1970."""

from __future__ import annotations

import itertools
from collections import deque

import attrs

from redrive.ports.aside_values import Aside
from redrive.ports.store import FINAL, Claim, Creator, ExecutionStatus, Json, Message, NewExecution, Snapshot
from redrive.status import PARKED, PENDING
from redrive.stores.ledger.claim_rules import Found, claim_found
from redrive.stores.ledger.locked_execution import UNQUEUED, LockedExecution
from redrive.stores.ledger.parking import Deaths, Parked, park_of
from redrive.stores.ledger.search import error_type_of
from redrive.stores.snapshots import snapshot_of
from redrive.stores.times import maybe_us

_EXISTS = 1
"""The row's number in `LockedExecution`: there are no rows here."""


@attrs.define(eq=False)
class Run:
    """The rows of one run, in chunks as turns wrote them. *length* counts rows. *began_us*: of a run behind another one."""

    chunks: list[Json]
    length: int = 1
    began_us: int = 0

    @property
    def history(self) -> Json:
        """All rows as one JSON array."""
        return "[" + ",".join(self.chunks) + "]"

    def append(self, rows: Json, length: int) -> None:
        """Append *rows*; the run is *length* rows long with them."""
        self.chunks.append(rows)
        self.length = length


@attrs.define(kw_only=True, eq=False)
class Record:
    id: str
    workflow: str
    run: str
    input: Json
    created_us: int
    updated_us: int
    wake_us: int | None
    deadline_us: int | None
    attributes: Json
    creator: Creator | None
    n: int
    """In the order of creation."""
    root: str | None
    """The execution at the top of its family, if it was started by one."""
    runs: list[Run]
    current: Run
    texts: dict[str, tuple[str, ...]] = attrs.Factory(dict[str, tuple[str, ...]])
    """By attribute: the texts by which it is searched."""
    waits: str = ""
    status: ExecutionStatus = PENDING
    owner: str | None = None
    fence: int = 0
    recoveries: int = 0
    outcome: Json | None = None
    unread: int = 0
    queue: str | None = None
    partition: str = ""
    queued: int = UNQUEUED
    host: int | None = None
    parks: dict[str, Parked] = attrs.Factory(dict[str, Parked])
    """By build."""
    deaths: dict[str, Deaths] = attrs.Factory(dict[str, Deaths])
    """By the build of the workers that died."""
    inbox: deque[Message] = attrs.Factory(deque[Message])
    dedup_keys: set[str] = attrs.Factory(set[str])
    """Of all messages that were stored since the last start, as `short_key` makes them."""
    emitted: set[str] = attrs.Factory(set[str])
    """Keys of the events that the current run emitted."""
    stored_us: int
    """When the last message was stored."""
    cancelled_run: int = 0
    """The number of the run that a cancel was accepted for."""
    rested: int = 0
    """The fence of the owner that gave it back at rest."""
    first_run: int = 1
    """The number of the run that the last start, or restart, began."""
    oldest_run: int = 1
    """The number of the first run that was not purged."""
    aside: list[Aside] = attrs.Factory(list[Aside])
    ticket: int = 0
    """The place in the queue of the due that counts; 0: in none."""

    @classmethod
    def begin(cls, new: NewExecution, wake_us: int | None, now_us: int, n: int, root: str | None) -> Record:
        run = Run([new.started])
        return cls(
            id=new.id,
            workflow=new.workflow,
            run=new.run,
            input=new.input,
            created_us=now_us,
            updated_us=now_us,
            wake_us=wake_us,
            deadline_us=maybe_us(new.deadline),
            attributes=new.attributes,
            creator=new.creator,
            n=n,
            root=root,
            runs=[run],
            current=run,
            stored_us=now_us,
        )

    def begin_again(self, new: NewExecution, creator: Creator | None, root: str | None, now_us: int) -> None:
        """Begin the next run, what the rules of the ledger note as changed apart."""
        self.input, self.attributes, self.creator, self.deadline_us = new.input, new.attributes, creator, maybe_us(new.deadline)
        self.run, self.root = new.run, root
        self.texts = {}
        for forget in (self.inbox, self.dedup_keys, self.deaths, self.emitted):
            forget.clear()
        self.begin_run(new.started, 1, now_us)
        self.first_run, self.rested = self.number, 0

    def begin_run(self, rows: Json, length: int, now_us: int) -> None:
        """Begin the history of the next number with *length* rows."""
        self.current = Run([rows], length, now_us)
        self.runs.append(self.current)

    @property
    def number(self) -> int:
        return len(self.runs)

    @property
    def length(self) -> int:
        return self.current.length

    @property
    def is_parked(self) -> bool:
        return self.status == PARKED

    @property
    def ended(self) -> bool:
        return self.status in FINAL

    @property
    def ended_us(self) -> int | None:
        return self.updated_us if self.ended else None

    @property
    def error_type(self) -> str | None:
        return error_type_of(self.outcome) if self.ended else None

    def index(self, attribute: str, texts: tuple[str, ...]) -> None:
        """Have it found by *texts* of an attribute, and no others."""
        if texts:
            self.texts[attribute] = texts
        else:
            self.texts.pop(attribute, None)

    @property
    def last_message_seq(self) -> int:
        """The seq of the last message in the inbox; 0: it is empty."""
        return self.inbox[-1].seq if self.inbox else 0

    def messages_after(self, seq: int) -> tuple[Message, ...]:
        """The messages in the inbox behind *seq*, oldest first. The rest is not looked through: there may be many."""
        new = list(itertools.takewhile(lambda message: message.seq > seq, reversed(self.inbox)))
        return tuple(reversed(new))

    def locked(self) -> LockedExecution:
        """The execution for the rules of the ledger."""
        return LockedExecution(
            n=_EXISTS,
            id=self.id,
            workflow=self.workflow,
            run=self.run,
            number=self.number,
            length=self.length,
            status=self.status,
            owner=self.owner,
            fence=self.fence,
            wake_us=self.wake_us,
            recoveries=self.recoveries,
            unread=self.unread,
            stored_us=self.stored_us,
            cancelled_run=self.cancelled_run,
            creator=self.creator,
            first_run=self.first_run,
            last_message_seq=self.last_message_seq,
            root=self.root,
            queue=self.queue,
            partition=self.partition,
            queued=self.queued,
            host=self.host,
        )

    # ── for the rules of claims ─────────────────────────────────────────────────────────────────
    @property
    def has_messages(self) -> bool:
        return bool(self.inbox)

    @property
    def has_cancel(self) -> bool:
        return bool(self.cancelled_run) and any(message.kind == "cancel" for message in self.inbox)

    def claim(self, worker: str, build: str) -> Claim:
        """The claim of *worker*, of *build*, which is about to take the execution."""
        found = Found(self.id, self.workflow, self.run, self.number, self.length, self.fence, self.recoveries, self.rested)
        if self.queued != UNQUEUED or self.host is not None:
            found = attrs.evolve(found, in_family=True, queue=self.queue if self.queued else None, partition=self.partition)
        return claim_found(found, worker, self.deaths.get(build), self.parks.get(build))

    # ── for readers ─────────────────────────────────────────────────────────────────────────────
    def snapshot(self) -> Snapshot:
        times = (self.created_us, self.updated_us, self.wake_us, self.deadline_us)
        creator = (None, None, None) if self.creator is None else (self.creator.id, self.creator.run, self.creator.key)
        return snapshot_of(
            (
                *(self.id, self.workflow, self.status, self.run, self.number, self.length, self.input, *times),
                *(
                    self.owner,
                    self.recoveries,
                    self.attributes,
                    self.outcome,
                    self.unread,
                    *creator,
                    self.waits,
                    self.ended_us,
                    self.error_type,
                    self.queue,
                    self.partition,
                ),
            ),
            tuple(park_of(build, parked) for build, parked in sorted(self.parks.items())),
            next((message.data for message in self.inbox if message.kind == "cancel"), None) if self.cancelled_run else None,
            str,
        )
