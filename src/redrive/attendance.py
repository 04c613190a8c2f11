"""Whether somebody works on an execution that needs it, and if not, why not: what `list`, `show` and a `TimeoutError` say."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from typing import Final

from redrive.ports.store import Snapshot, Store, StoreError
from redrive.ports.workers import KnownWorker, KnowsWorkers
from redrive.status import AT_WORK, FINAL, HELD_BACK

log: Final = logging.getLogger("redrive.service")


async def workers_of(store: Store) -> Sequence[KnownWorker] | None:
    """The workers that *store* knows; None if it cannot say."""
    return await store.workers() if isinstance(store, KnowsWorkers) else None


def unattended(snapshot: Snapshot, workers: Sequence[KnownWorker] | None, now: datetime) -> str:
    """Why nobody works on the execution of *snapshot* although it is time to; nothing where somebody does, or that is not known."""
    if workers is None or snapshot.status in FINAL | HELD_BACK:
        return ""
    due = snapshot.wake_at is not None and snapshot.wake_at <= now
    if not due and (snapshot.status not in AT_WORK or (snapshot.wake_at is not None and snapshot.owner is None)):
        return ""
    alive = {worker.id: worker for worker in workers if worker.alive}
    if snapshot.owner in alive:
        return ""
    fate = "" if snapshot.owner is None else _fate(snapshot.owner, workers, now)
    listing = [worker for worker in alive.values() if snapshot.workflow in worker.workflows]
    if listing:
        return f"{fate}; another one takes over" if fate else ""
    at_work = any(worker.workflows for worker in alive.values())
    nobody = "no worker is running"
    if at_work:
        nobody = f"no worker here lists workflow {snapshot.workflow!r}" + _meant(snapshot.workflow, alive.values())
    return f"{fate}, and {nobody}" if fate else nobody


class Listing:
    """Warns of executions that wait for a worker with their workflow, once for each workflow. *own* are those that run here."""

    def __init__(self, store: Store, own: Container[str], *, works: bool = True) -> None:
        self._store, self._own, self._works = store, own, works
        self._asked: set[str] = set()

    def knows(self, workflow: str) -> bool:
        """Whether *workflow* runs here, or was asked about before."""
        return workflow in self._own or workflow in self._asked

    async def check(self, id: str, workflow: str) -> None:
        """Log a warning if no worker that is alive lists *workflow*, which execution *id* was started as."""
        self._asked.add(workflow)
        try:
            workers = await workers_of(self._store)
        except StoreError:
            return  # the warning is a courtesy; the next call to the store raises its error
        alive = [worker for worker in workers or () if worker.alive and worker.workflows]
        if workers is None or any(workflow in worker.workflows for worker in alive) or not (alive or self._works):
            return  # a client may well start something before the first worker runs
        log.warning(
            "execution %r was started, and no worker here lists its workflow %r%s: it waits until one does (`workflows=[…]`)",
            id,
            workflow,
            _meant(workflow, alive),
            extra={"execution_id": id},
        )


def _meant(workflow: str, workers: Iterable[KnownWorker]) -> str:
    """The workflow that *workflow* may be a misspelling of, among all that *workers* list."""
    from difflib import get_close_matches

    close = get_close_matches(workflow, {name for worker in workers for name in worker.workflows}, 1, 0.8)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _fate(owner: str, workers: Sequence[KnownWorker], now: datetime) -> str:
    known = next((worker for worker in workers if worker.id == owner), None)
    if known is None:
        return f"its worker {owner} is gone"
    if known.expires_at > now:
        return f"its worker {owner} is dead"
    return f"its worker {owner} has not been heard of, and its lease ended at {known.expires_at.isoformat(timespec='seconds')}"
