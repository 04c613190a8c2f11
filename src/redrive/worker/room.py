"""How much work a worker has room for: bodies, executions in memory, and threads for sync bodies (W4).

1.  Whether an execution will want a thread is not known before its turn is computed; that its workflow does is learned from the
    bodies that it has begun so far. A workflow of which nothing is known yet counts as one that needs none.
2.  Where threads are short, the worker claims no more of such workflows than will soon have one; of the rest it takes only what
    has a turn to compute.
3.  What has waited for a thread for `PATIENCE`, and will not have one soon, is given back: it is for any worker that has room.
    If none has, it is claimed again when this one has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from redrive.counting import counted

if TYPE_CHECKING:
    from redrive.worker.life.active_execution import ActiveExecution
    from redrive.worker.step_executor import StepExecutor
    from redrive.worker.threads import Threads

log: Final = logging.getLogger("redrive.worker")
CLAIMS_AT_ONCE: Final = 100
AHEAD: Final = 0.1
"""Seconds of work for its threads that a worker claims ahead, so that none is idle between two claims."""
PATIENCE: Final = 1.0
"""Seconds that a body waits for a thread before its execution is given back."""
_LONG: Final = 1000
"""Rows from which on a history is kept here all the same: the next worker would take long to replay it."""


@attrs.frozen
class Wanted:
    """A claim to ask for: up to *limit* executions, of *turns_only* without those that only want a body run."""

    limit: int
    turns_only: tuple[str, ...] = ()


NOTHING: Final = Wanted(0)


@attrs.define(eq=False)
class Room:
    """The room of a worker that holds *lives*. *concurrency* bounds the bodies under way, *cache* the executions in memory."""

    lives: Mapping[str, ActiveExecution]
    threads: Threads
    executor: StepExecutor
    concurrency: int
    cache: int
    _arriving: set[ActiveExecution] = attrs.field(factory=set["ActiveExecution"], init=False)
    """Claimed executions of workflows that need threads, whose machine is not there yet."""

    def wanted(self) -> list[Wanted]:
        """The claims to ask for now, in this order; the second only where the first finds all that it wants."""
        most = min(CLAIMS_AT_ONCE, self.concurrency - self.executor.running, 2 * self.cache - len(self.lives))
        if most <= 0:
            return []
        sync = tuple(name for name, needs in self.executor.in_threads.items() if needs)
        room = self._for_threads() if sync else most
        if room >= most:
            return [Wanted(most)]
        rest = Wanted(most, sync)
        return [Wanted(room), rest] if room > 0 else [rest]

    def first(self) -> Wanted:
        """The first of these claims; one for nothing if there is no room."""
        return next(iter(self.wanted()), NOTHING)

    def is_for(self, workflow: str) -> bool:
        """Whether a new execution of *workflow* has room."""
        # As many as claims take on: with a cache that is full, idle ones are put away for it.
        if len(self.lives) >= 2 * self.cache or self.executor.running >= self.concurrency:
            return False
        return not self.executor.in_threads.get(workflow) or self._for_threads() > 0

    def arrives(self, live: ActiveExecution) -> None:
        """*live* was claimed, and what it wants is not known yet."""
        if self.executor.in_threads.get(live.claim.workflow):
            self._arriving.add(live)

    def surplus(self) -> list[ActiveExecution]:
        """Executions that do nothing but wait for a thread, have for too long, and will not have one soon."""
        threads = self.threads
        waiters = threads.waiters if threads.free < 0 else []
        late = time.monotonic() - PATIENCE
        kept = self._soon(PATIENCE)
        found: dict[ActiveExecution, None] = dict.fromkeys(job.what.live for job in waiters[kept:] if job.handed_over < late)
        surplus = [live for live in found if self._only_waits(live)]
        if surplus:
            log.info("given back, since other workers have a thread for them: %s (here: %s)", counted(len(surplus), "execution"), threads)
        return surplus

    def why_not(self, workflow: str) -> str:
        """Why this worker claims no execution of *workflow* that wants a body; empty if it does."""
        if self.executor.running >= self.concurrency:
            return f"waits for a worker with room: {self.executor.running} of {self.concurrency} bodies are under way in this one"
        if self.executor.in_threads.get(workflow) and self._for_threads() <= 0:
            return f"waits for a worker with a free thread: in this one, {self.threads}"
        return ""

    def _for_threads(self) -> int:
        """How many more executions would have a thread at once or soon."""
        self._arriving = {live for live in self._arriving if live.machine is None and not live.gone}
        return self.threads.free + self._soon(AHEAD) - len(self._arriving)

    def _soon(self, seconds: float) -> int:
        """How many bodies will begin within *seconds*, if they take as long as lately."""
        mean = self.threads.pace()
        return int(self.threads.limit * seconds / mean) if mean > 0 else 0

    @staticmethod
    def _only_waits(live: ActiveExecution) -> bool:
        if live.driving or live.gone or live.facts or live.inbox or live.due or live.held or live.length > _LONG:
            return False
        return all(run.body is not None and run.body.waits_for_thread for run in (live.bodies or {}).values())


__all__ = ["NOTHING", "Room", "Wanted"]
