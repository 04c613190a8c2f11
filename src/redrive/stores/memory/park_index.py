"""Parks and deaths in the memory store."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

from redrive.ports.parks import EVERYBODY, NewPark
from redrive.ports.workers import KnownWorker
from redrive.status import PARKED, PAUSED
from redrive.stores.common import log_unlisted, nobody_has
from redrive.stores.ledger.claim_rules import Claimant, take_back
from redrive.stores.ledger.parking import Parked, deaths_after, hurried, parked_by
from redrive.stores.memory.queue_tables import QueueTables
from redrive.stores.memory.record import Record
from redrive.stores.times import from_us

log: Final = logging.getLogger("redrive.stores.memory")


@attrs.define
class Worker:
    """A worker that the store has heard of, first at *started_us*."""

    expires_us: int
    lease_us: int
    build: str
    workflows: frozenset[str]
    started_us: int
    queues: frozenset[str] = frozenset()

    def known(self, id: str, now_us: int, owned: int) -> KnownWorker:
        return KnownWorker(
            id=id,
            alive=self.expires_us > now_us,
            expires_at=from_us(self.expires_us),
            workflows=self.workflows,
            build=self.build,
            started_at=from_us(self.started_us),
            heartbeat_at=from_us(self.expires_us - self.lease_us),
            executions=owned,
        )


@attrs.define
class ParkIndex:
    """Which executions each build has parked. *workers* are all that are known, by id."""

    records: Mapping[str, Record]
    workers: Mapping[str, Worker]
    queues: QueueTables | None = None
    _of: dict[str, dict[str, None]] = attrs.Factory(dict[str, dict[str, None]])

    def add(self, record: Record, new: NewPark, now_us: int) -> None:
        """The owner of *record* parks it."""
        assert record.owner is not None
        number, length = record.number, record.length
        deaths = record.deaths.pop(new.build, None)
        alive = {id for id, worker in self.workers.items() if worker.build == new.build}
        valid = None if deaths is None else deaths.at(number, length)
        parked = parked_by(new, record.parks.get(new.build), valid, record.owner, alive, now_us)
        self._park(record, new.build, parked, now_us)
        if (after := deaths_after(parked, number, length)) is not None:
            record.deaths[new.build] = after

    def for_want_of_code(self, records: Sequence[Record], now_us: int) -> None:
        """Park *records*, whose workflows no live worker lists."""
        for workflow in {record.workflow: None for record in records}:
            parked = Parked(kind="unknown_workflow", reason=nobody_has(workflow), parked_us=now_us)
            found = [record for record in records if record.workflow == workflow]
            for record in found:
                self._park(record, EVERYBODY, parked, now_us)
            log_unlisted(log, workflow, len(found), [record.id for record in found[:10]])

    def _park(self, record: Record, build: str, parked: Parked, now_us: int) -> None:
        record.parks[build] = parked
        record.status = record.status if record.status == PAUSED else PARKED
        record.updated_us = now_us
        self._of.setdefault(build, {})[record.id] = None
        if record.queued and self.queues is not None:
            self.queues.park(record.id)

    def end(self, record: Record, build: str) -> None:
        """Forget that *build* could not go on with *record*."""
        if record.parks.pop(build, None) is not None:
            self._of.get(build, {}).pop(record.id, None)

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

    def hurry(self, record: Record, now_us: int) -> None:
        """A cancel was stored: the code may well be good enough for that."""
        for build, parked in record.parks.items():
            record.parks[build] = hurried(parked, now_us)

    def parked_by(self, build: str) -> Iterator[Record]:
        return map(self.records.__getitem__, self._of.get(build, ()))

    def claimant(self, worker: str, build: str, workflows: frozenset[str], turns_only: frozenset[str]) -> Claimant:
        known = self.workers.get(worker)
        started_us = 0 if known is None else known.started_us
        return Claimant(worker=worker, build=build, workflows=workflows, started_us=started_us, turns_only=turns_only)

    def came_back(self, worker: str) -> None:
        """*worker* was taken for dead, and is not."""
        for record in self.records.values():
            for build, deaths in record.deaths.items():
                record.deaths[build] = take_back(deaths, worker)
