"""The life of one execution in a worker: what has happened comes in, what is to be done goes out.

Theory of operation

1.  `Life.receive` takes one event and gives the actions to carry out, in order. It reads no clock, waits for nothing and calls nothing
    but the machine: `events` and `actions` are the whole surface. One function of `_ON` decides for each kind of event.
2.  One thing is under way for an execution at a time (`driving`): a load, a turn, a commit, a park. What comes in meanwhile is kept,
    and the next turn takes it. Whatever ends what was under way either goes on at once (`Compute`), or puts the execution to rest.
3.  Nothing is acted on before its turn is stored (S2). Bodies, timers and stops of a turn are actions of the event `CommitResult`.
4.  ``Stale``, and a turn that would end the run although a cancel or the deadline is older: the machine is closed and replayed;
    what bodies gave is kept, and is taken after what is in the inbox by then (E3, E4). ``Overdue``: after the deadline, too, which
    then has passed for this worker. `precedence` has the rules.
5.  Bodies begin once their turn is stored, and nothing is known any more that would keep them from it; else they are *held* for one
    turn. A worker that stops begins none: the execution is *unbegun*, and its status says that another worker must look at it.
6.  A lost claim ends it here: bodies are told to stop, nothing is written (S10, W1). So does a park, and giving back.
7.  Giving back says whether a body may have begun that the history asks for (``at_rest``): the worker that claims the execution
    next could not tell, and one with an undo would count as under way, also where the run is cancelled (S10).
8.  A turn that is computed apart has the execution to itself: events that would change what it reads wait in `deferred`.
9.  What the code here cannot continue parks the execution, and never ends the worker (D2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import attrs

from redrive.codec import from_json, to_json
from redrive.ports.store import CommitResult, LostClaim, Overdue, Stale
from redrive.status import FINAL, PAUSED
from redrive.worker.life import actions as act
from redrive.worker.life import bodies, departures, events
from redrive.worker.life.departures import NOTHING, WAKES
from redrive.worker.life.inbox_facts import message_of
from redrive.worker.life.restore import restore
from redrive.worker.life.turn import Draft, compute
from redrive_interpreter.history.requests import RunStep
from redrive_interpreter.history.rows import Answered, AttemptStarted, Fact, Retrying
from redrive_interpreter.machine.machine import Machine

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.ports.store import Turn
    from redrive.worker.life.actions import Action
    from redrive.worker.life.active_execution import ActiveExecution
    from redrive.worker.life.events import Event
    from redrive.worker.life.restore import Make
    from redrive_interpreter.commands.workflows import Workflow

T = TypeVar("T")
LONG_HISTORY: Final = 10_000
"""Rows of a run from which on it is worth a warning (E8)."""


class Guard(Protocol):
    """Calls the code of workflows: it may look on, and raise in the middle of a turn that takes too long."""

    @property
    def run(self) -> Callable[..., Any]:
        """``run(id, machine, call, *args)`` gives what ``call(*args)`` gives, as a turn of the execution *id*."""
        ...

    @property
    def make(self) -> Make:
        """Builds the machine of a run."""
        ...


class Unguarded:
    """Calls the code of workflows, and that is all."""

    make = Machine

    @staticmethod
    def run(_: str, __: Machine[Any] | None, call: Callable[..., T], *args: Any) -> T:
        return call(*args)


class Life:
    """The rules by which a worker that runs *workflows* drives its executions. *draining*: it stops, and begins no bodies."""

    def __init__(self, codec: JsonCodec, workflows: Mapping[str, Workflow[..., Any]], guard: Guard | None = None) -> None:
        guard = guard if guard is not None else Unguarded()
        self.codec = codec
        self.workflows = workflows
        self.draining = False
        self._run, self._make = guard.run, guard.make

    def receive(self, live: ActiveExecution, event: Event, now: datetime) -> Sequence[Action]:
        """Decide what to do for *live* because of *event*. Raises what the workflow's code raises in a turn: tell it as `Failed`."""
        if live.apart and type(event) in _DEFERRED:
            live.deferred = [*(live.deferred or ()), event]
            return NOTHING
        return _ON[type(event)](self, live, event, now)

    def compute_apart(self, live: ActiveExecution, now: datetime, make: Make) -> events.Computed:
        """The turn that `Compute(apart=True)` asked for, in any thread. Raises what the workflow's code raises."""
        actions: list[Action] = []
        given = live.facts and live.facts.copy()
        try:
            return events.Computed(self._compute(live, now, actions, make), actions)
        except BaseException:
            live.facts = given
            raise

    # ── turns ───────────────────────────────────────────────────────────────────────────────────
    def _turn(self, live: ActiveExecution, _: Event, now: datetime) -> Sequence[Action]:
        if live.gone:
            return departures.at_rest(live)
        if live.machine is None and live.history is None and live.started is None:
            return (act.LOAD,)
        if live.slow:
            live.apart = True
            return (act.COMPUTE_APART,)
        actions: list[Action] = []
        given = live.facts and live.facts.copy()
        try:
            if live.machine is not None:
                draft = self._run(live.id, live.machine, compute, live, self.codec, now, actions)
            else:
                draft = self._run(live.id, None, self._compute, live, now, actions, self._make)
        except BaseException:
            live.facts = given  # messages and timers come again from the store; what bodies gave is nowhere else
            raise
        return self._computed(live, draft, actions, now)

    def _compute(self, live: ActiveExecution, now: datetime, actions: list[Action], make: Make) -> Draft | None:
        if live.machine is None:
            self._restore(live, now, actions, make)
        return compute(live, self.codec, now, actions)

    def _restore(self, live: ActiveExecution, now: datetime, actions: list[Action], make: Make) -> None:
        history, live.history = live.history, None
        if history is None:
            assert live.started is not None
            history, live.started = [from_json(live.started)], None
        live.length = len(history)
        restore(live, history, self.codec, now, make)
        if live.orphan:
            live.orphan = False
            actions.append(act.TakenOver([request.key for request in live.requests if isinstance(request, RunStep)]))

    def _computed_apart(self, live: ActiveExecution, event: events.Computed, now: datetime) -> Sequence[Action]:
        live.apart = False
        deferred, live.deferred = live.deferred, None
        actions = event.actions
        if live.gone:
            departures.close(live, actions)
            departures.flush_stops(live, actions)
            return [*actions, *departures.at_rest(live)]
        if live.machine is not None:  # what was due meanwhile may have found no machine
            actions += [act.SetAlarm(due, key) for key, due in live.machine.timers.items()]
        self._computed(live, event.draft, actions, now)
        for late in deferred or ():
            actions += self.receive(live, late, now)
        return actions

    def _computed(self, live: ActiveExecution, draft: Draft | None, actions: list[Action], now: datetime) -> list[Action]:
        if live.stops:
            departures.flush_stops(live, actions)
        if draft is not None and draft.overtaken:
            departures.retake(live, draft, actions, now)
            live.interrupt_first = True
            actions.append(act.COMPUTE)
            return actions
        if live.held or live.announced:
            bodies.begin_held(self, live, actions)
        live.draft = draft
        if draft is None:
            live.driving = bool(live.facts)
            if live.facts:
                actions.append(act.WAKE)
        elif draft.attributes is None:
            actions.append(draft.turn(None))
        elif live.attributes is None:
            actions.append(act.READ_ATTRIBUTES)
        else:
            actions.append(_with_attributes(live, draft))
        return actions

    def _attributes_read(self, live: ActiveExecution, event: events.AttributesRead, _: datetime) -> Sequence[Action]:
        if live.gone:
            return departures.at_rest(live)
        live.attributes = event.attributes
        assert live.draft is not None
        return (_with_attributes(live, live.draft),)

    # ── the store's answers ─────────────────────────────────────────────────────────────────────
    def _loaded(self, live: ActiveExecution, event: events.Loaded, _: datetime) -> Sequence[Action]:
        if live.gone:
            return departures.at_rest(live)
        actions: list[Action] = []
        if not _is_run(event.history, live.claim.run):
            # It has begun its next run, and the answer that said so was lost: what we claimed is not this.
            departures.leave(live, actions)
            return [*actions, act.DOUBT]
        live.unsure = True
        by_mail, live.inbox, live.seen = live.inbox, (), 0
        live.add_messages(event.inbox)
        live.add_messages(by_mail)  # what came while it was being loaded
        live.length = len(event.history)
        if event.paused:
            self._hold(live, actions)
            return actions
        live.history = event.history
        live.apart = live.slow or event.long
        return (act.COMPUTE_APART if live.apart else act.COMPUTE,)

    def _hold(self, live: ActiveExecution, actions: list[Action]) -> None:
        """Have it stored what bodies of a paused execution gave; once none runs any more, give the execution back (F8).

        Its pause may end meanwhile: then the store says so when the execution is loaded again.
        """
        bodies.settle_announced(live, actions)
        facts, live.facts = live.facts or (), None
        held = [fact for fact in facts if not isinstance(fact, AttemptStarted)]
        if held:
            live.draft = draft = Draft(live.length)
            draft.status, draft.fed = PAUSED, tuple(held)
            draft.held = tuple(message_of(fact, f"held:{live.claim.fence}:{_key(fact)}:{fact.at.timestamp()}") for fact in held)
            actions.append(draft.turn(None))
        elif live.bodies:
            live.driving = False
        else:
            departures.leave(live, actions)
            actions.append(act.Release())

    def _committed(self, live: ActiveExecution, committed: CommitResult, now: datetime) -> Sequence[Action]:
        draft, live.draft = live.draft, None
        assert draft is not None
        if draft.status == PAUSED:
            return departures.at_rest(live) if live.gone else (act.LOAD,)
        actions: list[Action] = []
        before = live.length
        live.length += len(draft.rows)
        if before < LONG_HISTORY <= live.length:
            actions.append(act.Note("the history of its run has %d rows; ContinueAs keeps it short", (live.length,)))
        if draft.aside:
            actions += draft.aside
        if draft.awaits is not None:
            live.awaits = draft.awaits
        for key in draft.drops:
            bodies.drop(live, key, actions)
        if draft.status in FINAL:
            assert draft.outcome is not None
            departures.leave(live, actions)
            actions.append(act.Ended(draft.status, draft.outcome))
            return actions
        if live.gone:
            live.driving = False
            return actions
        if committed.waits_for_place:  # its bodies begin once it is admitted, in a worker that claims it then
            departures.leave(live, actions)
            return actions
        if committed.inbox:
            live.add_messages(committed.inbox)
        if draft.next_run is not None:
            self._continue(live, draft, actions)
            return actions
        for child in draft.children:
            if child.execution.workflow not in self.workflows:
                actions.append(act.FindWorkflow(child.execution.id, child.execution.workflow))
        if draft.timers:
            actions += draft.timers
        bodies.after_commit(self, live, draft, actions, now)
        if live.facts or live.due or live.inbox or live.held or live.machine is None:
            actions.append(act.COMPUTE)
        else:
            live.driving = False
        return actions

    def _refused(self, live: ActiveExecution, event: events.Refused, now: datetime) -> Sequence[Action]:
        if live.gone:
            return departures.at_rest(live)
        if isinstance(event.error, LostClaim):
            live.driving = False
            return departures.lost(self, live, events.LOST, now)
        actions: list[Action] = []
        draft, live.draft = live.draft, None
        if isinstance(event.error, Overdue):  # by the store's clock, whatever the worker's says
            live.overdue = True
        if draft is not None:
            departures.retake(live, draft, actions, now)
        if isinstance(event.error, Stale):
            return [*actions, act.COMPUTE]
        live.driving = False
        return [*actions, act.WAKE_LATER]

    def _continue(self, live: ActiveExecution, draft: Draft, actions: list[Action]) -> None:
        """Go on with the next run: the same claim, another machine."""
        run = draft.next_run
        assert run is not None
        bodies.stop_all(live, actions)
        departures.close(live, actions)
        live.facts = live.details = live.announced = live.retaken = None
        live.uncertain = {}
        live.claim = attrs.evolve(live.claim, run=run.run, number=live.claim.number + 1, workflow=run.workflow, length=1)
        live.length, live.cancelling = 1, False
        workflow = self.workflows.get(run.workflow)
        if workflow is None:
            departures.leave(live, actions)
            actions += [act.FindWorkflow(live.id, run.workflow), act.Release()]
            return
        live.workflow, live.started = workflow, run.started
        actions.append(act.COMPUTE)

    # ── what comes in ───────────────────────────────────────────────────────────────────────────
    def _wanted(self, live: ActiveExecution, _: Event, __: datetime) -> Sequence[Action]:
        return departures.wake(live)

    def _mail(self, live: ActiveExecution, event: events.Mail, _: datetime) -> Sequence[Action]:
        return departures.wake(live) if not live.gone and live.add_messages(event.messages) else NOTHING

    def _attempt(self, live: ActiveExecution, fact: Answered | Retrying | AttemptStarted, _: datetime) -> Sequence[Action]:
        """A body has ended, or is about to begin."""
        if live.gone:
            return NOTHING
        if live.bodies and type(fact) is not AttemptStarted:
            run = live.bodies.pop(fact.key, None)
            if not live.bodies:
                live.bodies = None
            if run is not None and run.details is not None:
                live.details = {**(live.details or {}), fact.key: run.details}
        if live.facts is None:
            live.facts = [fact]
        else:
            live.facts.append(fact)
        if live.driving:
            return NOTHING
        live.driving = True
        return WAKES

    def _timer_due(self, live: ActiveExecution, event: events.TimerDue, now: datetime) -> Sequence[Action]:
        if live.gone:
            return NOTHING
        if live.waiting and event.key in live.waiting:
            actions: list[Action] = []
            if not bodies.attempt_due(self, live, event.key, actions, now):
                return actions
        else:
            live.add_due(event.due, event.key)
        return departures.wake(live)

    def _touched(self, live: ActiveExecution, _: Event, __: datetime) -> Sequence[Action]:
        if live.driving or live.gone:
            return NOTHING  # a turn under way is refused where it is stored
        actions: list[Action] = []
        departures.close(live, actions)
        live.started, live.driving = None, True
        return [*actions, act.WAKE]


def _is_run(history: list[Any], run: str) -> bool:
    """Whether *history* is that of *run*: it began so, or continues so since an operator had it begin anew."""
    return bool(history[0]["run"] == run) or any(row["row"] == "forked" and row["run"] == run for row in history)


def _key(fact: Fact) -> str:
    return str(getattr(fact, "key", ""))


def _with_attributes(live: ActiveExecution, draft: Draft) -> Turn:
    assert live.attributes is not None
    live.attributes.update(draft.attributes or {})
    return draft.turn(to_json(live.attributes))


_ON: Final[Mapping[type, Callable[[Life, ActiveExecution, Any, datetime], Sequence[Action]]]] = {
    type(events.TURN): Life._turn,
    CommitResult: Life._committed,
    Answered: Life._attempt,
    Retrying: Life._attempt,
    AttemptStarted: Life._attempt,
    events.Mail: Life._mail,
    events.TimerDue: Life._timer_due,
    type(events.WANTED): Life._wanted,
    events.Loaded: Life._loaded,
    events.Computed: Life._computed_apart,
    events.AttributesRead: Life._attributes_read,
    events.Refused: Life._refused,
    events.Failed: departures.failed,
    type(events.TOO_LONG): departures.too_long,
    type(events.ABANDONED): departures.abandoned,
    type(events.LOST): departures.lost,
    type(events.TOUCHED): Life._touched,
    type(events.PARKED): departures.parked,
    events.NoThread: departures.no_thread,
    type(events.STOP_BODIES): departures.stop_bodies,
    type(events.GIVE_BACK): departures.give_back,
}
"""What each kind of event does."""

_DEFERRED: Final = frozenset({Answered, Retrying, AttemptStarted, events.Mail, events.TimerDue})
"""What would change the execution under the hands of a turn that is computed apart."""
