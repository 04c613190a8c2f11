"""How workers end: told to, told twice, or killed; and what of their work is done again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redrive import DurableService, Workflow

PROGRAM = Path(__file__).parent / "programs" / "serves.py"


class Workers:
    """Processes on one SQLite file, and a client beside them."""

    def __init__(self, folder: Path) -> None:
        self.url, self.log = f"sqlite:///{folder / 'it.db'}", folder / "log"
        self.client = DurableService(self.url, worker=False)
        self.running: list[subprocess.Popen[str]] = []

    def launch(self, grace: float = 5, pause: float = 0) -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [sys.executable, PROGRAM, self.url, self.log],
            env=os.environ | {"GRACE": str(grace), "PAUSE": str(pause)},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(worker)
        assert worker.stderr is not None
        worker.stderr.readline()  # it works, or died of its work already
        return worker

    def start(self, name: str, *args: Any) -> Any:
        return self.client.start(Workflow(f"serves.{name}", returns=Any)(*args), id=name)

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def wait_for(self, *lines: str) -> None:
        until = time.monotonic() + 20
        while self.lines()[-len(lines) :] != list(lines):
            assert time.monotonic() < until, self.lines()
            time.sleep(0.005)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path)
    with workers.client:
        yield workers
    for worker in workers.running:
        with worker:
            worker.kill()


def test_sigterm_lets_a_running_body_finish_and_records_it(workers: Workers) -> None:
    """E6."""
    worker = workers.launch()
    execution = workers.start("sync", 0.4)
    workers.wait_for("sync 1")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert execution.result(1) == "slept"
    assert workers.lines() == ["sync 1"]


def test_what_outlives_the_grace_is_run_again_elsewhere_as_the_same_attempt(workers: Workers) -> None:
    """E6, S10: a sync body that cannot be told and an async one that will not hear."""
    worker = workers.launch(grace=0.1)
    execution = workers.start("deaf", 1.5)
    workers.wait_for("deaf 1")
    worker.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert worker.wait(10) == 0
    assert time.monotonic() - began < 5
    assert "told 1" in workers.lines()
    workers.launch()
    assert execution.result(20) == "slept"
    assert workers.lines().count("deaf 1") == 2


def test_a_second_sigterm_ends_at_once(workers: Workers) -> None:
    """E6: nothing stored is lost, and another worker goes on."""
    worker = workers.launch(grace=60)
    execution = workers.start("sync", 1.0)
    workers.wait_for("sync 1")
    worker.send_signal(signal.SIGTERM)
    assert worker.stderr is not None
    assert "once more to end at once" in worker.stderr.readline()
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 0.7
    workers.launch()
    assert execution.result(20) == "slept"
    assert workers.lines() == ["sync 1", "sync 1"]


def test_the_count_of_attempts_survives_a_kill(workers: Workers) -> None:
    """S4: killed while the third attempt was waited for; it is the third that comes next, not the first."""
    first = workers.launch()
    execution = workers.start("moody")
    workers.wait_for("moody 1", "moody 2")
    while not any(type(row).__name__ == "Retrying" and row.attempt == 2 for row in execution.history()):
        time.sleep(0.005)
    first.kill()
    workers.launch()
    assert execution.result(20) == 4
    assert workers.lines() == ["moody 1", "moody 2", "moody 3", "moody 4"]


def test_an_at_most_once_step_that_was_killed_is_interrupted_and_not_run_again(workers: Workers) -> None:
    """S3."""
    first = workers.launch()
    execution = workers.start("once", 60.0)
    workers.wait_for("once 1")
    first.kill()
    workers.launch()
    assert execution.result(20) == "interrupted"
    assert workers.lines() == ["once 1"]
    assert [str(key) for key in execution.info().in_doubt] == ["once"]


def test_a_parent_that_dies_has_its_child_once(workers: Workers) -> None:
    """E10, W2: both workers of the family are killed, one after the other."""
    first = workers.launch()
    execution = workers.start("parent", 0.5)
    workers.wait_for("sync 1")
    first.kill()
    second = workers.launch()
    workers.wait_for("sync 1", "sync 1")
    second.kill()
    workers.launch()
    assert execution.result(20) == "slept"
    assert workers.lines() == ["sync 1"] * 3


def test_a_handler_that_was_killed_gets_its_event_again_and_none_is_left_out(workers: Workers) -> None:
    """G5: at least once, in order, across the death of the worker that had them in hand."""
    first = workers.launch(pause=0.05)
    execution = workers.start("emits", 10)
    assert execution.result(20) == 10
    workers.wait_for("handled 3")
    first.kill()
    workers.launch()
    workers.wait_for("handled 10")
    handled = [int(line.split()[1]) for line in workers.lines()]
    assert sorted(set(handled)) == list(range(1, 11))
    assert len(handled) in (10, 11), "one at most was under way"
    assert handled == sorted(handled)


def test_an_execution_that_kills_its_workers_is_parked_and_the_next_worker_lives(workers: Workers) -> None:
    """E7: here after two recoveries; what shares its workers goes on."""
    execution = workers.start("deadly")
    patient = workers.start("sync", 0.0)
    for _ in range(3):
        worker = workers.launch()
        assert worker.wait(20) == -signal.SIGKILL
    workers.launch()
    while (info := execution.info()).status != "parked":
        time.sleep(0.01)
    assert "died 3 times" in info.parked["one"]
    assert workers.lines().count("deadly 1") == 3
    assert patient.result(10) == "slept"
    assert workers.start("moody").result(20) == 4
