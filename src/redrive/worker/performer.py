"""Runs the bodies of steps: async ones on the loop, sync ones in threads, each in a context of its own.

Async bodies that are to begin together begin in one task, one after another. The first that has to wait for something has
that task to itself from then on, and the rest begin in another: most of what a task costs is saved where bodies are short.

1.  A body gets decoded copies of its arguments, at each attempt anew (S1).
2.  What it gives or raises becomes one fact: `Answered`, or `Retrying` where its policy says so. What cannot be
    encoded is a final failure, in doubt (S7); so is a command that a body returns.
3.  An attempt that was told to stop (dropped, timed out, drained) gives no fact any more, whatever it does.
4.  `KeyboardInterrupt` and `SystemExit` stop the worker and are not recorded (S5).
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from collections import deque
from contextvars import Context
from datetime import datetime, timedelta
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive.steps import StepContext, enter
from redrive.worker.garbage import CROWD, no_collection_for_a_moment
from redrive.worker.suspended import Suspended
from redrive_interpreter.errors import CodecError, Misuse, StepInterrupted, StepTimeout
from redrive_interpreter.outcomes import Err, Failure, Ok
from redrive_interpreter.retry import after_failure
from redrive_interpreter.rows import Answered, AttemptStarted, Fact, Retrying
from redrive_interpreter.workflows import Invocation
from redrive_interpreter.yielding import Command, performing

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.injection import Resources
    from redrive.worker.clock import Clock
    from redrive.worker.live import Live
    from redrive.worker.threads import Threads
    from redrive_interpreter.requests import Perform
    from redrive_interpreter.steps import StepSpec

_CO_COROUTINE: Final = inspect.CO_COROUTINE
_BRIEF: Final = 0.01
"""A heartbeat is looked at this much late, in seconds: one that comes just in time counts."""


class Attempt:
    """One attempt of one step, from its start until its fact is delivered or nobody wants it any more."""

    __slots__ = ("_performer", "begun", "context", "live", "over", "perform", "task", "timers")

    def __init__(self, performer: Performer, live: Live, perform: Perform, context: StepContext) -> None:
        self._performer = performer
        self.live = live
        self.perform = perform
        self.context = context
        self.task: asyncio.Task[None] | None = None
        """The task of the body, while it runs: then a cancel is for it."""
        self.timers: list[asyncio.TimerHandle] = []
        self.begun: Callable[[], None] | None = None
        self.over = False

    @property
    def number(self) -> int:
        return self.perform.attempt

    def end(self) -> bool:
        """It is over: from now on it gives no fact. False if it was already."""
        if self.over:
            return False
        self.over = True
        for timer in self.timers:
            timer.cancel()
        attempts = self.live.attempts
        if attempts is not None and attempts.get(self.perform.key) is self:
            del attempts[self.perform.key]
            if not attempts:
                self.live.attempts = None
        self._performer.ended()
        return True

    def stop(self) -> None:
        """Nobody wants its result: tell the body, and do not wait for it."""
        if self.end():
            self.tell()

    def tell(self) -> None:
        self.context.cancelled = True
        if self.task is not None:
            self.task.cancel()
        if self.begun is not None:
            self.begun()


class Performer:
    """Starts bodies, and adds what comes of them to the facts of their execution.

    *wake* then has a turn made of them, soon; *drive* makes it here and now. *broken* is told what must stop the worker.
    """

    def __init__(
        self,
        codec: JsonCodec,
        resources: Resources,
        threads: Threads,
        clock: Clock,
        context: Context,
        wake: Callable[[Live], None],
        drive: Callable[[Live], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        self._codec = codec
        self._resources = resources
        self._threads = threads
        self._clock = clock
        self._context = context
        self._wake = wake
        self._drive = drive
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._beginning: deque[tuple[Attempt, Callable[[Attempt], Coroutine[Any, Any, Any]]]] = deque()
        """What a task is to begin, and how."""
        self._called = False
        """Whether a task for them is there, or on its way: the newest."""
        self._newest: asyncio.Task[None]
        self._quiet: asyncio.Future[None] | None = None
        self.running = 0

    def start(self, live: Live, perform: Perform) -> None:
        """Begin an attempt whose `Asked` is stored and whose time has come."""
        spec = perform.step.spec
        assert live.machine is not None
        assert live.machine.started is not None
        if perform.interrupted:
            now = self._clock.now()
            why = "an attempt began, and whether it took effect is not known"
            lost = StepInterrupted(perform.key, "StepInterrupted", why, "", perform.attempt)
            live.add_fact(now, self._failed(live, perform, lost, now, in_doubt=True))
            self._wake(live)
            return
        deadline = live.machine.started.deadline
        if spec.timeout is not None:
            limit = self._clock.now() + spec.timeout
            deadline = limit if deadline is None else min(deadline, limit)
        context = StepContext(
            live.id,
            live.machine.started.run,
            perform.key,
            perform.attempt,
            deadline,
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
        if _is_async(spec.body):
            if spec.at_most_once:
                self._announce(attempt, lambda: self._begin_soon(attempt, self._open))
            else:
                if spec.timeout is not None:
                    self._limit(attempt, spec.timeout)
                self._begin_soon(attempt, self._open)
        else:
            self._start_thread(attempt)

    def stop_all(self, live: Live) -> None:
        """Tell all bodies of *live* to stop; nothing comes of them."""
        for attempt in list((live.attempts or {}).values()):
            attempt.stop()

    def ended(self) -> None:
        """An attempt is over."""
        self.running -= 1
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
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    # ── async bodies ────────────────────────────────────────────────────────────────────────────
    def _begin_soon(self, attempt: Attempt, how: Callable[[Attempt], Coroutine[Any, Any, Any]]) -> None:
        self._beginning.append((attempt, how))
        if not self._called:
            self._call()

    def _call(self) -> None:
        self._called = True
        task = self._newest = self._loop.create_task(self._begin_all(), context=self._context.copy())
        self._tasks.add(task)

    async def _begin_all(self) -> None:
        """Begin what there is, up to the first that has to wait for something: go on with that one."""
        task = self._newest
        ended: list[Live] = []
        try:
            while self._beginning:
                attempt, how = self._beginning.popleft()
                if attempt.over:
                    continue
                suspended = self._begin(attempt, how, task, ended)
                if suspended is not None or task.cancelling():  # a body may have cancelled its own task, and ended
                    self._called = False
                    if self._beginning:
                        self._call()
                    self._drive_all(ended)
                    if suspended is not None:
                        await self._go_on(attempt, suspended, task)
                    return
                if not self._beginning:
                    self._drive_all(ended)
                    # One round of the loop: turns that are stored at once have begun their next steps by then.
                    await asyncio.sleep(0)
        finally:
            # Not by a callback: that would be one more round of the loop for each step.
            self._tasks.discard(task)
            if self._newest is task:
                self._called = False
                if self._beginning:  # a body has cancelled this task after its end
                    self._call()

    def _begin(
        self, attempt: Attempt, how: Callable[[Attempt], Coroutine[Any, Any, Any]], task: asyncio.Task[None], ended: list[Live]
    ) -> Suspended | None:
        """Run a body to its end, or to where it waits. What is to be driven then is added to *ended*."""
        attempt.task = task
        context = self._context.copy()  # one for each: what a body sets in its context is not there for the next
        try:
            coroutine = context.run(how, attempt)
            waiting = context.run(coroutine.send, None)
        except StopIteration as end:
            if self._gave(attempt, end.value):
                ended.append(attempt.live)
        except BaseException as error:
            if self._raised(attempt, error):
                ended.append(attempt.live)
        else:
            return Suspended(coroutine, context, waiting)
        return None

    async def _go_on(self, attempt: Attempt, suspended: Suspended, task: asyncio.Task[None]) -> None:
        try:
            value = await suspended
        except BaseException as error:
            drive = self._raised(attempt, error)
        else:
            drive = self._gave(attempt, value)
        if drive:
            self._drive(attempt.live)

    def _drive_all(self, ended: list[Live]) -> None:
        """Only now: what ended together is one turn."""
        for live in ended:
            self._drive(live)
        ended.clear()

    def _open(self, attempt: Attempt) -> Coroutine[Any, Any, Any]:
        """Call the body, in its context."""
        spec = attempt.perform.step.spec
        performing.set(attempt.perform.key)
        enter(attempt.context)
        self._watch(attempt)
        args, kwargs = self._codec.load_call(spec.signature, attempt.perform.input, spec.id)
        body = spec.body
        if spec.injected:
            body = self._resources.acall(body, spec.injected, spec.signature, f"step {spec.id}")
        return _coroutine(body(*args, **kwargs))

    def _gave(self, attempt: Attempt, value: Any) -> bool:
        """Whether the execution is to be driven."""
        attempt.task = None  # from here on a cancel is not for this task: others begin in it
        if not attempt.end():
            return False
        self._answer_with(attempt, value)
        return True

    def _raised(self, attempt: Attempt, error: BaseException) -> bool:
        task, attempt.task = attempt.task, None
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            # We told it to stop, or somebody ends the whole loop: either way it is no answer.
            attempt.end()
            return False
        return attempt.end() and self._answer_error(attempt, error)

    # ── sync bodies ─────────────────────────────────────────────────────────────────────────────
    def _start_thread(self, attempt: Attempt) -> None:
        perform = attempt.perform
        spec = perform.step.spec
        try:
            args, kwargs = self._codec.load_call(spec.signature, perform.input, spec.id)
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
            elif spec.timeout is not None:  # from here, not from when it was put into the queue
                loop.call_soon_threadsafe(self._limit, attempt, spec.timeout)
            performing.set(perform.key)
            enter(attempt.context)
            if spec.heartbeat is not None:
                attempt.context.beat_at = time.monotonic()
                loop.call_soon_threadsafe(self._watch, attempt)
            return body(*args, **kwargs)

        self._threads.run(run, self._context.copy(), lambda value, error: self._thread_ended(attempt, value, error))

    def _thread_ended(self, attempt: Attempt, value: Any, error: BaseException | None) -> None:
        if error is None and not attempt.over and inspect.isawaitable(value):
            self._begin_soon(attempt, lambda attempt: self._reopen(attempt, value))
        elif attempt.end():
            if error is None:
                self._answer_with(attempt, value)
            elif not self._answer_error(attempt, error):
                return
            self._wake(attempt.live)
        elif isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._broken(error)

    def _reopen(self, attempt: Attempt, awaitable: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
        """The rest of a sync body that gave something to await."""
        performing.set(attempt.perform.key)
        enter(attempt.context)
        return _coroutine(awaitable)

    # ── limits ──────────────────────────────────────────────────────────────────────────────────
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
        seconds = limit.total_seconds()
        if seconds < 3e9:  # call_later takes no century
            attempt.timers.append(self._loop.call_later(seconds, self._expire, attempt, f"no result within {limit}"))

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
        cls: type[StepTimeout | StepInterrupted] = StepTimeout
        if perform.step.spec.at_most_once:
            cls, why = StepInterrupted, f"{why}; whether it took effect is not known"
        error = cls(perform.key, cls.__name__, why, "", perform.attempt)
        attempt.tell()
        self._keep_told(attempt)
        now = self._clock.now()
        attempt.live.add_fact(now, self._failed(attempt.live, perform, error, now, in_doubt=True))
        self._wake(attempt.live)

    # ── facts ───────────────────────────────────────────────────────────────────────────────────
    def _answer_with(self, attempt: Attempt, value: Any) -> None:
        perform = attempt.perform
        spec = perform.step.spec
        try:
            if isinstance(value, (Command, Invocation)):
                raise Misuse(f"the body of step {perform.key} returned {value!r}: only workflows yield commands")
            outcome: Ok[Any] | Err = Ok(self._codec.dump(value, spec.result_type, f"step {spec.id}", "result"))
        except (CodecError, Misuse) as error:
            outcome = Err(self._dumped(perform, spec, error))
        now = self._clock.now()
        attempt.live.add_fact(now, Answered(perform.key, outcome, at=now, in_doubt=type(outcome) is Err))

    def _answer_error(self, attempt: Attempt, error: BaseException) -> bool:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._broken(error)
            return False
        self._keep_told(attempt)
        now = self._clock.now()
        attempt.live.add_fact(now, self._failed(attempt.live, attempt.perform, error, now))
        return True

    def _failed(self, live: Live, perform: Perform, error: BaseException, now: datetime, *, in_doubt: bool = False) -> Fact:
        """The fact of a failed attempt: the next one's due time, or the end."""
        spec = perform.step.spec
        failure = self._dumped(perform, spec, error)
        due = None
        if not isinstance(error, (Misuse, CodecError)):
            token = spec.key or f"{live.claim.run}:{perform.key}"
            due = after_failure(spec.retry, error, attempt=perform.attempt, first_at=perform.first_at or now, now=now, token=token)
        if due is None:
            return Answered(perform.key, Err(failure), at=now, in_doubt=in_doubt)
        return Retrying(perform.key, perform.attempt, failure, due, at=now, in_doubt=in_doubt)

    def _dumped(self, perform: Perform, spec: StepSpec, error: BaseException) -> Failure:
        if isinstance(error, (StepTimeout, StepInterrupted)):
            return Failure(error.type, error.message, attempts=perform.attempt)
        return attrs.evolve(self._codec.dump_error(error, spec.raises), attempts=perform.attempt)

    def _keep_told(self, attempt: Attempt) -> None:
        if attempt.context.told is not None:
            if attempt.live.told is None:
                attempt.live.told = {}
            attempt.live.told[attempt.perform.key] = attempt.context.told


def _coroutine(awaitable: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    return awaitable if type(awaitable) is CoroutineType else _awaiting(awaitable)


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _is_async(body: Callable[..., Any]) -> bool:
    code = getattr(body, "__code__", None)
    if code is not None:
        return bool(code.co_flags & _CO_COROUTINE)
    call: Any = type(body).__call__  # an object that can be called
    return inspect.iscoroutinefunction(body) or inspect.iscoroutinefunction(call)


__all__ = ["Attempt", "Performer"]
