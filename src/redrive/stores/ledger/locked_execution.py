"""Executions whose rows a transaction has locked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from redrive.ports.store import FINAL, Claim, Creator, ExecutionStatus, Message
from redrive.status import PENDING, UNBEGUN
from redrive.stores.ledger.claim_rules import claim_of

if TYPE_CHECKING:
    from redrive.ports.store import NewExecution, NewMessage

NEW: Final = 0
UNQUEUED: Final = 0
WAITING: Final = 1
PLACED: Final = 2
"""Where an execution stands in its queue: in none, waiting for a place, or with one."""


@attrs.define(eq=False)
class LockedExecution:
    """An execution as it is, or will be when the transaction has written. *n* is its row's number, `NEW` until it has a row."""

    n: int
    id: str
    workflow: str
    run: str
    number: int
    length: int
    status: ExecutionStatus
    owner: str | None
    fence: int
    wake_us: int | None
    recoveries: int
    unread: int
    stored_us: int
    cancelled_run: int
    creator: Creator | None
    first_run: int = 1
    root: str | None = None
    """The execution at the top of its family; None of one that nobody started."""
    waits: str | None = None
    """If it is to be written: what it waits for."""
    last_message_seq: int = 0
    """The seq of the last message in the inbox when it was locked; 0: it was empty."""
    outcome: str | None = None
    has_outcome: bool = False
    """True if *outcome* is to be written."""
    changed: bool = False
    queue: str | None = None
    partition: str = ""
    queued: int = UNQUEUED
    host: int | None = None
    """The row of the nearest execution above it that is in a queue."""
    inbox: list[Message] = attrs.Factory(list[Message])
    """The messages that lay there when it was locked, as far as the inbox was asked for."""
    arrived: list[NewMessage] = attrs.Factory(list["NewMessage"])
    """The messages that this transaction stores."""

    @classmethod
    def begin(cls, new: NewExecution, owner: str | None, wake_us: int | None, now_us: int, root: str | None) -> LockedExecution:
        return cls(
            n=NEW,
            id=new.id,
            workflow=new.workflow,
            run=new.run,
            number=1,
            length=1,
            status=PENDING,
            owner=owner,
            fence=0 if owner is None else 1,
            wake_us=wake_us,
            recoveries=0,
            unread=0,
            stored_us=now_us,
            cancelled_run=0,
            creator=new.creator,
            root=root,
            queue=new.queue,
            partition=new.partition,
            queued=UNQUEUED if new.queue is None else WAITING,
        )

    def begin_again(self, new: NewExecution, owner: str | None, wake_us: int | None, root: str | None) -> None:
        """Begin the next run of an execution that has ended; its fence and the time of its last message stay."""
        self.number += 1
        self.first_run = self.number
        self.workflow, self.run, self.status, self.owner = new.workflow, new.run, PENDING, owner
        if new.creator is not None or self.creator is None or self.creator.schedule is None:
            self.creator = new.creator  # what a schedule started stays the schedule's
        self.fence += 0 if owner is None else 1
        self.root, self.waits = root, ""
        self.length, self.recoveries, self.unread, self.cancelled_run, self.wake_us = 1, 0, 0, 0, wake_us
        self.queue, self.partition, self.queued = new.queue, new.partition, UNQUEUED if new.queue is None else WAITING
        self.outcome, self.has_outcome, self.changed = None, True, True
        self.inbox.clear()
        self.last_message_seq = 0
        self.arrived.clear()

    @property
    def ended(self) -> bool:
        return self.status in FINAL

    @property
    def never_began(self) -> bool:
        """True if it is pending or parked, nobody owns it, none of it ever ran, and no cancel was accepted."""
        return self.status in UNBEGUN and self.owner is None and self.at_its_start and self.cancelled_run != self.number

    @property
    def at_its_start(self) -> bool:
        """True if no turn of it was ever stored since it was started."""
        return self.number == self.first_run and self.length == 1

    @property
    def waits_again(self) -> bool:
        """True if it had begun, and waits for a place in its queue: nothing but that wakes it."""
        return self.queued == WAITING and not self.at_its_start

    @property
    def is_new(self) -> bool:
        return self.n == NEW

    def end(self, outcome: str | None) -> None:
        self.owner = self.wake_us = None
        self.outcome, self.has_outcome = outcome, True

    def left(self, taken: int) -> list[Message | NewMessage]:
        """The messages in the inbox, as far as it was read, once it was taken up to the seq *taken*."""
        return [*(message for message in self.inbox if message.seq > taken), *self.arrived]

    def has_messages_after(self, taken: int) -> bool:
        return self.last_message_seq > taken or bool(self.arrived)

    def claim(self, worker: str) -> Claim:
        return attrs.evolve(
            claim_of(self, worker, self.fence),
            in_family=self.queued != UNQUEUED or self.host is not None,
            queue=None if self.queued == UNQUEUED else self.queue,
            partition=self.partition,
        )
