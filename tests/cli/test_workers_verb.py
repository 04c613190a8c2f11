"""`redrive workers`: who serves what, when it was last heard of, how much it has in hand."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from redrive.cli import main
from redrive.ports.store import NewExecution
from redrive.stores.backends import open_url

STORE = ["--store", "sqlite:///shop.db"]


def claim(worker: str, build: str, lease: timedelta) -> None:
    async def claimed() -> None:
        store = open_url("sqlite:///shop.db")
        await store.open()
        new = NewExecution(id=f"of {worker}", workflow="orders.process", run=f"r {worker}", input="{}", started="{}")
        await store.start(new)
        await store.claim(worker, lease, build, ["orders.process", "tickets.wait"], 1)
        await store.close()

    asyncio.run(claimed())


@pytest.mark.usefixtures("shop")
def test_live_and_dead_workers_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    claim("web-1:\x1b[31m", "b-1", timedelta(hours=1))
    claim("web-2", "b-2", timedelta(hours=1))
    assert main(["workers", *STORE]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "web-2  alive, heard of " in shown
    assert "    build b-2, has 1 execution\n    orders.process\n    tickets.wait" in shown
    assert "2 builds work side by side: b-1, b-2" in shown
    claim("web-3", "b-2", timedelta(microseconds=1))
    assert main(["workers", "--json", *STORE]) == 0
    found = {one["id"]: one for one in map(json.loads, capsys.readouterr().out.splitlines())}
    assert [found[id]["alive"] for id in ("web-2", "web-3")] == [True, False]
    assert (found["web-3"]["build"], found["web-3"]["executions"]) == ("b-2", 1)


def test_a_store_without_workers_says_so(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def make() -> None:
        store = open_url(f"sqlite:///{shop}/shop.db")
        await store.open()
        await store.close()

    asyncio.run(make())
    assert main(["workers", *STORE]) == 0
    assert capsys.readouterr().err == "no worker is running\n"
