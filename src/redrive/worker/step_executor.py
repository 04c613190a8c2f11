"""Runs the bodies of steps: async ones on the loop, sync ones in threads, each in a context of its own.

1.  A body gets decoded copies of its arguments, at each attempt anew (S1).
2.  What it gives or raises becomes one fact: `Answered`, or `Retrying` where its policy says so. What cannot be
    encoded is a final failure, in doubt (S7); so is a command that a body returns.
3.  An attempt that was told to stop (dropped, timed out, drained) gives no fact any more, whatever it does. A thread that
    it holds is replaced (S6).
4.  `KeyboardInterrupt` and `SystemExit` stop the worker and are not recorded (S5).
5.  A step's timeout counts from when its body begins. While it waits for a thread the timeout counts as well, from when the
    body was due, but only as long as no other body begins either: a queue that moves costs nobody an attempt. A body that
    has waited through the timeouts of all its attempts fails with `StepTimeout`; until then none of them is used up.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from datetime import datetime, timedelta
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from redrive.step_arguments import arguments_of
from redrive.step_context import StepContext, enter
from redrive.worker import reporting
from redrive.worker.attempt import Attempt
from redrive.worker.coroutine_batch import CoroutineBatch
from redrive.worker.gc_pause import CROWD, no_collection_for_a_moment
from redrive.worker.life.events import NoThread
from redrive.worker.pressure import Pressure
from redrive_interpreter import step_results
from redrive_interpreter.commands.command import performing
from redrive_interpreter.errors import CodecError
from redrive_interpreter.history.rows import AttemptStarted, Retrying

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.injection import Resources
    from redrive.worker.clock import Clock
    from redrive.worker.life.actions import Run
    from redrive.worker.life.active_execution import ActiveExecution
    from redrive.worker.life.life import Life
    from redrive.worker.threads import Job, Threads
    from redrive_interpreter.history.requests import RunStep
    from redrive_interpreter.history.rows import Answered

_CO_COROUTINE: Final = inspect.CO_COROUTINE
_REMEMBERED: Final = 8
"""Attempts that ended last: one of them may have held up all others."""
_MOMENT: Final = 0.1
"""Seconds after which a loop that goes on was not about to end."""
_BRIEF: Final = 0.01
"""A heartbeat is looked at this much late, in seconds: one that comes just in time counts."""


class Shell(Protocol):
    """The worker's shell, as far as the executor knows it."""

    life: Life

    def tell(self, live: ActiveExecution, event: NoThread) -> None: ...
    def tell_soon(self, live: ActiveExecution, fact: Answered | Retrying | AttemptStarted) -> None: ...
    def turn(self, live: ActiveExecution) -> None: ...


class Owner(Protocol):
    """The worker, as far as the executor knows it."""

    def is_alive(self) -> bool:
        """Whether nobody has cancelled the worker's tasks but itself."""
        ...

    def broke(self, error: BaseException) -> None:
        """A body raised what must stop the worker."""
        ...


class StepExecutor:
    """Starts bodies, and tells the lives of their executions, by *shell*, what their attempts became."""

    def __init__(
        self, codec: JsonCodec, resources: Resources, threads: Threads, clock: Clock, context: Context, shell: Shell, owner: Owner
    ) -> None:
        self._codec = codec
        self._resources = resources
        self._threads = threads
        self._clock = clock
        self._context = context
        self._shell = shell
        self._receive = shell.life.receive
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self.turn = shell.turn
        self._batch = CoroutineBatch(context, self)
        self._pressure = Pressure(threads, self._loop)
        self.nothing_runs: asyncio.Future[None] | None = None
        """Done once no body runs, if that is waited for."""
        self.running = 0
        self.last_ended: deque[Attempt] = deque(maxlen=_REMEMBERED)
        self.in_threads: dict[str, bool] = {}
        """Whether the last body of a workflow ran in a thread."""

    def start(self, live: ActiveExecution, run: Run) -> None:
        """Begin an attempt whose `Asked` is stored and whose time has come."""
        perform = run.perform
        spec = perform.step.spec
        machine = live.machine
        assert machine is not None
        assert machine.started is not None
        if perform.interrupted:
            lost = step_results.interrupted(perform.key, perform.attempt)
            self._shell.tell_soon(live, self._failed(live, perform, lost, self._clock.now(), in_doubt=True))
            return
        ends = machine.started.deadline
        context = StepContext(
            live.id,
            perform.run or machine.run,
            perform.key,
            perform.attempt,
            ends if spec.timeout is None else self._deadline(ends, spec.timeout),
            spec.key,
            run.details,
        )
        attempt = run.body = Attempt(self, live, run, context)
        run.details = None
        self.running += 1
        if self.running >= CROWD:
            no_collection_for_a_moment()
        code = getattr(spec.body, "__code__", None)
        sync = not (code.co_flags & _CO_COROUTINE if code is not None else _is_async(spec.body))
        self.in_threads[live.claim.workflow] = sync
        if not sync:
            if spec.at_most_once:
                self._announce(attempt, lambda: self._batch.begin(attempt, self._open))
            else:
                if spec.timeout is not None:
                    self._limit(attempt, spec.timeout)
                self._batch.begin(attempt, self._open)
        else:
            self._start_thread(attempt, ends)

    def begun(self, run: Run) -> None:
        """That the attempt of *run* begins is stored."""
        attempt: Attempt | None = run.body
        if attempt is not None and attempt.begun is not None:
            attempt.begun()

    def stop(self, run: Run) -> None:
        """Tell the body of *run* to stop; it gives no fact any more."""
        attempt: Attempt | None = run.body
        if attempt is not None:
            attempt.stop()

    def stop_waiting(self) -> None:
        """Begin none of the bodies that have no thread yet."""
        for job in self._threads.waiters:
            attempt: Attempt = job.what
            self._shell.tell(attempt.live, NoThread(attempt.perform.key))

    def given_up(self, attempt: Attempt, why: str) -> None:
        """Nobody waits for the body of *attempt* any more, wherever it is."""
        forfeits = attempt.job is not None and self._threads.give_up(attempt.job)
        if forfeits or attempt.task is not None:
            self._pressure.given_up(attempt, why)

    def starved(self, live: ActiveExecution) -> dict[str, str]:
        """Why bodies of *live* have not begun, by key."""
        attempts: dict[str, Attempt] = {key: run.body for key, run in (live.bodies or {}).items() if run.body is not None}
        return {key: self._why(job) for key, attempt in attempts.items() if (job := attempt.job) is not None and job.waits}

    def _why(self, job: Job) -> str:
        if self._threads.holds_back(job.name):
            return f"waits until one of the bodies of {job.name} that were given up returns: {self._threads}"
        return f"waits for a thread: {self._threads}"

    async def quiet(self, seconds: float) -> bool:
        """Wait until no body runs, at most so long; whether that came true."""
        if self.running:
            self.nothing_runs = self._loop.create_future()
            await asyncio.wait([self.nothing_runs], timeout=seconds)
        return not self.running

    async def gone(self, seconds: float) -> None:
        """Wait for the tasks of async bodies, those told to stop included, at most so long."""
        await self._batch.gone(seconds)

    # ── async bodies ────────────────────────────────────────────────────────────────────────────
    def _open(self, attempt: Attempt) -> Coroutine[Any, Any, Any]:
        """Call the body, in its context."""
        attempt.enter()
        spec = attempt.perform.step.spec
        performing.set(attempt.perform.key)
        enter(attempt.context)
        if spec.heartbeat is not None:
            self._watch(attempt)
        args, kwargs = arguments_of(attempt.perform, self._codec)
        body = spec.body
        if spec.injected:
            body = self._resources.acall(body, spec.injected, spec.signature, f"step {spec.id}")
        begun: Any = body(*args, **kwargs)
        coroutine: Coroutine[Any, Any, Any] = begun if begun.__class__ is CoroutineType else _coroutine(begun)
        return coroutine

    def gave(self, attempt: Attempt, value: Any) -> bool:
        """Whether the execution is to be driven."""
        attempt.task = None  # from here on a cancel is not for this task: others may begin in it
        if not attempt.end():
            return False
        fact = self._fact_with(attempt, value)
        return fact is not None and bool(self._receive(attempt.live, fact, fact.at))

    def raised(self, attempt: Attempt, error: BaseException) -> bool:
        task, attempt.task = attempt.task, None
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            if not attempt.over:
                # We did not tell it to stop. Where somebody ends the whole loop, it is no answer; else it is the body's own.
                self._loop.call_later(_MOMENT, self._cancelled_itself, attempt, error)
            return False
        if not attempt.end():
            return False
        fact = self._fact_error(attempt, error)
        return fact is not None and bool(self._receive(attempt.live, fact, fact.at))

    def _cancelled_itself(self, attempt: Attempt, error: BaseException) -> None:
        if self._owner.is_alive() and attempt.end():
            self._answer_soon(attempt, None, error)

    # ── sync bodies ─────────────────────────────────────────────────────────────────────────────
    def _start_thread(self, attempt: Attempt, ends: datetime | None) -> None:
        perform = attempt.perform
        spec = perform.step.spec
        try:
            args, kwargs = arguments_of(perform, self._codec)
        except CodecError as error:
            self._thread_ended(attempt, None, error)
            return
        body = spec.body
        if spec.injected:
            body = self._resources.call(body, spec.injected, spec.signature, f"step {spec.id}")
        loop = self._loop

        def run() -> Any:
            if attempt.over:
                return None
            if spec.at_most_once:
                # The thread is held while the record is made: only what really begins is recorded as begun.
                began = threading.Event()
                loop.call_soon_threadsafe(self._announce, attempt, began.set)
                began.wait()
                if attempt.over:
                    return None
            elif spec.timeout is not None:
                loop.call_soon_threadsafe(self._limit, attempt, spec.timeout)
            if not attempt.enter():
                return None
            performing.set(perform.key)
            enter(attempt.context)
            if spec.timeout is not None:  # it may have waited for its thread
                attempt.context.deadline = self._deadline(ends, spec.timeout)
            if spec.heartbeat is not None:
                attempt.context.beat_at = time.monotonic()
                loop.call_soon_threadsafe(self._watch, attempt)
            return body(*args, **kwargs)

        def ended(value: Any, error: BaseException | None) -> None:
            self._thread_ended(attempt, value, error)

        attempt.job = self._threads.run(run, self._context.copy(), ended, owner=attempt.live, name=spec.id, what=attempt)
        if self._threads.free < 0 or self._threads.holds_back(spec.id):
            self._pressure.somebody_waits()
            if spec.timeout is not None:
                self._wait_at_most(attempt, spec.timeout)

    def _thread_ended(self, attempt: Attempt, value: Any, error: BaseException | None) -> None:
        if error is None and not attempt.over and inspect.isawaitable(value):
            self._batch.begin(attempt, lambda attempt: self._reopen(attempt, value))
        elif attempt.end():
            self._answer_soon(attempt, value, error)
        elif isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._owner.broke(error)

    def _reopen(self, attempt: Attempt, awaitable: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
        """The rest of a sync body that gave something to await."""
        performing.set(attempt.perform.key)
        enter(attempt.context)
        return _coroutine(awaitable)

    # ── limits ──────────────────────────────────────────────────────────────────────────────────
    def _deadline(self, ends: datetime | None, timeout: timedelta | None) -> datetime | None:
        """When an attempt that begins now must have ended; *ends* is the execution's deadline."""
        if timeout is None:
            return ends
        until = self._clock.now() + timeout
        return until if ends is None else min(until, ends)

    def _announce(self, attempt: Attempt, begun: Callable[[], object]) -> None:
        """Have it stored that the attempt begins; then call *begun* (also if nothing comes of it any more)."""
        live, perform = attempt.live, attempt.perform
        if attempt.over:
            begun()
            return

        def stored() -> None:
            attempt.begun = None
            if not attempt.over and perform.step.spec.timeout is not None:
                self._limit(attempt, perform.step.spec.timeout)
            begun()

        attempt.begun = stored
        self._shell.tell_soon(live, AttemptStarted(perform.key, perform.attempt, at=self._clock.now()))

    def _limit(self, attempt: Attempt, limit: timedelta) -> None:
        if attempt.over:
            return
        self._after(attempt, limit, self._expire, f"no result within {limit}")

    def _after(self, attempt: Attempt, wait: timedelta, call: Callable[..., None], *args: Any) -> None:
        seconds = wait.total_seconds()
        if seconds < 3e9:  # call_later takes no century
            attempt.timers.append(self._loop.call_later(seconds, call, attempt, *args))

    def _wait_at_most(self, attempt: Attempt, limit: timedelta) -> None:
        """Look after *limit* whether the body of *attempt* still waits for a thread."""
        attempt.waits_since = self._threads.begun
        self._after(attempt, limit, self._waited, limit)

    def _waited(self, attempt: Attempt, limit: timedelta) -> None:
        job, perform = attempt.job, attempt.perform
        assert job is not None
        if attempt.over or not job.waits:
            return
        held_back = self._threads.holds_back(job.name)
        if attempt.waits_since != self._threads.begun and not held_back:
            self._wait_at_most(attempt, limit)
            return
        tried = attrs.evolve(perform, attempt=perform.attempt + attempt.waits)
        why = f"no thread was free for it within {limit}: it {self._why(job)}"
        error = step_results.timed_out(perform.key, tried.attempt, why, at_most_once=False)
        now = self._clock.now()
        fact = self._failed(attempt.live, tried, error, now)
        if isinstance(fact, Retrying):
            attempt.waits += 1
            self._wait_at_most(attempt, fact.due - now + limit)
        elif attempt.end():
            attempt.tell(why)
            self._shell.tell_soon(attempt.live, fact)

    def _watch(self, attempt: Attempt) -> None:
        """Look after a body's heartbeats, if it promised any."""
        heartbeat = attempt.perform.step.spec.heartbeat
        if heartbeat is None or attempt.over:
            return
        left = attempt.context.beat_at + heartbeat.total_seconds() - time.monotonic()
        if left <= 0:
            self._expire(attempt, f"silent for more than {heartbeat}")
        else:
            attempt.timers[:] = [timer for timer in attempt.timers if timer.when() > self._loop.time()]
            attempt.timers.append(self._loop.call_later(left + _BRIEF, self._watch, attempt))

    def _expire(self, attempt: Attempt, why: str) -> None:
        if not attempt.end():
            return
        perform = attempt.perform
        error = step_results.timed_out(perform.key, perform.attempt, why, at_most_once=perform.step.spec.at_most_once)
        attempt.tell(why)
        attempt.run.details = attempt.context.told
        self._shell.tell_soon(attempt.live, self._failed(attempt.live, perform, error, self._clock.now(), in_doubt=True))

    # ── facts ───────────────────────────────────────────────────────────────────────────────────
    def _answer_soon(self, attempt: Attempt, value: Any, error: BaseException | None) -> None:
        fact = self._fact_with(attempt, value) if error is None else self._fact_error(attempt, error)
        if fact is not None:
            self._shell.tell_soon(attempt.live, fact)

    def _fact_with(self, attempt: Attempt, value: Any) -> Answered | Retrying | None:
        try:
            fact = step_results.succeeded(attempt.perform, value, codec=self._codec, now=self._clock.now())
        except BaseException as error:  # a hook of the user's may raise what is no Exception
            return self._fact_error(attempt, error)
        if fact.in_doubt:
            reporting.attempt_failed(attempt.live.id, attempt.perform, fact)
        return fact

    def _fact_error(self, attempt: Attempt, error: BaseException) -> Answered | Retrying | None:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._owner.broke(error)
            return None
        attempt.run.details = attempt.context.told
        return self._failed(attempt.live, attempt.perform, error, self._clock.now())

    def _failed(
        self, live: ActiveExecution, perform: RunStep, error: BaseException, now: datetime, *, in_doubt: bool = False
    ) -> Answered | Retrying:
        fact = step_results.failed(perform, error, run=live.claim.run, codec=self._codec, now=now, in_doubt=in_doubt)
        reporting.attempt_failed(live.id, perform, fact, error)
        return fact


def _coroutine(awaitable: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    return awaitable if inspect.iscoroutine(awaitable) else _awaiting(awaitable)


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _is_async(body: Callable[..., Any]) -> bool:
    """Whether *body*, an object that can be called, gives a coroutine."""
    call: Any = type(body).__call__
    return inspect.iscoroutinefunction(body) or inspect.iscoroutinefunction(call)


__all__ = ["Attempt", "StepExecutor"]
