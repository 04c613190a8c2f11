"""Where a store is tried: how to connect to one, and how to make time pass."""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, TypeVar

import attrs

from redrive.ports.finding import StoredFilter
from redrive.ports.parks import NewPark
from redrive.ports.store import Claim, NewExecution, NewMessage, Snapshot, Store
from redrive.status import ExecutionStatus

S = TypeVar("S")

LEASE: Final = timedelta(seconds=15)
SECOND: Final = timedelta(seconds=1)
DAY: Final = timedelta(days=1)


class Lab(ABC):
    """One set of data, empty at first, and a clock that the test moves; one for each test."""

    def __init__(self) -> None:
        self._opened: list[Store] = []

    @abstractmethod
    def connect(self) -> Store:
        """A store on this lab's data, not yet open; another object each time, where a store can have several."""

    @abstractmethod
    def pass_time(self, by: timedelta) -> None:
        """Move the clock of all stores of this lab; also back."""

    async def open(self) -> Store:
        store = self.connect()
        await store.open()
        self._opened.append(store)
        return store

    async def close(self) -> None:
        while self._opened:
            await self._opened.pop().close()


def in_lab(test: Callable[[S, Lab], Coroutine[Any, Any, None]]) -> Callable[[S, Lab], None]:
    """Run an async test on an event loop of its own, and close what it opened."""

    @functools.wraps(test)
    def run(self: S, lab: Lab) -> None:
        async def tried() -> None:
            try:
                await test(self, lab)
            finally:
                await lab.close()

        asyncio.run(tried())

    return run


def execution(id: str = "e-1", **changes: Any) -> NewExecution:
    """An execution of workflow ``w`` whose history begins with the row ``"started"``."""
    plain = NewExecution(id=id, workflow="w", run=f"run of {id}", input='{"order": 1}', started='"started"')
    return attrs.evolve(plain, **changes)


def signal(name: str = "approved", data: str = '"Ada"', dedup: str | None = None) -> NewMessage:
    return NewMessage(kind="signal", name=name, data=data, dedup=dedup)


def park(reason: str = "diverged", build: str = "b-1", **changes: Any) -> NewPark:
    return attrs.evolve(NewPark(build=build, kind="diverged", reason=reason), **changes)


CANCEL: Final = NewMessage(kind="cancel", data='{"reason": "no more", "by": "cancel"}')


async def claimed(store: Store, id: str = "e-1", worker: str = "ada", **changes: Any) -> Claim:
    """A new execution, claimed."""
    await store.start(execution(id, **changes))
    return await take(store, worker, id)


async def take(store: Store, worker: str = "ada", id: str = "e-1", workflow: str = "w", build: str = "b-1") -> Claim:
    """Have *worker* claim, and give back the claim of exactly one execution."""
    (claim,) = await store.claim(worker, LEASE, build, [workflow], 10)
    assert (claim.id, claim.worker) == (id, worker)
    return claim


async def nothing_for(store: Store, worker: str, workflow: str = "w", build: str = "b-1") -> bool:
    return not await store.claim(worker, LEASE, build, [workflow], 10)


async def newest(store: Store, *, workflow: str | None = None, status: ExecutionStatus | None = None, limit: int = 100) -> list[Snapshot]:
    """The newest executions of a store, of one workflow or status, from as many pages as that takes."""
    filter = StoredFilter(workflow=workflow, statuses=None if status is None else frozenset({status}))
    found: list[Snapshot] = []
    cursor: str | None = None
    while len(found) < limit:
        page = await store.find(filter, after=cursor, limit=limit - len(found))
        found += page.executions
        cursor = page.cursor
        if cursor is None:
            break
    return found
