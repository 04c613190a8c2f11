"""Carries out what the lives of executions ask for: the only module that awaits the store for them, or starts a body.

1.  `Shell.connect` has the table of the functions that carry out each kind of action; `redrive.worker.life.life` decides on them.
2.  Turns of different executions are stored side by side, and the store commits them together.
3.  A turn is computed on the event loop, under the watchdog, or in a thread of its own.
4.  A store that says a second try may help is asked again, with growing pauses (W3); its other errors go to the life.
5.  Nothing is raised here, where others wait for their turn: what goes wrong is an event, too. Only Ctrl-C goes on to the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from redrive.attendance import Listing
from redrive.codec import from_json
from redrive.ports.answer import Answer, failed
from redrive.ports.aside_values import NewAside
from redrive.ports.store import Claim, LostClaim, Stale, StoreError, Turn
from redrive.stored import Origin
from redrive.worker import reporting
from redrive.worker.apart import LONG, Gone
from redrive.worker.gc_pause import LEAST_ROW, no_collection
from redrive.worker.insisting import LONGEST_WAIT, insist
from redrive.worker.life import actions as act
from redrive.worker.life import events
from redrive.worker.life.active_execution import ActiveExecution
from redrive.worker.life.life import Life
from redrive.worker.os_signals import is_interrupt
from redrive.worker.soon import Soon
from redrive.worker.watchdog import TurnApart
from redrive_interpreter.history.requests import SetTimer

if TYPE_CHECKING:
    from redrive.ports.store import CommitResult, ExecutionStatus, Json, NewExecution, Store
    from redrive.worker.apart import Apart
    from redrive.worker.clock import Clock
    from redrive.worker.life.actions import Action
    from redrive.worker.life.events import Event
    from redrive.worker.ownership import Ownership
    from redrive.worker.quarantine import Quarantine
    from redrive.worker.step_executor import StepExecutor
    from redrive.worker.timers import TimerLoop
    from redrive.worker.watchdog import Watch
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.rows import Answered, AttemptStarted, Retrying

log: Final = logging.getLogger("redrive.worker")


class Listener(Protocol):
    """Is told what those outside of the worker wait for."""

    def execution_ended(self, id: str, status: ExecutionStatus, outcome: Json) -> None:
        """The end of the execution *id* is stored."""
        ...

    def worker_broke(self, error: BaseException) -> None:
        """A body raised *error*, which ends the worker."""
        ...


class LoopGuard:
    """Has turns computed in *context*, on the event loop, as *watch* looks on."""

    def __init__(self, context: Context, watch: Watch) -> None:
        run: Any = context.run
        self.run: Callable[..., Any] = partial(run, watch.during)
        self.make = watch.make


@attrs.define(kw_only=True, eq=False)
class Shell:
    """Drives executions: tells their lives what happens, and carries out the actions that they give."""

    store: Store
    clock: Clock
    timers: TimerLoop
    context: Context
    lane: Apart
    life: Life
    quarantine: Quarantine
    owned: Ownership
    listener: Listener
    _do: dict[type, Callable[[ActiveExecution, Any], object]] = attrs.field(init=False)
    """What carries out each kind of action."""
    _loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop, init=False)
    _woken: Soon[ActiveExecution] = attrs.field(init=False)
    _answers: Soon[tuple[ActiveExecution, Answer[CommitResult], Turn]] = attrs.field(init=False)
    """Turns that the store answered on the spot."""
    _listing: Listing = attrs.field(init=False)
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set[asyncio.Task[None]], init=False)
    _under_way: set[ActiveExecution] = attrs.field(factory=set["ActiveExecution"], init=False)
    _quiet: asyncio.Future[None] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._do = {Turn: self._commit}
        self._listing = Listing(self.store, self.life.workflows)
        outside = self.context.copy()  # where turns are called from: no context can be entered twice, and `context` is where they run
        self._woken = Soon(self._loop, outside, self.turn)
        self._answers = Soon(self._loop, outside, lambda answer: self._answered(*answer))

    def connect(self, executor: StepExecutor) -> None:
        """Have the bodies run by *executor*. To be called once, before anything else."""
        self._do = {
            Turn: self._commit,
            act.Run: executor.start,
            act.Begin: lambda live, begin: executor.begun(begin.run),
            act.Stop: lambda live, stop: executor.stop(stop.run),
            act.Compute: self._compute,
            act.Wake: self._wake,
            act.Load: lambda live, load: self._later(live, self._load(live)),
            act.ReadAttributes: lambda live, read: self._later(live, self._read_attributes(live)),
            SetTimer: self.timers.set,
            act.SetAlarm: self.timers.set,
            act.Close: lambda live, close: _close(live, close.machine),
            act.Ended: self._ended,
            act.Leave: lambda live, leave: self.owned.left(live),
            act.Doubt: lambda live, doubt: self.owned.doubt(),
            act.Release: lambda live, release: self._keep(self._release(live, release.at_rest)),
            act.Park: lambda live, park: self._later(live, self._park(live, park.error)),
            act.FindWorkflow: lambda live, find: self._find_workflow(find),
            act.Note: reporting.note,
            act.TakenOver: lambda live, taken: reporting.taken_over(live, taken.again),
            act.LeaseLost: lambda live, lost: reporting.lease_lost(live, lost.stopped),
            NewAside: lambda live, aside: reporting.signal_set_aside(live.id, aside),
        }

    # ── what happens ────────────────────────────────────────────────────────────────────────────
    def tell(self, live: ActiveExecution, event: Event) -> None:
        """Tell *live* of *event*, which runs no code of a workflow."""
        try:
            actions = self.life.receive(live, event, self.clock.now())
        except BaseException as error:
            actions = self._failed(live, error)
        if actions or not live.driving:
            self._carry_out(live, actions)

    def turn(self, live: ActiveExecution) -> None:
        """Have the next turn of *live* computed, here and now."""
        try:
            if live.history is None:
                actions = self.life.receive(live, events.TURN, self.clock.now())
            else:
                with no_collection(len(live.history) * LEAST_ROW):
                    actions = self.life.receive(live, events.TURN, self.clock.now())
        except BaseException as error:
            actions = self._failed(live, error)
        self._carry_out(live, actions)

    def tell_soon(self, live: ActiveExecution, fact: Answered | Retrying | AttemptStarted) -> None:
        """Tell *live* what an attempt became; a turn is made of it in the next round of the loop."""
        if self.life.receive(live, fact, fact.at):
            self._woken.add(live)

    def turn_soon(self, live: ActiveExecution) -> None:
        self._woken.add(live)

    async def idle(self, seconds: float) -> None:
        """Wait until nothing is under way, at most so long."""
        if self._under_way:
            self._quiet = self._loop.create_future()
            await asyncio.wait([self._quiet], timeout=seconds)

    def stop_bodies(self, lives: Iterable[ActiveExecution]) -> None:
        """Tell all bodies of *lives* to stop."""
        for live in lives:
            self.tell(live, events.STOP_BODIES)

    def put_away(self, lives: Iterable[ActiveExecution]) -> tuple[list[Claim], list[Claim]]:
        """Stop *lives*; the claims of those of which no body had begun that their histories ask for, and of the others."""
        at_rest: list[Claim] = []
        others: list[Claim] = []
        for live in lives:
            actions = self.life.receive(live, events.GIVE_BACK, self.clock.now())
            for action in actions:
                if type(action) is act.Release:
                    (at_rest if action.at_rest else others).append(live.claim)
            self._carry_out(live, [action for action in actions if type(action) is not act.Release])
        return at_rest, others

    async def give_back(self, lives: Iterable[ActiveExecution]) -> None:
        """Put *lives* away, and make them nobody's."""
        at_rest, others = self.put_away(lives)
        if others:
            await self.store.release(others)
        if at_rest:
            await self.store.release(at_rest, at_rest=True)

    # ── the first turn ──────────────────────────────────────────────────────────────────────────
    def first_turn(self, new: NewExecution, workflow: Workflow[..., Any], worker: str) -> tuple[ActiveExecution, Turn] | None:
        """Compute the first turn of *new*, to be stored with its start; None if it can only be had from the store.

        Until `started` or `forget` it counts as being driven.
        """
        if new.first_message is not None:
            return None
        live = ActiveExecution(Claim(id=new.id, worker=worker, fence=0, workflow=new.workflow, run=new.run, number=1, length=1), workflow)
        live.started, live.driving = new.started, True
        turn: Turn | None = None
        actions: Sequence[Action] = ()
        try:
            actions = self.life.receive(live, events.TURN, self.clock.now())
        except BaseException as error:
            if is_interrupt(error):
                raise
            # It comes again when it is driven from the store: there it parks the execution, which does not exist yet.
            log.debug("execution %r starts without its first turn: %r", live.id, error)
        if act.READ_ATTRIBUTES in actions:
            read = events.AttributesRead(from_json(new.attributes))
            actions = self.life.receive(live, read, self.clock.now())
        for action in actions:
            if type(action) is Turn:
                turn = action
            elif type(action) is not act.Compute:
                self._do[type(action)](live, action)
        if turn is None:
            self.forget(live)
            return None
        return live, turn

    def started(self, live: ActiveExecution, committed: CommitResult) -> None:
        """The first turn of *live* was stored: go on."""
        self._under_way.add(live)
        self.tell(live, committed)

    def forget(self, live: ActiveExecution) -> None:
        """The first turn of *live* was not stored."""
        self.tell(live, events.ABANDONED)

    # ── carrying out ────────────────────────────────────────────────────────────────────────────
    def _carry_out(self, live: ActiveExecution, actions: Sequence[Action]) -> None:
        for action in actions:
            self._do[type(action)](live, action)
        if live.driving:
            self._under_way.add(live)
        else:
            live.used = time.monotonic()
            self._under_way.discard(live)
            if self._quiet is not None and not self._under_way and not self._quiet.done():
                self._quiet.set_result(None)

    def _failed(self, live: ActiveExecution, error: BaseException) -> Sequence[Action]:
        """Tell *live* that *error* was raised for it; the actions that follow."""
        event: Event
        match error:
            case Gone():  # the worker stops: others compute it anew
                event = events.ABANDONED
            case TurnApart():
                event = events.TOO_LONG
            case StoreError():
                if not isinstance(error, (LostClaim, Stale)):
                    log.error("execution %r: %s; trying again in %d s", live.id, error, LONGEST_WAIT)
                event = events.Refused(error)
            case _ if is_interrupt(error):  # it ends the process
                self._loop.call_soon(_raise, error)
                event = events.ABANDONED
            case _:
                event = events.Failed(error)
        return self.life.receive(live, event, self.clock.now())

    def _later(self, live: ActiveExecution, work: Coroutine[Any, Any, Event]) -> None:
        """Have a task do what takes waiting, and tell *live* the event that it gives."""

        async def run() -> None:
            try:
                event = await work
            except (asyncio.CancelledError, GeneratorExit):  # the loop ends
                live.driving = False
                self._carry_out(live, ())
                raise
            except BaseException as error:
                self._carry_out(live, self._failed(live, error))
            else:
                self.tell(live, event)

        self._keep(run())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _commit(self, live: ActiveExecution, turn: Turn) -> None:
        answer: Awaitable[CommitResult] | Answer[CommitResult]
        try:
            answer = self.store.commit(live.claim, turn)
        except StoreError as error:
            answer = failed(error)
        if not isinstance(answer, Answer):
            self._later(live, self._wait_for(live, turn, answer))
        elif answer.over:  # not here and now: a run may continue as another one for ever
            self._answers.add((live, answer, turn))
        else:
            answer.then(partial(self._answered, live, turn=turn))

    async def _wait_for(self, live: ActiveExecution, turn: Turn, asked: Awaitable[CommitResult]) -> CommitResult:
        try:
            return await asked
        except StoreError as error:
            if not error.retry_helps or isinstance(error, (LostClaim, Stale)):
                raise
        return await self._commit_patiently(live, turn)

    async def _commit_patiently(self, live: ActiveExecution, turn: Turn) -> CommitResult:
        committed: CommitResult = await self._patiently(lambda: self.store.commit(live.claim, turn), live.id)
        return committed

    def _answered(self, live: ActiveExecution, answer: Answer[CommitResult], turn: Turn) -> None:
        error = answer.error
        if error is None:
            self.tell(live, answer.result)
        elif isinstance(error, StoreError) and error.retry_helps and not isinstance(error, (LostClaim, Stale)):
            self._later(live, self._commit_patiently(live, turn))
        else:
            self._carry_out(live, self._failed(live, error))

    async def _load(self, live: ActiveExecution) -> events.Loaded:
        loaded = await self._patiently(lambda: self.store.load(live.claim), live.id)
        run, history, long = None, list[Any](), len(loaded.history) > LONG
        with contextlib.suppress(ValueError, LookupError, TypeError):
            if long:
                history = await self.lane.run(lambda _: from_json(loaded.history), self.context.copy())
            else:
                with no_collection(len(loaded.history)):
                    history = from_json(loaded.history)
            run = history[0]["run"]
        if run is None:
            Origin.of(live.id, self.store).refuse(loaded.history)
        return events.Loaded(history, loaded.inbox, long, loaded.paused)

    async def _read_attributes(self, live: ActiveExecution) -> events.AttributesRead:
        snapshot = await self._patiently(lambda: self.store.read(live.id), live.id)
        return events.AttributesRead({} if snapshot is None else Origin.of(live.id, self.store).attributes(snapshot))

    def _compute(self, live: ActiveExecution, action: act.Compute) -> None:
        if action.apart:
            self._later(live, self._compute_apart(live))
        else:
            self.turn(live)

    async def _compute_apart(self, live: ActiveExecution) -> events.Computed:
        now, length = self.clock.now(), len(live.history or ()) * LEAST_ROW

        def computed(watch: Watch) -> events.Computed:
            with no_collection(length):
                return watch.during(live.id, live.machine, self.life.compute_apart, live, now, watch.make)

        return await self.lane.run(computed, self.context.copy())

    def _wake(self, live: ActiveExecution, action: act.Wake) -> None:
        if action.later:
            self._loop.call_later(LONGEST_WAIT, self.tell, live, events.WANTED)
        else:
            self._woken.add(live)

    async def _park(self, live: ActiveExecution, error: BaseException) -> Event:
        """Leave *live* alone until other code comes, or its time for another try."""
        parked = self.quarantine.park_for(live, error)
        try:
            await self._patiently(lambda: self.store.release([live.claim], parked=parked), live.id)
        except StoreError as refused:
            log.error("execution %r: %s", live.id, refused)
            self.owned.doubt()  # the store may go on counting it as ours
        return events.PARKED

    async def _release(self, live: ActiveExecution, at_rest: bool) -> None:
        try:
            await self._patiently(lambda: self.store.release([live.claim], at_rest=at_rest), live.id)
        except StoreError as error:
            log.error("execution %r: %s", live.id, error)
            self.owned.doubt()

    def _find_workflow(self, action: act.FindWorkflow) -> None:
        if not self._listing.knows(action.workflow):
            self._keep(self._listing.check(action.id, action.workflow))

    def _ended(self, live: ActiveExecution, action: act.Ended) -> None:
        reporting.execution_ended(live.id, live.workflow.name, action.status, action.outcome)
        self.listener.execution_ended(live.id, action.status, action.outcome)

    async def _patiently(self, call: Callable[[], Awaitable[Any]], id: str) -> Any:
        return await insist(call, id, lambda: self.life.draining)


def _close(live: ActiveExecution, machine: Any) -> None:
    try:
        machine.close()
    except Exception:  # the user's `finally` bodies, where warnings are errors
        log.exception("execution %r: its generators do not close", live.id)


def _raise(error: BaseException) -> None:
    raise error
