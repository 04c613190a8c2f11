"""A database file that is not ours, damaged, or of another age is refused in clear words, and left as it was."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from redrive import AsyncDurableService, Attribute
from redrive.ports.store import StoreError, UnusableStore
from redrive.stores.sqlite import SQLiteStore
from redrive.stores.sqlite.database_file import APPLICATION_ID, connect, migrations, prepare, statements
from redrive.testing.contracts.lab import execution, newest


def opened(path: Path) -> None:
    async def run() -> None:
        store = SQLiteStore(str(path))
        await store.open()
        await store.close()

    asyncio.run(run())


def refused(path: Path) -> str:
    with pytest.raises(UnusableStore) as problem:
        opened(path)
    assert str(path) in str(problem.value)
    return str(problem.value)


def version_of(path: Path) -> tuple[int, int]:
    db = sqlite3.connect(path)
    try:
        return db.execute("PRAGMA application_id").fetchone()[0], db.execute("PRAGMA user_version").fetchone()[0]
    finally:
        db.close()


def test_a_missing_file_is_created(tmp_path: Path) -> None:
    opened(tmp_path / "new.db")
    assert version_of(tmp_path / "new.db") == (APPLICATION_ID, len(migrations()))


def test_an_empty_file_is_ours_to_fill(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    opened(tmp_path / "empty.db")
    assert version_of(tmp_path / "empty.db") == (APPLICATION_ID, len(migrations()))


def test_odd_file_names_are_names(tmp_path: Path) -> None:
    for name in ("a b.db", "100%.db", "?mode=memory", "file:x", "Zoë'\";--.db", "#"):
        opened(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 0


def test_a_missing_directory_is_not_created(tmp_path: Path) -> None:
    assert "does not exist; create it" in refused(tmp_path / "missing" / "x.db")
    assert not (tmp_path / "missing").exists()


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    assert "is a directory" in refused(tmp_path)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE executions (theirs TEXT)")
    db.commit()
    db.close()
    before = path.read_bytes()
    assert "another program" in refused(path)
    assert path.read_bytes() == before


def test_another_programs_empty_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA application_id = 42")
    db.close()
    assert "another program" in refused(path)


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to have a header" * 40, b"\0" * 8192, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_what_is_no_database_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    refused(path)
    assert path.read_bytes() == content


def test_a_damaged_database_is_not_created_again(tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    opened(path)
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xaa" * 3996
    path.write_bytes(content)
    assert "restore it from a backup" in refused(path)
    assert path.read_bytes() == content


def test_damage_found_later_is_told_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"

    async def run() -> None:
        store = SQLiteStore(str(path))
        await store.open()
        await store.start(execution())
        await store.close()
        with contextlib.closing(sqlite3.connect(path)) as db:
            tables = [page for (page,) in db.execute("SELECT rootpage FROM sqlite_schema WHERE rootpage > 1")]
        content = bytearray(path.read_bytes())
        for page in tables:
            content[(page - 1) * 4096 : page * 4096] = os.urandom(4096)
        path.write_bytes(content)
        await store.open()
        try:
            with pytest.raises(UnusableStore, match="backup"):
                await store.start(execution("e-2"))
            with pytest.raises(UnusableStore, match="backup"):
                await store.read("e-1")
        finally:
            await store.close()

    asyncio.run(run())


def test_a_newer_schema_asks_for_the_newer_redrive(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    opened(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    assert "schema 99" in refused(path)
    assert version_of(path) == (APPLICATION_ID, 99)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fixed.db"
    opened(path)
    path.chmod(0o400)
    assert "permissions" in refused(path)


# ── migrations ──────────────────────────────────────────────────────────────────────────────────
def test_an_older_schema_is_brought_up_to_date_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = str(tmp_path / "older.db")
    first = "CREATE TABLE things (n INTEGER); INSERT INTO things VALUES (1);"
    second = "-- a comment; with a semicolon\nALTER TABLE things ADD COLUMN name TEXT DEFAULT 'a;b';\nINSERT INTO things VALUES (2, 'x');"
    db = sqlite3.connect(path, isolation_level=None)
    prepare(db, path, "full", [first])
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    prepare(db, path, "full", [first, second])
    prepare(db, path, "full", [first, second])
    assert db.execute("SELECT * FROM things").fetchall() == [(1, "a;b"), (2, "x")]
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    db.close()


def test_a_store_of_the_first_schema_is_opened_and_keeps_signals_aside(tmp_path: Path) -> None:
    path = str(tmp_path / "first.db")
    db = sqlite3.connect(path, isolation_level=None)
    prepare(db, path, "full", migrations()[:1])
    db.execute(
        "INSERT INTO executions (id, workflow, run, number, status, stored_us, updated_us, created_us, attributes)"
        " VALUES ('e-1', 'w', 'r', 1, 'pending', 1, 1, 1, '{}')"
    )
    db.close()

    async def run() -> None:
        store = SQLiteStore(path)
        await store.open()
        assert list(await store.set_aside("e-1", 10)) == []
        assert await store.drop_aside("e-1", None) == 0
        assert list(await store.list_held(None, None, 10)) == []
        await store.close()

    asyncio.run(run())


def test_what_was_parked_with_the_first_schema_has_a_kind_and_is_tried_by_the_next_worker(tmp_path: Path) -> None:
    """D2."""
    path = str(tmp_path / "first.db")
    db = sqlite3.connect(path, isolation_level=None)
    prepare(db, path, "full", migrations()[:1])
    reasons = [
        "diverged: ...",
        "its worker died 11 times without getting any further",
        "a turn was broken off after 5.1 s without a command",
    ]
    for n, reason in enumerate(reasons, 1):
        db.execute(
            "INSERT INTO executions (id, workflow, run, number, status, wake_us, stored_us, updated_us, created_us, attributes)"
            f" VALUES ('e-{n}', 'w', 'r', 1, 'parked', 1, 1, 1, 1, '{{}}')"
        )
        db.execute("INSERT INTO history (n, number, upto, at_us, rows, input) VALUES (?, 1, 1, 1, '1', '1')", (n,))
        db.execute("INSERT INTO parked (n, build, reason) VALUES (?, 'b-1', ?)", (n, reason))
    db.close()

    async def run() -> None:
        store = SQLiteStore(path)
        await store.open()
        kinds = [snapshot.parks[0].kind for snapshot in await newest(store)]
        assert kinds == ["cut_off", "killed", "error"]
        assert list(await store.claim("ada", timedelta(seconds=15), "b-1", ["w"], 10)) == []
        claims = await store.claim("ada", timedelta(seconds=15), "b-1", ["w"], 10, retries=10)
        assert {(claim.id, claim.deaths, claim.tries) for claim in claims} == {("e-1", 0, 1), ("e-2", 0, 1), ("e-3", 0, 1)}
        await store.close()

    asyncio.run(run())


async def test_what_an_older_release_stored_is_found_once_somebody_searches_for_it(tmp_path: Path) -> None:
    """A1, A3: only the code knows the types of its attributes, so they are made searchable when it asks."""
    path = str(tmp_path / "older.db")
    db = sqlite3.connect(path, isolation_level=None)
    prepare(db, path, "full", migrations()[:7])
    rows = [
        ("top", None, "suspended", '{"total":"12.50","at":"2026-01-01T12:00:00+01:00","state":"paid"}', None),
        ("left", "top", "running", '{"total":"9"}', None),
        ("leaf", "left", "completed", "{}", '{"ok":1}'),
        ("lost", "gone", "failed", "not json", '{"err":{"type":"shop.CardDeclined","message":""}}'),
    ]
    for id, parent, status, attributes, outcome in rows:
        db.execute(
            "INSERT INTO executions (id, workflow, run, number, status, stored_us, updated_us, created_us, attributes, outcome, creator_id,"
            " creator_run, creator_key) VALUES (?, 'w', 'r', 1, ?, 1, 7, 1, ?, ?, ?, 'r', 'k')",
            (id, status, attributes, outcome, parent),
        )
    started = '{"row":"started","id":"top","run":"0b0f5d0c-6a0e-4d6e-9a3e-000000000000","at":1,"input":{},"workflow":"w"}'
    asked = '{"row":"asked","key":"approved","kind":"wait_signal","label":"approved","input":{}}'
    db.execute(
        "INSERT INTO history (n, number, upto, at_us, rows, input) SELECT n, 1, 2, 1, ?, '{}' FROM executions", (f"{started},{asked}",)
    )
    db.close()
    total, at, state = Attribute("total", Decimal), Attribute("at", datetime), Attribute("state", str)
    async with AsyncDurableService(f"sqlite:///{path}", worker=False) as service:
        for condition, ids in (
            (total.is_(Decimal("12.5")), ["top"]),
            (total.at_least(Decimal(9)), ["left", "top"]),
            (at.at_most(datetime(2026, 1, 1, 11, tzinfo=UTC)), ["top"]),
            (state.is_("paid"), ["top"]),
            (state.is_("new"), []),
        ):
            assert [one.id async for one in service.find(attributes=[condition])] == ids
        assert [one.id async for one in service.find(waiting_on="approved")] == ["left", "top"]
        assert [one.id async for one in service.find(root="top")] == ["leaf", "left", "top"]
        assert [one.id async for one in service.find(root="gone")] == ["lost"]
        assert [one.id async for one in service.find(error_type="CardDeclined")] == ["lost"]
        assert [one.id async for one in service.find(ended_after=datetime(1970, 1, 1, tzinfo=UTC))] == ["lost", "leaf"]
        assert list(await service.store.behind("total", 1)) == list(await service.store.behind(None, 1)) == []


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "older.db")
    first = "CREATE TABLE things (n INTEGER);"
    db = sqlite3.connect(path, isolation_level=None)
    prepare(db, path, "full", [first])
    with pytest.raises(sqlite3.OperationalError):
        prepare(db, path, "full", [first, "CREATE TABLE more (n INTEGER); INSERT INTO nowhere VALUES (1);"])
    assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("things",)]
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


def test_a_worker_of_the_first_schema_keeps_its_lease_through_the_upgrade(tmp_path: Path) -> None:
    """W2: it shows no evidence of life, and writes on as it did; its lease by the wall clock decides."""
    path = str(tmp_path / "older.db")
    db = sqlite3.connect(path, isolation_level=None)
    prepare(db, path, "full", migrations()[:1])
    beat = "INSERT OR REPLACE INTO workers (id, expires_us, lease_us, build, workflows) VALUES (?, ?, ?, ?, ?)"
    later = time.time_ns() // 1000 + 60_000_000
    db.execute(beat, ("old", later, 15_000_000, "b-1", '["w"]'))
    db.execute(beat, ("dead", 1, 15_000_000, "b-1", '["w"]'))

    async def claim() -> None:
        store = SQLiteStore(path)
        await store.open()
        lifeline = store.lifeline("new", timedelta(seconds=15), timedelta(seconds=300))
        lifeline.open()
        await store.claim("new", timedelta(seconds=15), "b-1", ["w"], 10)
        lifeline.close()
        await store.close()

    asyncio.run(claim())
    db.execute(beat, ("old", later + 1, 15_000_000, "b-1", '["w"]'))
    assert [id for (id,) in db.execute("SELECT id FROM workers ORDER BY id")] == ["new", "old"]
    db.close()


def test_a_script_is_split_into_whole_statements() -> None:
    assert all(statements(script) for script in migrations())
    assert statements("SELECT ';'; SELECT 2;\n-- end; of it\n") == ["SELECT ';';", " SELECT 2;"]
    with pytest.raises(StoreError, match="ends in the middle of a statement: SELECT 2"):
        statements("SELECT 1; SELECT 2")


def test_the_file_is_in_wal_mode_and_synced_in_full(tmp_path: Path) -> None:
    db = connect(str(tmp_path / "x.db"), synchronous="full", patience=1)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    db.close()
