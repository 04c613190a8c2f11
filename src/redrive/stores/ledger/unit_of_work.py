"""The executions that one transaction has locked, and the changes that it will write, each kind at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from redrive.ports.aside_values import NewAside
from redrive.ports.rewrites import NewAudit
from redrive.ports.store import NewEvent, NewExecution, NewMessage
from redrive.ports.stored_schedules import LeftOut, StoredSchedule
from redrive.status import CANCELLING, COMPENSATION_FAILED, HELD_BACK, PARKED, PAUSED, PENDING, RUNNING
from redrive.stores.common import short_key
from redrive.stores.ledger.changes import WORK
from redrive.stores.ledger.locked_execution import PLACED, WAITING, LockedExecution
from redrive.stores.times import maybe_us, to_us
from redrive_interpreter.errors import ExecutionFinished

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redrive.ports.finding import Searchable

FIRST: Final = -(2**31)
"""The priority of a ticket that comes before all others of its partition."""


REMEMBERED: Final = 100
"""Executions of a schedule that are looked at to see whether one runs; of those that overlap by permission there may be more."""


@attrs.frozen
class Chunk:
    """Rows of an execution's run, as one text; *end* is the length of the history with them."""

    id: str
    number: int
    end: int
    rows: str


@attrs.frozen
class StoredMessage:
    """A message to be stored at *stored_us*; *dedup* is its key as `short_key` makes it."""

    execution: LockedExecution
    message: NewMessage
    dedup: str | None
    stored_us: int


@attrs.frozen
class Restart:
    """The next run, *number*, of an execution that had ended; its inbox, dedup keys and parks are to be deleted."""

    execution: LockedExecution
    number: int
    new: NewExecution


@attrs.frozen
class EmittedEvents:
    execution: LockedExecution
    number: int
    run: str
    events: Sequence[NewEvent]


@attrs.frozen
class Refilled:
    """An inbox whose messages are to be deleted, and these stored in their place, in this order."""

    execution: LockedExecution
    messages: Sequence[StoredMessage]


@attrs.frozen
class Join:
    """A ticket to be written; *due_us* is when it begins to wait, None for at once."""

    execution: LockedExecution
    priority: int
    due_us: int | None = None
    dedup: str | None = None


@attrs.define(eq=False)
class UnitOfWork:
    """A store writes *begun* and *restarts* first, then *refilled*, then the rest in any order; *events* last, whose lock
    everybody shares."""

    now_us: int
    executions: dict[str, LockedExecution] = attrs.Factory(dict[str, LockedExecution])
    dedup_keys: set[tuple[str, str]] = attrs.Factory(set[tuple[str, str]])
    """Execution and `short_key` of the messages asked about that are stored already."""
    stored_chunks: set[Chunk] = attrs.Factory(set[Chunk])
    """The `possible_repeats` that are stored already."""

    stored_audits: set[tuple[str, str]] = attrs.Factory(set[tuple[str, str]])
    """Execution and key of the audits asked about that are stored already."""

    changes: int = 0
    begun: list[tuple[LockedExecution, NewExecution]] = attrs.Factory(list[tuple[LockedExecution, NewExecution]])
    restarts: list[Restart] = attrs.Factory(list[Restart])
    chunks: list[tuple[LockedExecution, Chunk]] = attrs.Factory(list[tuple[LockedExecution, Chunk]])
    taken: list[tuple[LockedExecution, int]] = attrs.Factory(list[tuple[LockedExecution, int]])
    """Up to which seq the messages of an inbox are deleted, of those that lay there before."""
    attributes: dict[str, tuple[LockedExecution, str]] = attrs.Factory(dict[str, tuple[LockedExecution, str]])
    reindexed: list[LockedExecution] = attrs.Factory(list[LockedExecution])
    """Executions of which all texts are deleted, before those of *texts* are written."""
    texts: list[tuple[LockedExecution, str, tuple[str, ...]]] = attrs.Factory(list[tuple[LockedExecution, str, tuple[str, ...]]])
    """Attributes by name, with the texts that take the place of those by which they were searched; the last of a name counts."""
    unparked: list[tuple[LockedExecution, str | None]] = attrs.Factory(list[tuple[LockedExecution, str | None]])
    """Executions whose park by the build of a worker is deleted, and that of nobody's."""
    unparked_for_all: list[LockedExecution] = attrs.Factory(list[LockedExecution])
    hurried: list[LockedExecution] = attrs.Factory(list[LockedExecution])
    """Executions whose parks that say nothing of the code may be retried at once."""
    messages: list[StoredMessage] = attrs.Factory(list[StoredMessage])
    refilled: list[Refilled] = attrs.Factory(list[Refilled])
    deadlines: list[tuple[LockedExecution, int | None]] = attrs.Factory(list[tuple[LockedExecution, int | None]])
    renumbered: list[tuple[LockedExecution, int]] = attrs.Factory(list[tuple[LockedExecution, int]])
    """Executions whose run goes on under another number, with the one before: its events have landed for that too."""
    audits: list[tuple[str, NewAudit]] = attrs.Factory(list[tuple[str, NewAudit]])
    """Acts of operators, with the ids of the executions."""
    aside: list[tuple[LockedExecution, NewAside]] = attrs.Factory(list[tuple[LockedExecution, NewAside]])
    events: list[EmittedEvents] = attrs.Factory(list[EmittedEvents])
    schedules: dict[str, StoredSchedule] = attrs.Factory(dict[str, StoredSchedule])
    """Schedules as they are, or will be when the transaction has written."""
    locked_schedules: dict[str, StoredSchedule] = attrs.Factory(dict[str, StoredSchedule])
    """The same schedules as they were when they were locked."""
    left_out: list[tuple[str, LeftOut]] = attrs.Factory(list[tuple[str, LeftOut]])

    # Of queues.
    idle: set[str] = attrs.Factory(set[str])
    """Executions that are held back and have lent their place in their queue."""
    free_places: dict[str, int] = attrs.Factory(dict[str, int])
    """How many places each queue has, of those that have a limit and were asked about."""
    holders: dict[tuple[str, str], str] = attrs.Factory(dict[tuple[str, str], str])
    """The executions that hold dedup keys of queues, as far as they were asked about."""
    joined: list[Join] = attrs.Factory(list[Join])
    """Tickets, in this order."""
    left: list[LockedExecution] = attrs.Factory(list[LockedExecution])
    """Executions whose ticket and dedup key are deleted."""
    idled: list[LockedExecution] = attrs.Factory(list[LockedExecution])
    """Executions that are held back from now on, and lend their place in the queue."""
    resumed: list[LockedExecution] = attrs.Factory(list[LockedExecution])
    """Executions that were parked and have their place in the queue back."""
    again: list[LockedExecution] = attrs.Factory(list[LockedExecution])
    """Executions that were parked and wait for their place in the queue again."""
    first_in_line: list[LockedExecution] = attrs.Factory(list[LockedExecution])
    """Waiting executions that come before all others of their partition."""
    awaits: list[tuple[LockedExecution, Sequence[str]]] = attrs.Factory(list[tuple[LockedExecution, "Sequence[str]"]])
    """Executions, and the children that they wait for from now on."""

    def add(self, locked: Iterable[LockedExecution]) -> None:
        self.executions.update((execution.id, execution) for execution in locked)

    def add_schedules(self, locked: Iterable[StoredSchedule]) -> None:
        for schedule in locked:
            self.schedules[schedule.id] = self.locked_schedules[schedule.id] = schedule

    def schedule_of(self, execution: LockedExecution) -> StoredSchedule | None:
        id = None if execution.creator is None else execution.creator.schedule
        return None if id is None else self.schedules.get(id)

    @property
    def schedule_ids(self) -> list[str]:
        """The schedules of the executions that are locked."""
        found = (execution.creator.schedule for execution in self.executions.values() if execution.creator is not None)
        return [id for id in found if id is not None]

    @property
    def changed_schedules(self) -> list[StoredSchedule]:
        return [schedule for id, schedule in self.schedules.items() if schedule is not self.locked_schedules[id]]

    @property
    def changed(self) -> list[LockedExecution]:
        """The executions whose columns are to be saved."""
        return [execution for execution in self.executions.values() if execution.changed]

    def wake_us(self, new: NewExecution) -> int | None:
        """When *new* is due; what is in a queue not before it is admitted, but at its deadline."""
        if new.queue is not None:
            return maybe_us(new.deadline)
        return self.now_us if new.not_before is None else to_us(new.not_before)

    @property
    def held_back(self) -> list[LockedExecution]:
        """The executions in a queue that may have lent their place."""
        return [execution for execution in self.executions.values() if execution.queued == PLACED and execution.status in HELD_BACK]

    @property
    def concerns_queues(self) -> bool:
        return bool(self.joined or self.left or self.idled or self.resumed or self.again or self.first_in_line or self.awaits)

    # ── the rules of inboxes ────────────────────────────────────────────────────────────────────
    def deliver(self, target: LockedExecution, message: NewMessage) -> bool:
        """Store *message* in an inbox and make the execution due; False for a repeat. Refuses before it changes anything."""
        cancel, again = message.kind == "cancel", message.kind == "retry_rollback"
        dedup = None if message.dedup is None else short_key(message.dedup)
        if (cancel and target.cancelled_run == target.number) or (dedup is not None and (target.id, dedup) in self.dedup_keys):
            return False
        if again and not target.ended:
            return False
        if target.ended and not (again and target.status == COMPENSATION_FAILED):
            raise ExecutionFinished(target.id, f"it is {target.status}")
        if dedup is not None:
            self.dedup_keys.add((target.id, dedup))
        target.stored_us = max(self.now_us, target.stored_us)
        target.arrived.append(message)
        self.messages.append(StoredMessage(target, message, dedup, target.stored_us))
        # A signal must not start an execution that is to start later, and no message one that has no place yet.
        if target.waits_again:
            self.first_in_line += [target] if cancel else []
        elif target.status not in (PENDING, PAUSED) or cancel:
            target.wake_us = self.now_us if target.wake_us is None else min(target.wake_us, self.now_us)
        if again:
            self.reopen(target)
            target.status, target.outcome, target.has_outcome = RUNNING, None, True
            if target.queue is not None:
                target.status, target.queued, target.wake_us = PENDING, WAITING, None
                self.rejoin(target)
        elif cancel and target.status == PARKED:
            self.hurried.append(target)
        elif cancel:
            target.status = CANCELLING
        if cancel:
            target.cancelled_run = target.number
        if message.audit is not None:
            self.audits.append((target.id, message.audit))
        target.changed = True
        self.changes |= WORK
        return True

    # ── beginning ───────────────────────────────────────────────────────────────────────────────
    def begin(self, new: NewExecution, owner: str | None) -> LockedExecution:
        begun = self.executions[new.id] = LockedExecution.begin(new, owner, self.wake_us(new), self.now_us, self._root_of(new))
        self.begun.append((begun, new))
        self.index(begun, new.searchable)
        self._join(begun, new)
        return begun

    def begin_again(self, ended: LockedExecution, new: NewExecution, owner: str | None) -> None:
        """Begin the next run of an execution that has ended; what this transaction noted for the run before it is forgotten
        with the inbox."""
        ended.begin_again(new, owner, self.wake_us(new), self._root_of(new))
        self.reopen(ended)
        self.dedup_keys = {(id, key) for id, key in self.dedup_keys if id != ended.id}
        self.messages = [stored for stored in self.messages if stored.execution is not ended]
        self.taken = [(execution, seq) for execution, seq in self.taken if execution is not ended]
        self.attributes.pop(ended.id, None)
        self.restarts.append(Restart(ended, ended.number, new))
        self.texts = [noted for noted in self.texts if noted[0] is not ended]
        self.index(ended, new.searchable)
        self._join(ended, new)

    def rejoin(self, execution: LockedExecution) -> None:
        """Give what had ended a ticket again: it was admitted before all that wait."""
        self.joined.append(Join(execution, FIRST))

    def _join(self, execution: LockedExecution, new: NewExecution) -> None:
        parent = None if new.creator is None else self.executions.get(new.creator.id)
        execution.host = None if parent is None else parent.n if parent.queue is not None else parent.host
        if new.queue is not None:
            later = new.not_before is not None and to_us(new.not_before) > self.now_us
            dedup = None if new.dedup is None else short_key(new.dedup)
            self.joined.append(Join(execution, new.priority, maybe_us(new.not_before) if later else None, dedup))
            if dedup is not None:
                self.holders[new.queue, dedup] = execution.id

    def _root_of(self, new: NewExecution) -> str | None:
        """The execution at the top of the family that *new* is started into; None if nobody starts it."""
        if new.creator is None or new.creator.schedule is not None:
            return None
        parent = self.executions.get(new.creator.id)
        return new.creator.id if parent is None or parent.root is None else parent.root

    def reopen(self, ended: LockedExecution) -> None:
        """Note that an execution which had ended runs again: its schedule, if it has one, counts it as running."""
        schedule = self.schedule_of(ended)
        if schedule is not None and ended.id not in schedule.running:
            self.schedules[schedule.id] = attrs.evolve(schedule, running=(*schedule.running, ended.id)[-REMEMBERED:])

    # ── the effects of turns ────────────────────────────────────────────────────────────────────
    def append(self, execution: LockedExecution, rows: str) -> None:
        """Append *rows* to the current run; they are counted in its length already."""
        self.chunks.append((execution, Chunk(execution.id, execution.number, execution.length, rows)))

    def index(self, execution: LockedExecution, searchable: Searchable) -> None:
        """Have *execution* found by new texts of attributes."""
        self.texts += [(execution, name, texts) for name, texts in searchable]

    def unpark(self, execution: LockedExecution, *, for_all: bool) -> None:
        """Forget that the build of its owner could not go on with *execution*, or that no worker had it; with *for_all*, all parks.

        What its owner's build, or nobody, had parked is parked until its first commit: it is not asked of the others.
        """
        if for_all:
            self.unparked_for_all.append(execution)
        elif execution.status == PARKED:
            self.unparked.append((execution, execution.owner))
