"""Executions whose rows a transaction has locked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs

from redrive.ports.store import FINAL, Creator, Message, NewExecution, NewMessage
from redrive.status import PENDING, UNBEGUN
from redrive.stores.postgres.values import from_text, from_us
from redrive.stores.snapshots import creator_of

UNBORN: Final = 0


@attrs.define(eq=False)
class Held:
    """An execution as it is, or will be when the transaction has written. *n* is `UNBORN` until a new one has its row."""

    n: int
    id: str
    workflow: str
    run: str
    number: int
    length: int
    status: str
    owner: str | None
    fence: int
    wake_us: int | None
    recoveries: int
    unread: int
    stored_us: int
    cancelled_run: int
    creator: Creator | None
    first_run: int = 1
    newest: int = 0
    """The seq of the last message in the inbox when it was locked; 0: it was empty."""
    outcome: str | None = None
    has_outcome: bool = False
    """Whether *outcome* is to be written."""
    changed: bool = False
    inbox: list[Message] = attrs.Factory(list[Message])
    """What lay there when it was locked, of those whose inbox was asked for, from where on it was."""
    new: list[NewMessage] = attrs.Factory(list[NewMessage])
    """What this transaction puts there."""

    @classmethod
    def of(cls, row: Sequence[Any]) -> Held:
        n, id, workflow, run, number, length, status, owner, fence, wake_us, recoveries, unread, stored_us, cancelled_run = row[:14]
        return cls(
            n=n,
            id=from_text(id),
            workflow=from_text(workflow),
            run=from_text(run),
            number=number,
            length=length,
            status=status,
            owner=None if owner is None else from_text(owner),
            fence=fence,
            wake_us=wake_us,
            recoveries=recoveries,
            unread=unread,
            stored_us=stored_us,
            cancelled_run=cancelled_run,
            creator=creator_of(row[14:17], from_text),
            first_run=row[17],
            newest=row[18],
        )

    @classmethod
    def unborn(cls, new: NewExecution, owner: str | None, wake_us: int, now_us: int) -> Held:
        return cls(
            n=UNBORN,
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
        )

    def begin_again(self, new: NewExecution, owner: str | None, wake_us: int) -> None:
        """The next run of what has ended; its fence and the time of its last message stay."""
        self.number += 1
        self.first_run = self.number
        self.workflow, self.run, self.status, self.owner, self.creator = new.workflow, new.run, PENDING, owner, new.creator
        self.fence += 0 if owner is None else 1
        self.length, self.recoveries, self.unread, self.cancelled_run, self.wake_us = 1, 0, 0, 0, wake_us
        self.changed = True
        self.inbox.clear()
        self.newest = 0

    @property
    def ended(self) -> bool:
        return self.status in FINAL

    @property
    def never_began(self) -> bool:
        """Whether it is pending or parked, and nobody holds it, and nothing of it ever ran, nor was a cancel accepted."""
        at_its_start = self.number == self.first_run and self.length == 1 and self.cancelled_run != self.number
        return self.status in UNBEGUN and self.owner is None and at_its_start

    @property
    def is_unborn(self) -> bool:
        return self.n == UNBORN

    def end(self, outcome: str | None) -> None:
        self.owner = self.wake_us = None
        self.outcome, self.has_outcome = outcome, True

    def left(self, taken: int) -> list[Message | NewMessage]:
        """What is in the inbox, as far as it was read, once it was taken up to the seq *taken*."""
        return [*(message for message in self.inbox if message.seq > taken), *self.new]


def read_message(seq: int, kind: str, name: str, data: str, stored_us: int) -> Message:
    return Message(seq=seq, kind=kind, name=from_text(name), data=data, stored_at=from_us(stored_us))
