"""Worker processes on one store, random deaths among them, and what may not come of those."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.crash import fleet


class Fleet:
    """Worker processes on the store at *url*; their effects are lines in one file."""

    def __init__(self, url: str, effects: Path) -> None:
        self.url, self.effects = url, effects
        self.workers: list[subprocess.Popen[str]] = []

    def launch(self, code: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        """Start a worker; *code* is the folder of another release, to be run instead of this one."""
        if code is not None:
            environment["PYTHONPATH"] = os.pathsep.join(str(code / part) for part in ("src", "interpreter"))
        command = [sys.executable, "-m", "tests.crash.fleet", self.url, str(self.effects)]
        worker = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=code, env={**os.environ, **environment}
        )
        self.workers.append(worker)
        return worker

    def working(self, code: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        worker = self.launch(code, **environment)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "working\n"
        return worker

    def kill(self, worker: subprocess.Popen[str]) -> None:
        self.workers.remove(worker)
        with worker:
            worker.kill()

    def close(self) -> None:
        for worker in list(self.workers):
            self.kill(worker)

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.effects.read_text().splitlines()] if self.effects.exists() else []


async def die_at_random(workers: Fleet, programs: dict[str, fleet.Program], size: int, chance: random.Random) -> tuple[dict[str, str], int]:
    """Run *programs* on *size* workers while one after another is killed; their results, and how many were killed."""
    kills = 0
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
                kills += 1
        return {execution.id: await execution.result(60) for execution in executions}, kills


def check_effects(workers: Fleet, kills: int, *, some_hit: bool = True) -> None:
    """Each effect once, and at most once more for each kill; one idempotency key for each step, whoever ran it.

    With *some_hit* there were kills enough that one of them must have come between an effect and its record.
    """
    ran = Counter((id, key, what, token, attempt) for id, key, what, token, attempt, _ in workers.lines())
    assert max(ran.values()) <= 1 + kills
    tokens = {(id, key): token for id, key, _, token, _, _ in workers.lines()}
    assert all(tokens[id, key] == token for id, key, _, token, _, _ in workers.lines())
    assert sum(ran.values()) > len(ran) or not some_hit, "some kill must land between an effect and its record"
    for id, times in Counter(id for id, *_ in ran.elements()).items():
        once = sum(1 for other, *_ in ran if other == id)
        assert times - once <= 3 * kills, f"{id}: three branches at most are under way when a kill comes"


async def stop_one(workers: Fleet, folder: Path, leases: float) -> None:
    """Stop a worker in the middle of a step for at least so many *leases*: another one goes on, what the first one brings
    when it wakes is refused, and it takes up new work."""
    gate, later = folder / "gate", folder / "later"

    async def until_held(times: int) -> None:
        while len([line for line in workers.lines() if line[2] == "held"]) < times:
            await asyncio.sleep(0.005)

    async with fleet.service(workers.url, worker=False) as client:
        first = workers.working()
        execution = await client.start(fleet.holding(str(gate)), id="it")
        await until_held(1)
        first.send_signal(signal.SIGSTOP)
        second = workers.working()
        await asyncio.sleep(leases * fleet.LEASE.total_seconds())
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
