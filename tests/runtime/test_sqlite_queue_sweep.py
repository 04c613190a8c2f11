"""Lanes and tickets of queues on SQLite that are not what they should be are looked at again, and mended (Q3, Q12)."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path

import attrs

from redrive.ports.store import Claim
from redrive.stores.sqlite import SQLiteStore
from redrive.testing.contracts.lab import CANCEL, LEASE
from redrive.testing.contracts.queue_lab import UNBEGUN, declare, queued
from tests.contracts.clocks import Clock

SECONDS = timedelta(seconds=2)


async def admitted(store: SQLiteStore) -> list[Claim]:
    return list(await store.claim("ada", LEASE, "b-1", ["w"], 10, room={"q": 10}))


def change(path: Path, sql: str) -> None:
    with sqlite3.connect(path) as database:
        assert database.execute(sql).rowcount == 1
    database.close()


def lanes(path: Path) -> int:
    database = sqlite3.connect(path)
    (count,) = database.execute("SELECT count(*) FROM lanes").fetchone()
    database.close()
    return int(count)


async def opened(path: Path, clock: Clock) -> SQLiteStore:
    store = SQLiteStore(str(path), clock=clock)
    await store.open()
    await admitted(store)
    await declare(store, concurrency=1)
    return store


def test_a_lane_that_says_it_is_full_while_there_is_room_is_looked_at_again(tmp_path: Path) -> None:
    """Q3: a fault there costs latency, and no place for ever."""

    async def tried() -> None:
        path, clock = tmp_path / "it.db", Clock()
        store = await opened(path, clock)
        await store.start(queued("a"))
        change(path, "UPDATE lanes SET state = 'full'")
        clock.now += SECONDS
        assert [claim.id for claim in await admitted(store)] == ["a"]
        await store.close()

    asyncio.run(tried())


def test_the_ticket_of_an_execution_that_an_older_release_ended_is_given_up(tmp_path: Path) -> None:
    """Q3."""

    async def tried() -> None:
        path, clock = tmp_path / "it.db", Clock()
        store = await opened(path, clock)
        await store.start(queued("a"))
        await store.start(queued("b"))
        assert [claim.id for claim in await admitted(store)] == ["a"]
        change(path, "UPDATE executions SET status = 'completed', owner = NULL, wake_us = NULL WHERE id = 'a'")
        assert await admitted(store) == []
        clock.now += SECONDS
        assert [claim.id for claim in await admitted(store)] == ["b"]
        await store.close()

    asyncio.run(tried())


def test_lanes_without_a_ticket_are_forgotten(tmp_path: Path) -> None:
    """Waiting costs rows, and what has waited costs none."""

    async def tried() -> None:
        path, clock = tmp_path / "it.db", Clock()
        store = await opened(path, clock)
        await store.start(queued("a", partition="p"))
        assert lanes(path) == 1
        await store.send("a", attrs.evolve(CANCEL, unbegun=UNBEGUN))
        for _ in range(2):
            clock.now += SECONDS
            await admitted(store)
        assert lanes(path) == 0
        await store.close()

    asyncio.run(tried())
