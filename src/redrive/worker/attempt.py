"""One attempt of one step, while it is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from redrive.step_context import StepContext
    from redrive.worker.life.actions import Run
    from redrive.worker.life.active_execution import ActiveExecution
    from redrive.worker.step_executor import StepExecutor
    from redrive.worker.threads import Job


class Attempt:
    """From its start until its fact is delivered or nobody wants it any more."""

    __slots__ = (
        "_executor", "begun", "context", "coroutine", "job", "live", "over", "perform", "run", "task", "timers", "waits",
        "waits_since",
    )  # fmt: skip

    def __init__(self, executor: StepExecutor, live: ActiveExecution, run: Run, context: StepContext) -> None:
        self._executor = executor
        self.live = live
        self.run = run
        self.perform = run.perform
        self.context = context
        self.task: asyncio.Task[None] | None = None
        """The task of the body, while it runs: then a cancel is for it."""
        self.coroutine: Coroutine[Any, Any, Any] | None = None
        """That of an async body which has waited for something."""
        self.timers: list[asyncio.TimerHandle] = []
        self.job: Job | None = None
        """The sync body, once it was handed over to the threads."""
        self.waits = 0
        """How often the step's timeout has passed while the body waited for a thread."""
        self.waits_since = 0
        """How many bodies had begun in threads when that wait was looked at last."""
        self.begun: Callable[[], None] | None = None
        self.over = False

    def enter(self) -> bool:
        """The body is about to be called: False if it must not be. Any thread may ask."""
        return self.run.enter() and not self.over

    @property
    def waits_for_thread(self) -> bool:
        """Whether it is a sync body that no thread has taken up yet."""
        return self.job is not None and self.job.waits

    @property
    def number(self) -> int:
        return self.perform.attempt

    def end(self) -> bool:
        """It is over: from now on it gives no fact. False if it was already."""
        if self.over:
            return False
        self.over = True
        self.run.body = None  # no circle that the collector would have to find
        for timer in self.timers:
            timer.cancel()
        executor = self._executor
        executor.running -= 1
        executor.last_ended.append(self)
        if executor.nothing_runs is not None and not executor.running and not executor.nothing_runs.done():
            executor.nothing_runs.set_result(None)
        return True

    def stop(self) -> None:
        """Nobody wants its result: tell the body, and do not wait for it."""
        if self.end():
            self.tell("its result is not wanted any more")

    def tell(self, why: str) -> None:
        """Tell the body to stop, because of *why*. A thread that it holds is replaced."""
        self.context.cancelled = True
        if self.task is not None:
            self.task.cancel()
        if self.begun is not None:
            self.begun()
        self._executor.given_up(self, why)
