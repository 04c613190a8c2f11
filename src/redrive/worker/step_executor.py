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
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from redrive.step_arguments import arguments_of
from redrive.step_context import StepContext, enter
from redrive.worker import reporting
from redrive.worker.attempt import Attempt
from redrive.worker.coroutine_batch import CoroutineBatch
from redrive.worker.gc_pause import CROWD, no_collection_for_a_moment
from redrive.worker.pressure import Pressure
from redrive_interpreter import step_results
from redrive_interpreter.commands.command import performing
from redrive_interpreter.errors import CodecError
from redrive_interpreter.history.rows import AttemptStarted, Fact, Retrying

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.injection import Resources
    from redrive.worker.active_execution import ActiveExecution
    from redrive.worker.clock import Clock
    from redrive.worker.threads import Job, Threads
    from redrive_interpreter.history.requests import RunStep

_CO_COROUTINE: Final = inspect.CO_COROUTINE
_REMEMBERED: Final = 8
"""Attempts that ended last: one of them may have held up all others."""
_MOMENT: Final = 0.1
"""Seconds after which a loop that goes on was not about to end."""
_BRIEF: Final = 0.01
"""A heartbeat is looked at this much late, in seconds: one that comes just in time counts."""


class StepExecutor:
    """Starts bodies, and adds what comes of them to the facts of their execution.

    *wake* then has a turn made of them, soon; *drive* makes it here and now. *broken* is told what must stop the worker,
    which is *alive* unless somebody has cancelled its tasks.
    """

    def __init__(
        self,
        codec: JsonCodec,
        resources: Resources,
        threads: Threads,
        clock: Clock,
        context: Context,
        wake: Callable[[ActiveExecution], None],
        drive: Callable[[ActiveExecution], None],
        broken: Callable[[BaseException], None],
        alive: Callable[[], bool],
    ) -> None:
        self._codec = codec
        self._resources = resources
        self._threads = threads
        self._clock = clock
        self._context = context
        self._wake = wake
        self._broken = broken
        self._alive = alive
        self._loop = asyncio.get_running_loop()
        self._batch = CoroutineBatch(context, self._gave, self._raised, drive)
        self._pressure = Pressure(threads, self._loop)
        self._quiet: asyncio.Future[None] | None = None
        self.running = 0
        self.last_ended: deque[Attempt] = deque(maxlen=_REMEMBERED)
        self.in_threads: dict[str, bool] = {}
        """Whether the last body of a workflow ran in a thread."""

    def start(self, live: ActiveExecution, perform: RunStep) -> None:
        """Begin an attempt whose `Asked` is stored and whose time has come."""
        spec = perform.step.spec
        assert live.machine is not None
        assert live.machine.started is not None
        if perform.interrupted:
            now = self._clock.now()
            lost = step_results.interrupted(perform.key, perform.attempt)
            live.add_fact(now, self._failed(live, perform, lost, now, in_doubt=True))
            self._wake(live)
            return
        ends = live.machine.started.deadline
        context = StepContext(
            live.id,
            perform.run or live.machine.run,
            perform.key,
            perform.attempt,
            ends if spec.timeout is None else self._deadline(ends, spec.timeout),
            spec.key,
            None if live.told is None else live.told.get(perform.key),
        )
        attempt = Attempt(self, live, perform, context)
        self.running += 1
        if self.running >= CROWD:
            no_collection_for_a_moment()
        if live.attempts is None:
            live.attempts = {}
        live.attempts[perform.key] = attempt
        sync = not _is_async(spec.body)
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

    def stop_all(self, live: ActiveExecution) -> None:
        """Tell all bodies of *live* to stop; nothing comes of them."""
        for attempt in list((live.attempts or {}).values()):
            attempt.stop()

    def stop_waiting(self) -> None:
        """Let go of the bodies that have no thread yet: none of them begins."""
        for job in self._threads.waiters:
            attempt: Attempt = job.what
            if attempt.withhold():
                attempt.live.unbegun = True

    def given_up(self, attempt: Attempt, why: str) -> None:
        """Nobody waits for the body of *attempt* any more, wherever it is."""
        forfeits = attempt.job is not None and self._threads.give_up(attempt.job)
        if forfeits or attempt.task is not None:
            self._pressure.given_up(attempt, why)

    def starved(self, live: ActiveExecution) -> dict[str, str]:
        """Why bodies of *live* have not begun, by key."""
        attempts = cast("dict[str, Attempt]", live.attempts or {})
        return {key: self._why(job) for key, attempt in attempts.items() if (job := attempt.job) is not None and job.waits}

    def _why(self, job: Job) -> str:
        if self._threads.holds_back(job.name):
            return f"waits until one of the bodies of {job.name} that were given up returns: {self._threads}"
        return f"waits for a thread: {self._threads}"

    def ended(self, attempt: Attempt) -> None:
        """An attempt is over."""
        self.running -= 1
        self.last_ended.append(attempt)
        if not self.running and self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)

    async def quiet(self, seconds: float) -> bool:
        """Wait until no body runs, at most so long; whether that came true."""
        if self.running:
            self._quiet = self._loop.create_future()
            await asyncio.wait([self._quiet], timeout=seconds)
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
        self._watch(attempt)
        args, kwargs = arguments_of(attempt.perform, self._codec)
        body = spec.body
        if spec.injected:
            body = self._resources.acall(body, spec.injected, spec.signature, f"step {spec.id}")
        return _coroutine(body(*args, **kwargs))

    def _gave(self, attempt: Attempt, value: Any) -> bool:
        """Whether the execution is to be driven."""
        attempt.task = None  # from here on a cancel is not for this task: others may begin in it
        return attempt.end() and self._answer_with(attempt, value)

    def _raised(self, attempt: Attempt, error: BaseException) -> bool:
        task, attempt.task = attempt.task, None
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            if not attempt.over:
                # We did not tell it to stop. Where somebody ends the whole loop, it is no answer; else it is the body's own.
                self._loop.call_later(_MOMENT, self._cancelled_itself, attempt, error)
            return False
        return attempt.end() and self._answer_error(attempt, error)

    def _cancelled_itself(self, attempt: Attempt, error: BaseException) -> None:
        if self._alive() and attempt.end() and self._answer_error(attempt, error):
            self._wake(attempt.live)

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
            drive = self._answer_with(attempt, value) if error is None else self._answer_error(attempt, error)
            if drive:
                self._wake(attempt.live)
        elif isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._broken(error)

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
        if live.began is None:
            live.began = {}
        live.began[perform.key] = stored
        now = self._clock.now()
        live.add_fact(now, AttemptStarted(perform.key, perform.attempt, at=now))
        self._wake(live)

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
            attempt.live.add_fact(now, fact)
            self._wake(attempt.live)

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
        self._keep_told(attempt)
        now = self._clock.now()
        attempt.live.add_fact(now, self._failed(attempt.live, perform, error, now, in_doubt=True))
        self._wake(attempt.live)

    # ── facts ───────────────────────────────────────────────────────────────────────────────────
    def _answer_with(self, attempt: Attempt, value: Any) -> bool:
        try:
            fact = step_results.succeeded(attempt.perform, value, codec=self._codec, now=self._clock.now())
        except BaseException as error:  # a hook of the user's may raise what is no Exception
            return self._answer_error(attempt, error)
        attempt.live.add_fact(fact.at, fact)
        if fact.in_doubt:
            reporting.attempt_failed(attempt.live.id, attempt.perform, fact)
        return True

    def _answer_error(self, attempt: Attempt, error: BaseException) -> bool:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._broken(error)
            return False
        self._keep_told(attempt)
        now = self._clock.now()
        attempt.live.add_fact(now, self._failed(attempt.live, attempt.perform, error, now))
        return True

    def _failed(self, live: ActiveExecution, perform: RunStep, error: BaseException, now: datetime, *, in_doubt: bool = False) -> Fact:
        fact = step_results.failed(perform, error, run=live.claim.run, codec=self._codec, now=now, in_doubt=in_doubt)
        reporting.attempt_failed(live.id, perform, fact, error)
        return fact

    def _keep_told(self, attempt: Attempt) -> None:
        if attempt.context.told is not None:
            if attempt.live.told is None:
                attempt.live.told = {}
            attempt.live.told[attempt.perform.key] = attempt.context.told


def _coroutine(awaitable: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    return awaitable if inspect.iscoroutine(awaitable) else _awaiting(awaitable)


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _is_async(body: Callable[..., Any]) -> bool:
    code = getattr(body, "__code__", None)
    if code is not None:
        return bool(code.co_flags & _CO_COROUTINE)
    call: Any = type(body).__call__  # an object that can be called
    return inspect.iscoroutinefunction(body) or inspect.iscoroutinefunction(call)


__all__ = ["Attempt", "StepExecutor"]
