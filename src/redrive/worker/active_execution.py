"""An execution that this worker holds: its claim, its machine while it lives, and what has come in for it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from redrive_interpreter.history.rows import DeadlinePassed, Fact, TimerFired
from redrive_interpreter.keys import DEADLINE, Key

if TYPE_CHECKING:
    from redrive.ports.store import Claim, Message
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.requests import Request, RunStep
    from redrive_interpreter.history.rows import Row
    from redrive_interpreter.machine.machine import Machine

log: Final = logging.getLogger("redrive.worker")


class Running(Protocol):
    """A body under way, as far as its execution knows it."""

    @property
    def number(self) -> int: ...

    @property
    def waits_for_thread(self) -> bool: ...

    def stop(self) -> None: ...

    def seize(self) -> bool: ...

    def withhold(self) -> bool: ...


class ActiveExecution:
    """One execution. Ten thousand of these may be in memory at once, most of them idle: empty lists are shared.

    *inbox* are messages not yet taken, *facts* what bodies gave (with the time at which they gave it), *due* timers that
    are due: each oldest first. *attempts* are the bodies under way, *waiting* the steps that wait for their next attempt,
    *rows* and *requests* what a replay gave that is not stored or carried out yet. *seen* is the seq of the newest
    message known. *driving*: a turn of it is being computed or stored. *used* is the monotonic time when it was driven last.
    *held* are steps whose turn is stored and that begin once the next turn is computed, *announced* those at most once whose
    start is stored. *uncertain* are the steps, with when they were due, that a worker before this one may have begun, or that
    this one has told to stop; None until that is known. *untouched*: nothing of the run was called. *interrupt_first*: a
    cancel, or the deadline, is to be taken before all else. *ahead* is the newest seq that was taken out of order.
    *overdue*: the store said that the deadline has passed.
    *orphan*: its last worker died or lost it, and the log does not say so yet.
    *unsure*: it was loaded, and what the store says of its status may be old (parked, say). *unbegun*: bodies that were asked
    for are not begun here any more, so somebody else must look at it, whatever its other bodies give. *slow*: its turns are
    computed apart from the event loop; *apart*: one is now. *awaits* are the children that the store knows it to wait for; None: not known.
    """

    __slots__ = (
        "ahead",
        "announced",
        "apart",
        "attempts",
        "attributes",
        "awaits",
        "began",
        "cancelling",
        "claim",
        "driving",
        "due",
        "facts",
        "gone",
        "held",
        "inbox",
        "interrupt_first",
        "length",
        "machine",
        "orphan",
        "overdue",
        "requests",
        "rows",
        "seen",
        "slow",
        "started",
        "told",
        "unbegun",
        "uncertain",
        "unsure",
        "untouched",
        "used",
        "waiting",
        "workflow",
    )  # fmt: skip

    def __init__(self, claim: Claim, workflow: Workflow[..., Any], started: str | None = None) -> None:
        self.claim = claim
        self.workflow = workflow
        self.started = started
        self.machine: Machine[Any] | None = None
        self.length = claim.length
        self.awaits: tuple[str, ...] | None = () if claim.length == 1 and claim.number == 1 else None
        self.seen = 0
        self.used = 0.0
        self.driving = False
        self.gone = False
        self.cancelling = False
        self.unsure = False
        self.unbegun = False
        self.orphan = claim.recoveries > 0
        self.slow = False
        self.apart = False
        self.inbox: deque[Message] | tuple[()] = ()
        self.facts: list[tuple[datetime, Fact]] | None = None
        self.due: list[tuple[datetime, str]] | None = None
        self.requests: Sequence[Request] = ()
        self.rows: list[Row] = []
        self.attempts: dict[str, Running] | None = None
        self.waiting: dict[str, RunStep] | None = None
        self.began: dict[str, Callable[[], None]] | None = None
        self.held: dict[str, RunStep] | None = None
        self.announced: list[Callable[[], None]] | None = None
        self.uncertain: dict[str, datetime | None] | None = {} if claim.at_rest else None
        self.untouched = self.interrupt_first = False
        self.overdue = False
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
            if isinstance(self.inbox, deque):
                self.inbox.extend(new)  # there may be ten thousand of them: not a copy for each that comes
            else:
                self.inbox = deque(new)
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
        if machine is not None and not self.apart:
            try:
                machine.close()
            except Exception:  # the user's `finally` bodies, where warnings are errors
                log.exception("execution %r: its generators do not close", self.id)

    def set_apart(self) -> ActiveExecution:
        """What a turn takes, for a thread of its own; what comes in meanwhile is put down here. `join` must follow."""
        work = ActiveExecution(self.claim, self.workflow)
        work.machine, work.length, work.rows, work.requests = self.machine, self.length, self.rows, self.requests
        work.inbox, work.facts, work.due, work.held, work.ahead = self.inbox, self.facts, self.due, self.held, self.ahead
        work.cancelling, work.unsure, work.unbegun, work.orphan = self.cancelling, self.unsure, self.unbegun, self.orphan
        work.untouched, work.interrupt_first, work.uncertain = self.untouched, self.interrupt_first, self.uncertain
        work.overdue = self.overdue
        work.waiting = None if self.waiting is None else dict(self.waiting)
        work.attempts = None if self.attempts is None else {key: Seized(attempt) for key, attempt in self.attempts.items()}
        self.rows, self.requests, self.inbox = [], (), ()
        self.facts = self.due = self.held = None
        self.apart = True
        return work

    def join(self, work: ActiveExecution) -> None:
        """Take back what `set_apart` gave. If this was put away meanwhile, so is *work*."""
        self.apart = False
        for attempt in (work.attempts or {}).values():
            if isinstance(attempt, Seized):
                attempt.settle()
        if self.gone:
            work.put_away()
            self.machine = None
            return
        self.machine, self.rows, self.requests, self.ahead = work.machine, work.rows, work.requests, work.ahead
        self.cancelling, self.unsure, self.orphan = work.cancelling, work.unsure, work.orphan
        self.untouched, self.interrupt_first, self.uncertain = work.untouched, work.interrupt_first, work.uncertain
        if work.inbox:
            self.inbox = deque([*work.inbox, *self.inbox])
        if work.facts:
            self.facts = [*work.facts, *(self.facts or ())]
        if work.held:
            self.held = {**work.held, **(self.held or {})}
        for due, key in work.due or ():
            self.add_due(due, key)


class Seized:
    """A body under way, for a turn that is computed in another thread: it is told to stop only when the turn is back."""

    __slots__ = ("_attempt", "_taken")

    def __init__(self, attempt: Running) -> None:
        self._attempt = attempt
        self._taken = False

    @property
    def number(self) -> int:
        return self._attempt.number

    @property
    def waits_for_thread(self) -> bool:
        return self._attempt.waits_for_thread

    def seize(self) -> bool:
        self._taken = self._attempt.seize()
        return self._taken

    withhold = seize

    def stop(self) -> None:
        self._taken = True

    def settle(self) -> None:
        """Stop the body that was kept from beginning; on the event loop."""
        if self._taken:
            self._attempt.stop()


def timer_fact(key: str, due: datetime, at: datetime) -> Fact:
    at = max(at, due)
    return DeadlinePassed(at=at) if key == DEADLINE else TimerFired(Key(key), at=at)
