"""Drives one execution: load it, compute a turn, have it stored, act on it; until there is nothing to do.

1.  One turn of an execution is under way at a time (`ActiveExecution.driving`); turns of different executions are stored side
    by side, and the store commits them together.
2.  Nothing is acted on before its turn is stored (S2).
3.  `Stale`: the machine is put away and replayed; what bodies gave since is taken up again, after the inbox (E3), and
    after the deadline if it was `Overdue` (E4). `LostClaim`: all is dropped, bodies are told to stop, nothing is written (S10, W1).
4.  A turn that takes too long for the event loop is computed in a thread of its own, from then on all turns of its execution.
5.  What the code here cannot go on with parks the execution, and never ends the worker (D2). Only Ctrl-C goes on to the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive.attendance import Listing
from redrive.codec import from_json, to_json
from redrive.ports.answer import Answer, failed
from redrive.ports.store import FINAL, LostClaim, Overdue, Stale, StoreError
from redrive.stored import Origin
from redrive.worker import beginnings, giving_back, holding, reporting
from redrive.worker.apart import LONG, Gone
from redrive.worker.insisting import LONGEST_WAIT, insist
from redrive.worker.os_signals import is_interrupt
from redrive.worker.soon import Soon
from redrive.worker.watchdog import TurnApart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redrive.codec import JsonCodec
    from redrive.ports.store import CommitResult, Store, Turn
    from redrive.worker.active_execution import ActiveExecution
    from redrive.worker.clock import Clock
    from redrive.worker.computing import Computing
    from redrive.worker.quarantine import Quarantine
    from redrive.worker.step_executor import StepExecutor
    from redrive.worker.timers import Timers
    from redrive.worker.turn import Draft
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.rows import Fact

log: Final = logging.getLogger("redrive.worker")
LONG_HISTORY: Final = 10_000
"""From so many rows on, a run is worth a warning (E8)."""


@attrs.define(kw_only=True)
class TurnRunner:
    """What driving an execution needs. *left*: the execution is not this worker's any more, *ended*: its outcome is stored,
    *doubt*: the store may count as this worker's what it does not know of."""

    store: Store
    codec: JsonCodec
    clock: Clock
    timers: Timers
    context: Context
    computing: Computing
    workflows: Mapping[str, Workflow[..., Any]]
    quarantine: Quarantine
    left: Callable[[ActiveExecution], None]
    ended: Callable[[str, str, str], None]
    doubt: Callable[[], None]
    alarm_set: Callable[[], None]
    executor: StepExecutor = attrs.field(init=False)
    draining: bool = False
    _loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop, init=False)
    _outside: Context = attrs.field(init=False)
    """Where turns are called from: none can be entered twice, and `context` is where they run."""
    _woken: Soon[ActiveExecution] = attrs.field(init=False)
    _answers: Soon[tuple[ActiveExecution, Draft, Turn, Answer[CommitResult]]] = attrs.field(init=False)
    """Turns that the store answered on the spot."""
    _listing: Listing = attrs.field(init=False)
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set[asyncio.Task[None]], init=False)
    _under_way: int = attrs.field(default=0, init=False)
    _quiet: asyncio.Future[None] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._listing = Listing(self.store, self.workflows)
        self._outside = self.context.copy()
        self._woken = Soon(self._loop, self._outside, self._turn)
        self._answers = Soon(self._loop, self._outside, lambda answer: self._answered(*answer))

    def wake(self, live: ActiveExecution) -> None:
        """Have *live* driven soon, with what comes for it until then, if it is not under way already."""
        if not live.driving and not live.gone:
            self._set_out(live)
            self._woken.add(live)

    def drive(self, live: ActiveExecution) -> None:
        """Drive *live* here and now, unless it is under way already."""
        if not live.driving and not live.gone:
            self._set_out(live)
            self._turn(live)

    async def idle(self, seconds: float) -> None:
        """Wait until no turn is under way, at most so long."""
        if self._under_way:
            self._quiet = self._loop.create_future()
            await asyncio.wait([self._quiet], timeout=seconds)

    def _set_out(self, live: ActiveExecution) -> None:
        live.driving = True
        self._under_way += 1

    def rest(self, live: ActiveExecution) -> None:
        live.driving = False
        live.used = time.monotonic()
        self._under_way -= 1
        if not self._under_way and self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)

    def _turn(self, live: ActiveExecution) -> None:
        """Compute the next turn and ask for it to be stored; `_answered` goes on."""
        try:
            history: list[Any] | None = None
            if live.machine is None and not live.gone:
                if live.started is None:
                    self._later(live, self.load(live))
                    return
                history, live.started = [from_json(live.started)], None
                live.length = len(history)
            if live.gone:
                self._computed(live, None)
            elif live.slow:
                self._later(live, self._turn_apart(live, history))
            else:
                if history is not None:
                    self.computing.replay(live, history)
                self._computed(live, self.computing.compute(live))
        except BaseException as error:
            self._trouble(live, error)

    async def _turn_apart(self, live: ActiveExecution, history: list[Any] | None) -> None:
        """The same in a thread, from *history* where there is no machine."""
        draft = await self.computing.compute_apart(live, history)
        self._computed(live, None if live.gone else draft)

    def _computed(self, live: ActiveExecution, draft: Draft | None) -> None:
        if draft is not None and draft.overtaken:
            self._again(live, draft)
            live.interrupt_first = True
            self._turn(live)
            return
        if live.held or live.announced:
            beginnings.begin_held(self, live)
        if draft is None:
            self.rest(live)
            if live.facts and not live.gone:
                self.wake(live)
        elif draft.attributes is not None and live.attributes is None:
            self._later(live, self._ask_with_attributes(live, draft))
        else:
            self._ask(live, draft)

    def _later(self, live: ActiveExecution, going_on: Coroutine[Any, Any, None]) -> None:
        """Have a task do what takes waiting. *live* is under way until then; *going_on* goes on with it, or ends it."""

        async def run() -> None:
            try:
                await going_on
            except (asyncio.CancelledError, GeneratorExit):  # the loop ends
                self.rest(live)
                raise
            except BaseException as error:
                self._trouble(live, error)

        task = self._loop.create_task(run())
        self._keep(task)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _trouble(self, live: ActiveExecution, error: BaseException) -> None:
        """It cannot go on. Nothing is raised here, where others wait for their turn."""
        match error:
            case LostClaim():
                self.lose(live)
            case Gone():
                pass  # the worker stops: others compute it anew
            case TurnApart():
                live.put_away()
                live.slow = True
                self._later(live, self.load(live))
                return
            case StoreError():
                log.error("execution %r: %s; trying again in %d s", live.id, error, LONGEST_WAIT)
                self._loop.call_later(LONGEST_WAIT, self.wake, live)
            case _ if is_interrupt(error):  # it ends the process
                self._loop.call_soon(_raise, error)
            case _:
                self._later(live, self._park(live, error))
                return
        self.rest(live)

    # ── the first turn ──────────────────────────────────────────────────────────────────────────
    def begin(self, live: ActiveExecution) -> Draft | None:
        """The first turn of what is about to be started, to be stored with its start; None if there is none to store so.

        Until `began` or `forget` it counts as being driven.
        """
        assert live.started is not None
        live.driving = True
        try:
            self.computing.replay(live, [from_json(live.started)])
            draft = self.computing.compute(live)
            if draft is None or not draft.overtaken:
                return draft
            self.forget(live)
            return None
        except BaseException as error:
            if is_interrupt(error):
                raise
            # It comes again when it is driven from the store: there it parks the execution, which does not exist yet.
            log.debug("execution %r starts without its first turn: %r", live.id, error)
            self.forget(live)
            return None

    def began(self, live: ActiveExecution, draft: Draft, committed: CommitResult) -> None:
        """The first turn of *live* was stored: go on."""
        live.started, live.driving, live.used = None, False, time.monotonic()
        self._stored(live, draft, committed)
        if live.ready or live.held:
            self.wake(live)

    def forget(self, live: ActiveExecution) -> None:
        """Nothing came of a first turn."""
        live.gone = True
        live.put_away()

    # ── the parts of a turn ─────────────────────────────────────────────────────────────────────
    async def load(self, live: ActiveExecution) -> None:
        loaded = await self.patiently(lambda: self.store.load(live.claim), live.id)
        run, history = None, list[Any]()
        with contextlib.suppress(ValueError, LookupError, TypeError):
            history = await self.computing.parsed(loaded.history)
            run = history[0]["run"]
        if run is None:
            Origin.of(live.id, self.store).refuse(loaded.history)
        live.unsure = True
        if not holding.is_of(live.claim.run, history):
            # It has begun its next run, and the answer that said so was lost: what we claimed is not this.
            self.executor.stop_all(live)
            self.leave(live)
            self.doubt()
            self.rest(live)
            return
        held, live.inbox, live.seen = live.inbox, (), 0
        live.add_messages(loaded.inbox)
        live.add_messages(held)  # what came by mail while it was being loaded
        live.length = len(history)
        if loaded.paused:
            await holding.hold(self, live)
        elif live.slow or len(loaded.history) > LONG:
            await self._turn_apart(live, history)
        else:
            self.computing.replay(live, history)
            self._turn(live)

    def _ask(self, live: ActiveExecution, draft: Draft) -> None:
        """Ask the store for *draft*."""
        if draft.attributes is None:
            turn = draft.turn(live.seen, None)
        else:
            assert live.attributes is not None
            live.attributes.update(draft.attributes)
            turn = draft.turn(live.seen, to_json(live.attributes))
        answer: Awaitable[CommitResult] | Answer[CommitResult]
        try:
            answer = self.store.commit(live.claim, turn)
        except StoreError as error:
            answer = failed(error)
        if isinstance(answer, Answer):
            if answer.over:  # not here and now: a run may continue as another one for ever
                self._answers.add((live, draft, turn, answer))
            else:
                answer.then(lambda answer: self._answered(live, draft, turn, answer))
        else:
            self._later(live, self._wait_for(live, draft, turn, answer))

    async def _ask_with_attributes(self, live: ActiveExecution, draft: Draft) -> None:
        snapshot = await self.patiently(lambda: self.store.read(live.id), live.id)
        live.attributes = {} if snapshot is None else Origin.of(live.id, self.store).attributes(snapshot)
        self._ask(live, draft)

    async def _wait_for(
        self, live: ActiveExecution, draft: Draft, turn: Turn, asked: Awaitable[CommitResult], *, again: bool = False
    ) -> None:
        answer: Answer[CommitResult] = Answer()
        try:
            answer.result = await asked
        except StoreError as error:
            answer.error = error
        self._answered(live, draft, turn, answer, again=again)

    def _answered(self, live: ActiveExecution, draft: Draft, turn: Turn, answer: Answer[CommitResult], *, again: bool = False) -> None:
        """Go on after what the store said of *turn*; *again*: it was patiently asked again."""
        try:
            error = answer.error
            if error is None:
                self._stored(live, draft, answer.result)
                if live.ready or live.held:
                    self._turn(live)
                else:
                    self.rest(live)
            elif isinstance(error, Stale):
                self._again(live, draft, overdue=isinstance(error, Overdue))
                self._turn(live)
            elif isinstance(error, StoreError) and error.retry_helps and not again:
                asked = self.patiently(lambda: self.store.commit(live.claim, turn), live.id)
                self._later(live, self._wait_for(live, draft, turn, asked, again=True))
            else:
                if not isinstance(error, LostClaim):
                    self._again(live, draft)
                raise error
        except BaseException as raised:
            self._trouble(live, raised)

    def _stored(self, live: ActiveExecution, draft: Draft, committed: CommitResult) -> None:
        """Act on what the turn asked for, now that it is stored."""
        before, live.length = live.length, live.length + len(draft.rows)
        if draft.awaits is not None:
            live.awaits = draft.awaits
        if before < LONG_HISTORY <= live.length:
            log.warning("execution %r: the history of its run has %d rows; ContinueAs keeps it short", live.id, live.length)
        for aside in draft.aside:
            reporting.signal_set_aside(live.id, aside)
        for key in draft.drops:
            self._drop(live, key)
        if draft.status in FINAL:
            assert draft.outcome is not None
            self.leave(live)
            reporting.execution_ended(live.id, live.workflow.name, draft.status, draft.outcome)
            self.ended(live.id, draft.status, draft.outcome)
            return
        if committed.waits_for_place:  # somebody begins its bodies once it is admitted
            self.leave(live)
            return
        if committed.inbox:
            live.add_messages(committed.inbox)
        if draft.next_run is not None:
            self._continue(live, draft)
            return
        for child in draft.children:
            if not self._listing.knows(child.execution.workflow):
                self._keep(self._loop.create_task(self._listing.check(child.execution.id, child.execution.workflow)))
        beginnings.after(self, live, draft)
        if self.timers:
            self.alarm_set()

    def _drop(self, live: ActiveExecution, key: str) -> None:
        if live.waiting:
            live.waiting.pop(key, None)
        attempt = live.attempts.get(key) if live.attempts else None
        if attempt is not None:
            attempt.stop()

    def _continue(self, live: ActiveExecution, draft: Draft) -> None:
        """Go on with the next run: the same claim, another machine."""
        run = draft.next_run
        assert run is not None
        self.executor.stop_all(live)
        live.put_away()
        live.facts = live.began = live.told = live.announced = None
        live.uncertain = {}
        live.claim = attrs.evolve(live.claim, run=run.run, number=live.claim.number + 1, workflow=run.workflow, length=1)
        live.length, live.cancelling = 1, False
        workflow = self.workflows.get(run.workflow)
        if workflow is None:
            self._keep(self._loop.create_task(self._listing.check(live.id, run.workflow)))
            self.leave(live)
            self._keep(self._loop.create_task(giving_back.let_go(self, live)))
            return
        live.workflow, live.started = workflow, run.started

    # ── when it cannot go on ────────────────────────────────────────────────────────────────────
    def _again(self, live: ActiveExecution, draft: Draft, *, overdue: bool = False) -> None:
        """Put the machine away, and keep what bodies gave: it is taken up after what is in the inbox by now. *overdue*: the deadline
        has passed by the store's clock."""
        now = self.clock.now()
        kept: list[tuple[Any, Fact]] = [(now, fact) for _, fact in draft.fed]
        kept += [(now, fact) for _, fact in live.facts or ()]
        live.put_away()
        live.overdue = live.interrupt_first = live.overdue or overdue
        live.facts = kept or None
        live.started = None
        live.attributes = None

    def lose(self, live: ActiveExecution) -> None:
        """Another worker has it: stop, and write nothing."""
        reporting.lease_lost(live)
        self.executor.stop_all(live)
        self.leave(live)

    def settle(self, lost: Iterable[ActiveExecution], touched: Iterable[ActiveExecution]) -> None:
        """Lose what is not ours any more, and load again what operators touched; a turn under way is refused where it is stored."""
        for live in lost:
            if not live.driving and not live.gone:
                self.lose(live)
        for live in touched:
            if not live.driving and not live.gone:
                live.put_away()
                self.wake(live)

    def leave(self, live: ActiveExecution) -> None:
        live.gone = True
        if live.attempts:
            self.executor.stop_all(live)
        live.put_away()
        self.left(live)

    async def _park(self, live: ActiveExecution, error: BaseException) -> None:
        """Leave *live* alone until other code comes, or its time for another try."""
        parked = self.quarantine.park_for(live, error)
        self.executor.stop_all(live)
        live.gone = True
        live.put_away()
        try:
            await self.patiently(lambda: self.store.release([live.claim], parked=parked), live.id)
        except StoreError as error:
            log.error("execution %r: %s", live.id, error)
            self.doubt()  # the store may go on counting it as ours
        self.left(live)
        self.rest(live)

    async def patiently(self, call: Callable[[], Awaitable[Any]], id: str) -> Any:
        return await insist(call, id, lambda: self.draining)


def _raise(error: BaseException) -> None:
    raise error
