"""A third store is small, and keeps what the store port promises: a directory of JSON files on the rules of the ledger."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from redrive import AsyncDurableService, Flow, Sleep, workflow
from redrive.testing.contracts import Lab, StoreContract
from redrive.testing.contracts.lab import execution
from tests import json_store
from tests.contracts.clocks import Clock
from tests.json_store.files import locked
from tests.json_store.store import JsonStore


class JsonLab(Lab):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._clock, self._path = Clock(), path

    def connect(self) -> JsonStore:
        return JsonStore(self._path, self._clock)

    def pass_time(self, by: timedelta) -> None:
        self._clock.now += by


class TestJsonStore(StoreContract):
    @pytest.fixture
    def lab(self, tmp_path: Path) -> Lab:
        return JsonLab(tmp_path / "store")


@workflow("json_store.greet")
def greet(name: str) -> Flow[str]:
    yield from Sleep(timedelta(0))
    return f"hello {name}"


async def test_it_is_opened_by_its_url_once_its_distribution_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "json_store-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: json-store\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[redrive.stores]\njson = tests.json_store.store:BACKEND\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    url = f"json://{tmp_path / 'greetings'}"
    async with AsyncDurableService(url, [greet]) as service:
        assert await service.execute(greet("Ada"), id="it") == "hello Ada"
    async with AsyncDurableService(url, [greet], worker=False) as client:
        assert await client.execute(greet("Ada"), id="it") == "hello Ada"


async def test_a_transaction_that_was_committed_is_written_by_the_next_one(tmp_path: Path) -> None:
    """Promise 1: a process that dies behind the journal's rename has committed."""
    store = JsonStore(tmp_path / "store")
    await store.open()
    await store.start(execution("e-1"))
    before = (tmp_path / "store" / "everything.json").read_text()
    with locked(store.path):
        (store.path / "journal.json").write_text(json.dumps({"everything.json": before.replace('"asides": 0', '"asides": 7')}))
    assert await store.read("e-1") is not None
    assert '"asides": 7' in (store.path / "everything.json").read_text()
    assert not (store.path / "journal.json").exists()


def test_a_new_store_is_no_more_than_six_hundred_lines() -> None:
    home = Path(json_store.__file__).parent
    assert sum(len(path.read_text().splitlines()) for path in home.glob("*.py")) <= 600
