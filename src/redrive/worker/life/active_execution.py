"""An execution that a worker holds: its claim, its machine while it is in memory, and what has come in for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from redrive_interpreter.keys import Key

if TYPE_CHECKING:
    from redrive.ports.store import Claim, Message
    from redrive.worker.life.actions import Run
    from redrive.worker.life.events import Event
    from redrive.worker.life.turn import Draft
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.requests import Request, RunStep
    from redrive_interpreter.history.rows import Fact, Row
    from redrive_interpreter.machine.machine import Machine


class ActiveExecution:
    """One execution. Ten thousand of these may be in memory at once, most of them idle: empty collections are shared.

    Only `life` writes here, *used* apart: the monotonic time at which the shell saw the execution at rest last.

    **What it is.** *claim* is the right to write it, *length* the rows stored in its run. *history* are the rows, as JSON values,
    that its machine is to be replayed from, *started* the text of the only one where nothing else is stored. *gone*: this worker
    does not hold it any more, and nothing is done for it.

    **What is going on.** *driving*: a load, a turn or a commit is under way; *draft* is the turn that the store is asked for.
    *slow*: its turns are computed apart from the event loop; *apart*: one is now, and *deferred* are the events that wait for it.
    *awaits* are the children that the store knows it to wait for; None: not known.

    **What has come in**, each oldest first: *inbox* are messages that no turn took yet, *facts* the results of bodies, *due*
    timers. Facts that a turn took which was not stored count as having come at *retaken*. *seen* is the seq of the newest message
    known, *ahead* the newest that was taken out of order. *rows* and *requests* are those of a replay that are not stored or
    carried out yet.

    **Bodies.** *bodies* are those under way, *stops* those that the turn being computed keeps from beginning, *waiting* the steps
    whose next attempt is not due yet. *held* are steps whose turn is stored and that begin once the next turn is computed,
    *announced* those at most once whose start is stored. *uncertain* are the steps, with when they were due, that a worker before
    this one may have begun, or that this one has told to stop; None until that is known. *unbegun*: bodies that were asked for are
    not begun here any more, so that another worker must look at it. *details* are the last heartbeats of failed attempts.

    **What comes first.** *untouched*: nothing of the run was called yet. *interrupt_first*: a cancel, or the deadline, is taken
    before all else. *overdue*: the store said that the deadline has passed. *cancelling*: a turn took a cancel. *unsure*: it was
    loaded, and the status in the store may be an older one. *orphan*: its last worker died or lost it, and the log does not say so
    yet.
    """

    __slots__ = (
        "ahead", "announced", "apart", "attributes", "awaits", "bodies", "cancelling", "claim", "deferred", "details", "draft", "driving",
        "due", "facts", "gone", "held", "history", "id", "inbox", "interrupt_first", "length", "machine", "orphan", "overdue", "requests",
        "retaken", "rows", "seen", "slow", "started", "stops", "unbegun", "uncertain", "unsure", "untouched", "used", "waiting",
        "workflow",
    )  # fmt: skip

    def __init__(self, claim: Claim, workflow: Workflow[..., Any], started: str | None = None) -> None:
        self.id = claim.id
        self.claim = claim
        self.workflow = workflow
        self.started = started
        self.history: list[Any] | None = None
        self.machine: Machine[Any] | None = None
        self.length = claim.length
        self.seen = self.ahead = 0
        self.used = 0.0
        self.driving = self.gone = self.slow = self.apart = False
        self.cancelling = self.unsure = self.unbegun = self.untouched = self.interrupt_first = self.overdue = False
        self.orphan = claim.recoveries > 0
        self.draft: Draft | None = None
        self.deferred: list[Event] | None = None
        self.inbox: deque[Message] | tuple[()] = ()
        self.facts: list[Fact] | None = None
        self.retaken: datetime | None = None
        self.due: list[tuple[datetime, str]] | None = None
        self.requests: Sequence[Request] = ()
        self.rows: list[Row] | tuple[()] = ()
        self.bodies: dict[str, Run] | None = None
        self.stops: list[Run] | None = None
        self.waiting: dict[str, RunStep] | None = None
        self.held: dict[str, RunStep] | None = None
        self.announced: list[Run] | None = None
        self.uncertain: dict[str, datetime | None] | None = {} if claim.at_rest else None
        self.details: dict[str, Any] | None = None
        self.attributes: dict[str, Any] | None = None
        self.awaits: tuple[str, ...] | None = () if claim.length == 1 and claim.number == 1 else None

    @property
    def ready(self) -> bool:
        """Whether there is something to compute a turn from."""
        return bool(self.facts or self.due or self.inbox) or self.machine is None

    @property
    def idle(self) -> bool:
        """Whether nothing at all goes on: then it may be put away."""
        return not (self.driving or self.bodies or self.held or self.facts or self.due or self.inbox)

    def timer(self, key: str) -> datetime | None:
        """When the timer or the next attempt of *key* is due, if there is one and it has not fired yet."""
        if self.waiting and key in self.waiting:
            return self.waiting[key].due
        return None if self.machine is None else self.machine.timers.get(Key(key))

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

    def add_fact(self, fact: Fact) -> None:
        if self.facts is None:
            self.facts = [fact]
        else:
            self.facts.append(fact)

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

    def forget_run(self) -> Machine[Any] | None:
        """Forget what was computed and is not stored; results of bodies are kept. Gives the machine, for the shell to close."""
        if self.apart:
            return None  # a thread may still be at it: it is forgotten once that is back
        machine, self.machine = self.machine, None
        self.due = self.waiting = self.held = self.history = None
        self.ahead = 0
        self.untouched = self.interrupt_first = self.unsure = False
        self.requests = self.rows = ()
        return machine
