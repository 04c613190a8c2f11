"""Parks and deaths in the memory store."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from redrive.ports.parks import EVERYBODY, NewPark
from redrive.ports.workers import KnownWorker
from redrive.status import PARKED
from redrive.stores.common import log_unlisted, nobody_has
from redrive.stores.ledger.parking import Deaths, Parked, deaths_after, hurried, parked_by
from redrive.stores.memory_records import Record
from redrive.stores.times import from_us, to_us

log: Final = logging.getLogger("redrive.stores.memory")


@attrs.define
class Worker:
    """A worker that the store has heard of, first at *started*."""

    expires: datetime
    lease: timedelta
    build: str
    workflows: frozenset[str]
    started: datetime

    def known(self, id: str, now: datetime, owned: int) -> KnownWorker:
        return KnownWorker(
            id=id,
            alive=self.expires > now,
            expires_at=self.expires,
            workflows=self.workflows,
            build=self.build,
            started_at=self.started,
            heartbeat_at=self.expires - self.lease,
            executions=owned,
        )


@attrs.define
class Parks:
    """Which executions each build has parked. *workers* are all that are known, by id."""

    records: Mapping[str, Record]
    workers: Mapping[str, Worker]
    _of: dict[str, dict[str, None]] = attrs.Factory(dict[str, dict[str, None]])

    def add(self, record: Record, new: NewPark, now: datetime) -> None:
        """The owner of *record* parks it."""
        assert record.owner is not None
        number, length = record.number, len(record.runs[-1])
        deaths = record.deaths.pop(new.build, None)
        alive = {id for id, worker in self.workers.items() if worker.build == new.build}
        valid = None if deaths is None else deaths.at(number, length)
        parked = parked_by(new, record.parks.get(new.build), valid, record.owner, alive, to_us(now))
        self._park(record, new.build, parked, now)
        if (after := deaths_after(parked, number, length)) is not None:
            record.deaths[new.build] = after

    def for_want_of_code(self, records: Sequence[Record], now: datetime) -> None:
        """No live worker lists the workflows of *records*."""
        for workflow in {record.workflow: None for record in records}:
            parked = Parked(kind="unknown_workflow", reason=nobody_has(workflow), parked_us=to_us(now))
            found = [record for record in records if record.workflow == workflow]
            for record in found:
                self._park(record, EVERYBODY, parked, now)
            log_unlisted(log, workflow, len(found), [record.id for record in found[:10]])

    def _park(self, record: Record, build: str, parked: Parked, now: datetime) -> None:
        record.parks[build] = parked
        record.status = PARKED
        record.updated_at = now
        self._of.setdefault(build, {})[record.id] = None

    def end(self, record: Record, build: str) -> None:
        """*build* goes on with *record*."""
        if record.parks.pop(build, None) is not None:
            self._of[build].pop(record.id)

    def goes_on(self, record: Record, worker: str) -> None:
        """The code of *worker* fits, and so somebody has it."""
        if not record.parks:
            return
        self.end(record, EVERYBODY)
        if (known := self.workers.get(worker)) is not None:
            self.end(record, known.build)

    def end_all(self, record: Record) -> None:
        for build in tuple(record.parks):
            self.end(record, build)
        record.deaths.clear()

    def hurry(self, record: Record, now: datetime) -> None:
        """A cancel came: the code may well be good enough for that."""
        for build, parked in record.parks.items():
            record.parks[build] = hurried(parked, to_us(now))

    def claimable(self, worker: str, build: str, workflows: frozenset[str]) -> Iterator[tuple[datetime, Record]]:
        """What *worker* may retry, now or later: when, and what; the longest parked first."""
        me = self.workers.get(worker)
        started_us = 0 if me is None else to_us(me.started)
        found = [(record.parks[build].parked_us, record) for record in map(self.records.__getitem__, self._of.get(build, ()))]
        for _, record in sorted(found, key=lambda one: one[0]):
            opens_us = record.parks[build].opens_us(worker, started_us)
            if record.owner is None and record.wake_at is not None and record.workflow in workflows and opens_us != float("inf"):
                yield max(from_us(int(opens_us)), record.wake_at), record

    def ready(self, worker: str, build: str, workflows: frozenset[str], now: datetime) -> list[Record]:
        """What *worker* may retry now, the longest parked first."""
        return [record for at, record in self.claimable(worker, build, workflows) if at <= now]

    # ── deaths ──────────────────────────────────────────────────────────────────────────────────
    def died(self, record: Record, worker: str, build: str) -> None:
        record.recoveries += 1
        before = record.deaths.get(build, Deaths(number=0, length=0, count=0))
        record.deaths[build] = before.one_more(record.number, len(record.runs[-1]), worker)

    def came_back(self, worker: str) -> None:
        """*worker* was taken for dead, and is not."""
        for record in self.records.values():
            for build, deaths in record.deaths.items():
                if deaths.worker == worker and deaths.count:
                    record.deaths[build] = attrs.evolve(deaths, count=deaths.count - 1, worker=None)
