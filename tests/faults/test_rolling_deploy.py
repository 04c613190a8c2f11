"""A rolling deploy: workers of the previous release and of this one on one store, under load."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import fleet
from tests.crash.workers import Fleet
from tests.faults.server import victim

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

PREVIOUS = "caf9581"
"""The commit that stands for the previous release: the first whose PostgreSQL store passed its contract. A release moves it on."""
ROOT = Path(__file__).parents[2]
SECONDS = 60


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The code of the previous release, in a folder of its own."""
    folder = tmp_path / "previous"
    folder.mkdir()
    archive = subprocess.run(["git", "archive", PREVIOUS, "src", "interpreter", "tests"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"commit {PREVIOUS} is not in this checkout: {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Fleet]:
    with victim() as server:
        workers = Fleet(server.url(), tmp_path / "effects")
        yield workers
        workers.close()


def test_workers_of_the_previous_release_and_of_this_one_share_a_store_for_a_minute(workers: Fleet, previous: Path) -> None:
    """The old ones make the schema; new ones join, old ones go, one comes back, as it is when a deploy is taken back."""
    programs: dict[str, fleet.Program] = {}
    results: dict[str, str] = {}

    def leave(worker: subprocess.Popen[str]) -> None:
        worker.terminate()
        workers.kill(worker)

    async def one(client: object, n: int) -> None:
        id, program = f"e{n}", fleet.Program.draw(50_000 + n)
        programs[id] = program
        execution = await client.start(fleet.program(program.moves, program.fails), id=id)  # type: ignore[attr-defined]
        for k in range(program.moves.count("word")):
            assert await execution.signal(fleet.word, 1, key=f"{k}")
        results[id] = await execution.result(60)

    async def live() -> None:
        old = [await asyncio.to_thread(workers.working, previous) for _ in range(2)]
        steps = iter(
            [
                lambda: workers.working(),
                lambda: leave(old[0]),
                lambda: workers.working(),
                lambda: leave(old[1]),
                lambda: workers.working(previous),
            ]
        )
        async with fleet.service(workers.url, worker=False) as client:
            running: list[asyncio.Task[None]] = []
            begun, n, next_step = time.monotonic(), 0, SECONDS / 6
            while (passed := time.monotonic() - begun) < SECONDS:
                running.append(asyncio.create_task(one(client, n)))
                n += 1
                if passed > next_step:
                    next_step += SECONDS / 6
                    await asyncio.to_thread(next(steps, lambda: None))
                await asyncio.sleep(0.1)
            await asyncio.gather(*running)

    asyncio.run(live())
    assert len(results) > SECONDS * 5
    assert results == {id: program.expected() for id, program in programs.items()}
    pids = {line[5] for line in workers.lines()}
    assert len(pids) == 5, "workers of both releases must have run steps"
    ran = Counter(tuple(line[:5]) for line in workers.lines())
    assert sum(times - 1 for times in ran.values()) <= 2 * 3 * 8, "only what ran when a worker was killed may have run again"
