"""Group commit: what is asked for at once is written by one statement, in one transaction, with one wait for the disk.

1.  A lane takes all that waits, writes it, and takes what has come meanwhile. Nothing waits for company.
2.  What the statement leaves out takes the slow path, each in a transaction of its own, which says why.
3.  When a group fails in an unforeseen way, nothing of it is written; each then goes alone, so that none harms another.
4.  *impatient* groups do not wait for locks: one may wait for a transaction of the user's that stays open, and go alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Final, Generic, TypeVar

from psycopg.errors import LockNotAvailable

from redrive.ports.answer import Answer
from redrive.ports.store import StoreError
from redrive.stores.postgres.session import Line, Session, Sessions

A = TypeVar("A")

MOST_AT_ONCE: Final = 500
"""Others wait no longer than these take."""
MOST_CHARACTERS: Final = 4_000_000


class Job(Answer[Any], Generic[A]):
    """The answer to what was *asked*; a group has one of a *key* at most."""

    __slots__ = ("asked", "key", "size")

    def __init__(self, asked: A, key: Hashable, size: int) -> None:
        super().__init__()
        self.asked, self.key, self.size = asked, key, size

    def answer(self, result: Any) -> None:
        if isinstance(result, StoreError):
            self.refuse(result)
        elif not self.over:
            self.result = result
            self.come()

    def refuse(self, error: BaseException) -> None:
        if not self.over:
            self.error = error
            self.come()


Write = Callable[[Session, Sequence[Job[A]]], Awaitable[Sequence[Any]]]
"""Gives the answer to each job (an error is raised to who asked), None where it takes the slow path."""


class Group(Generic[A]):
    """Jobs that wait to be written by *write*, *most* at once, in up to *lanes* groups at a time."""

    def __init__(
        self,
        sessions: Sessions,
        write: Write[A],
        alone: Callable[[A], Awaitable[Any]],
        *,
        lanes: int,
        most: int = MOST_AT_ONCE,
        impatient: bool = False,
    ) -> None:
        self._sessions, self._write, self._alone, self._most = sessions, write, alone, most
        self._lines = [Line(sessions, impatient) for _ in range(lanes)]
        self._free = list(self._lines)
        self._waiting: list[Job[A]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def do(self, asked: A, key: Hashable, size: int = 0) -> Answer[Any]:
        job = Job(asked, key, size)
        self._waiting.append(job)
        if self._free:
            # Whatever else is ready on this loop runs before the task, and may bring more.
            self._spawn(self._lane(self._free.pop()))
        return job

    async def close(self) -> None:
        """Write what is asked for, then let go of the connections."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        for line in self._lines:
            await line.close()

    def refuse(self, error: StoreError) -> None:
        """Tell all who wait that it is not done."""
        for job in self._waiting:
            job.refuse(error)

    def _spawn(self, run: Any) -> None:
        task = self._loop.create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lane(self, line: Line) -> None:
        try:
            while jobs := self._take():
                await self._do(line, jobs)
        finally:
            self._free.append(line)

    def _take(self) -> list[Job[A]]:
        taken: dict[Hashable, Job[A]] = {}
        left: list[Job[A]] = []
        size = 0
        for job in self._waiting:
            if job.over:
                continue  # who asked went away
            if taken and (job.key in taken or len(taken) >= self._most or size + job.size > MOST_CHARACTERS):
                left.append(job)
            else:
                taken[job.key] = job
                size += job.size
        self._waiting = left
        return list(taken.values())

    async def _do(self, line: Line, jobs: list[Job[A]]) -> None:
        async def run() -> Sequence[Any]:
            try:
                async with line.session() as session:
                    return await self._write(session, jobs)
            except LockNotAvailable:
                return [None] * len(jobs)

        try:
            answers = await self._sessions.patiently(run)
        except StoreError as error:
            if error.retry_helps or len(jobs) == 1:
                for job in jobs:
                    job.refuse(error)
                return
            answers = [None] * len(jobs)
        except BaseException as error:
            for job in jobs:
                job.refuse(error)
            raise
        for job, answer in zip(jobs, answers, strict=True):
            if answer is None:
                self._spawn(self._by_itself(job))
            else:
                job.answer(answer)

    async def _by_itself(self, job: Job[A]) -> None:
        try:
            job.answer(await self._alone(job.asked))
        except Exception as error:
            job.refuse(error)
