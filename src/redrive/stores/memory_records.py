"""What the memory store keeps of one execution."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs

from redrive.ports.aside_values import Aside
from redrive.ports.store import FINAL, Claim, Creator, ExecutionStatus, Json, Message, NewExecution, Snapshot
from redrive.status import PENDING, RUNNING, UNBEGUN
from redrive.stores.ledger.parking import Deaths, Parked, park_of, trials


@attrs.define(kw_only=True, eq=False)
class Record:
    id: str
    workflow: str
    run: str
    input: Json
    created_at: datetime
    updated_at: datetime
    wake_at: datetime | None
    deadline: datetime | None
    attributes: Json
    creator: Creator | None
    runs: list[list[Json]]
    status: ExecutionStatus = PENDING
    owner: str | None = None
    fence: int = 0
    recoveries: int = 0
    outcome: Json | None = None
    unread: int = 0
    parks: dict[str, Parked] = attrs.Factory(dict[str, Parked])
    """By build."""
    deaths: dict[str, Deaths] = attrs.Factory(dict[str, Deaths])
    """By the build of the workers that died."""
    inbox: deque[Message] = attrs.Factory(deque[Message])
    landed: set[str] = attrs.Factory(set[str])
    """Dedup keys of all messages that were ever stored."""
    emitted: set[str] = attrs.Factory(set[str])
    """Keys of the events that the current run emitted."""
    last_stored: datetime
    cancelled_run: int = 0
    """The number of the run that a cancel was accepted for."""
    rested: int = 0
    """The fence of the owner that gave it back at rest."""
    first_run: int = 1
    """The number of the run that the last start, or restart, began."""
    aside: list[Aside] = attrs.Factory(list[Aside])
    ticket: int = 0
    """The place in the queue of the due that counts; 0: in none."""

    @classmethod
    def begin(cls, new: NewExecution, now: datetime) -> Record:
        return cls(
            id=new.id,
            workflow=new.workflow,
            run=new.run,
            input=new.input,
            created_at=now,
            updated_at=now,
            wake_at=new.not_before or now,
            deadline=new.deadline,
            attributes=new.attributes,
            creator=new.creator,
            runs=[[new.started, *new.history]],
            last_stored=now,
        )

    def begin_again(self, new: NewExecution, now: datetime) -> None:
        fresh: dict[str, Any] = attrs.asdict(Record.begin(new, now), recurse=False)
        for kept in ("id", "created_at", "runs", "fence", "last_stored", "aside", "ticket"):
            del fresh[kept]
        for name, value in fresh.items():
            setattr(self, name, value)
        self.runs.append([new.started])
        self.first_run = self.number

    @property
    def never_began(self) -> bool:
        """Whether it is pending or parked, and nobody holds it, and nothing of it ever ran."""
        return self.status in UNBEGUN and self.owner is None and self.number == self.first_run and len(self.runs[-1]) == 1

    @property
    def number(self) -> int:
        return len(self.runs)

    @property
    def ended(self) -> bool:
        return self.status in FINAL

    def mail(self, after: int) -> tuple[Message, ...]:
        """What lies in the inbox behind the seq *after*, oldest first. The rest is not looked through: there may be much of it."""
        new = list(itertools.takewhile(lambda message: message.seq > after, reversed(self.inbox)))
        return tuple(reversed(new))

    def wants_a_body(self, now: datetime) -> bool:
        """Whether all that is due is a body, or a first turn: no message, no timer."""
        if self.deadline is not None and self.deadline <= now:
            return False
        if self.status == PENDING:
            return not any(message.kind == "cancel" for message in self.inbox)
        return self.status == RUNNING and not self.inbox

    def claim(self, build: str = "") -> Claim:
        assert self.owner is not None
        tried = trials(self.number, len(self.runs[-1]), self.deaths.get(build), self.parks.get(build))
        return Claim(
            id=self.id,
            worker=self.owner,
            fence=self.fence,
            workflow=self.workflow,
            run=self.run,
            number=self.number,
            length=len(self.runs[-1]),
            recoveries=self.recoveries,
            deaths=tried.deaths,
            tries=tried.tries,
            parked=tried.parked,
            at_rest=self.rested == self.fence - 1 > 0,
        )

    def snapshot(self) -> Snapshot:
        return Snapshot(
            id=self.id,
            workflow=self.workflow,
            status=self.status,
            run=self.run,
            number=self.number,
            length=len(self.runs[-1]),
            input=self.input,
            created_at=self.created_at,
            updated_at=self.updated_at,
            wake_at=self.wake_at,
            deadline=self.deadline,
            owner=self.owner,
            recoveries=self.recoveries,
            attributes=self.attributes,
            outcome=self.outcome,
            unread=self.unread,
            parks=tuple(park_of(build, parked) for build, parked in sorted(self.parks.items())),
            creator=self.creator,
            cancel=next((message.data for message in self.inbox if message.kind == "cancel"), None),
        )


def array_of(rows: Sequence[Json]) -> Json:
    """*rows* as one JSON array."""
    return "[" + ",".join(rows) + "]"
