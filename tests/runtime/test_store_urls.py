"""Stores by URL."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from redrive.passwords import without_password
from redrive.ports.store import ChangeCounts
from redrive.stores.backends import open_url
from redrive.stores.memory import MemoryStore
from redrive.stores.sqlite import SQLiteStore
from redrive.testing.contracts.lab import execution, newest


def sqlite(url: str) -> SQLiteStore:
    store = open_url(url)
    assert isinstance(store, SQLiteStore)
    return store


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://ada:s3cret@host/db", "postgresql://ada:***@host/db"),
        ("postgresql://ada:s3/cr@et@host:5432/db?sslmode=require", "postgresql://ada:***@host:5432/db?sslmode=require"),
        ("postgresql://ada:s3?cret@host/db", "postgresql://ada:***@host/db"),
        (
            "postgresql://host/db?user=ada&password=s3cret&sslpassword=s3&x=1",
            "postgresql://host/db?user=ada&password=***&sslpassword=***&x=1",
        ),
        ("postgresql://a:1,b:2/db?user=ada@x", "postgresql://a:1,b:2/db?user=ada@x"),
        ("ada:s3cret@host/db", "ada:***@host/db"),
        ("host=x password='s3 cret' dbname=y", "host=x password=*** dbname=y"),
        ("sqlite:///odd:name@here.db", "sqlite:///odd:name@here.db"),
    ],
)
def test_a_url_is_shown_without_its_password_even_where_it_is_none(given: str, shown: str) -> None:
    assert without_password(given) == shown


def test_a_memory_store_is_private_unless_it_has_a_name() -> None:
    assert isinstance(open_url("memory://"), MemoryStore)
    assert open_url("memory://") is not open_url("memory://")
    assert open_url("memory://here") is open_url("memory://here")
    assert open_url("memory://here") is not open_url("memory://there")


def test_a_sqlite_path_is_relative_or_absolute() -> None:
    assert sqlite("sqlite:///orders.db").path == "orders.db"
    assert sqlite("sqlite:///data/orders.db").path == "data/orders.db"
    assert sqlite("sqlite:////var/lib/orders.db").path == "/var/lib/orders.db"
    assert sqlite("sqlite:///a%20b%3F%23.db").path == "a b?#.db"
    assert sqlite("sqlite:///a#b.db").path == "a#b.db"


def test_full_synchronisation_is_the_default(tmp_path: Path) -> None:
    def level(url: str) -> int:
        async def read() -> int:
            store = sqlite(url)
            await store.open()
            try:
                return int(store._writer._session._db.execute("PRAGMA synchronous").fetchone()[0])
            finally:
                await store.close()

        return asyncio.run(read())

    assert level(f"sqlite:///{tmp_path}/x.db") == 2
    assert level(f"sqlite:///{tmp_path}/x.db?synchronous=full") == 2
    assert level(f"sqlite:///{tmp_path}/x.db?synchronous=normal") == 1


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("sqlite://:memory:", "use memory://"),
        ("sqlite:///:memory:", "use memory://"),
        ("sqlite://orders.db", "sqlite:///orders.db"),
        ("sqlite://", "three slashes"),
        ("sqlite:///", "names no file"),
        ("sqlite:///data/", "names no file"),
        ("sqlite:///x.db?synchronous=off", "synchronous=off"),
        ("sqlite:///x.db?mode=ro", "mode=ro"),
        ("orders.db", "sqlite:///relative"),
        ("mysql://localhost", "memory://"),
        ("", "memory://"),
        ("sqlite:", "sqlite:///relative"),
    ],
)
def test_a_url_that_names_no_store_says_what_would(url: str, hint: str) -> None:
    with pytest.raises(ValueError) as problem:
        open_url(url)
    assert hint in str(problem.value)


def test_a_memory_store_wakes_waiters_on_other_event_loops() -> None:
    store = MemoryStore()
    ready, woken = threading.Event(), list[ChangeCounts]()

    async def wait() -> None:
        seen = await store.wait_for_changes(0)
        ready.set()
        woken.append(await store.wait_for_changes(60, seen))

    waiter = threading.Thread(target=asyncio.run, args=(wait(),))
    waiter.start()
    assert ready.wait(10)
    asyncio.run(store.start(execution()))
    waiter.join(10)
    assert woken == [ChangeCounts(work=1)]


@pytest.mark.parametrize("url", ["sqlite:///orders.db", "sqlite:///./data/../orders.db?synchronous=normal"])
def test_a_relative_path_is_settled_when_the_store_is_opened_and_shown_in_full(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redrive import DurableService

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    service = DurableService(url, worker=False)
    with service:
        assert f"sqlite:///{tmp_path}/orders.db" in repr(service)
        assert service.aio.store_name.startswith(f"sqlite:///{tmp_path}/orders.db")
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert asyncio.run(newest(service.aio.store)) == [], "also on connections that are made later"
    assert f"{tmp_path}/orders.db" in repr(service)
    assert [path.name for path in tmp_path.rglob("*.db")] == ["orders.db"]
    assert sqlite("sqlite:///orders.db").path == "orders.db", "and one that is not open yet may still come to be elsewhere"
