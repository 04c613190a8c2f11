"""Ten executions are broken in ten ways; each is found and explained with the command line alone."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from redrive import AsyncDurableService, Workflow
from redrive.cli import main
from redrive.ports.store import NewMessage, Turn

SHOP = """
from __future__ import annotations

import time
from datetime import timedelta

from redrive import AsyncDurableService, Flow, Retry, Rollback, RunChild, Signal, Sleep, StepFailed, WaitSignal, step, workflow

paid = Signal("paid", int)
other = Signal("other", int)
stop = []


@step(retry=Retry(attempts=None, delay=0.001, max_delay=0.002))
def call_crm(order: str) -> str:
    raise ConnectionError("503 from crm")


@step
def decline(order: str) -> str:
    raise ValueError("the card is declined")


@step
def restock(order: str) -> None:
    raise OSError("the shelf is gone")


@step(undo=restock)
def reserve(order: str) -> str:
    return order


@step
def hang(order: str) -> str:
    while not stop:
        time.sleep(0.01)
    return order


@workflow("night.retry")
def endless(order: str) -> Flow[str]:
    return (yield from call_crm(order))


@workflow("night.undo")
def undone(order: str) -> Flow[str]:
    yield from reserve(order)
    try:
        yield from decline(order)
    except StepFailed:
        yield from Rollback()
    return order


@workflow("night.wait", signals=[paid, other])
def waits(order: str) -> Flow[int]:
    return (yield from WaitSignal(paid))


@workflow("night.sleep")
def sleeps(order: str) -> Flow[str]:
    yield from Sleep(timedelta(milliseconds=1))
    yield from Sleep(timedelta(days=1))
    return order


@workflow("night.child")
def child(order: str) -> Flow[str]:
    return (yield from decline(order))


@workflow("night.parent")
def parent(order: str) -> Flow[str]:
    return (yield from RunChild(child(order), id=f"{order}-child"))


@workflow("night.deaf")
def deaf(order: str) -> Flow[str]:
    return (yield from hang(order))


ALL = [endless, undone, waits, sleeps, child, parent, deaf]


def service() -> AsyncDurableService:
    return AsyncDurableService("sqlite:///night.db", ALL, build="b1", grace=0)
"""
CHANGED = SHOP.replace(
    "def waits(order: str) -> Flow[int]:\n    return (yield from WaitSignal(paid))",
    "def waits(order: str) -> Flow[int]:\n    yield from Sleep(timedelta(days=1))\n    return 1",
)
APP = ["--app", "night:service"]
STORE = ["--store", "sqlite:///night.db"]


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "night.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDRIVE_APP", raising=False)
    monkeypatch.delenv("REDRIVE_STORE", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sys.modules.pop("night", None)
    yield tmp_path
    sys.modules.pop("night", None)


class Shell:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> str:
        code = main(words)
        out, err = self._capsys.readouterr()
        assert code == 0, err
        return out

    def stuck(self, *words: str) -> dict[str, Any]:
        found = [json.loads(line) for line in self("stuck", "--json", *words, *STORE).splitlines()]
        return {one["id"]: one for one in found}


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


async def until(service: AsyncDurableService, id: str, status: str) -> None:
    while (await service._read(id)).status != status:
        await asyncio.sleep(0.005)


async def break_everything(module: Any) -> None:
    """The first night: what goes wrong while a worker runs, and what it leaves when it is gone."""
    service: AsyncDurableService = module.service()
    async with service:
        await service.start(module.endless("o"), id="retries")
        await service.start(module.undone("o"), id="undo")
        await service.start(module.waits("o"), id="mistyped")
        await service.start(module.waits("o"), id="changed")
        await service.start(module.waits("o"), id="damaged")
        await service.start(module.sleeps("o"), id="overdue")
        await service.start(module.parent("o"), id="parent")
        await service.start(module.deaf("o"), id="deaf")
        await until(service, "undo", "compensation_failed")
        await until(service, "parent", "failed")
        for id in ("mistyped", "changed", "damaged", "overdue"):
            await until(service, id, "suspended")
        while len(await service.execution("retries").history()) < 15:
            await asyncio.sleep(0.005)
        await service.execution("deaf").cancel("too slow")
        store: Any = service.store
        await store.send("mistyped", _message("paid", '"many"'))
        while not await store.set_aside("mistyped", 1):
            await asyncio.sleep(0.005)
        module.stop.append(True)
    await break_the_rest()


def _message(name: str, data: str) -> Any:
    return NewMessage(kind="signal", name=name, data=data)


async def break_the_rest() -> None:
    """What a worker that is killed leaves, and a workflow that nobody has."""
    async with AsyncDurableService("sqlite:///night.db", worker=False) as client:
        await client.start(Workflow("night.gone")("o"), id="unserved")
        await client.start(Workflow("night.killed")("o"), id="killed")
        store: Any = client.store
        (claim,) = await store.claim("web-9", timedelta(microseconds=1), "b1", ["night.killed"], 1)
        await store.commit(claim, Turn(expects=1, status="running", wake_at=await store.now()))


@pytest.fixture
def broken(night: Path) -> Path:
    asyncio.run(break_everything(importlib.import_module("night")))
    (night / "night.py").write_text(CHANGED)
    sys.modules.pop("night")
    database = sqlite3.connect(night / "night.db")
    # The clock of the morning: it is two hours later, and a byte of one history went wrong.
    database.execute("UPDATE executions SET wake_us = wake_us - 2 * 86400000000 WHERE id = 'overdue'")
    database.execute("UPDATE history SET rows = substr(rows, 3) WHERE n = (SELECT n FROM executions WHERE id = 'damaged') AND upto > 1")
    database.execute("UPDATE executions SET unread = 1 WHERE id = 'damaged'")
    database.commit()
    database.close()
    asyncio.run(changed_code())
    return night


async def changed_code() -> None:
    """A worker of today's code meets one that was begun by yesterday's."""
    module = importlib.import_module("night")
    async with AsyncDurableService("sqlite:///night.db", [module.waits], build="b2") as service:
        store: Any = service.store
        await store.send("changed", _message("paid", "1"))
        await until(service, "changed", "parked")
    sys.modules.pop("night", None)


@pytest.mark.usefixtures("broken")
def test_each_of_ten_is_found_and_explained(shell: Shell) -> None:
    found = shell.stuck("--attempts", "3", "--overdue", "1m")
    reasons = {id: one["reason"] for id, one in found.items()}
    # 1 to 6: what stuck finds, with the verb that helps
    assert reasons["changed"] == "parked"
    assert "diverged" in found["changed"]["detail"]
    assert (reasons["undo"], found["undo"]["verb"]) == ("compensation_failed", "retry_rollback")
    assert "the shelf is gone" in found["undo"]["detail"]
    assert reasons["damaged"] == "damaged"
    assert "history" in found["damaged"]["detail"]
    assert (reasons["unserved"], found["unserved"]["verb"]) == ("unserved", "worker")
    assert reasons["killed"] in ("worker_dead", "unserved")
    assert (reasons["overdue"], found["overdue"]["verb"]) == ("unserved", "worker")
    assert reasons["mistyped"] == "unread"
    assert "signal paid could not be read" in found["mistyped"]["detail"]
    # 8: endless retries
    assert reasons["retries"] in ("retrying", "unserved")
    # 9 and 10: what ended is in the list, and shown with its cause
    assert "parent" not in found
    shown = shell("show", "parent", *STORE)
    assert "o-child" in shown
    assert "the card is declined" in shell("show", "o-child", *STORE)
    assert re.search(r"deaf .*cancel", shell("list", *STORE)) or "cancel" in shell("show", "deaf", *STORE)


@pytest.mark.usefixtures("broken")
def test_the_page_says_what_to_type_next(shell: Shell) -> None:
    page = shell("stuck", *STORE)
    assert "redrive retry-rollback undo" in page
    assert "redrive redeliver mistyped" in page
    assert "redrive worker" in page
    assert "\x1b" not in page


@pytest.mark.usefixtures("broken")
def test_the_place_of_each_is_shown_or_why_it_cannot_be(shell: Shell) -> None:
    assert "call_crm(order)" in shell("inspect", "retries", *APP)
    assert "does not follow the history" in shell("inspect", "changed", *APP)
    assert "parked by b2" in shell("inspect", "changed", *APP)
    assert "it has not begun" in shell("inspect", "unserved", *APP)
    assert main(["inspect", "damaged", *APP]) != 0
