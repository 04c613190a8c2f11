"""The table of stores: what comes with redrive, and what other distributions add."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from redrive import AsyncDurableService, Flow, Sleep, workflow
from redrive.stores.backends import BACKENDS, backend_of, open_url
from redrive.stores.live_executions import reader_of
from redrive.stores.memory import MemoryStore
from redrive.stores.sqlite import SQLiteStore
from redrive.stores.sqlite.file_reader import SQLiteReader

SHELF = """
from redrive.stores.backends import Backend
from redrive.stores.memory import MemoryStore

class ShelfStore(MemoryStore):
    pass

_shelves = {}

backend = Backend(
    urls="shelf://name",
    open=lambda url: _shelves.setdefault(url, ShelfStore()),
    owns=lambda store: isinstance(store, ShelfStore),
    shown=lambda store, url: url.upper(),
)
"""


@workflow("backends.flow")
def flow() -> Flow[str]:
    yield from Sleep(0)
    return "done"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A distribution that is installed, with a store of its own."""
    (tmp_path / "redrive_shelf.py").write_text(SHELF)
    metadata = tmp_path / "redrive_shelf-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: redrive-shelf\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[redrive.stores]\nshelf = redrive_shelf:backend\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "redrive_shelf", raising=False)
    return "shelf://orders"


async def test_a_store_of_another_distribution_is_opened_by_its_url(shelf: str) -> None:
    async with AsyncDurableService(shelf, [flow]) as service:
        assert await service.execute(flow()) == "done"
        assert service.store_name == "SHELF://ORDERS"
    assert [listed.status for listed in await reader_of(shelf).living()] == []


def test_an_unknown_scheme_lists_every_store_that_is_installed(shelf: str) -> None:
    with pytest.raises(ValueError, match=r"'shelv://orders' names no store.*memory://.*sqlite:///.*postgresql://.*shelf://name"):
        open_url("shelv://orders")


def test_an_entry_point_that_gives_no_backend_is_named(shelf: str, tmp_path: Path) -> None:
    (tmp_path / "redrive_shelf.py").write_text("backend = 'not one'")
    with pytest.raises(ValueError, match=r"shelf = redrive_shelf:backend in 'redrive.stores' gives 'not one', which is no Backend"):
        open_url(shelf)


def test_each_store_object_belongs_to_its_backend(tmp_path: Path) -> None:
    assert backend_of(MemoryStore()) is BACKENDS["memory"]
    assert backend_of(SQLiteStore(str(tmp_path / "a.db"))) is BACKENDS["sqlite"]
    assert isinstance(reader_of(SQLiteStore(str(tmp_path / "a.db"))), SQLiteReader)
