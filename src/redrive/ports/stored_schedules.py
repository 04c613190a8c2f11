"""Schedules in a store: what it keeps of each, and how a slot is fired exactly once.

The promises, each with a test in `redrive.testing.contracts`:

1.  `fire` compares and stores in one transaction: the schedule's *version* and first slot must be those that the firing was
    computed from. Of many workers that fire one slot, one succeeds. The executions, the record of what was skipped and the next
    slot are stored together or not at all.
2.  An execution that a firing starts is the schedule's: `Creator.of_schedule`. While it has not ended, a firing that is to be
    *alone* does not succeed.
3.  The commit that ends an execution of a schedule makes the schedule due, if it waits for that, and counts its failures in a
    row: at `StoredSchedule.pause_after` the schedule is paused.
4.  What is stored here and what *becomes due* is told by `wait_for_changes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import attrs

from redrive.ports.finding import Searchable
from redrive.ports.store import Json, NewExecution


class ByHand(NamedTuple):
    """An execution that was asked for by hand and waits for its turn; *slot* is None of a trigger."""

    id: str
    slot: datetime | None = None


@attrs.frozen(kw_only=True)
class StoredSchedule:
    """A schedule. *spec* is JSON that the store does not read, *input* the workflow's arguments, *attributes* the first ones of
    its executions, with the texts by which they are *searchable*; these wait in *queue*, if there is one.

    *version* rises whenever somebody changes the schedule; firing leaves it. *next* is its first slot that is neither started
    nor skipped, *due* when a worker has to look at it: None while it is paused, switched *off*, has no slot left, or *waits* for
    an execution to end. *running* are its executions that have not ended, the last hundred. *by_hand* wait for these.
    *failures* and *skips* count in a row. *app* and *declared_by* (a build) are those of a declared schedule.
    """

    id: str
    workflow: str
    spec: Json
    input: Json
    attributes: Json = "{}"
    searchable: Searchable = ()
    queue: str | None = None
    partition: str = ""
    priority: int = 0
    timeout: timedelta | None = None
    app: str | None = None
    declared_by: str | None = None
    version: int = 1
    next: datetime | None = None
    due: datetime | None = None
    paused: str | None = None
    off: bool = False
    waits: bool = False
    running: tuple[str, ...] = ()
    by_hand: tuple[ByHand, ...] = ()
    failures: int = 0
    skips: int = 0
    pause_after: int | None = None
    last_slot: datetime | None = None
    last_execution: str | None = None
    created_at: datetime


@attrs.frozen(kw_only=True)
class LeftOut:
    """Slots from *first* to *last*, *count* of them, of which no execution was started: *outcome* ``skipped``, or ``failed``
    where the start was refused."""

    first: datetime
    last: datetime
    count: int
    why: str
    outcome: Literal["skipped", "failed"] = "skipped"
    at: datetime | None = None
    """When it was stored; given by the store."""


@attrs.frozen(kw_only=True)
class Firing:
    """The changes that one look at a schedule asks for. *slot* is the first one that it was computed from, *next* and *due* are
    the schedule's from now on. *running* are its executions as they were seen.

    *starts* are the executions, *slots* their slots (None of a trigger); one that has the id and is of this schedule counts as
    started, a stranger's as failed. With *alone* they are started only if all of *running* have ended. *waits* needs one that
    has not ended, or is started here. *by_hand* is added to those that wait, *done* taken from them.
    """

    schedule: str
    version: int
    slot: datetime | None
    next: datetime | None
    due: datetime | None
    running: tuple[str, ...] = ()
    starts: Sequence[NewExecution] = ()
    slots: Sequence[datetime | None] = ()
    left_out: Sequence[LeftOut] = ()
    by_hand: Sequence[ByHand] = ()
    done: Sequence[str] = ()
    alone: bool = False
    waits: bool = False


@runtime_checkable
class KeepsSchedules(Protocol):
    """A store that keeps schedules."""

    async def schedules(self, ids: Sequence[str] | None = None, *, after: str = "", limit: int = 1000) -> Sequence[StoredSchedule]:
        """The schedules with these *ids*, or all whose id is behind *after*; in the order of their ids."""
        ...

    async def due_schedules(self, workflows: Sequence[str], limit: int) -> tuple[Sequence[StoredSchedule], datetime | None]:
        """The schedules of these *workflows* that are due, the longest due first, and when the next one is (of those not given)."""
        ...

    async def put_schedule(self, new: StoredSchedule, expects: int | None) -> bool:
        """Store *new*, if the version that is there is *expects* (None: there is none); its version becomes the next one.

        *running*, *by_hand* and what counts in a row stay what they are, but a schedule that is no longer paused has no failures."""
        ...

    async def remove_schedule(self, id: str, expects: int) -> bool:
        """Forget a schedule of this version; its executions stay."""
        ...

    async def fire(self, firings: Sequence[Firing]) -> Sequence[bool]:
        """True for those that were stored; each alone is stored whole or not at all."""
        ...

    async def left_out(self, id: str, limit: int) -> Sequence[LeftOut]:
        """The slots of which no execution was started, newest first; the last 1,000 are kept."""
        ...

    async def declaring_build(self, app: str, build: str, keep: timedelta) -> str:
        """A worker of *build* is there for *app*: the build whose first worker came last, among those that had one within *keep*."""
        ...
