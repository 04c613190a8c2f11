"""Which executions are stuck: that go on only if somebody does something, or slower than they should, and what helps (F12).

1.  A store says which deserve a look (`KnowsSuspects`), the oldest first, and reads no more than it is told to.
2.  `diagnosis` says what is wrong with one, from its snapshot, its rows, and who works on the store: the first reason that holds.
3.  Each reason comes with since when, a sentence of what to do, and the operator's verb that does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import attrs

from redrive.attendance import unattended, workers_of
from redrive.errors import DamagedData
from redrive.patience import patiently
from redrive.ports.finding import StoredFilter
from redrive.ports.parks import EVERYBODY
from redrive.ports.store import StoreError
from redrive.ports.suspects import KnowsSuspects, Suspicion
from redrive.status import CANCELLING, COMPENSATION_FAILED, PARKED, PENDING, RUNNING, SUSPENDED
from redrive.timeline import timeline
from redrive_interpreter import kinds
from redrive_interpreter.commands.durations import duration

if TYPE_CHECKING:
    from redrive.ports.aside_values import Aside
    from redrive.ports.store import Snapshot
    from redrive.ports.workers import KnownWorker
    from redrive.service import AsyncDurableService
    from redrive.timeline import Entry
    from redrive_interpreter.commands.durations import Duration
    from redrive_interpreter.history.rows import Row

Reason: TypeAlias = Literal[
    "parked", "compensation_failed", "unserved", "worker_dead", "worker_died", "overdue", "retrying", "unread", "slow", "damaged"
]
MOST: Final = 10_000
"""Executions that are looked at."""


@attrs.frozen(kw_only=True)
class Stuck:
    """An execution that needs somebody: why (*reason*, and *detail* in words), *since* when, what to do, and the *verb* that helps.

    *verb* is a method of ``service.operator`` and a command of ``redrive``; ``worker`` is the command that runs one; empty: no verb
    helps, and the suggestion says what does.
    """

    id: str
    workflow: str
    status: str
    reason: Reason
    since: datetime
    detail: str
    suggestion: str
    verb: str = ""

    def __str__(self) -> str:
        return f"{self.id}: {self.detail}; {self.suggestion}"


@attrs.frozen(kw_only=True)
class Limits:
    """From when on something counts as stuck."""

    attempts: int
    retrying_for: timedelta
    overdue: timedelta
    silent: timedelta
    deaths: int


def diagnosis(
    snapshot: Snapshot,
    rows: Sequence[Row],
    aside: Sequence[Aside],
    workers: Sequence[KnownWorker] | None,
    now: datetime,
    limits: Limits,
) -> Stuck | None:
    """The reason why an execution is stuck; None if it is not."""

    def stuck(reason: Reason, since: datetime, detail: str, suggestion: str, verb: str = "") -> Stuck:
        named = {"id": snapshot.id, "workflow": snapshot.workflow, "status": snapshot.status}
        return Stuck(**named, reason=reason, since=since, detail=detail, suggestion=suggestion, verb=verb)

    if snapshot.status == PARKED and snapshot.parks:
        return _parked(snapshot, stuck)
    if snapshot.status == COMPENSATION_FAILED:
        since = snapshot.ended_at or snapshot.updated_at
        detail = f"an undo failed for good: {_failed_undo(rows)}" if rows else "an undo failed for good"
        return stuck(COMPENSATION_FAILED, since, detail, "mend what it needs, then have the undos tried again", "retry_rollback")
    alive = {worker.id: worker for worker in workers or () if worker.alive}
    due = snapshot.wake_at is not None and snapshot.wake_at <= now
    nobody = unattended(snapshot, workers, now)
    if nobody:
        return _unattended(snapshot, nobody, alive.values(), stuck)
    if snapshot.recoveries >= limits.deaths:
        detail = f"{snapshot.recoveries} workers in a row died while they had it, without a new row"
        return stuck(
            "worker_died", snapshot.updated_at, detail, "look into the workers' last log lines: it may kill them; it is parked before long"
        )
    late = snapshot.wake_at is not None and snapshot.wake_at < now - limits.overdue
    if late and due and snapshot.owner is None and snapshot.wake_at is not None and snapshot.status not in (RUNNING,):
        return stuck("overdue", snapshot.wake_at, "it is due, and no worker has taken it up: they are behind", "run more workers", "worker")
    line = timeline(rows)
    for entry in line.open:
        if entry.failure is not None and (entry.attempts > limits.attempts or now - entry.asked_at >= limits.retrying_for):
            return stuck("retrying", entry.asked_at, _retrying(entry), "mend what it needs, or give it a result by hand", _helps(entry))
    if aside:
        first = aside[0]
        detail = f"signal {first.name} could not be read, and was set aside: {first.error.splitlines()[0] if first.error else ''}"
        return stuck("unread", first.sent_at, detail, "send it again once code runs that can read it, or drop it", "redeliver")
    if snapshot.unread and snapshot.status == SUSPENDED:
        waits = snapshot.waits.replace("\n", ", ").replace(":", " ") or "nothing"
        detail = f"{snapshot.unread} signals came that it does not wait for; it waits for {waits}"
        return stuck("unread", snapshot.updated_at, detail, "a signal of another name may be meant: send that one", "signal")
    if snapshot.status in (RUNNING, CANCELLING) and now - snapshot.updated_at >= limits.silent:
        body = next((entry for entry in line.open if entry.kind in kinds.BODIES), None)
        what = "its body has not ended" if body is None else f"{body.key} has been running since then"
        told = "; it was asked to cancel, and its body does not hear it" if snapshot.status == CANCELLING else ""
        since = snapshot.updated_at if body is None else body.asked_at
        where = f", on worker {snapshot.owner}" if snapshot.owner else ""
        suggestion = "see where the worker's threads stand, and give the step a timeout=; to end it at once, force_fail"
        return stuck("slow", since, f"{what}{where}{told}", suggestion, "force_fail")
    return None


def _parked(snapshot: Snapshot, stuck: Callable[..., Stuck]) -> Stuck:
    park = min(snapshot.parks, key=lambda park: park.at)
    first = park.reason.splitlines()[0] if park.reason else park.kind
    if park.kind == "unknown_workflow" or park.build == EVERYBODY:
        found: Stuck = stuck(
            "unserved", park.at, f"no live worker lists workflow {snapshot.workflow!r}", "run a worker that does", "worker"
        )
        return found
    advice = {
        "diverged": ("deploy code that fits, and it goes on by itself; or have a copy run by today's code", "fork"),
        "undecodable": ("deploy types that read what is stored, and it goes on by itself", "fork"),
        "killed": ("it killed its workers: look into their last log lines; mend the code, and it is tried again", "force_fail"),
        "cut_off": ("its code loops or blocks between two commands: mend it, and it is tried again", "force_fail"),
    }
    suggestion, verb = advice.get(park.kind, ("mend what the reason says; a worker that starts later tries it again", "retry"))
    return stuck("parked", park.at, f"parked by build {park.build} ({park.kind.replace('_', ' ')}): {first}", suggestion, verb)


def _unattended(snapshot: Snapshot, why: str, alive: Iterable[KnownWorker], stuck: Callable[..., Stuck]) -> Stuck:
    since = snapshot.wake_at or snapshot.updated_at
    listed = any(snapshot.workflow in worker.workflows for worker in alive)
    if snapshot.owner is None:
        return stuck("unserved", since, why, "run a worker that lists its workflow", "worker")
    suggestion = "another worker takes over by itself" if listed else "run a worker that lists its workflow"
    return stuck("worker_dead", since, why, suggestion, "" if listed else "worker")


def _retrying(entry: Entry) -> str:
    failure = entry.failure
    assert failure is not None
    error = f"{failure.type}: {failure.message}" if failure.message else failure.type
    again = "" if entry.retry_due is None else f"; attempt {entry.attempts} is due {entry.retry_due.isoformat(timespec='seconds')}"
    return f"{entry.key} has failed {max(entry.attempts - 1, 1)} times, the last time with {error}{again}"


def _helps(entry: Entry) -> str:
    return "retry_now" if entry.retry_due is not None else "skip_step"


def _failed_undo(rows: Sequence[Row]) -> str:
    failed = [entry for entry in timeline(rows).entries if entry.kind == kinds.UNDO and entry.state == "failed"]
    if not failed or failed[0].failure is None:
        return "see its history"
    return f"{failed[0].key}: {failed[0].failure.type}: {failed[0].failure.message}"


class FindsStuck:
    """The part of an operator that finds what needs somebody: ``operator.stuck``."""

    _service: AsyncDurableService

    async def stuck(
        self,
        *,
        workflow: str | None = None,
        attempts: int = 5,
        retrying_for: Duration = timedelta(hours=1),
        overdue: Duration = timedelta(minutes=1),
        silent: Duration = timedelta(hours=1),
        deaths: int = 2,
        limit: int = 100,
    ) -> Sequence[Stuck]:
        """The executions that need somebody, the longest stuck first, at most *limit*: why, since when, and what helps.

        Parked ones, those whose undos failed, those that no live worker serves or whose worker is dead, those due longer than *overdue*
        ago, those with a step that failed more than *attempts* times or is tried again for *retrying_for*, those with signals that
        nobody waits for or could read, those of which *deaths* workers died, and those that run and wrote nothing for as long as
        *silent*. The 10,000 oldest that have not ended are looked at. Of one *workflow*, if it is given.
        """
        service = self._service
        service._check_open()
        store, knows = service.store, cast("Any", service.store)
        if not isinstance(knows, KnowsSuspects):
            raise StoreError(f"{type(store).__name__} cannot say what may be stuck")
        given = (duration(retrying_for, "retrying_for"), duration(overdue, "overdue"), duration(silent, "silent"))
        limits = Limits(attempts=attempts, retrying_for=given[0], overdue=given[1], silent=given[2], deaths=deaths)
        now, workers = await store.now(), await workers_of(store)
        suspicion = Suspicion(
            due_before=now - min(limits.overdue, timedelta(seconds=1)), silent_since=now - limits.silent, recoveries=deaths
        )
        suspects = await patiently(lambda: knows.suspects(suspicion, 0, MOST))
        undos_failed = StoredFilter(statuses=frozenset({COMPENSATION_FAILED}))
        failed = await patiently(lambda: store.find(undos_failed, limit=limit))
        aside = await patiently(lambda: store.set_aside(None, limit))
        ids = dict.fromkeys([*suspects.ids, *(one.execution for one in aside), *(one.id for one in failed.executions)])
        found: list[Stuck] = []
        for id in ids:
            if len(found) >= limit:
                break
            snapshot = await store.read(id)
            if snapshot is None or (workflow is not None and snapshot.workflow != workflow):
                continue
            one = await self._diagnosis(snapshot, [each for each in aside if each.execution == id], workers, now, limits)
            found += [] if one is None else [one]
        return sorted(found, key=lambda one: one.since)

    async def _diagnosis(
        self, snapshot: Snapshot, aside: Sequence[Aside], workers: Sequence[KnownWorker] | None, now: datetime, limits: Limits
    ) -> Stuck | None:
        try:
            rows = [] if snapshot.status in (PARKED, PENDING) else await self._service._inspection.rows(snapshot.id)
        except DamagedData as damaged:
            return Stuck(
                id=snapshot.id,
                workflow=snapshot.workflow,
                status=snapshot.status,
                reason="damaged",
                since=snapshot.updated_at,
                detail=str(damaged),
                suggestion="bring the row back from a backup, or end it by hand",
                verb="force_fail",
            )
        return diagnosis(snapshot, rows, aside, workers, now, limits)


class BlockingStuck:
    """The same part of a blocking operator."""

    _service: Any

    def stuck(self, **options: Any) -> Sequence[Stuck]:
        """The executions that need somebody, the longest stuck first: why, since when, and what helps. See `FindsStuck.stuck`."""
        found: Sequence[Stuck] = self._service._call(self._service.aio.operator.stuck(**options))
        return found
