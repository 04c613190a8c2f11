"""Tells which bodies hold what others wait for: threads that were not given back, and bodies that wait for one.

1.  A body that was given up has a moment to notice. If it still holds its thread (or its task) then, that is logged with
    where it stands; of one step again only when twice as many hold one.
2.  When a body has waited for a thread for `STARVED_AFTER`, that is logged once, with the steps that hold the threads, and
    once more when none waits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from redrive.counting import counted
from redrive.worker import stacks

if TYPE_CHECKING:
    from redrive.worker.attempt import Attempt
    from redrive.worker.threads import Threads

log: Final = logging.getLogger("redrive.worker")
STARVED_AFTER: Final = 2.0
"""Seconds that a body waits for a thread before that is logged."""
_NOTICE: Final = 1.0
"""Seconds that a body which was told to stop has for it before it is logged."""
_LOOK_EVERY: Final = 0.5


class Pressure:
    """Watches *threads* and the bodies that were given up. Costs nothing while nobody waits."""

    def __init__(self, threads: Threads, loop: asyncio.AbstractEventLoop) -> None:
        self._threads = threads
        self._loop = loop
        self._looking = False
        self._starved = False
        self._exhausted = False
        self._tasks: Counter[str] = Counter()
        """Async bodies that were given up and go on, by step."""
        self._told: dict[str, int] = {}
        """How many held on when that was logged last, by step."""

    def somebody_waits(self) -> None:
        """A body was handed over, and no thread is free for it."""
        if not self._looking:
            self._looking = True
            self._loop.call_later(_LOOK_EVERY, self._look)

    def given_up(self, attempt: Attempt, why: str) -> None:
        """The body of *attempt* was told to stop, and may go on for all that."""
        self._loop.call_later(_NOTICE, self._holds_on, attempt, why)

    def _look(self) -> None:
        threads = self._threads
        waiters = threads.waiters
        if not waiters:
            self._looking = False
            if self._starved:
                self._starved = False
                log.info("sync bodies have threads again: none waits")
            return
        oldest = min(waiters, key=lambda job: job.handed_over)
        waited = time.monotonic() - oldest.handed_over
        if waited >= STARVED_AFTER and not self._starved:
            self._starved = True
            running = threads.running
            stands = f"; the one that has run the longest stands at\n{stacks.of_thread(running[0].thread)}" if running else ""
            log.warning(
                "%d sync bodies wait for a thread, %s of execution %r for %.1f s: %s%s",
                len(waiters),
                oldest.name,
                oldest.what.live.id,
                waited,
                threads,
                stands,
            )
        self._loop.call_later(_LOOK_EVERY, self._look)

    def _holds_on(self, attempt: Attempt, why: str) -> None:
        name, job, task = attempt.perform.step.spec.id, attempt.job, attempt.task
        in_thread = job is not None and not job.ended
        if job is not None and not job.ended:
            count, stack = self._threads.held_by(name), stacks.of_thread(job.thread)
        elif task is not None and not task.done():
            self._tasks[name] += 1
            task.add_done_callback(lambda _: self._task_ended(name))
            count, stack = self._tasks[name], stacks.of_coroutine(attempt.coroutine)
        else:
            count, stack = 0, ""
        if not count:
            return
        if count > 1 and count < 2 * self._told.get(name, 0):
            return
        self._told[name] = count
        holds = "its thread, which is replaced" if in_thread else "its task"
        log.warning(
            "step %s, attempt %d of %s in execution %r, was given up (%s), and its body goes on in %s; such bodies of this step: %d. "
            "It stands at\n%s",
            name,
            attempt.number,
            attempt.perform.key,
            attempt.live.id,
            why,
            holds,
            count,
            stack,
        )
        self._tell_of_exhaustion()

    def _task_ended(self, name: str) -> None:
        self._tasks -= Counter((name,))

    def _tell_of_exhaustion(self) -> None:
        threads = self._threads
        exhausted = threads.forfeited >= threads.spare
        if exhausted and not self._exhausted:
            log.error(
                "bodies that were given up hold %s, and no more are replaced: their steps are begun no more "
                "until one of theirs returns (%s)",
                counted(threads.forfeited, "thread"),
                threads,
            )
        self._exhausted = exhausted
