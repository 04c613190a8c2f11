"""Whatever an execution, a message or a handler waits for when its store is moved, it waits for in the other one."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from redrive import (
    AsyncDurableService,
    Emit,
    Event,
    ExecutionCancelled,
    ExecutionFailed,
    Flow,
    Signal,
    Sleep,
    WaitSignal,
    step,
    workflow,
)
from redrive.moving import archive_of, move
from redrive.ports.archive import Archived, ArchivedEvent, ArchivedHandler
from redrive.ports.store import StoreError
from redrive_interpreter import Workflow
from tests.runtime.support import standing, true

word = Signal("waiting.word", str)
told = Event("waiting.told", str)
whispered = Event("waiting.whispered", str)


@step
async def note_down(text: str) -> str:
    return text


@workflow("waiting.listens", signals=[word])
def listens() -> Flow[list[str]]:
    yield from note_down("begun")
    return [(yield from WaitSignal(word)), (yield from WaitSignal(word))]


@workflow("waiting.listens")
def listens_otherwise() -> Flow[list[str]]:
    yield from note_down("begun in another way")
    return []


@workflow("waiting.hurries", signals=[word])
def hurries(seconds: float) -> Flow[str]:
    return (yield from WaitSignal(word, timeout=seconds, default="nothing"))


@workflow("waiting.tells")
def tells(text: str) -> Flow[None]:
    yield from Emit(told, text)
    yield from Emit(whispered, text)


@workflow("waiting.begins")
def begins() -> Flow[str]:
    yield from Sleep(0)
    return "begun"


WORKFLOWS = [listens, hurries, tells, begins]


@pytest.fixture
def old(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'old.db'}"


@pytest.fixture
def new(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new.db'}"


def working(store: str, code: Iterable[Workflow[..., Any]] = WORKFLOWS, *, build: str = "fits") -> AsyncDurableService:
    return AsyncDurableService(store, code, build=build)


def client(store: str) -> AsyncDurableService:
    return AsyncDurableService(store, WORKFLOWS, worker=False)


async def everything(store: str) -> tuple[list[Archived], list[ArchivedEvent], list[ArchivedHandler]]:
    archive = archive_of(store)
    try:
        await archive.begin_reading(alone=False)
        executions = [execution async for page in archive.executions() for execution in page]
        events = [event async for page in archive.events() for event in page]
        return executions, events, list(await archive.handlers())
    finally:
        await archive.close()


async def moved(old: str, new: str) -> None:
    before = await everything(old)
    await move(archive_of(old), archive_of(new))
    assert await everything(new) == before


# ── parked ──────────────────────────────────────────────────────────────────────────────────────
async def parked(store: str, **options: Any) -> None:
    """An execution that stands, and that the build "differs" cannot go on with."""
    async with working(store) as service:
        await standing(await service.start(listens(), id="it", **options), "suspended")
    async with client(store) as sender:
        await sender.signal("it", word, "first")
    async with working(store, [listens_otherwise], build="differs") as service:
        await standing(service.execution("it"), "parked")


async def test_what_was_parked_is_parked_for_the_same_builds_and_reasons(old: str, new: str) -> None:
    """D2."""
    await parked(old)
    async with client(old) as service:
        info = await service.execution("it").info()
    await moved(old, new)
    async with client(new) as service:
        there = await service.execution("it").info()
    assert (there.status, there.parked) == ("parked", info.parked)
    assert "begun in another way" in there.parked["differs"]


async def test_a_worker_of_the_build_that_parked_it_tries_once_where_it_came_to(old: str, new: str) -> None:
    """D2: each start of a worker tries once."""
    await parked(old)
    await moved(old, new)
    ((before,), *_) = await everything(new)
    async with working(new, [listens_otherwise, begins], build="differs") as service:
        while (info := await service.execution("it").info()).parks[0].tries == 1:
            await asyncio.sleep(0.01)
        assert await service.execute(begins()) == "begun"
    ((after, _), *_) = await everything(new)
    assert after.fence == before.fence + 1
    assert (info.parks[0].kind, info.parks[0].tries) == ("diverged", 2)


async def test_code_that_fits_goes_on_with_what_was_parked_and_with_its_mail(old: str, new: str) -> None:
    """D2, O2."""
    await parked(old)
    await moved(old, new)
    async with working(new) as service:
        await service.signal("it", word, "second")
        assert await service.execution("it", listens).result(10) == ["first", "second"]


async def test_a_deadline_holds_for_what_is_parked_where_it_came_to(old: str, new: str) -> None:
    """E4."""
    await parked(old, timeout=0.5)
    await moved(old, new)
    async with working(new) as service:
        with pytest.raises(ExecutionFailed, match="WorkflowTimeout"):
            await service.execution("it").result(10)


# ── mail ────────────────────────────────────────────────────────────────────────────────────────
async def test_mail_that_nobody_has_read_is_read_in_its_order(old: str, new: str) -> None:
    """O2, G1: with mail that comes after the move behind it, and a repeat known for one."""
    async with client(old) as sender:
        await sender.start(listens(), id="it")
        assert await sender.signal("it", word, "first", key="once")
    await moved(old, new)
    async with client(new) as sender:
        assert not await sender.signal("it", word, "repeated", key="once")
        assert await sender.signal("it", word, "second")
        assert await sender.signal("it", word, "third")
    async with working(new) as service:
        execution = service.execution("it", listens)
        assert await execution.result(10) == ["first", "second"]
        assert (await execution.info()).unread == 1


async def test_a_cancel_that_nobody_has_read_is_obeyed(old: str, new: str) -> None:
    """E3."""
    async with working(old) as service:
        await standing(await service.start(listens(), id="it"), "suspended")
    async with client(old) as sender:
        await sender.execution("it").cancel("enough")
    await moved(old, new)
    async with working(new) as service:
        with pytest.raises(ExecutionCancelled, match="enough"):
            await service.execution("it").result(10)


async def test_a_signal_in_time_is_in_time_however_long_the_move_takes(old: str, new: str) -> None:
    """O3: stored times decide."""
    async with working(old) as service:
        info = await standing(await service.start(hurries(0.5), id="it"), "suspended")
    async with client(old) as sender:
        await sender.signal("it", word, "in time")
    assert info.wake_at is not None
    await true(lambda: info.wake_at is not None and datetime.now(UTC) > info.wake_at)
    await moved(old, new)
    async with working(new) as service:
        assert await service.execution("it", hurries).result(10) == "in time"


# ── workers ─────────────────────────────────────────────────────────────────────────────────────
async def test_what_a_worker_held_that_died_goes_on(old: str, new: str) -> None:
    """W2: once its lease has passed; until then the store is not moved."""
    async with client(old) as service:
        await service.start(begins(), id="it")
        [claim] = await service.store.claim("dies", timedelta(milliseconds=300), "fits", ["waiting.begins"], 1)
    assert claim.id == "it"
    with pytest.raises(StoreError, match="worker dies is at work"):
        await move(archive_of(old), archive_of(new))
    while True:
        try:
            await moved(old, new)
            break
        except StoreError:
            await asyncio.sleep(0.01)
    async with working(new) as service:
        assert await service.execution("it", begins).result(10) == "begun"


# ── events ──────────────────────────────────────────────────────────────────────────────────────
async def tell(store: str, *texts: str) -> None:
    """Emit *texts* where no handler listens."""
    async with working(store) as service:
        for text in texts:
            await service.execute(tells(text))


class Listeners:
    """Two durable handlers, and what they heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.overheard: list[str] = []

    async def listen(self, store: str, *texts: str, until: int) -> None:
        """Be there, and emit *texts*, until both have heard so many."""
        service = working(store)
        service.on(told, name="hears")(self.heard.append)
        service.on(whispered, name="overhears")(self.overheard.append)
        async with service:
            for text in texts:
                await service.execute(tells(text))
            await true(lambda: len(self.heard) >= until and len(self.overheard) >= until)


async def test_handlers_hear_what_was_emitted_without_them_and_nothing_twice(old: str, new: str) -> None:
    """G5."""
    listeners = Listeners()
    await listeners.listen(old, "1", until=1)
    await tell(old, "2", "3")
    await moved(old, new)
    await tell(new, "4")
    await listeners.listen(new, "5", until=5)
    assert listeners.heard == listeners.overheard == ["1", "2", "3", "4", "5"]


def age(store: str) -> None:
    """Make all events so old that the next one has them thrown away."""
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as db, db:
        db.execute("UPDATE events SET at_us = at_us - ?", (timedelta(days=30) // timedelta(microseconds=1),))
        db.execute("UPDATE counters SET value = 0 WHERE name = 'pruned_us'")


async def test_events_that_were_thrown_away_are_gone_and_the_places_after_them_hold(old: str, new: str) -> None:
    listeners = Listeners()
    await listeners.listen(old, "1", "2", until=2)
    age(old)
    await tell(old, "3")
    _, events, _ = await everything(old)
    assert [(event.seq, event.payload) for event in events] == [(5, '"3"'), (6, '"3"')]
    await moved(old, new)
    await tell(new, "4")
    await listeners.listen(new, until=4)
    assert listeners.heard == listeners.overheard == ["1", "2", "3", "4"]


async def test_a_place_holds_where_every_event_before_it_was_thrown_away(old: str, new: str) -> None:
    """New events come after it, though nothing but the place says where."""
    listeners = Listeners()
    await listeners.listen(old, "1", "2", until=2)
    with closing(sqlite3.connect(old.removeprefix("sqlite:///"))) as db, db:
        db.execute("DELETE FROM events")
    await moved(old, new)
    await tell(new, "3")
    await listeners.listen(new, until=3)
    assert listeners.heard == listeners.overheard == ["1", "2", "3"]
    assert [event.seq for event in (await everything(new))[1]] == [5, 6]
