"""W2, W9: who is alive, who is dead, and who is told of it; on one machine the kernel knows."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from redrive import AsyncDurableService, Flow, Signal, WaitSignal, step, workflow
from redrive.stores.kernel import Process, Sight, kernel, ticks_us
from redrive.stores.sqlite import SQLiteStore
from redrive.stores.sqlite.lock_witness import Fate, WorkerRow, evidence_text, fate
from redrive.stores.sqlite.locks import Lock, is_locked, lock_file
from tests.runtime.stalling import Workers
from tests.runtime.support import standing, true

on_linux = pytest.mark.skipif(kernel() is None, reason="the kernel does not tell its name")


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    with Workers(f"sqlite:///{tmp_path / 'it.db'}", tmp_path) as workers:
        yield workers


@pytest.mark.parametrize("how", ["blocks_the_loop", pytest.param("holds_the_gil", marks=on_linux)])
def test_a_body_that_lets_nothing_else_run_begins_once_and_so_does_what_runs_beside_it(workers: Workers, how: str) -> None:
    """W2: five leases long, with another worker that would take it."""
    first = workers.launch(lease=0.6)
    beside = workers.start("innocent", 4)
    workers.wait_for("innocent")
    execution = workers.start(how, 3)
    workers.wait_for(how)
    second = workers.launch(lease=0.6)
    assert execution.result(20) == beside.result(20) == "done"
    assert sorted(workers.begun()) == sorted(["innocent", how])
    workers.wait_for(f"step {how!r} of execution {how!r}", lambda: workers.said(first))
    assert "taken over" not in workers.said(second)


def test_what_holds_up_the_loop_is_named_once_with_its_stack(workers: Workers) -> None:
    """W2, W9."""
    worker = workers.launch()
    assert workers.start("blocks_the_loop", 3.5).result(20) == "done"
    said = workers.said(worker)
    assert said.count("has held up the event loop") == 1
    assert "step 'blocks_the_loop' of execution 'blocks_the_loop', attempt 1" in said
    assert "time.sleep(seconds)" in said
    workers.wait_for("is to be heard again", lambda: workers.said(worker))


def test_what_holds_the_gil_is_named_afterwards(workers: Workers) -> None:
    """W2, W9: no thread could tell while it lasted."""
    worker = workers.launch()
    assert workers.start("holds_the_gil", 3).result(20) == "done"
    workers.wait_for("no thread of this process ran for", lambda: workers.said(worker))
    assert "step 'holds_the_gil' of execution 'holds_the_gil', attempt 1" in workers.said(worker)


@pytest.mark.parametrize("how", ["blocks_the_loop", "holds_the_gil"])
def test_past_the_bound_others_take_over_and_both_sides_say_so(workers: Workers, how: str) -> None:
    """W1, W2, W9: the first worker's late result is refused."""
    first = workers.launch(lease=0.6, max_stall=1.0)
    execution = workers.start(how, 9)
    workers.wait_for(how)
    second = workers.launch(lease=0.6, max_stall=60)
    began = time.monotonic()
    while len(workers.begun()) < 2:
        assert time.monotonic() < began + 10
        time.sleep(0.01)
    assert execution.result(20) == "done"
    assert workers.begun() == [how, how]
    assert f"execution {how!r} is taken over here" in workers.said(second)
    assert f"to be run again: step {how}" in workers.said(second)
    workers.wait_for(f"execution {how!r} is not this worker's any more", lambda: workers.said(first))


@on_linux
def test_work_of_a_killed_worker_goes_on_at_once_where_it_is_started_again(workers: Workers) -> None:
    """W2: not after the lease; the kernel knows that it is dead, though nobody has waited for its body yet."""
    first = workers.launch(lease=600)
    workers.start("deaf", 60)
    workers.wait_for("deaf")
    first.kill()
    second = workers.launch(lease=600)
    restarted = time.monotonic()
    while workers.begun().count("deaf") < 2:
        assert time.monotonic() < restarted + 20
        time.sleep(0.005)
    assert time.monotonic() - restarted < 0.5
    assert "its process has ended" in workers.said(second)


@on_linux
def test_work_of_a_killed_worker_goes_on_at_once_on_one_that_was_there(workers: Workers) -> None:
    """W2."""
    first = workers.launch(lease=600)
    workers.start("deaf", 60)
    workers.wait_for("deaf")
    workers.launch(lease=600)
    first.kill()
    killed = time.monotonic()
    while workers.begun().count("deaf") < 2:
        assert time.monotonic() < killed + 20
        time.sleep(0.005)
    assert time.monotonic() - killed < 0.6


def test_a_worker_that_was_stopped_has_its_lease_and_no_more(workers: Workers) -> None:
    """W1: paused, it is no slow worker."""
    first, execution = workers.launch(lease=1, max_stall=600), workers.start("innocent", 0.3)
    workers.wait_for("innocent")
    first.send_signal(signal.SIGSTOP)
    second = workers.launch(lease=1)
    assert execution.result(20) == "done"
    assert workers.begun() == ["innocent", "innocent"]
    assert "its lease has passed" in workers.said(second)


# ── ending ──────────────────────────────────────────────────────────────────────────────────────
def test_a_second_sigterm_ends_the_process_though_the_loop_is_blocked(workers: Workers) -> None:
    """E6: the signals are heard on a thread."""
    worker = workers.launch(grace=60)
    workers.start("blocks_the_loop", 60)
    workers.wait_for("blocks_the_loop")
    worker.send_signal(signal.SIGTERM)
    workers.wait_for("once more to end at once", lambda: workers.said(worker))
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 0.7


@pytest.mark.parametrize("how", ["hears_nothing", "hears_nothing_at_all", "leaves_a_deaf_task"])
def test_what_hears_no_cancel_does_not_keep_the_process_alive_past_the_grace(workers: Workers, how: str) -> None:
    """E6, S10: neither a body, nor a task that it left."""
    worker = workers.launch(grace=0.1)
    workers.start(how, 60)
    workers.wait_for(how)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 0
    assert "told" in workers.begun()


@pytest.mark.parametrize("how", ["hears_nothing", "hears_nothing_at_all"])
def test_a_body_that_hears_no_cancel_does_not_keep_a_users_program_alive(workers: Workers, how: str) -> None:
    """E6, S10: under `asyncio.run`, which waits for every task; nor once no loop runs any more, and Python closes what is left."""
    worker = workers.launch(grace=0.1, until_enough=1)
    workers.start(how, 60)
    workers.wait_for(how)
    Path(f"{workers.log}-enough").touch()
    assert worker.wait(5) == 0
    assert "told" in workers.begun()


# ── clocks ──────────────────────────────────────────────────────────────────────────────────────
go = Signal("go", str)
seen: list[str] = []


class Dial:
    """A wall clock that the test sets."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@workflow("liveness.listens")
def listens() -> Flow[str]:
    return (yield from WaitSignal(go))


@on_linux
@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(days=-1)])
async def test_a_clock_that_jumps_buries_no_living_worker(tmp_path: Path, jump: timedelta) -> None:
    """T4, W2: the machine slept, or was told the time; whoever beats first must not take the other for dead."""
    dial, gate = Dial(), asyncio.Event()

    @step
    async def held() -> str:
        seen.append("held")
        await gate.wait()
        return "done"

    @workflow("liveness.holds")
    def holds() -> Flow[str]:
        return (yield from held())

    seen.clear()
    path = str(tmp_path / "it.db")
    async with AsyncDurableService(SQLiteStore(path, clock=dial), [holds], lease=30) as one:
        execution = await one.start(holds(), id="it")
        await true(lambda: seen)
        async with AsyncDurableService(SQLiteStore(path, clock=dial), [holds], lease=30) as two:
            dial.ahead = jump
            for _ in range(3):
                assert not await two.store.claim(two.worker_id, timedelta(seconds=30), two.build, ["liveness.holds"], 10)
            snapshot = await two.store.read("it")
            assert snapshot is not None
            assert snapshot.owner == one.worker_id
            gate.set()
            assert await execution.result(10) == "done"
    assert seen == ["held"]


# ── what is known of a worker ───────────────────────────────────────────────────────────────────
NOW = 1_000_000_000_000_000
SECOND = 1_000_000


def row(*, lease: float, ticks: float = 0, stall: float = 0, boot: str | None = None, evidence: str | None = None) -> WorkerRow:
    """A worker's row; *lease* by the wall clock, *ticks* by the kernel's and *stall* are seconds that are left."""
    by_kernel = (None, None) if boot is None else (ticks_us() + int(ticks * SECOND), ticks_us() + int(stall * SECOND))
    return WorkerRow("ada", NOW + int(lease * SECOND), 15 * SECOND, "[]", boot, *by_kernel, evidence, "b-1")


def test_without_evidence_the_lease_by_the_wall_clock_decides() -> None:
    """W2: workers of another machine, or of an older release."""
    for boot, evidence in ((None, None), ("another boot", evidence_text(Process(1, 1, "pid:[1]"), None, 0))):
        assert fate("/nowhere", row(lease=1, boot=boot, evidence=evidence), NOW) is Fate.ALIVE
        assert fate("/nowhere", row(lease=0, ticks=99, stall=99, boot=boot, evidence=evidence), NOW) is Fate.EXPIRED


@on_linux
def test_on_one_kernel_its_clock_decides_and_not_the_wall_clock() -> None:
    """T4, W2."""
    elsewhere = evidence_text(Process(1, 1, "pid:[another]"), None, 0)
    assert fate("/nowhere", row(lease=-3600, ticks=1, boot=kernel(), evidence=elsewhere), NOW) is Fate.ALIVE
    assert fate("/nowhere", row(lease=3600, ticks=-1, stall=99, boot=kernel(), evidence=elsewhere), NOW) is Fate.EXPIRED


@on_linux
def test_a_process_that_is_seen_to_run_keeps_its_lease_up_to_the_bound() -> None:
    """W2."""
    mine = evidence_text(Process.here(), None, 0)
    assert fate("/nowhere", row(lease=-1, ticks=-1, stall=1, boot=kernel(), evidence=mine), NOW) is Fate.ALIVE
    assert fate("/nowhere", row(lease=-1, ticks=-1, stall=-1, boot=kernel(), evidence=mine), NOW) is Fate.EXPIRED


@on_linux
def test_a_process_that_is_gone_is_dead_and_so_is_one_whose_pid_is_another_ones_now() -> None:
    """W2."""
    here = Process.here()
    assert here is not None
    for gone in (Process(here.pid, here.started - 1, here.namespace), Process(2**22 + 1, 1, here.namespace)):
        assert fate("/nowhere", row(lease=9, ticks=9, stall=9, boot=kernel(), evidence=evidence_text(gone, None, 0)), NOW) is Fate.DEAD


@on_linux
def test_a_process_that_nobody_has_waited_for_yet_is_gone() -> None:
    """W2: a zombie does nothing any more."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        here = Process.here()
        assert here is not None
        process = Process(child.pid, int(stat[19]), here.namespace)
        assert process.look() is Sight.RUNS
        child.kill()
        while process.look() is not Sight.GONE:
            time.sleep(0.002)


@on_linux
def test_a_byte_is_held_by_the_worker_and_not_by_its_process_or_its_children(tmp_path: Path) -> None:
    """W2: two workers of one process have one each; a child that is forked and lives on holds none."""
    path = lock_file(str(tmp_path / "it.db"))
    one, two = Lock(path), Lock(path)
    assert is_locked(path, one.file, one.byte) is True
    ready, end = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"x")
        os.read(end[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    one.release(remove=True)
    assert is_locked(path, one.file, one.byte) is False
    assert is_locked(path, two.file, two.byte) is True
    os.write(end[1], b"x")
    os.waitpid(child, 0)
    two.release(remove=True)
    assert not Path(path).exists()


@on_linux
def test_a_lock_file_that_was_replaced_says_nothing(tmp_path: Path) -> None:
    """W2: then the process table is asked, and where it does not tell either, the lease decides."""
    path = lock_file(str(tmp_path / "it.db"))
    lock = Lock(path)
    os.rename(path, f"{path}-old")
    assert is_locked(path, lock.file, lock.byte) is None
    Lock(path).release(remove=False)
    assert is_locked(path, lock.file, lock.byte) is None
    elsewhere = evidence_text(Process(1, 1, "pid:[another]"), lock.file, lock.byte)
    assert fate(str(tmp_path / "it.db"), row(lease=1, ticks=1, boot=kernel(), evidence=elsewhere), NOW) is Fate.ALIVE


async def test_a_service_that_was_closed_leaves_no_lock_file(tmp_path: Path) -> None:
    async with AsyncDurableService(f"sqlite:///{tmp_path / 'it.db'}", [listens]) as service:
        await standing(await service.start(listens(), id="it"), "suspended")
    assert os.listdir(tmp_path) == ["it.db"]
