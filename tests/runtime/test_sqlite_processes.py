"""One file and several processes: what was acknowledged is there, whoever is killed, and nobody's work gets lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from redrive.ports.store import StoreError, Turn
from redrive.stores.sqlite import SQLiteStore
from redrive.testing.contracts.lab import LEASE, claimed, execution, take
from redrive.testing.contracts.lab import signal as approval

PRELUDE = """
import asyncio, os, resource, signal, sys
from datetime import timedelta
from redrive.ports.store import *
from redrive.stores.sqlite import SQLiteStore
store = SQLiteStore(sys.argv[1], patience=timedelta(seconds=float(sys.argv[3]) if len(sys.argv) > 3 else 30))
"""

COMMITTER = (
    PRELUDE
    + """
async def main():
    await store.open()
    await store.start(NewExecution(id="e-1", workflow="w", run="r", input="1", started="0"))
    (claim,) = await store.claim(sys.argv[2], timedelta(days=1), "b-1", ["w"], 1)
    length = claim.length
    print("length", length, flush=True)
    while True:
        await store.commit(claim, Turn(expects=length, rows=[str(length)]))
        length += 1
        print(length, flush=True)
asyncio.run(main())
"""
)

DIES_IN_A_TRANSACTION = (
    PRELUDE
    + """
async def main():
    await store.open()
    await store.start(NewExecution(id="e-1", workflow="w", run="r", input="1", started="0"))
    (claim,) = await store.claim(sys.argv[2], timedelta(days=1), "b-1", ["w"], 1)
    await store.commit(claim, Turn(expects=1, rows=["1"]))
    def die(tx):
        tx.execute("INSERT INTO history (n, number, upto, at_us, rows) VALUES (1, 1, 3, 0, '2')")
        tx.execute("UPDATE executions SET status = 'completed', owner = NULL")
        os.kill(os.getpid(), signal.SIGKILL)
    await store._writer.do(die)
asyncio.run(main())
"""
)

SENDER = (
    PRELUDE
    + """
async def main():
    await store.open()
    landed = 0
    for n in range(100):
        landed += await store.send("e-1", NewMessage(kind="signal", name=sys.argv[2], data=str(n), dedup=str(n)))
    print(landed)
    await store.close()
asyncio.run(main())
"""
)

FILLS_THE_DISK = (
    PRELUDE
    + """
async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    await store.open()
    await store.start(NewExecution(id="e-1", workflow="w", run="r", input="1", started="0"))
    (claim,) = await store.claim(sys.argv[2], timedelta(days=1), "b-1", ["w"], 1)
    size = os.path.getsize(sys.argv[1] + "-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10_000, resource.RLIM_INFINITY))
    length = 1
    turn = Turn(expects=1, rows=['"' + "x" * 50_000 + '"'])
    try:
        await store.commit(claim, turn)
    except StoreError as full:
        print(type(full).__name__, full.retry_helps, flush=True)
    print(await store.history("e-1"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.commit(claim, turn)
    print(len(await store.history("e-1")))
    await store.close()
asyncio.run(main())
"""
)


def run(program: str, *args: object) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", program, *map(str, args)], env=env, stdout=subprocess.PIPE, text=True)


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "redrive.db"
    acknowledged = 1
    for kill_after in (1, 2, 7, 40, 90):
        with run(COMMITTER, path, f"worker {kill_after}") as process:
            assert process.stdout is not None
            began_at = int(process.stdout.readline().split()[1])
            assert began_at >= acknowledged
            for _ in range(kill_after):
                acknowledged = int(process.stdout.readline())
            process.kill()
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split()[:-1])])
        history = asyncio.run(read_and_retire(path, f"worker {kill_after}"))
        assert history == list(range(len(history)))
        assert len(history) >= acknowledged
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


async def read_and_retire(path: Path, worker: str) -> list[int]:
    store = SQLiteStore(str(path))
    await store.open()
    try:
        await store.deregister_worker(worker)
        await store.send("e-1", approval())
        return list(json.loads(await store.history("e-1")))
    finally:
        await store.close()


def test_a_process_that_dies_in_a_transaction_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "redrive.db"
    with run(DIES_IN_A_TRANSACTION, path, "ada") as process:
        assert process.wait(60) == -signal.SIGKILL

    async def look() -> None:
        store = SQLiteStore(str(path))
        await store.open()
        found = await store.read("e-1")
        assert found is not None
        assert (found.status, found.owner, found.length) == ("running", "ada", 2)
        assert await store.history("e-1") == "[0,1]"
        await store.close()

    asyncio.run(look())


def test_processes_that_send_at_once_all_get_through(tmp_path: Path) -> None:
    path = tmp_path / "redrive.db"

    async def begin() -> None:
        store = SQLiteStore(str(path))
        await store.open()
        await store.start(execution())
        await store.close()

    async def inbox() -> int:
        store = SQLiteStore(str(path))
        await store.open()
        try:
            return len((await store.load(await take(store))).inbox)
        finally:
            await store.close()

    asyncio.run(begin())
    senders = [run(SENDER, path, f"sender {n}") for n in range(3)]
    landed = [int(sender.communicate(timeout=100)[0]) for sender in senders]
    assert sum(landed) == 100
    assert asyncio.run(inbox()) == 100


def test_a_full_disk_is_reported_and_nothing_is_half_written(tmp_path: Path) -> None:
    with run(FILLS_THE_DISK, tmp_path / "redrive.db", "ada", 0.05) as process:
        assert process.stdout is not None
        assert process.stdout.read().splitlines() == ["StoreError True", "[0]", str(len("[0,]") + 50_002)]


# ── a database that others have locked ──────────────────────────────────────────────────────────
def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    async def go() -> None:
        store, lock = await locked(tmp_path / "redrive.db", patience=60)
        sending = [asyncio.create_task(store.send("e-1", approval(data=str(n)))) for n in range(5)]
        await asyncio.wait(sending, timeout=0.1)
        assert not any(task.done() for task in sending)
        assert await store.read("e-1") is not None
        lock.execute("ROLLBACK")
        assert await asyncio.gather(*sending) == [True] * 5
        lock.close()
        await store.close()

    asyncio.run(go())


def test_a_database_that_stays_locked_is_reported_as_worth_a_retry(tmp_path: Path) -> None:
    async def go() -> None:
        store, lock = await locked(tmp_path / "redrive.db", patience=0.05)
        for lone in (False, True):
            store._writer._took = 0.0 if lone else 1.0
            with pytest.raises(StoreError, match=r"redrive\.db: database is locked") as problem:
                await store.send("e-1", approval())
            assert problem.value.retry_helps
        lock.execute("ROLLBACK")
        lock.close()
        assert await store.send("e-1", approval())
        assert len((await store.load(await take(store))).inbox) == 1
        await store.close()

    asyncio.run(go())


def test_a_users_text_about_a_locked_database_is_a_users_text(tmp_path: Path) -> None:
    async def go() -> None:
        store = SQLiteStore(str(tmp_path / "redrive.db"), patience=timedelta(seconds=60))
        await store.open()
        claim = await claimed(store)
        with pytest.raises(TypeError):
            await store.commit(claim, Turn(expects=1, rows=['"database is locked"', None]))  # type: ignore[list-item]
        await store.commit(claim, Turn(expects=1, rows=['"database is locked"'], outcome='{"err": "disk I/O error"}', status="failed"))
        await store.close()

    asyncio.run(go())


async def locked(path: Path, patience: float) -> tuple[SQLiteStore, sqlite3.Connection]:
    store = SQLiteStore(str(path), patience=timedelta(seconds=patience))
    await store.open()
    await store.start(execution())
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    return store, lock


def test_a_store_on_the_same_file_goes_on_where_another_stopped(tmp_path: Path) -> None:
    async def go() -> None:
        one, other = SQLiteStore(str(tmp_path / "redrive.db")), SQLiteStore(str(tmp_path / "redrive.db"))
        await one.open()
        await other.open()
        claim = await claimed(one)
        await one.commit(claim, Turn(expects=1, rows=['"a"'], wake_at=await one.now()))
        await one.close()
        await other.commit(attrs.evolve(claim, length=2), Turn(expects=2, rows=['"b"'], wake_at=await other.now()))
        await other.deregister_worker("ada")
        assert (await other.claim("bob", LEASE, "b-1", ["w"], 1))[0].length == 3
        await other.close()

    asyncio.run(go())
