"""W3, I3: the database is locked, full, deleted, damaged or another program's: told or waited out, never half-written, never made anew."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from redrive import AsyncDurableService, Flow, Signal, Sleep, WaitSignal, step, workflow
from redrive.ports.store import StoreError, UnusableStore
from redrive.stores.sqlite import SQLiteStore
from tests.runtime.support import standing

go = Signal("go", str)
FULL = Path(__file__).parent / "programs" / "full.py"


@step
async def brief(n: int) -> int:
    return n


@workflow("rules.busy")
def busy(times: int) -> Flow[int]:
    for n in range(times):
        yield from brief(n)
        yield from Sleep(0.01)
    return times


@workflow("rules.waiter")
def waiter() -> Flow[str]:
    return (yield from WaitSignal(go))


async def test_a_database_that_another_process_holds_for_seconds_is_waited_for(tmp_path: Path) -> None:
    """W3: steps, starts and signals go on when the lock is gone; nobody is told of an error."""
    path = tmp_path / "it.db"
    async with AsyncDurableService(f"sqlite:///{path}", [busy, waiter], lease=1) as service:
        running = await service.start(busy(30))
        waiting = await service.start(waiter())
        await standing(waiting, "suspended")
        held, let_go = threading.Event(), threading.Event()

        def hold() -> None:
            with closing(sqlite3.connect(path, isolation_level=None)) as db:
                db.execute("BEGIN IMMEDIATE")
                held.set()
                let_go.wait(3)
                db.execute("ROLLBACK")

        holder = threading.Thread(target=hold)
        holder.start()
        await asyncio.to_thread(held.wait)
        began = time.monotonic()
        await waiting.signal(go, "in the meantime")
        another = await service.start(busy(1))
        assert time.monotonic() - began > 2
        assert await waiting.result(10) == "in the meantime"
        assert await running.result(10) == 30
        assert await another.result(10) == 1
        holder.join()


async def test_an_execution_outlives_a_lock_that_outlives_the_patience_of_the_store(tmp_path: Path) -> None:
    """W3: longer than the store itself tries, and longer than the lease."""
    from datetime import timedelta

    from redrive.stores.sqlite import SQLiteStore

    path = tmp_path / "it.db"
    store = SQLiteStore(str(path), patience=timedelta(milliseconds=50))
    async with AsyncDurableService(store, [busy], lease=0.3) as service:
        running = await service.start(busy(20))
        await asyncio.sleep(0.05)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(1)
            db.execute("ROLLBACK")
        assert await running.result(20) == 20


def test_a_full_disk_stops_nothing_for_good(tmp_path: Path) -> None:
    """W3: a limit on the size of files stands for the full disk; once it is lifted, all that was acknowledged goes on."""
    done = subprocess.run([sys.executable, FULL, tmp_path / "it.db"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    refused, finished, result = done.stdout.split()
    assert int(refused) > 0
    assert finished == "True"
    assert result == "40"


async def test_a_database_deleted_under_a_worker_is_not_silently_begun_anew(tmp_path: Path) -> None:
    """I3, W3: nothing is acknowledged any more, since it would be gone with the process."""
    path = tmp_path / "it.db"
    async with AsyncDurableService(f"sqlite:///{path}", [waiter]) as service:
        execution = await service.start(waiter(), id="it")
        await standing(execution, "suspended")
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            name.unlink(missing_ok=True)
        with pytest.raises(UnusableStore, match=r"it\.db.*deleted"):
            await execution.signal(go, "to whom?")
        with pytest.raises(UnusableStore, match="deleted"):
            await service.start(waiter())
        assert not path.exists()


@pytest.mark.parametrize("kind", ["text", "foreign", "torn"])
async def test_a_file_that_is_not_ours_is_refused_and_left_as_it_is(tmp_path: Path, kind: str) -> None:
    """I3."""
    path = tmp_path / "it.db"
    if kind == "text":
        path.write_text("this is somebody's diary\n" * 100)
    elif kind == "foreign":
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE diary (day TEXT)")
    else:
        async with AsyncDurableService(f"sqlite:///{path}", [waiter]) as service:
            await service.start(waiter())
        data = bytearray(path.read_bytes())
        data[4096:] = b"\xff" * (len(data) - 4096)
        path.write_bytes(data)
    before = path.read_bytes()
    with pytest.raises((UnusableStore, StoreError), match=r"it\.db"):
        async with AsyncDurableService(f"sqlite:///{path}", [waiter]) as service:
            await service.start(waiter())
    if kind != "torn":
        assert path.read_bytes() == before


# ── a file that a stranger has locked ───────────────────────────────────────────────────────────
@workflow("disk.nap")
def nap() -> Flow[None]:
    yield from Sleep(0.2)


@pytest.mark.parametrize("executions", [0, 5, 400])
async def test_a_start_fails_within_its_patience_however_many_executions_want_to_be_stored(
    executions: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W8: each job waits from when it was asked for, not from when those before it have given up."""
    monkeypatch.setattr("redrive.patience.PATIENCE", 1.0)
    path = tmp_path / "locked.db"
    store = SQLiteStore(str(path), patience=timedelta(seconds=1))
    async with AsyncDurableService(store, [nap], grace=0) as service:
        handles = await asyncio.gather(*(service.start(nap()) for _ in range(executions)))
        stranger = sqlite3.connect(path, isolation_level=None)
        stranger.execute("BEGIN EXCLUSIVE")
        try:
            await asyncio.sleep(0.4)  # the timers have rung, and all these turns want to be stored
            for call in (lambda: service.start(nap()), lambda: service.signal("nobody", Signal("x", int), 1)):
                begun = time.monotonic()
                with pytest.raises(StoreError, match=r"locked\.db: database is locked"):
                    await call()
                assert 0.8 < time.monotonic() - begun < 3
        finally:
            stranger.execute("ROLLBACK")
            stranger.close()
        await asyncio.gather(*(handle.result(timeout=20) for handle in handles))


async def test_a_service_closes_in_time_though_its_file_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "locked.db"
    service = AsyncDurableService(f"sqlite:///{path}", [nap], grace=0.2)
    await service.__aenter__()
    for _ in range(20):
        await service.start(nap())
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN EXCLUSIVE")
    await asyncio.sleep(0.3)
    begun = time.monotonic()
    await service.close()
    assert time.monotonic() - begun < 8
    stranger.close()
    async with AsyncDurableService(f"sqlite:///{path}", [nap]) as again:
        assert await again.execute(nap()) is None
