"""A worker's turn: take what has come in for an execution, and make of it one `Turn` for the store.

1.  What is ready is taken oldest first: inbox messages by their stored time, timers by their due time, answers of
    bodies by the time they came. Of a message and a timer of the same moment the message is first (G2). What a cancel
    and a passed deadline come before is the subject of `precedence`.
2.  Everything that is ready goes into one commit, up to `MOST_FACTS`; each fact is a turn of its own to the machine.
3.  Nothing is acted on here. What the machine asks is either part of the commit (events, messages, children) or
    comes back in the `Draft`, to be acted on once it is stored.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from redrive.codec import to_json
from redrive.codec.searchable import texts_of
from redrive.ports.store import NewChild, NewEvent, NewMessage, NextRun, Outgoing, Turn
from redrive.status import CANCELLING, RUNNING, SUSPENDED
from redrive.wait_lines import waits_of
from redrive.worker import outbox
from redrive.worker.life import oversize, precedence
from redrive.worker.life.actions import Note
from redrive.worker.life.inbox_facts import fact_of
from redrive.worker.life.row_text import row_text
from redrive_interpreter.errors import UnexpectedFact
from redrive_interpreter.history.requests import (
    AbandonStep,
    CancelExecution,
    ClearTimer,
    DeliverSignal,
    KeepAside,
    Publish,
    Request,
    RunStep,
    SetTimer,
    StartExecution,
)
from redrive_interpreter.history.row_json import dump_outcome, dump_row
from redrive_interpreter.history.rows import Answered, AttributeSet, CancelRequested, DeadlinePassed, Fact, TimerFired
from redrive_interpreter.keys import DEADLINE, Key
from redrive_interpreter.outcomes import Ok

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive.codec import JsonCodec
    from redrive.ports.aside_values import NewAside
    from redrive.ports.store import ExecutionStatus, Json
    from redrive.worker.life.actions import Action
    from redrive.worker.life.active_execution import ActiveExecution
    from redrive_interpreter.history.rows import Row
    from redrive_interpreter.machine.machine import Machine

MOST_FACTS: Final = 500


class Draft:
    """A turn that is computed and not stored. *performs*, *drops* and *timers* are what to do then, *fed* the bodies' facts in it.

    *attributes* are those that changed, *searchable* their texts. Most turns use few of these: what they do not use is the class's.
    """

    rows: Sequence[Json] = ()
    status: ExecutionStatus = RUNNING
    wake_at: datetime | None = None
    taken: int = 0
    not_after: datetime | None = None
    events: tuple[NewEvent, ...] = ()
    outgoing: tuple[Outgoing, ...] = ()
    children: tuple[NewChild, ...] = ()
    attributes: dict[str, Any] | None = None
    searchable: dict[str, tuple[str, ...]] | None = None
    waits: str = ""
    outcome: Json | None = None
    unread: int = 0
    next_run: NextRun | None = None
    aside: tuple[NewAside, ...] = ()
    held: tuple[NewMessage, ...] = ()
    deadline: datetime | None = None
    awaits: tuple[str, ...] | None = None
    drops: tuple[str, ...] = ()
    fed: tuple[Fact, ...] = ()
    timers: tuple[SetTimer, ...] = ()
    seen: int = 0
    overtaken: bool = False
    """It would end the run, and something that must come first has been there: it is not to be stored."""

    def __init__(self, expects: int) -> None:
        self.expects = expects
        self.performs: dict[str, RunStep] = {}

    def turn(self, attributes: Json | None) -> Turn:
        return Turn(
            expects=self.expects,
            rows=self.rows,
            status=self.status,
            wake_at=self.wake_at,
            taken=self.taken,
            seen=self.seen,
            not_after=self.not_after,
            events=self.events,
            outgoing=self.outgoing,
            children=self.children,
            attributes=attributes,
            searchable=() if self.searchable is None else tuple(self.searchable.items()),
            waits=self.waits,
            outcome=self.outcome,
            unread=self.unread,
            next_run=self.next_run,
            aside=self.aside,
            held=self.held,
            deadline=self.deadline,
            awaits=self.awaits,
        )


def compute(live: ActiveExecution, codec: JsonCodec, now: datetime, actions: list[Action]) -> Draft | None:
    """The next turn of *live*; None if there is nothing to store. Raises what the machine raises: then it is spent.

    What can be done whether the turn is stored or not is added to *actions*.
    """
    machine = live.machine
    assert machine is not None
    draft = Draft(live.length)
    unsure, live.unsure = live.unsure, False
    requests, live.requests = live.requests, ()
    if requests:
        _sort(live, draft, requests, now, codec)
    passed = precedence.note_deadline(live, machine, now) if machine.timers else None
    again, live.interrupt_first = live.interrupt_first, False
    not_begun: list[Answered] = []
    for taken in range(MOST_FACTS):
        if machine.finished is not None and not (live.inbox and live.inbox[0].kind == "retry_rollback"):
            break
        fact = precedence.first(live, machine, draft, now) if again and not taken else None
        if fact is None and (live.facts or live.inbox or live.due):
            fact = _next(live, machine, draft, now)
        if fact is None:
            not_begun = not_begun or precedence.not_begun(live, machine, draft, now)
            if not not_begun:
                break
            fact = not_begun.pop()
        try:
            asked = machine.receive(fact)
        except UnexpectedFact as error:
            actions.append(Note("%s; it is passed over", (error,)))
            continue
        if asked:
            _sort(live, draft, asked, now, codec)
        if type(fact) is CancelRequested:
            live.cancelling = True
    verdict = machine.finished
    if verdict is not None and not again and not _is_interrupted(machine) and precedence.is_waiting(live, passed, now):
        draft.overtaken = True
        return draft
    rows: Sequence[Row] = machine.take()
    if live.rows:
        rows, live.rows = [*live.rows, *rows], ()
    if not rows and not draft.taken and not unsure:
        actions += draft.timers
        return None
    _fill(live, machine, draft, rows, now)
    if sum(map(len, draft.rows)) > oversize.MOST:
        draft = oversize.fail(draft, Draft(live.length), machine)
    if machine.started is not None and machine.started.deadline is not None and not live.overdue and not _is_interrupted(machine):
        draft.deadline = machine.started.deadline
    return draft


def _is_interrupted(machine: Machine[Any]) -> bool:
    return machine.cancel_requested


def _next(live: ActiveExecution, machine: Machine[Any], draft: Draft, now: datetime) -> Fact | None:
    """Take the oldest thing that is ready, and make it a fact."""
    while live.due and machine.timers.get(live.due[0][1]) != live.due[0][0]:  # type: ignore[call-overload]
        del live.due[0]  # cleared in the meantime
    message = live.inbox[0] if live.inbox else None
    due = live.due[0] if live.due else None
    fact = live.facts[0] if live.facts else None
    came = fact.at if fact is not None else now
    if live.retaken is not None and came < live.retaken:
        came = live.retaken
    if message is not None and (due is None or message.stored_at <= due[0]) and (fact is None or message.stored_at <= came):
        live.take_message()
        # The operator's retry is taken before what came earlier: the most that was taken counts.
        draft.taken = max(draft.taken, message.seq)
        taken = fact_of(message, now)
        if type(taken) is CancelRequested:
            precedence.mark(live, machine, draft, taken, message.stored_at)
        return taken
    if due is not None and (fact is None or due[0] <= came):
        assert live.due is not None
        del live.due[0]
        if draft.not_after is None or draft.not_after < due[0]:
            draft.not_after = due[0]
        at = max(now, due[0])
        if due[1] != DEADLINE:
            return TimerFired(Key(due[1]), at=at)
        passed = DeadlinePassed(at=at)
        precedence.mark(live, machine, draft, passed, due[0])
        return passed
    if fact is not None:
        assert live.facts is not None
        del live.facts[0]
        draft.fed += (fact,)
        return fact
    return None


def _sort(live: ActiveExecution, draft: Draft, requests: Sequence[Request], now: datetime, codec: JsonCodec) -> None:
    """Put each request where it is carried out: in the commit, or after it."""
    children: list[NewChild] = []
    timers: list[SetTimer] = []
    for request in requests:
        match request:
            case RunStep():
                draft.performs[request.key] = request
            case SetTimer():
                if request.due <= now:
                    live.add_due(request.due, request.key)
                else:
                    timers.append(request)
            case ClearTimer():
                pass  # the alarm is void: the machine has that timer no more
            case AbandonStep():
                draft.drops += (request.key,)
                draft.performs.pop(request.key, None)
                if draft.children or children:
                    children = [child for child in (*draft.children, *children) if child.answer_to != request.key]
                    draft.children = ()
            case Publish():
                draft.events += (outbox.event(request),)
            case DeliverSignal():
                draft.outgoing += (outbox.signal(request, live.claim.run),)
            case CancelExecution():
                draft.outgoing += (outbox.cancel(request, now),)
                if request.answer:
                    live.add_fact(Answered(request.key, Ok(None), at=now))
            case KeepAside():
                draft.aside += (outbox.aside(request),)
            case StartExecution():
                children.append(outbox.child(request, live.id, live.claim.run, now, codec))
    if children:  # at once: ten thousand of them are copied once
        draft.children += tuple(children)
    if timers:
        draft.timers += tuple(timers)


def _fill(live: ActiveExecution, machine: Machine[Any], draft: Draft, rows: Sequence[Row], now: datetime) -> None:
    draft.rows = list(map(row_text, rows))
    draft.seen = live.seen
    for row in rows:
        if type(row) is AttributeSet:
            if draft.attributes is None or draft.searchable is None:
                draft.attributes, draft.searchable = {}, {}
            draft.searchable[row.name] = () if row.given is None else texts_of(row.given[0])
            draft.attributes[row.name] = row.value
    draft.taken = max(draft.taken, live.ahead)
    if not live.inbox or live.ahead < live.inbox[0].seq:
        live.ahead = 0
    if draft.taken and live.inbox:  # what was taken out of order goes with the last that lies before it
        draft.taken = min(draft.taken, live.inbox[0].seq - 1)
    verdict = machine.finished
    draft.unread = machine.unread
    if live.claim.in_family and (awaits := machine.awaited_children) != live.awaits:
        draft.awaits = awaits
    if verdict is None:
        draft.waits = waits_of(machine.pending)
        if _busy(live, draft, now):
            draft.wake_at = now
        else:
            draft.wake_at = machine.next_due
            draft.status = SUSPENDED
        if live.cancelling:
            draft.status = CANCELLING
    elif verdict.status == "continued":
        run = uuid4()
        started = machine.next_run(run=run, at=now)
        draft.next_run = NextRun(run=str(run), workflow=started.workflow, started=to_json(dump_row(started)))
        draft.wake_at = now
        draft.unread = 0
    else:
        draft.status = verdict.status
        draft.outcome = to_json(dump_outcome(verdict.outcome))


def _busy(live: ActiveExecution, draft: Draft, now: datetime) -> bool:
    """Whether bodies run, or will as soon as the turn is stored, or more is to be taken up."""
    if live.inbox or live.facts or live.due or live.held or live.unbegun:
        return True
    if live.bodies:
        stopped = [run.perform.key for run in live.stops or ()]
        if any(key not in draft.drops and key not in stopped for key in live.bodies):
            return True
    for perform in draft.performs.values():  # noqa: SIM110 - a step has one: a generator would cost more than the look
        if perform.due is None or perform.due <= now:
            return True
    return False
