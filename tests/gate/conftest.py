"""A shop whose orders are under way, and ways to change its code beneath them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import attrs
import pytest

from redrive.codec import to_json
from redrive.ports.store import NewExecution, Store, Turn
from redrive.stores.sqlite import SQLiteStore
from redrive.testing import play
from redrive_interpreter import Row, Started, dump_row

SHOP = """
from __future__ import annotations

import attrs

from redrive import DurableService, Flow, Patch, Signal, Sleep, WaitSignal, step, workflow


@attrs.frozen
class Order:
    id: str
    total: int


approved = Signal("orders.approved", str)


@step
def release(hold: str) -> None: ...


@step(undo=release)
def reserve(order: Order) -> str: ...


@step
def charge(order: Order, amount: int) -> str: ...


@workflow("orders.process")
def process(order: Order) -> Flow[str]:
    hold = yield from reserve(order)
    charged = yield from charge(order, 900)
    by = yield from WaitSignal(approved)
    return f"{hold} {charged} {by}"


@workflow("orders.remind")
def remind(order: Order) -> Flow[None]:
    yield from Sleep(60)


service = DurableService("sqlite:///shop.db", workflows=[process, remind])
"""


@attrs.frozen
class Shop:
    """A directory with ``shop.py`` and ``shop.db``, which is the working directory too."""

    path: Path

    @property
    def code(self) -> ModuleType:
        """``shop.py`` as it is now."""
        sys.modules.pop("shop", None)
        return import_module("shop")

    def change(self, *changes: tuple[str, str]) -> None:
        source = (self.path / "shop.py").read_text()
        for old, new in changes:
            assert old in source, old
            source = source.replace(old, new)
        (self.path / "shop.py").write_text(source)
        sys.modules.pop("shop", None)

    def store(self) -> SQLiteStore:
        return SQLiteStore(str(self.path / "shop.db"))

    def orders(self, count: int = 1, *, waiting: bool = True) -> None:
        """*count* orders that wait for approval (or, not *waiting*, for their charge)."""
        shop = self.code
        histories: list[tuple[str, list[Row]]] = []
        for number in range(1, count + 1):
            order = shop.Order(f"o-{number}", 900)
            run = play(shop.process(order), id=f"order-{number}")
            run.answer(shop.reserve(order), "hold")
            if waiting:
                run.answer(shop.charge(order, 900), "ch_1")
            histories.append((f"order-{number}", run.history))
        asyncio.run(put(self.store(), histories))


async def put(store: Store, histories: list[tuple[str, list[Row]]]) -> None:
    """Put executions with these *histories* into *store*, which is closed afterwards."""
    await store.open()
    await store.claim("me", timedelta(minutes=1), "", (), 0)
    for id, rows in histories:
        started = attrs.evolve(rows[0], id=id, run=uuid4())
        assert isinstance(started, Started)
        new = NewExecution(
            id=id, workflow=started.workflow, run=str(started.run), input=to_json(started.input), started=to_json(dump_row(started))
        )
        begun = await store.start(new, claim_for="me")
        assert begun.claim is not None
        texts = [to_json(dump_row(row)) for row in rows[1:]]
        await store.commit(begun.claim, Turn(expects=1, rows=texts, status="suspended"))
        await store.release([begun.claim])
    await store.deregister_worker("me")
    await store.close()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDRIVE_APP", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two versions within a second have one time stamp
    yield Shop(tmp_path)
    sys.modules.pop("shop", None)
