"""One attempt of one step, while it is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from redrive.step_context import StepContext
    from redrive.worker.active_execution import ActiveExecution
    from redrive.worker.step_executor import StepExecutor
    from redrive.worker.threads import Job
    from redrive_interpreter.history.requests import RunStep


class Attempt:
    """From its start until its fact is delivered or nobody wants it any more."""

    __slots__ = (
        "_executor", "_unentered", "begun", "context", "coroutine", "job", "live", "over", "perform", "task", "timers", "waits",
        "waits_since",
    )  # fmt: skip

    def __init__(self, executor: StepExecutor, live: ActiveExecution, perform: RunStep, context: StepContext) -> None:
        self._executor = executor
        self.live = live
        self.perform = perform
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
        self._unentered = [None]

    def enter(self) -> bool:
        """The body is about to be called: False if it must not be. Any thread may ask."""
        try:
            self._unentered.pop()  # one of two threads gets it
        except IndexError:
            return False
        return not self.over

    def seize(self) -> bool:
        """See to it that a body which has not begun never does; False if it has. Any thread may ask, and `stop` must follow."""
        try:
            self._unentered.pop()
        except IndexError:
            return False
        return True

    def withhold(self) -> bool:
        """The same on the event loop: it gives no fact either."""
        seized = self.seize()
        if seized:
            self.stop()
        return seized

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
        for timer in self.timers:
            timer.cancel()
        attempts = self.live.attempts
        if attempts is not None and attempts.get(self.perform.key) is self:
            del attempts[self.perform.key]
            if not attempts:
                self.live.attempts = None
        self._executor.ended(self)
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
