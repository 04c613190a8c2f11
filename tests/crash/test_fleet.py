"""Several worker processes on one SQLite file, and what may befall them: SIGKILL at any moment, SIGSTOP for longer than a lease."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import fleet

EXECUTIONS, KILLS = 40, 10


class Fleet:
    """Worker processes on one file."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'fleet.db'}"
        self.effects = folder / "effects"
        self.workers: list[subprocess.Popen[str]] = []

    def launch(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.crash.fleet", self.url, str(self.effects)]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.workers.append(worker)
        return worker

    def working(self) -> subprocess.Popen[str]:
        worker = self.launch()
        assert worker.stdout is not None
        assert worker.stdout.readline() == "working\n"
        return worker

    def kill(self, worker: subprocess.Popen[str]) -> None:
        self.workers.remove(worker)
        with worker:
            worker.kill()

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.effects.read_text().splitlines()] if self.effects.exists() else []


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Fleet]:
    workers = Fleet(tmp_path)
    yield workers
    for worker in list(workers.workers):
        workers.kill(worker)


@pytest.mark.parametrize(("seed", "size"), [(1, 2), (2, 3)])
def test_a_fleet_whose_workers_are_killed_finishes_all_and_does_nothing_needlessly_twice(workers: Fleet, seed: int, size: int) -> None:
    """W1, W2, S1, S2, S4, C1, E10."""
    chance = random.Random(seed)
    programs = {f"e{n}": fleet.Program.draw(seed * 1000 + n) for n in range(EXECUTIONS)}

    async def live() -> dict[str, str]:
        async with fleet.service(workers.url, worker=False) as client:
            executions = []
            for _ in range(size):
                workers.working()
            for n, (id, program) in enumerate(programs.items()):
                execution = await client.start(fleet.program(program.moves, program.fails), id=id)
                executions.append(execution)
                for k in range(program.moves.count("word")):
                    assert await execution.signal(fleet.word, 1, key=f"{k}")
                if n % 4 == 3:
                    await asyncio.sleep(chance.uniform(0, 0.12))
                    workers.kill(chance.choice(workers.workers))
                    workers.working()
            return {execution.id: await execution.result(40) for execution in executions}

    results = asyncio.run(live())
    assert results == {id: program.expected() for id, program in programs.items()}
    ran = Counter((id, key, what, token, attempt) for id, key, what, token, attempt, _ in workers.lines())
    assert max(ran.values()) <= 1 + KILLS
    tokens = {(id, key): token for id, key, _, token, _, _ in workers.lines()}
    assert all(tokens[id, key] == token for id, key, _, token, _, _ in workers.lines()), "one key for each step, whoever runs it"
    assert sum(ran.values()) > len(ran), "some kill must land between an effect and its record"
    by_execution = Counter(id for id, *_ in ran.elements())
    for id, times in by_execution.items():
        once = sum(1 for other, *_ in ran if other == id)
        assert times - once <= 3 * KILLS, f"{id}: three branches at most are under way when a kill comes"


def test_a_worker_that_was_stopped_for_longer_than_its_lease_writes_nothing_and_serves_on(workers: Fleet, tmp_path: Path) -> None:
    """W1: another worker went on meanwhile; what the first one brings when it wakes is refused, and it takes up new work."""
    gate, later = tmp_path / "gate", tmp_path / "later"

    async def until_held(times: int) -> None:
        while len([line for line in workers.lines() if line[2] == "held"]) < times:
            await asyncio.sleep(0.005)

    async def live() -> None:
        async with fleet.service(workers.url, worker=False) as client:
            first = workers.working()
            execution = await client.start(fleet.holding(str(gate)), id="it")
            await until_held(1)
            first.send_signal(signal.SIGSTOP)
            second = workers.working()
            await until_held(2)
            gate.touch()
            assert await execution.result(20) == second.pid
            before = await execution.history()
            workers.kill(second)
            first.send_signal(signal.SIGCONT)
            later.touch()
            assert await (await client.start(fleet.holding(str(later)), id="later")).result(20) == first.pid
            assert await execution.history() == before
            assert (await execution.info()).result == second.pid

    asyncio.run(live())


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
