"""Retention: what has ended goes once it was kept for long enough (F10), a little at a time, beside the worker's other work.

1.  A worker that was told how long to keep things states it in the store, before it claims anything, and again with each pass.
2.  It forgets executions of the workflows that it lists, by the longest time that a live worker which lists them states.
3.  After each batch it rests four times as long as that took: a fifth of the store's time is the most that this costs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from redrive.patience import patiently
from redrive.ports.purging import Retention
from redrive.ports.rewrites import NewAudit
from redrive.ports.store import StoreError
from redrive.purge_batches import Batches, ended, ended_runs, purging
from redrive.retention import cutoffs, latest, may_go, runs_may_go

if TYPE_CHECKING:
    from redrive.ports.purging import Purges

log: Final = logging.getLogger("redrive.worker")
EVERY: Final = 60.0
"""Seconds between two passes, at most; with a short retention they come more often."""
OFTEN: Final = 1.0
REST: Final = 4.0
_SELDOM: Final = 10.0
"""No pass begins before so many times as long have gone by as the one before took: what is kept is looked through each time."""


class Retainer:
    """Keeps what has ended for as long as *keep* says, by status, and no longer. *workflows* are those that *worker* lists."""

    def __init__(self, store: Any, worker: str, workflows: Iterable[str], keep: Mapping[str, timedelta]) -> None:
        self._store: Purges = purging(store)
        self._worker = worker
        self._stated = Retention(frozenset(workflows), keep)
        self._batches = Batches(self._store, NewAudit(verb="purge", by="retention", reason="retention"), REST)
        shortest = min((kept.total_seconds() for kept in keep.values()), default=EVERY)
        self._every = min(EVERY, max(OFTEN, shortest / 10))

    async def state(self) -> None:
        await patiently(lambda: self._store.state_retention(self._worker, self._stated))

    async def run(self) -> None:
        """Forget what may go, for ever."""
        took = 0.0
        while True:
            await asyncio.sleep(max(self._every, took * _SELDOM))
            began = time.monotonic()
            try:
                await self.forget()
            except StoreError as error:
                log.warning("worker %s: retention: %s", self._worker, error)
            except Exception:  # a fault of the store's or of ours: the next pass may do better
                log.exception("worker %s: retention failed, and goes on", self._worker)
            took = time.monotonic() - began

    async def forget(self) -> None:
        """One pass over all that may go."""
        await self.state()
        store: Any = self._store
        ends = cutoffs(await self._store.retentions(), self._stated.workflows, await store.now())
        last = latest(ends)
        if last is None:
            return
        executions = runs = 0
        async for page in ended(self._store, last):
            chosen = [one for one in page if may_go(ends, one)]
            async for found in self._batches.executions(chosen):
                executions += found
            await asyncio.sleep(0)
        async for several in ended_runs(self._store, last):
            async for found in self._batches.runs([one for one in several if runs_may_go(ends, one)]):
                runs += found
        await self._batches.collect()
        if executions or runs:
            log.info("worker %s: retention: %d executions and %d earlier runs of others are purged", self._worker, executions, runs)


async def retain(store: Any, worker: str, workflows: Iterable[str], keep: Mapping[str, timedelta] | None) -> list[asyncio.Task[None]]:
    """Have *worker* keep what has ended for as long as *keep* says, if it says so: stated when this returns, then in a task."""
    if keep is None:
        return []
    retainer = Retainer(store, worker, workflows, keep)
    await retainer.state()
    return [asyncio.get_running_loop().create_task(retainer.run())]
