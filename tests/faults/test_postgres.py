"""What may befall a database in production, with workers at work: all ends right, nothing acknowledged is lost (W1–W7, T6)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.crash import fleet
from tests.crash.workers import Fleet, check_effects, die_at_random, stop_one
from tests.faults.load import Load
from tests.faults.proxy import LossyProxy
from tests.faults.server import Victim, victim

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

OTHERS = "pid <> pg_backend_pid() AND backend_type = 'client backend'"


@pytest.fixture
def server() -> Iterator[Victim]:
    with victim() as server:
        yield server


@pytest.fixture
def workers(server: Victim, tmp_path: Path) -> Iterator[Fleet]:
    workers = Fleet(server.url(), tmp_path / "effects")
    yield workers
    workers.close()


async def meanwhile(load: Load, url: str, fault: Callable[[], Awaitable[None]]) -> None:
    """Run *load* on *url*, and *fault* beside it."""
    async with load.services(url) as client:
        running = asyncio.create_task(load.run(client))
        try:
            await fault()
        finally:
            await running


def take_all(server: Victim, held: contextlib.ExitStack) -> list[psycopg.Connection[tuple[object, ...]]]:
    """All connections that are to be had."""
    mine = []
    while True:
        try:
            mine.append(held.enter_context(psycopg.connect(server.dsn(), autocommit=True)))
        except psycopg.OperationalError:
            return mine


def fill_up(path: Path) -> None:
    """Write until nothing more fits on the disk."""
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 65536)
            except OSError as full:
                if full.errno != errno.ENOSPC:
                    raise
                return


def test_backends_terminated_every_200_ms_for_20_s(server: Victim, tmp_path: Path) -> None:
    load, killed = Load(200, 20, tmp_path / "effects"), 0

    async def terminate() -> None:
        nonlocal killed
        until = time.monotonic() + 20
        while time.monotonic() < until:
            found = await asyncio.to_thread(server.sql, f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {OTHERS}")
            killed += found[0][0]
            await asyncio.sleep(0.2)

    asyncio.run(meanwhile(load, server.url(), terminate))
    load.check()
    assert killed >= 100


def test_the_server_crashes_ten_times_in_a_minute(server: Victim, tmp_path: Path) -> None:
    load, crashes = Load(200, 55, tmp_path / "effects"), 0

    async def crash() -> None:
        nonlocal crashes
        for _ in range(10):
            await asyncio.sleep(4)
            await asyncio.to_thread(server.crash)
            with pytest.raises(psycopg.OperationalError):
                server.sql("SELECT 1")
            await asyncio.sleep(1)
            await asyncio.to_thread(server.recover)
            crashes += 1

    asyncio.run(meanwhile(load, server.url(), crash))
    load.check()
    assert crashes == 10
    assert server.log().count("database system was not properly shut down") == 10


def test_the_server_is_read_only_for_3_s(server: Victim, tmp_path: Path) -> None:
    """As a replica is until it is promoted."""
    load = Load(100, 8, tmp_path / "effects")

    async def forbid() -> None:
        await asyncio.sleep(2)
        server.sql("ALTER SYSTEM SET default_transaction_read_only = on")
        server.sql("SELECT pg_reload_conf()")
        await asyncio.sleep(3)
        writable = "-c default_transaction_read_only=off"
        server.sql("ALTER SYSTEM RESET default_transaction_read_only", writable)
        server.sql("SELECT pg_reload_conf()", writable)

    asyncio.run(meanwhile(load, server.url(), forbid))
    load.check()
    assert server.log().count("in a read-only transaction") >= 5


def test_the_connection_that_listens_is_cut_again_and_again(server: Victim, tmp_path: Path) -> None:
    """W6: notifications are lost; and they come again once it listens again."""
    load, cut = Load(100, 10, tmp_path / "effects"), 0
    fast: list[float] = []

    async def live() -> None:
        nonlocal cut
        async with load.services(server.url()) as client:
            running = asyncio.create_task(load.run(client))
            until = time.monotonic() + 10
            while time.monotonic() < until:
                query = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {OTHERS} AND query ILIKE 'LISTEN%'"
                cut += (await asyncio.to_thread(server.sql, query))[0][0]
                await asyncio.sleep(0.25)
            await running
            await asyncio.sleep(2)
            for n in range(5):
                execution = await client.start(fleet.program(("word", "word"), False), id=f"after-{n}")
                begun = time.monotonic()
                for _ in range(2):
                    await execution.signal(fleet.word, 1)
                await execution.result(10)
                fast.append(time.monotonic() - begun)

    asyncio.run(live())
    load.check()
    assert cut >= 10
    assert min(fast) < 0.3, "woken, not by the next poll"


def test_acknowledgements_of_commits_are_lost(server: Victim, tmp_path: Path) -> None:
    """W5: starts, steps and signals that are sent again land once."""
    load = Load(200, 15, tmp_path / "effects")
    lost: list[str] = []

    async def live() -> None:
        async with LossyProxy(server.port, random.Random(5), 0.15) as proxy, load.services(server.url(port=proxy.port)) as client:
            proxy.armed = True
            try:
                await load.run(client)
            finally:
                proxy.armed = False
                lost.extend(proxy.lost)

    asyncio.run(live())
    load.check()
    assert len(lost) >= 20


def test_no_connection_is_to_be_had(server: Victim, tmp_path: Path) -> None:
    """Others have taken them all, and ours are cut."""
    load = Load(100, 10, tmp_path / "effects")
    refused = 0

    async def exhaust() -> None:
        nonlocal refused
        for _ in range(3):
            await asyncio.sleep(1)
            with contextlib.ExitStack() as held:
                mine = take_all(server, held)
                keep = ",".join(str(connection.info.backend_pid) for connection in mine)
                cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS} AND pid NOT IN ({keep})"
                mine[0].execute(cut.encode())
                take_all(server, held)  # what was theirs is ours now
                await asyncio.sleep(2)
        refused = server.log().count("too many clients already") + server.log().count("remaining connection slots are reserved")

    asyncio.run(meanwhile(load, server.url(), exhaust))
    load.check()
    assert refused >= 10


@pytest.fixture
def small_disk(server: Victim) -> Iterator[Path]:
    """A disk of 48 MiB that all tables are on; the log of the server is on another."""
    folder = server.folder / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        space = folder / "space"
        space.mkdir()
        server.own(space)
        server.sql(f"CREATE TABLESPACE small LOCATION '{space}'")
        server.sql("ALTER SYSTEM SET default_tablespace = 'small'")
        server.sql("SELECT pg_reload_conf()")
        yield folder
    finally:
        server.crash()
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="mount is not there to make a small disk with")
def test_the_disk_is_full(server: Victim, small_disk: Path, tmp_path: Path) -> None:
    load = Load(100, 8, tmp_path / "effects")

    async def fill() -> None:
        await asyncio.sleep(2)
        filler = small_disk / "filler"
        fill_up(filler)
        await asyncio.sleep(4)
        filler.unlink()

    asyncio.run(meanwhile(load, server.url(), fill))
    load.check()
    assert server.log().count("No space left on device") >= 3


def test_a_worker_stopped_for_four_leases_writes_nothing_more_and_then_serves_others(workers: Fleet, tmp_path: Path) -> None:
    """W1, W2."""
    asyncio.run(stop_one(workers, tmp_path, leases=4))


def test_one_workers_clock_is_ten_minutes_off(workers: Fleet) -> None:
    """T6: it steals no leases, fires nothing early, and keeps what it has."""
    away: dict[int, float] = {}

    async def live() -> None:
        async with fleet.service(workers.url, worker=False) as client:
            workers.working(FLEET_CLOCK_OFF="600")
            workers.working(FLEET_CLOCK_OFF="-600")
            workers.working()
            taken: list[float] = []

            async def one(id: str) -> None:
                begun = time.monotonic()
                execution = await client.start(fleet.timed(2.0), id=id)
                pid, there = await execution.result(30)
                taken.append(time.monotonic() - begun)
                away[pid] = there - time.time()

            running = []
            for n in range(200):  # one by one: of many at once, one worker might take all
                running.append(asyncio.create_task(one(f"{n}")))
                await asyncio.sleep(0.02)
            await asyncio.gather(*running)
            assert min(taken) >= 2.0
            assert max(taken) < 5.0

    asyncio.run(live())
    assert any(off > 500 for off in away.values())
    assert any(off < -500 for off in away.values())
    effects = [tuple(line[:5]) for line in workers.lines()]
    assert len(effects) == len(set(effects))


def test_three_workers_die_at_random_over_300_programs(workers: Fleet) -> None:
    programs = {f"e{n}": fleet.Program.draw(77_000 + n) for n in range(300)}
    results, kills = asyncio.run(die_at_random(workers, programs, 3, random.Random(7)))
    assert results == {id: program.expected() for id, program in programs.items()}
    assert kills == 75
    check_effects(workers, kills)
