"""Moving up to PostgreSQL, and back: nothing is lost, nothing is used twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from redrive import AsyncDurableService, Attribute, UnusableStore
from redrive.moving import NotTheSame, archive_of, copy, move
from redrive.ports.store import StoreError
from redrive.stores.postgres.schema_archive import PostgresArchive
from redrive.testing.contracts.lab import newest
from tests.postgres.server import Server
from tests.runtime.test_moving import WORKFLOWS, everything, fill, parent, sleeps, told, waits, word
from tests.runtime.test_moving import url as sqlite


@pytest.fixture
def target(postgres: Server, schema: str) -> str:
    return postgres.url(schema=schema)


async def test_what_is_moved_up_goes_on_where_it_was(tmp_path: Path, target: str) -> None:
    await fill(sqlite(tmp_path / "old.db"))
    before = await everything(sqlite(tmp_path / "old.db"))
    moved = await move(archive_of(sqlite(tmp_path / "old.db")), archive_of(target))
    assert (moved.executions, moved.live, moved.messages, moved.events) == (9, 7, 1, 5)
    assert await everything(target) == before
    async with AsyncDurableService(target, WORKFLOWS, build="now") as service:
        for name in ("plain", "odd \ud800 name", "ünï", "unread", "child"):
            await service.signal(name, word, "go")
        assert await service.execution("odd \ud800 name", waits).result(10) == "odd \ud800 name heard go"
        assert await service.execution("parent", parent).result(10) == "child heard go"
        assert await service.execution("done", sleeps).result(10) == "slept"
        assert (await service.execution("unread", waits).info()).unread == 2
        assert await service.execute(sleeps(0), id="new") == "slept"
        assert [one.id for one in await newest(service.store, limit=1)] == ["new"]


async def test_there_and_back_again_is_the_same(tmp_path: Path, target: str) -> None:
    await fill(sqlite(tmp_path / "old.db"))
    before = await everything(sqlite(tmp_path / "old.db"))
    await move(archive_of(sqlite(tmp_path / "old.db")), archive_of(target))
    with pytest.raises(UnusableStore, match="moved to another store"):
        await everything(sqlite(tmp_path / "old.db"))
    await move(archive_of(target), archive_of(sqlite(tmp_path / "back.db")))
    with pytest.raises(UnusableStore, match="moved to another store"):
        async with AsyncDurableService(target, WORKFLOWS):
            pass
    assert await everything(sqlite(tmp_path / "back.db")) == before


async def test_what_is_moved_is_found_by_what_it_was(tmp_path: Path, target: str) -> None:
    """A1: attributes, waits and families come along, there and back."""
    old, back, mark = sqlite(tmp_path / "old.db"), sqlite(tmp_path / "back.db"), Attribute("mark", str)
    await fill(old)
    async with AsyncDurableService(old, WORKFLOWS) as service:
        await service.start(waits("marked"), id="marked", attributes=[mark.is_("odd \ud800\0 state")])
        while not (await service.count(id_prefix="marked", waiting_on=word)).n:
            await asyncio.sleep(0.01)

    async def found(store: str) -> list[list[str]]:
        async with AsyncDurableService(store, worker=False) as service:
            asked = [
                service.find(attributes=[mark.is_("odd \ud800\0 state")]),
                service.find(waiting_on=word),
                service.find(waiting_on="timer"),
                service.find(root="parent"),
                service.find(ended_after=datetime(2020, 1, 1, tzinfo=UTC)),
            ]
            return [[one.id async for one in each] for each in asked]

    before = await found(old)
    assert before[0] == ["marked"]
    assert all(before)
    await move(archive_of(old), archive_of(target))
    assert await found(target) == before
    await move(archive_of(target), archive_of(back))
    assert await found(back) == before


async def test_a_handler_hears_what_is_emitted_after_the_move_and_nothing_twice(tmp_path: Path, target: str) -> None:
    old, heard = sqlite(tmp_path / "old.db"), list[str]()

    async def listen(store: str, *names: str) -> None:
        service = AsyncDurableService(store, WORKFLOWS)
        service.on(told, name="listener")(heard.append)
        async with service:
            for name in names:
                await service.start(waits(name), id=name)
            while len(heard) < int(names[-1]):
                await service.store.wait_for_changes(0.01)

    await listen(old, "1", "2")
    await move(archive_of(old), archive_of(target))
    await listen(target, "3", "4")
    assert heard == ["1", "2", "3", "4"]


async def test_who_had_opened_it_before_it_was_moved_away_changes_nothing_in_it(tmp_path: Path, target: str) -> None:
    await fill(target)
    async with AsyncDurableService(target, WORKFLOWS, worker=False) as client:
        await move(archive_of(target), archive_of(sqlite(tmp_path / "new.db")))
        with pytest.raises(UnusableStore, match="moved to another store"):
            await client.start(waits("late"), id="late")
        with pytest.raises(UnusableStore, match="moved to another store"):
            await client.signal("plain", word, "late")
        with pytest.raises(UnusableStore, match="moved to another store"):
            await client.store.claim("late", timedelta(seconds=15), "then", ["moving.waits"], 1)


async def test_a_worker_that_begins_while_it_is_being_moved_away_gets_nothing(tmp_path: Path, target: str) -> None:
    await fill(target)
    begun = list[asyncio.Task[None]]()

    async def begin() -> None:
        async with AsyncDurableService(target, WORKFLOWS, build="late"):
            pass

    class Slow(PostgresArchive):
        async def seal(self) -> None:
            begun.append(asyncio.create_task(begin()))
            await asyncio.wait(begun, timeout=0.5)
            await super().seal()

    await move(Slow(target), archive_of(sqlite(tmp_path / "new.db")))
    with pytest.raises(UnusableStore, match="moved to another store"):
        await begun[0]


async def test_no_worker_gets_at_what_is_not_all_there(tmp_path: Path, target: str) -> None:
    old = sqlite(tmp_path / "old.db")
    await fill(old)
    async with AsyncDurableService(target, WORKFLOWS):
        with pytest.raises(StoreError, match="stop all workers"):
            await move(archive_of(old), archive_of(target))

    class Slow(PostgresArchive):
        async def begin_writing(self) -> None:
            await super().begin_writing()
            with pytest.raises(UnusableStore, match="being filled"):  # opened a moment earlier
                await client.store.claim("early", timedelta(seconds=15), "then", ["moving.waits"], 1)

    async with AsyncDurableService(target, WORKFLOWS, worker=False) as client:
        await move(archive_of(old), Slow(target))
        assert await client.store.claim("later", timedelta(seconds=15), "now", ["moving.waits"], 1)


async def test_a_store_with_a_worker_at_work_is_not_moved_and_can_be_backed_up(tmp_path: Path, target: str) -> None:
    await fill(target)
    async with AsyncDurableService(target, WORKFLOWS) as service:
        with pytest.raises(StoreError, match="stop all workers"):
            await move(archive_of(target), archive_of(sqlite(tmp_path / "new.db")))
        before = await everything(target)
        await copy(archive_of(target), archive_of(sqlite(tmp_path / "backup.db")))
        assert await service.execute(sleeps(0), id="meanwhile") == "slept"
    assert (await everything(sqlite(tmp_path / "backup.db"))).keys() == before.keys()


async def test_nothing_is_moved_into_a_schema_that_is_used(tmp_path: Path, target: str) -> None:
    await fill(target)
    await fill(sqlite(tmp_path / "old.db"))
    before = await everything(target)
    with pytest.raises(UnusableStore, match="already"):
        await move(archive_of(sqlite(tmp_path / "old.db")), archive_of(target))
    assert await everything(target) == before
    async with AsyncDurableService(sqlite(tmp_path / "old.db"), WORKFLOWS) as service:
        assert await service.execution("done", sleeps).result(10) == "slept"


async def test_what_is_not_filled_to_the_end_is_refused(tmp_path: Path, target: str) -> None:
    await fill(sqlite(tmp_path / "old.db"))
    archive = archive_of(target)
    await archive.begin_writing()
    await archive.close()
    with pytest.raises(UnusableStore, match="did not finish"):
        async with AsyncDurableService(target, WORKFLOWS):
            pass
    with pytest.raises(UnusableStore, match="did not finish"):
        await move(archive_of(sqlite(tmp_path / "old.db")), archive_of(target))


async def test_a_difference_is_found(tmp_path: Path, target: str, postgres: Server, schema: str) -> None:
    await fill(sqlite(tmp_path / "old.db"))
    target_archive = archive_of(target)
    finish = target_archive.write_handlers

    async def spoil(handlers: object) -> None:
        postgres.execute(f'UPDATE "{schema}".inbox SET data = \'"another"\'')
        await finish(())

    target_archive.write_handlers = spoil  # type: ignore[method-assign,assignment]
    with pytest.raises(NotTheSame, match="'unread' reads back with another inbox"):
        await move(archive_of(sqlite(tmp_path / "old.db")), target_archive)
