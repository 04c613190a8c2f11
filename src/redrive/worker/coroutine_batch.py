"""Begins async bodies, those that are to begin together in one task, one after another.

The first that has to wait for something has that task to itself from then on, and the rest begin in another. So most of
what a task costs is saved where bodies are short, and none waits for another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from redrive.resumable_coroutine import ResumableCoroutine

if TYPE_CHECKING:
    from redrive.worker.attempt import Attempt
    from redrive.worker.life.active_execution import ActiveExecution

Opens: TypeAlias = "Callable[[Attempt], Coroutine[Any, Any, Any]]"
"""Gives the coroutine of an attempt; called in the attempt's context."""


class Results(Protocol):
    """Takes the results of bodies. `gave` and `raised` say whether the execution's next turn is to be computed; `turn` does it."""

    def gave(self, attempt: Attempt, value: Any) -> bool: ...
    def raised(self, attempt: Attempt, error: BaseException) -> bool: ...
    def turn(self, live: ActiveExecution) -> None: ...


class CoroutineBatch:
    """Begins bodies in copies of *context*, and gives their results to *results*."""

    def __init__(self, context: Context, results: Results) -> None:
        self._context = context
        self._results = results
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[Attempt, Opens]] = deque()
        self._abandoned = False
        """Whether a cancel ends a body without asking it."""
        self._called = False
        """Whether a task is there for what waits, or on its way: the newest."""
        self._newest: asyncio.Task[None]

    def begin(self, attempt: Attempt, opens: Opens) -> None:
        """Begin it soon, unless it is over by then."""
        self._waiting.append((attempt, opens))
        if not self._called:
            self._call()

    async def gone(self, seconds: float) -> None:
        """Wait until no body is under way, at most so long. One that goes on for longer ends with its next cancel at the latest,
        whether it hears it or not: `asyncio.run` would wait for it for ever."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        self._abandoned = True

    def _is_abandoned(self) -> bool:
        return self._abandoned

    def _call(self) -> None:
        self._called = True
        task = self._newest = self._loop.create_task(self._begin_all(), context=self._context.copy())
        self._tasks.add(task)

    async def _begin_all(self) -> None:
        """Begin what waits, up to the first that has to wait for something itself: go on with that one."""
        task = self._newest
        ended: list[ActiveExecution] = []
        try:
            while self._waiting:
                attempt, opens = self._waiting.popleft()
                if attempt.over:
                    continue
                suspended = self._begin(attempt, opens, task, ended)
                # The next body that waits in a task which a body has cancelled is cancelled: until Python 3.13 also where the body took it
                # back (`uncancel`), which `cancelling` does not tell.
                if suspended is not None or task.cancelling() or getattr(task, "_must_cancel", False):
                    self._called = False
                    if self._waiting:
                        self._call()
                    self._turn_all(ended)
                    if suspended is not None:
                        await self._go_on(attempt, suspended)
                    return
                if not self._waiting:
                    self._turn_all(ended)
                    # One round of the loop: turns that are stored at once have brought their next steps by then.
                    await asyncio.sleep(0)
        finally:
            self._turn_all(ended)
            # Not by a callback: that would be one more round of the loop for each step.
            self._tasks.discard(task)
            if self._newest is task:
                self._called = False
                if self._waiting:  # a body has cancelled this task after its own end
                    self._call()

    def _begin(self, attempt: Attempt, opens: Opens, task: asyncio.Task[None], ended: list[ActiveExecution]) -> ResumableCoroutine | None:
        """Run a body to its end, or to where it waits. What is to be driven then is added to *ended*."""
        attempt.task = task
        context = self._context.copy()  # one for each: what a body sets in its context is not there for the next
        try:
            coroutine = context.run(opens, attempt)
            waiting = context.run(coroutine.send, None)
        except StopIteration as end:
            drive = self._results.gave(attempt, end.value)
        except BaseException as error:
            drive = self._results.raised(attempt, error)
        else:
            attempt.coroutine = coroutine
            return ResumableCoroutine(coroutine, context, waiting, self._is_abandoned)
        if drive:
            ended.append(attempt.live)
        return None

    async def _go_on(self, attempt: Attempt, suspended: ResumableCoroutine) -> None:
        try:
            value = await suspended
        except BaseException as error:
            drive = self._results.raised(attempt, error)
        else:
            drive = self._results.gave(attempt, value)
        if drive:
            self._results.turn(attempt.live)

    def _turn_all(self, ended: list[ActiveExecution]) -> None:
        """Only now: what has ended together is one turn."""
        for live in ended:
            self._results.turn(live)
        ended.clear()
