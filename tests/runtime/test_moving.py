"""Moving a store, and backing it up: nothing is lost, nothing is used twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from redrive import (
    AsyncDurableService,
    Attribute,
    Emit,
    Event,
    ExecutionFailed,
    Flow,
    Note,
    RunChild,
    SetAttribute,
    Signal,
    Sleep,
    UnusableStore,
    WaitSignal,
    step,
    workflow,
)
from redrive.moving import NotTheSame, archive_of, copy, move
from redrive.ports.archive import Archived
from redrive.ports.aside_values import HeldEvent
from redrive.ports.store import StoreError
from redrive.stores.sqlite.file_archive import SQLiteArchive
from redrive.testing.contracts.lab import newest

word = Signal("moving.word", str)
other = Signal("moving.other", str)
told = Event("moving.told", str)
state = Attribute("state", str)


@step
async def note_down(text: str) -> str:
    return text


@step
async def break_down() -> None:
    raise ValueError("it broke")


@workflow("moving.waits", signals=[word, other])
def waits(name: str) -> Flow[str]:
    yield from SetAttribute(state, "waiting")
    first = yield from note_down(name)
    yield from Emit(told, name)
    heard = yield from WaitSignal(word)
    yield from Note("heard", word=heard)
    return f"{first} heard {heard}"


@workflow("moving.sleeps")
def sleeps(seconds: float) -> Flow[str]:
    yield from Sleep(seconds)
    return "slept"


@workflow("moving.parent")
def parent() -> Flow[str]:
    return (yield from RunChild(waits("child"), id="child"))


@workflow("moving.fails")
def fails() -> Flow[None]:
    yield from break_down()


WORKFLOWS = [waits, sleeps, parent, fails]


def url(path: Path) -> str:
    return f"sqlite:///{path}"


async def fill(store: str) -> None:
    """Something of everything that can wait, and of what has ended."""
    async with AsyncDurableService(store, WORKFLOWS, build="then") as service, AsyncDurableService(store, worker=False) as stranger:
        assert not await service.store.take_events("moving.handler", told.name, service.worker_id, 10)
        for name in ("plain", "odd \ud800 name", "ünï"):
            await service.start(waits(name), id=name, timeout=timedelta(days=3))
        unread = await service.start(waits("unread"), id="unread")
        await unread.signal(other, "never waited for", key="k")
        await stranger.signal("unread", Signal("moving.word", int), 5)
        while not await service.store.set_aside("unread", 1):
            await service.store.wait_for_changes(0.01)
        await service.start(sleeps(3600 * 24 * 365), id="asleep")
        await service.start(parent(), id="parent")
        assert await service.execute(sleeps(0), id="done") == "slept"
        with pytest.raises(ExecutionFailed):
            await service.execute(fails(), id="failed")
        while {status.status for status in await newest(service.store, limit=100)} & {"pending", "running"}:
            await service.store.wait_for_changes(0.01)
        dead, waiting, *_ = await service.store.take_events("moving.handler", told.name, service.worker_id, 10)
        now = await service.store.now()
        held = HeldEvent(handler="moving.handler", event=dead, attempts=3, first_at=now, error="odd \ud800", dead=True)
        later = HeldEvent(handler="moving.handler", event=waiting, attempts=1, first_at=now, due=now, error="no")
        await service.store.hold_events(service.worker_id, [held, later])
    async with AsyncDurableService(store, WORKFLOWS, worker=False) as client:  # nobody takes it from the inbox
        await client.signal("unread", other, "nor this")


async def everything(store: str) -> dict[str, Archived]:
    archive = archive_of(store)
    try:
        await archive.begin_reading(alone=False)
        return {execution.id: execution async for page in archive.executions() for execution in page}
    finally:
        await archive.close()


async def test_what_is_moved_goes_on_where_it_was(tmp_path: Path) -> None:
    old, new = url(tmp_path / "old.db"), url(tmp_path / "new.db")
    await fill(old)
    before = await everything(old)
    moved = await move(archive_of(old), archive_of(new))
    assert (moved.executions, moved.live, moved.messages, moved.events) == (9, 7, 1, 5)
    assert await everything(new) == before
    async with AsyncDurableService(new, WORKFLOWS, build="now") as service:
        assert not await service.signal("unread", other, "again", key="k")
        assert [one.data for one in await service.store.set_aside("unread", 10)] == ["5"]
        assert [(one.attempts, one.dead) for one in await service.store.list_held(None, None, 10)] == [(3, True), (1, False)]
        for name in ("plain", "odd \ud800 name", "ünï", "unread", "child"):
            await service.signal(name, word, "go")
        assert await service.execution("odd \ud800 name", waits).result(10) == "odd \ud800 name heard go"
        assert await service.execution("parent", parent).result(10) == "child heard go"
        assert await service.execution("done", sleeps).result(10) == "slept"
        assert (await service.execution("unread", waits).info()).unread == 2
        assert await service.execution("plain").attributes() == {"state": "waiting"}


async def test_a_store_that_was_moved_away_is_refused_and_says_why(tmp_path: Path) -> None:
    old, new = url(tmp_path / "old.db"), url(tmp_path / "new.db")
    await fill(old)
    await move(archive_of(old), archive_of(new))
    with pytest.raises(UnusableStore, match="moved to another store"):
        async with AsyncDurableService(old, WORKFLOWS):
            pass
    with pytest.raises(UnusableStore, match="moved to another store"):
        await move(archive_of(old), archive_of(url(tmp_path / "third.db")))


async def test_who_had_opened_it_before_it_was_moved_away_changes_nothing_in_it(tmp_path: Path) -> None:
    old, new = url(tmp_path / "old.db"), url(tmp_path / "new.db")
    await fill(old)
    async with AsyncDurableService(old, WORKFLOWS, worker=False) as client:
        await move(archive_of(old), archive_of(new))
        with pytest.raises(UnusableStore, match="moved to another store"):
            await client.start(waits("late"), id="late")
        with pytest.raises(UnusableStore, match="moved to another store"):
            await client.signal("plain", word, "late")
        with pytest.raises(UnusableStore, match="moved to another store"):
            await client.store.claim("late", timedelta(seconds=15), "then", ["moving.waits"], 1)


async def test_a_store_with_a_worker_at_work_is_not_moved(tmp_path: Path) -> None:
    old, new = url(tmp_path / "old.db"), url(tmp_path / "new.db")
    async with AsyncDurableService(old, WORKFLOWS) as service:
        with pytest.raises(StoreError, match="stop all workers"):
            await move(archive_of(old), archive_of(new))
        assert await service.execute(sleeps(0)) == "slept"
    assert not (tmp_path / "new.db").exists()


async def test_nothing_is_moved_into_a_store_that_is_there(tmp_path: Path) -> None:
    old, new = url(tmp_path / "old.db"), url(tmp_path / "new.db")
    await fill(old)
    await fill(new)
    before = await everything(old), await everything(new)
    with pytest.raises(UnusableStore, match="there already"):
        await move(archive_of(old), archive_of(new))
    assert (await everything(old), await everything(new)) == before


async def test_a_backup_is_of_one_moment_and_workers_go_on(tmp_path: Path) -> None:
    live, backup, restored = (url(tmp_path / f"{name}.db") for name in ("live", "backup", "restored"))
    await fill(live)
    async with AsyncDurableService(live, WORKFLOWS) as service:
        before = await everything(live)
        await copy(archive_of(live), archive_of(backup))
        await service.signal("plain", word, "later")
        assert await service.execution("plain", waits).result(10) == "plain heard later"
    assert (await everything(backup)).keys() == before.keys()
    await move(archive_of(backup), archive_of(restored))
    async with AsyncDurableService(restored, WORKFLOWS) as service:
        await service.signal("plain", word, "in another life")
        assert await service.execution("plain", waits).result(10) == "plain heard in another life"


class _Forgetful(SQLiteArchive):
    """A target on a bad disk: *spoil* changes what it was given."""

    def __init__(self, path: str, **changes: Any) -> None:
        super().__init__(path)
        self._changes = changes

    async def write_executions(self, executions: Sequence[Archived]) -> None:
        await super().write_executions([attrs.evolve(one, **self._changes) if one.id == "unread" else one for one in executions])


@pytest.mark.parametrize("changes", [{"inbox": ()}, {"dedup_keys": ()}, {"unread": 7}, {"runs": ()}, {"status": "failed"}])
async def test_a_difference_is_found_and_neither_store_is_changed_for_others(tmp_path: Path, changes: dict[str, Any]) -> None:
    old = url(tmp_path / "old.db")
    await fill(old)
    before = await everything(old)
    with pytest.raises(NotTheSame, match=f"'unread' reads back with another {next(iter(changes))}"):
        await move(archive_of(old), _Forgetful(str(tmp_path / "new.db"), **changes))
    assert await everything(old) == before
    with pytest.raises(UnusableStore, match="did not finish"):
        async with AsyncDurableService(url(tmp_path / "new.db"), WORKFLOWS):
            pass


def test_a_store_in_memory_cannot_be_moved() -> None:
    with pytest.raises(ValueError, match="gone with its process"):
        archive_of("memory://")
