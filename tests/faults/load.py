"""The load that goes on while a store is ill-treated, and what must be true of it afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from redrive import AsyncDurableService, AsyncExecution
from tests.crash import fleet

LEASE = timedelta(seconds=15)
PATIENCE = 60.0


class Load:
    """*count* random programs, started one after another over *seconds*, on a worker in this process."""

    def __init__(self, count: int, seconds: float, effects: Path, seed: int = 1) -> None:
        self.programs = {f"load-{n}": fleet.Program.draw(seed * 10_000 + n) for n in range(count)}
        self.pause = seconds / count
        self.results: dict[str, str] = {}
        self.unread: Counter[str] = Counter()
        fleet.effects = effects

    @asynccontextmanager
    async def services(self, url: str) -> AsyncIterator[AsyncDurableService]:
        """A worker, and a client of its own, which the load goes through."""
        async with fleet.service(url, lease=LEASE), fleet.service(url, worker=False, lease=LEASE) as client:
            yield client

    async def run(self, client: AsyncDurableService) -> None:
        """Start everything, signal what waits for words, and wait for all results."""
        pending = []
        for id, program in self.programs.items():
            pending.append(asyncio.create_task(self._one(client, id, program)))
            await asyncio.sleep(self.pause)
        await asyncio.gather(*pending)

    async def _one(self, client: AsyncDurableService, id: str, program: fleet.Program) -> None:
        execution: AsyncExecution[str] = await client.start(fleet.program(program.moves, program.fails), id=id)
        for _ in range(program.moves.count("word")):
            await execution.signal(fleet.word, 1)  # without a key: a repeat after a broken connection must land once all the same
        self.results[id] = await execution.result(PATIENCE)
        self.unread[id] += (await execution.info()).unread

    def check(self) -> None:
        """All ended right; no signal is left over; with no process dead and no lease lost, each effect happened once."""
        assert self.results == {id: program.expected() for id, program in self.programs.items()}
        assert not +self.unread, "a signal landed twice"
        ran = Counter(tuple(line.split()[:5]) for line in fleet.effects.read_text().splitlines())
        assert [effect for effect, times in ran.items() if times > 1] == []
