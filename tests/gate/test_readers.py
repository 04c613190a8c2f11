"""Whoever only looks: what is under way, what has ended, every run of it; and nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import attrs
import pytest

from redrive.codec import from_json
from redrive.ports.store import FINAL, Claim, Json, NewExecution, NextRun, Store, Turn
from redrive.stores.live_executions import Listed, LiveReader, reader_of
from redrive.stores.memory import MemoryStore
from redrive.stores.sqlite import SQLiteStore

T = TypeVar("T")


@attrs.frozen
class Shelf:
    """A store, and those who fill it and look at it in turn."""

    store: Store

    def filled(self, fill: Callable[[Store], Awaitable[T]]) -> T:
        async def go() -> T:
            await self.store.open()
            await self.store.claim("me", timedelta(minutes=1), "", (), 0)
            try:
                return await fill(self.store)
            finally:
                await self.store.close()

        return asyncio.run(go())

    def seen(self, look: Callable[[LiveReader], Awaitable[T]]) -> T:
        async def go() -> T:
            reader = reader_of(self.store)
            await reader.open()
            try:
                return await look(reader)
            finally:
                await reader.close()

        return asyncio.run(go())


@pytest.fixture(params=["memory", "sqlite"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return Shelf(MemoryStore() if request.param == "memory" else SQLiteStore(str(tmp_path / "shelf.db")))


def row(**fields: Any) -> Json:
    return str(fields).replace("'", '"')


async def started(store: Store, id: str, workflow: str) -> Claim:
    new = NewExecution(id=id, workflow=workflow, run=str(uuid4()), input="null", started=row(workflow=workflow))
    claim = (await store.start(new, claim_for="me")).claim
    assert claim is not None
    return claim


async def ended(store: Store, claim: Claim) -> None:
    await store.commit(claim, Turn(expects=claim.length, rows=[row(ended=claim.id)], status="completed", outcome='{"ok":null}'))


async def continued(store: Store, claim: Claim, workflow: str) -> Claim:
    run = str(uuid4())
    next_run = NextRun(run=run, workflow=workflow, started=row(workflow=workflow))
    await store.commit(claim, Turn(expects=claim.length, rows=[row(continued=claim.id)], next_run=next_run))
    return attrs.evolve(claim, run=run, number=claim.number + 1, workflow=workflow, length=1)


async def ever(reader: LiveReader, workflow: str) -> list[Listed]:
    return [execution async for page in reader.ever(workflow) for execution in page]


def test_what_has_ended_is_listed_too_newest_first(shelf: Shelf) -> None:
    async def fill(store: Store) -> None:
        await ended(store, await started(store, "o-1", "order"))
        await started(store, "p-1", "parcel")
        await started(store, "o-2", "order")

    shelf.filled(fill)
    found = shelf.seen(lambda reader: ever(reader, "order"))
    assert [(one.id, one.status in FINAL) for one in found] == [("o-2", False), ("o-1", True)]
    assert {(one.workflow, one.runs) for one in found} == {("order", 1)}
    assert found[1].status == "completed"
    assert shelf.seen(lambda reader: ever(reader, "orders")) == []
    assert shelf.seen(lambda reader: reader.workflows()) == ["order", "parcel"]
    assert [one.id for one in shelf.seen(lambda reader: reader.living())] == ["o-2", "p-1"]


def test_every_run_can_be_read(shelf: Shelf) -> None:
    async def fill(store: Store) -> None:
        claim = await continued(store, await started(store, "o-1", "order"), "order")
        await ended(store, await continued(store, claim, "order"))

    async def look(reader: LiveReader) -> list[Any]:
        (execution,) = await ever(reader, "order")
        assert execution.runs == 3
        return [from_json(await reader.rows(execution, run)) for run in (1, 2, 3, -1)]

    shelf.filled(fill)
    first, second, third, newest = shelf.seen(look)
    assert first == second == [{"workflow": "order"}, {"continued": "o-1"}]
    assert third == newest == [{"workflow": "order"}, {"ended": "o-1"}]


def test_one_that_went_on_as_another_workflow_is_not_lost(shelf: Shelf) -> None:
    async def fill(store: Store) -> None:
        await continued(store, await started(store, "o-1", "order"), "parcel")

    shelf.filled(fill)
    assert [(one.id, one.workflow) for one in shelf.seen(lambda reader: ever(reader, "order"))] == [("o-1", "parcel")]


def test_pages_leave_nothing_out_and_give_nothing_twice(shelf: Shelf) -> None:
    async def fill(store: Store) -> None:
        for number in range(1_203):
            await started(store, f"o-{number}", "order")

    shelf.filled(fill)
    assert [one.id for one in shelf.seen(lambda reader: ever(reader, "order"))] == [f"o-{number}" for number in reversed(range(1_203))]


def test_an_empty_store_has_nothing(shelf: Shelf) -> None:
    async def fill(store: Store) -> None: ...

    shelf.filled(fill)
    assert shelf.seen(lambda reader: ever(reader, "order")) == []
    assert shelf.seen(lambda reader: reader.workflows()) == []
