"""Thousands of results that are waited for in one client: how they are asked for, and what that holds up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from redrive.ports.ends import End
from redrive.ports.store import ChangeCounts, Snapshot
from redrive.stores.memory import MemoryStore
from redrive.waiters import Waiters
from redrive.watching import watch


class CountingStore(MemoryStore):
    """Counts what is asked; says of *over* that they have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.reads, self.asked, self.over = 0, list[Sequence[str]](), frozenset[str]()

    async def read(self, id: str) -> Snapshot | None:
        self.reads += 1
        return cast("Snapshot", self)  # it is there, and that is all that is looked at

    async def ends(self, ids: Sequence[str]) -> Sequence[End]:
        self.asked.append(ids)
        return [(id, "completed", '{"ok":1}') for id in ids if id in self.over]


async def test_all_that_is_waited_for_is_asked_for_together() -> None:
    store, waiters = CountingStore(), Waiters()
    futures = {f"e-{n}": waiters.add(f"e-{n}") for n in range(4_000)}
    store.over = frozenset({"e-0", "e-3999"})
    await waiters.look(store, but=())
    assert store.reads <= 10  # a few each time: whether they are there still
    assert len(store.asked) <= 10
    assert sorted(id for ids in store.asked for id in ids) == sorted(futures)
    assert {id for id, future in futures.items() if future.done()} == store.over
    assert futures["e-0"].result().outcome == '{"ok":1}'


async def test_who_was_told_goes_on_before_the_rest_is_looked_at() -> None:
    store, waiters = CountingStore(), Waiters()
    for n in range(4_000):
        waiters.add(f"e-{n}")
    store.over = frozenset({"last"})
    last = waiters.add("last")
    looking = asyncio.get_running_loop().create_task(waiters.look(store, but=()))
    await last
    assert len(store.asked) == 1
    await looking


async def test_what_a_worker_here_drives_is_not_asked_for() -> None:
    store, waiters = CountingStore(), Waiters()
    for id in ("mine", "other"):
        waiters.add(id)
    await waiters.look(store, but={"mine"})
    assert store.asked == [["other"]]


class Telling(MemoryStore):
    """Tells what the test tells."""

    def __init__(self) -> None:
        super().__init__()
        self.news: asyncio.Queue[ChangeCounts] = asyncio.Queue()
        self.said = ChangeCounts()

    async def wait_for_changes(self, timeout: float, since: ChangeCounts | None = None) -> ChangeCounts:
        try:
            async with asyncio.timeout(timeout):
                self.said = await self.news.get()
        except TimeoutError:
            pass
        return self.said


@pytest.mark.parametrize("kind", ["work", "events"])
async def test_news_for_others_does_not_wait_while_looks_for_ends_rest(kind: str) -> None:
    store, loop = Telling(), asyncio.get_running_loop()
    heard: dict[str, asyncio.Event] = {name: asyncio.Event() for name in ("work", "events", "ends")}

    async def ends() -> None:
        heard["ends"].set()
        await asyncio.sleep(0.3)  # thousands of them: the next look comes in twice that

    watching = loop.create_task(
        watch(store, ChangeCounts(), work=heard["work"].set, events=heard["events"].set, ends=ends, schedules=lambda: None)
    )
    store.news.put_nowait(ChangeCounts(ends=1))
    await heard["ends"].wait()
    store.news.put_nowait(ChangeCounts(ends=1, **{kind: 1}))
    begun = loop.time()
    await heard[kind].wait()
    assert loop.time() - begun < 0.6, "the look ends in 0.3 s, and its rest in 0.9"
    watching.cancel()


async def test_what_ends_while_looks_rest_is_looked_for_after_that() -> None:
    store, loop = Telling(), asyncio.get_running_loop()
    looked: asyncio.Queue[float] = asyncio.Queue()

    async def ends() -> None:
        looked.put_nowait(loop.time())
        await asyncio.sleep(0.05)

    watching = loop.create_task(watch(store, ChangeCounts(), work=lambda: None, events=lambda: None, ends=ends, schedules=lambda: None))
    store.news.put_nowait(ChangeCounts(ends=1))
    first = await looked.get()
    store.news.put_nowait(ChangeCounts(ends=2))
    assert 0.14 < await looked.get() - first < 0.9, "after its rest, and before the look that everybody takes each second"
    watching.cancel()
