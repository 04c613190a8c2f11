"""A worker without I/O: its lives (`redrive.worker.life`), a memory store, and a list of what is under way between them.

1.  `moves` are the things that can happen next, by name: a call reaches the store or is answered, a body begins or ends, timers fire,
    mail comes. `World` (`worker_world`) has the rest: what comes from outside.
2.  What a worker must never do, whatever happens, is checked where it happens: see `Broken`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import attrs

from redrive.codec import from_json
from redrive.ports.store import Claim, LostClaim, Stale, Turn
from redrive.step_context import StepContext
from redrive.testing.moves import Attempt
from redrive.worker.life import actions as act
from redrive.worker.life import events
from redrive.worker.life.active_execution import ActiveExecution
from redrive.worker.life.life import Life
from redrive_interpreter import (
    AttemptStarted,
    Err,
    Ok,
    step_results,
)
from redrive_interpreter.history.requests import SetTimer

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.testing.explored_choices import Choices
    from redrive.testing.invariants import Invariant
    from redrive.testing.worker_world import World
    from redrive.worker.life.actions import Action
    from redrive_interpreter import Invocation, RunStep, Signal, Workflow

LEASE: Final = timedelta(seconds=15)
BUILD: Final = "explored"


class Broken(Exception):
    """A worker did what it must not: *invariant*, and how it was broken."""

    def __init__(self, invariant: str, breach: str) -> None:
        super().__init__(invariant, breach)
        self.invariant, self.breach = invariant, breach


@attrs.frozen(kw_only=True)
class Setup:
    """An exploration of *invocation*, and how often signals arrive, callers cancel, and workers lose their leases, die and stop."""

    invocation: Invocation[Any]
    workflows: Mapping[str, Workflow[..., Any]]
    codec: JsonCodec
    choices: Choices
    invariants: Sequence[Invariant] = ()
    signals: Sequence[tuple[Signal[Any], Any]] = ()
    cancels: int = 1
    losses: int = 1
    deaths: int = 0
    stops: int = 0
    workers: int = 2
    apart: bool = False
    id: str = "test"
    timeout: timedelta | None = None


@attrs.define(eq=False)
class Call:
    """Something that worker and store are at, for *live* or for a claim; *answer* is what `ask` gave once the store was reached."""

    name: str
    ask: Callable[[], Any]
    live: ActiveExecution | None = None
    answer: Any = None
    reached: bool = False


@attrs.define(eq=False)
class Body:
    """A body that was asked for: ``announced``, ``ready`` or ``running``."""

    run: act.Run
    live: ActiveExecution
    standing: str


@attrs.define
class Bench:
    """Stands for the host that a stub of a step asks for its context."""

    codec: JsonCodec
    live: ActiveExecution
    heartbeats: dict[Any, Any] = attrs.Factory(dict[Any, Any])

    def context(self, perform: RunStep) -> StepContext:
        return StepContext(self.live.id, UUID(self.live.claim.run), perform.key, perform.attempt, None, perform.step.spec.key, None)


def finished(verb: Any) -> Any:
    """The result of *verb*, called on a memory store: that never waits."""
    going = verb.__await__()
    try:
        next(going)
    except StopIteration as end:
        return end.value
    raise AssertionError("a verb of the memory store has waited")


class ModelWorker:
    """One worker, as its shell and its loop would drive it."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.life = Life(world.setup.codec, world.setup.workflows)
        self.lives: dict[str, ActiveExecution] = {}
        self.calls: list[Call] = []
        self.bodies: list[Body] = []
        self.timers: list[tuple[datetime, ActiveExecution, str]] = []
        self.alive, self.unsure, self.claiming = True, False, False
        self.mail_seen = 0
        self.beat()

    def beat(self) -> None:
        finished(self.world.store.claim(self.name, LEASE, BUILD, tuple(self.world.setup.workflows), 0))

    # ── what can happen ─────────────────────────────────────────────────────────────────────────
    def moves(self) -> list[tuple[str, Callable[[], None]]]:
        found: list[tuple[str, Callable[[], None]]] = []
        store, world = self.world.store, self.world
        if not self.claiming and not self.life.draining:
            wake = finished(store.next_wake(tuple(world.setup.workflows), BUILD))
            if self.unsure or (wake is not None and wake <= world.now):
                found.append((f"{self.name} claims", self.claim))
        for call in list(self.calls):
            if call.reached:
                found.append((f"{self.name} hears: {call.name}", partial(self._hear, call)))
            else:
                found.append((f"{self.name} asks: {call.name}", partial(self._ask, call)))
        if finished(store.poll_inboxes(self.name, self.mail_seen))[1]:
            found.append((f"{self.name} gets mail", self._mail))
        if any(due <= world.now for due, _, _ in self.valid_timers()):
            found.append((f"{self.name}'s timers fire", self._fire))
        for body in list(self.bodies):
            key = body.run.perform.key
            if body.standing == "ready":
                found.append((f"{self.name} begins {key}", partial(self._begin, body)))
            elif body.standing == "running":
                for outcome in world.outcomes(body):
                    found.append((f"{self.name}: {Attempt(key, outcome).label}", partial(self._end, body, outcome)))
        return found

    def next_due(self) -> datetime | None:
        return min((due for due, _, _ in self.valid_timers()), default=None)

    def valid_timers(self) -> list[tuple[datetime, ActiveExecution, str]]:
        self.timers = [(due, live, key) for due, live, key in self.timers if not live.gone and live.timer(key) == due]
        return self.timers

    # ── claims ──────────────────────────────────────────────────────────────────────────────────
    def claim(self) -> None:
        self.claiming = True
        holds = tuple(self.lives) if self.unsure else None
        ask = partial(self.world.store.claim, self.name, LEASE, BUILD, tuple(self.world.setup.workflows), 1, holds=holds)
        self.calls.append(Call("claim", lambda: self.world.claimed(finished(ask()))))
        self.unsure = False

    def _claimed(self, claims: Sequence[Claim]) -> None:
        self.claiming = False
        for claim in claims:
            old = self.lives.get(claim.id)
            if old is not None and old.claim.fence >= claim.fence:
                continue
            if old is not None:
                self.tell(old, events.LOST)
            live = self.lives[claim.id] = ActiveExecution(claim, self.world.setup.workflows[claim.workflow])
            live.slow = self.world.setup.apart
            self.tell(live, events.WANTED)

    # ── calls ───────────────────────────────────────────────────────────────────────────────────
    def _ask(self, call: Call) -> None:
        call.reached = True
        try:
            call.answer = call.ask()
        except (LostClaim, Stale) as refused:
            call.answer = events.Refused(refused)

    def _hear(self, call: Call) -> None:
        self.calls.remove(call)
        if call.live is None:
            self._claimed(call.answer)
        else:
            self.tell(call.live, call.answer)

    def _call(self, live: ActiveExecution, name: str, ask: Callable[[], Any]) -> None:
        self.calls.append(Call(f"{name} of {live.id}", ask, live))

    def _loaded(self, live: ActiveExecution) -> events.Loaded:
        loaded = finished(self.world.store.load(live.claim))
        return events.Loaded(from_json(loaded.history), loaded.inbox, paused=loaded.paused)

    def _attributes(self, live: ActiveExecution) -> events.AttributesRead:
        snapshot = finished(self.world.store.read(live.id))
        return events.AttributesRead(from_json(snapshot.attributes))

    # ── lives ───────────────────────────────────────────────────────────────────────────────────
    def tell(self, live: ActiveExecution, event: Any) -> None:
        try:
            actions = self.life.receive(live, event, self.world.now)
        except Exception as error:
            actions = self.life.receive(live, events.Failed(error), self.world.now)
        self._carry_out(live, actions)

    def _carry_out(self, live: ActiveExecution, actions: Sequence[Action]) -> None:
        for action in actions:
            self._do(live, action)

    def _do(self, live: ActiveExecution, action: Action) -> None:
        match action:
            case Turn():
                if live.gone:
                    raise Broken("it writes nothing of what it has lost", f"{self.name} asks for a turn of {live.id}")
                self._call(live, "turn", lambda: self.world.committed(self, live.claim, action))
            case act.Load():
                self._call(live, "history", lambda: self._loaded(live))
            case act.ReadAttributes():
                self._call(live, "attributes", lambda: self._attributes(live))
            case act.Compute(apart=True):
                self._call(live, "turn apart", lambda: self.life.compute_apart(live, self.world.now, self.life._make))
            case act.Compute() | act.Wake():
                self.tell(live, events.TURN)
            case act.Run():
                self._run(live, action)
            case act.Begin(run=run):
                for body in self.bodies:
                    if body.run is run:
                        body.standing = "ready"
            case act.Stop(run=run):
                self.bodies = [body for body in self.bodies if body.run is not run]
            case SetTimer() | act.SetAlarm():
                self.timers.append((action.due, live, action.key))
            case act.Close(machine=machine):
                machine.close()
            case act.Leave():
                if self.lives.get(live.id) is live:
                    del self.lives[live.id]
            case act.Doubt():
                self.unsure = True
            case act.Release(at_rest=at_rest):
                finished(self.world.store.release([live.claim], at_rest=at_rest))
            case act.Park(error=error):
                raise Broken("its code can continue from its history", f"{type(error).__name__}: {error}") from error
            case _:
                pass  # for the log, and for those who wait

    # ── bodies ──────────────────────────────────────────────────────────────────────────────────
    def _run(self, live: ActiveExecution, run: act.Run) -> None:
        perform, now = run.perform, self.world.now
        if perform.interrupted:
            lost = step_results.interrupted(perform.key, perform.attempt)
            fact = step_results.failed(perform, lost, run=live.claim.run, codec=self.world.setup.codec, now=now, in_doubt=True)
            self.tell(live, fact)
        elif perform.step.spec.at_most_once:
            self.bodies.append(Body(run, live, "announced"))
            self.tell(live, AttemptStarted(perform.key, perform.attempt, at=now))
        else:
            self.bodies.append(Body(run, live, "ready"))

    def _begin(self, body: Body) -> None:
        if not body.run.enter():
            if body.live.apart:
                self.bodies.remove(body)  # the turn that is computed now has taken the permit: it will be stopped
                return
            raise Broken("a body that is kept from beginning is stopped", f"{body.run.perform.key} in {self.name}")
        body.standing = "running"
        self.world.began(self, body)

    def _end(self, body: Body, outcome: Ok[Any] | Err) -> None:
        self.bodies.remove(body)
        self.tell(body.live, self.world.fact(body, outcome))

    # ── what comes in ───────────────────────────────────────────────────────────────────────────
    def _mail(self) -> None:
        self.mail_seen, mail = finished(self.world.store.poll_inboxes(self.name, self.mail_seen))
        for id, messages in mail.items():
            if id in self.lives:
                self.tell(self.lives[id], events.Mail(messages))

    def _fire(self) -> None:
        now = self.world.now
        due = sorted((one for one in self.valid_timers() if one[0] <= now), key=lambda one: one[0])
        self.timers = [one for one in self.timers if one[0] > now]
        for moment, live, key in due:
            if live.timer(key) == moment:
                self.tell(live, events.TimerDue(moment, key))

    def stop(self) -> None:
        """The time of grace is over; what is under way is not waited for."""
        self.life.draining = True
        for live in list(self.lives.values()):
            self.tell(live, events.STOP_BODIES)
            self.tell(live, events.GIVE_BACK)
        self.world.gone(self)
        finished(self.world.store.deregister_worker(self.name))
