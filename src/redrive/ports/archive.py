"""A store as a whole: everything it keeps, to be read in one moment and written into an empty place.

Moving a store and backing it up are the same: all of one archive is written into another, and read back from there.
Nothing is owned in an archive: what a worker held is free to be claimed where it comes to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

import attrs

from redrive.ports.aside_values import Aside, HeldEvent
from redrive.ports.parks import Park
from redrive.ports.rewrites import Audit
from redrive.ports.store import Creator, Json, Message


@attrs.frozen(kw_only=True)
class Chunk:
    """Rows that were stored together, as JSON texts joined by commas; *end* is the length of the run up to their end."""

    end: int
    at: datetime
    rows: str


@attrs.frozen(kw_only=True)
class ArchivedRun:
    """One run. *input* is that of a start or restart, None of a ContinueAs."""

    number: int
    input: Json | None
    chunks: Sequence[Chunk]


@attrs.frozen(kw_only=True)
class ArchivedTicket:
    """What an execution has in its queue; see the tables of the stores."""

    seq: int
    queue: str
    partition: str
    priority: int
    since: datetime
    due: datetime | None
    held: datetime | None
    idle: bool
    again: bool
    borrowed: int
    lender: int | None
    lent_to: int | None


@attrs.frozen(kw_only=True)
class ArchivedDedup:
    """The dedup key of an execution in its queue, a long one as its digest (`short_key`)."""

    queue: str
    dedup: str


@attrs.frozen(kw_only=True)
class ArchivedQueue:
    name: str
    limits: Json
    override: Json | None
    paused: str | None
    floor: int
    turn: int
    due_us: int


@attrs.frozen(kw_only=True)
class ArchivedDeclaration:
    queue: str
    build: str
    limits: Json
    first: datetime
    seen: datetime


@attrs.frozen(kw_only=True)
class ArchivedWorkflowQueue:
    workflow: str
    queue: str | None
    partitioned: bool


@attrs.frozen(kw_only=True)
class ArchivedBegun:
    """What began in the last window of a rate."""

    queue: str
    scope: int
    partition: str
    since: datetime
    at: datetime
    count: int


@attrs.frozen(kw_only=True)
class ArchivedQueues:
    """What a store keeps of queues beside their tickets."""

    queues: Sequence[ArchivedQueue] = ()
    declarations: Sequence[ArchivedDeclaration] = ()
    workflows: Sequence[ArchivedWorkflowQueue] = ()
    begun: Sequence[ArchivedBegun] = ()


@attrs.frozen(kw_only=True)
class Archived:
    """All that a store keeps of one execution. *first_run* is the number of the run that its last start or restart began,
    *cancelled_run* of the last one that a cancel was accepted for (0: none), *stored_at* the time of the last message it
    ever got, *dedup_keys* are those of all of them, sorted, long ones as digests (`short_key`),
    *aside* the signals that were set aside. *root* is the execution at the top of its family, *waits* as in `Turn` (None: an older
    release wrote its last turn); *searched* are the texts by which it is found, each with its attribute, sorted."""

    id: str
    workflow: str
    run: str
    number: int
    first_run: int
    oldest_run: int = 1
    status: str
    fence: int
    recoveries: int
    unread: int
    cancelled_run: int
    wake_at: datetime | None
    created_at: datetime
    updated_at: datetime
    stored_at: datetime
    deadline: datetime | None
    creator: Creator | None
    attributes: Json
    outcome: Json | None
    runs: Sequence[ArchivedRun]
    inbox: Sequence[Message]
    dedup_keys: Sequence[str]
    parks: Sequence[Park]
    aside: Sequence[Aside] = ()
    root: str | None = None
    waits: str | None = ""
    searched: Sequence[tuple[str, str]] = ()
    queue: str | None = None
    partition: str | None = None
    queued: int = 0
    host: int | None = None
    """Not null: an execution above it is in a queue."""
    awaits: Json | None = None
    tickets: Sequence[ArchivedTicket] = ()
    dedups: Sequence[ArchivedDedup] = ()


@attrs.frozen(kw_only=True)
class ArchivedEvent:
    """An emitted event. What made it land once is not kept: nobody repeats a turn of a store that was moved."""

    seq: int
    name: str
    payload: Json
    execution: str
    at: datetime


@attrs.frozen(kw_only=True)
class ArchivedHandler:
    """A durable handler, which has done its events up to the seq *done*, but those *held*."""

    id: str
    event: str
    done: int
    held: Sequence[HeldEvent] = ()


@attrs.frozen(kw_only=True)
class ArchivedSchedule:
    """A schedule; *record* is all that the store's columns do not say of it."""

    id: str
    workflow: str
    due: datetime | None
    record: Json


@attrs.frozen(kw_only=True)
class ArchivedLeftOut:
    """Slots of a schedule of which no execution was started; *record* says which, and why."""

    seq: int
    schedule: str
    at: datetime
    record: Json


class Archive(Protocol):
    """Reads all of a store, or fills an empty one. One call at a time; `close` in any case."""

    async def begin_reading(self, *, alone: bool) -> int:
        """From now on everything is read as it is at this moment; how many executions there are.

        With *alone*, nobody else writes until `close`. Raises `UnusableStore`, also for a store that was moved away, and
        `StoreError` where a worker is alive.
        """
        ...

    def executions(self) -> AsyncIterator[Sequence[Archived]]:
        """All of them, oldest first, in pages."""
        ...

    def events(self) -> AsyncIterator[Sequence[ArchivedEvent]]:
        """All of them, by seq, in pages."""
        ...

    async def queues(self) -> ArchivedQueues: ...

    async def handlers(self) -> Sequence[ArchivedHandler]:
        """By id."""
        ...

    def audits(self) -> AsyncIterator[Sequence[Audit]]:
        """The acts of operators, by seq, in pages."""
        ...

    def schedules(self) -> AsyncIterator[Sequence[ArchivedSchedule]]:
        """By id, in pages."""
        ...

    def left_out(self) -> AsyncIterator[Sequence[ArchivedLeftOut]]:
        """By seq, in pages."""
        ...

    async def begin_writing(self) -> None:
        """Make an empty store that nobody can use yet. Raises `UnusableStore` where there is something already."""
        ...

    async def write_executions(self, executions: Sequence[Archived]) -> None: ...

    async def write_events(self, events: Sequence[ArchivedEvent]) -> None:
        """Their seqs are kept, and new ones come after them."""
        ...

    async def write_handlers(self, handlers: Sequence[ArchivedHandler]) -> None: ...

    async def write_queues(self, queues: ArchivedQueues) -> None:
        """After all executions: what waits is put into its lanes."""
        ...

    async def write_audits(self, audits: Sequence[Audit]) -> None:
        """Their seqs are kept, and new ones come after them."""
        ...

    async def write_schedules(self, schedules: Sequence[ArchivedSchedule]) -> None: ...

    async def write_left_out(self, slots: Sequence[ArchivedLeftOut]) -> None:
        """Their seqs are kept, and new ones come after them."""
        ...

    async def finish_writing(self) -> None:
        """Open the store that was written to everybody. Until then it can be read by this archive only."""
        ...

    async def seal(self) -> None:
        """After `begin_reading` alone: from now on nobody can use the store, whatever redrive they have."""
        ...

    async def close(self) -> None:
        """A store that was not finished stays unusable."""
        ...
