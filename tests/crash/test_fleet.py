"""Several worker processes on one SQLite file, and what may befall them: SIGKILL at any moment, SIGSTOP for longer than a lease."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import fleet
from tests.crash.workers import Fleet, check_effects, die_at_random, stop_one

EXECUTIONS = 40


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Fleet]:
    workers = Fleet(f"sqlite:///{tmp_path / 'fleet.db'}", tmp_path / "effects")
    yield workers
    workers.close()


@pytest.mark.parametrize(("seed", "size"), [(1, 2), (2, 3)])
def test_a_fleet_whose_workers_are_killed_finishes_all_and_does_nothing_needlessly_twice(workers: Fleet, seed: int, size: int) -> None:
    """W1, W2, S1, S2, S4, C1, E10."""
    programs = {f"e{n}": fleet.Program.draw(seed * 1000 + n) for n in range(EXECUTIONS)}
    results, kills = asyncio.run(die_at_random(workers, programs, size, random.Random(seed)))
    assert results == {id: program.expected() for id, program in programs.items()}
    assert kills == EXECUTIONS // 4
    check_effects(workers, kills)


def test_a_worker_that_was_stopped_for_longer_than_its_lease_writes_nothing_and_serves_on(workers: Fleet, tmp_path: Path) -> None:
    """W1: another worker went on meanwhile; what the first one brings when it wakes is refused, and it takes up new work."""
    asyncio.run(stop_one(workers, tmp_path, leases=1))


def test_a_worker_keeps_what_it_works_on_however_long_that_takes(workers: Fleet, tmp_path: Path) -> None:
    """W2: a body that runs for several leases is not run a second time by others."""
    gate = tmp_path / "gate"

    async def live() -> None:
        async with fleet.service(workers.url, worker=False) as client:
            first = workers.working()
            execution = await client.start(fleet.holding(str(gate)), id="it")
            while not workers.lines():
                await asyncio.sleep(0.005)
            workers.working()
            until = time.monotonic() + 3 * fleet.LEASE.total_seconds()
            while time.monotonic() < until:
                with contextlib.suppress(TimeoutError):
                    await execution.result(0.2)
            gate.touch()
            assert await execution.result(20) == first.pid
            assert len(workers.lines()) == 1

    asyncio.run(live())
