"""An execution that this worker holds: its claim, its machine while it lives, and what has come in for it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from redrive_interpreter.facts import DEADLINE
from redrive_interpreter.keys import Key
from redrive_interpreter.rows import DeadlinePassed, Fact, TimerFired

if TYPE_CHECKING:
    from redrive.ports.store import Claim, Message
    from redrive_interpreter.machine import Machine
    from redrive_interpreter.requests import Perform, Request
    from redrive_interpreter.rows import Row
    from redrive_interpreter.workflows import Workflow

log: Final = logging.getLogger("redrive.worker")


class Running(Protocol):
    """A body under way, as far as its execution knows it."""

    @property
    def number(self) -> int: ...

    def stop(self) -> None: ...

    def withhold(self) -> bool: ...


class Live:
    """One execution. Ten thousand of these may be in memory at once, most of them idle: empty lists are shared.

    *inbox* are messages not yet taken, *facts* what bodies gave (with the time at which they gave it), *due* timers that
    are due: each oldest first. *attempts* are the bodies under way, *waiting* the steps that wait for their next attempt,
    *rows* and *requests* what a replay gave that is not stored or carried out yet. *seen* is the seq of the newest
    message known. *driving*: a turn of it is being computed or stored. *used* is the monotonic time when it was driven last.
    *held* are steps whose turn is stored and that begin once the next turn is computed, *announced* those at most once whose
    start is stored. *uncertain* are the steps, with when they were due, that a worker before this one may have begun; None
    until that is known. *untouched*: nothing of the run was called. *interrupt_first*: a cancel, or the deadline, is to be
    taken before all else. *ahead* is the newest seq that was taken out of order.
    *orphan*: its last worker died or lost it, and the log does not say so yet.
    *unsure*: it was loaded, and what the store says of its status may be old (parked, say). *unbegun*: bodies that were asked
    for are not begun here any more, so somebody else must look at it, whatever its other bodies give.
    """

    __slots__ = (
        "ahead", "announced", "attempts", "attributes", "began", "cancelling", "claim", "driving", "due", "facts", "gone", "held",
        "inbox", "interrupt_first", "length", "machine", "orphan", "requests", "rows", "seen", "started", "told", "unbegun", "uncertain",
        "unsure", "untouched", "used", "waiting", "workflow",
    )  # fmt: skip

    def __init__(self, claim: Claim, workflow: Workflow[..., Any], started: str | None = None) -> None:
        self.claim = claim
        self.workflow = workflow
        self.started = started
        self.machine: Machine[Any] | None = None
        self.length = claim.length
        self.seen = 0
        self.used = 0.0
        self.driving = False
        self.gone = False
        self.cancelling = False
        self.unsure = False
        self.unbegun = False
        self.orphan = claim.recoveries > 0
        self.inbox: deque[Message] | tuple[()] = ()
        self.facts: list[tuple[datetime, Fact]] | None = None
        self.due: list[tuple[datetime, str]] | None = None
        self.requests: Sequence[Request] = ()
        self.rows: list[Row] = []
        self.attempts: dict[str, Running] | None = None
        self.waiting: dict[str, Perform] | None = None
        self.began: dict[str, Callable[[], None]] | None = None
        self.held: dict[str, Perform] | None = None
        self.announced: list[Callable[[], None]] | None = None
        self.uncertain: dict[str, datetime | None] | None = None
        self.untouched = self.interrupt_first = False
        self.ahead = 0
        self.told: dict[str, Any] | None = None
        self.attributes: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        return self.claim.id

    @property
    def ready(self) -> bool:
        """Whether there is something to compute a turn from."""
        return bool(self.facts or self.due or self.inbox) or self.machine is None

    @property
    def idle(self) -> bool:
        """Whether nothing at all goes on: then it may be put away."""
        return not (self.driving or self.attempts or self.held or self.facts or self.due or self.inbox)

    def take_message(self) -> Message:
        """The oldest message; there must be one."""
        assert isinstance(self.inbox, deque)
        message = self.inbox.popleft()
        if not self.inbox:
            self.inbox = ()
        return message

    def take(self, message: Message) -> None:
        """Take *message*, whatever lies before it."""
        assert isinstance(self.inbox, deque)
        self.inbox.remove(message)
        if not self.inbox:
            self.inbox = ()
        self.ahead = max(self.ahead, message.seq)

    def timer(self, key: str) -> datetime | None:
        """When the timer or the next attempt of *key* is due, if there is one and it has not rung yet."""
        if self.waiting and key in self.waiting:
            return self.waiting[key].due
        return None if self.machine is None else self.machine.timers.get(Key(key))

    def add_fact(self, at: datetime, fact: Fact) -> None:
        if self.facts is None:
            self.facts = []
        self.facts.append((at, fact))

    def add_due(self, due: datetime, key: str) -> None:
        if self.due is None:
            self.due = []
        self.due.append((due, key))
        self.due.sort()

    def add_messages(self, messages: Sequence[Message]) -> bool:
        """Take in those that are new; whether there were any."""
        new = [message for message in messages if message.seq > self.seen]
        if new:
            self.inbox = deque([*self.inbox, *new])
            self.seen = new[-1].seq
        return bool(new)

    def put_away(self) -> None:
        """Close the machine; what bodies gave and is not stored yet is kept, to be taken up after the inbox."""
        machine, self.machine = self.machine, None
        self.due = self.waiting = self.held = None
        self.ahead = 0
        self.untouched = self.interrupt_first = False
        self.requests, self.rows = (), []
        self.unsure = False
        if machine is not None:
            try:
                machine.close()
            except Exception:  # the user's `finally` bodies, where warnings are errors
                log.exception("execution %r: its generators do not close", self.id)


def timer_fact(key: str, due: datetime, at: datetime) -> Fact:
    at = max(at, due)
    return DeadlinePassed(at=at) if key == DEADLINE else TimerFired(Key(key), at=at)
