"""H1: of several schedulers, some killed at any line, each slot is started once."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from redrive import DurableService, Workflow

PROGRAM = Path(__file__).with_name("programs") / "second_by_second.py"
SECOND = timedelta(seconds=1)


@contextmanager
def scheduler(url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, str(PROGRAM), url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        yield process
    finally:
        process.kill()
        process.communicate()


def test_each_slot_is_started_once_while_schedulers_are_killed(tmp_path: Path) -> None:
    """Two at a time, one of them killed about every second; the slots have no gap, and each has one execution, which ends."""
    url = f"sqlite:///{tmp_path / 'it.db'}"
    until = time.monotonic() + 8
    with scheduler(url):
        while time.monotonic() < until:
            with scheduler(url) as other:
                time.sleep(0.9)  # which line it is killed at is left to chance
                other.kill()
    with scheduler(url), DurableService(url, [Workflow("each-second", returns=str)], worker=False) as client:
        found = sorted(client.find(workflow="each-second"), key=lambda execution: execution.id)
        slots = [execution.execution.result(timeout=20) for execution in found]
        info = client.schedules.get("tick")
    assert info.skipped == ()
    assert len(slots) == len(set(slots)) >= 6
    moments = [execution.id.removeprefix("tick@") for execution in found]
    assert all(later > earlier for earlier, later in itertools.pairwise(moments))
    seconds = [int(slot[17:19]) for slot in slots]
    assert all((later - earlier) % 60 == 1 for earlier, later in itertools.pairwise(seconds))


def test_many_processes_that_ensure_one_schedule_make_one(tmp_path: Path) -> None:
    """H4: and it is what they all say."""
    url = f"sqlite:///{tmp_path / 'it.db'}"
    code = (
        "import sys; from redrive import DurableService, Workflow\n"
        "with DurableService(sys.argv[1], worker=False) as service:\n"
        "    for _ in range(5): service.schedules.ensure('poll', Workflow('w')(), every=60)\n"
    )
    with DurableService(url, worker=False):
        processes = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(12)]
        processes[0].kill()
        processes[1].kill()
        ends = [process.wait(60) for process in processes]
    assert ends[2:] == [0] * 10
    with DurableService(url, worker=False) as client:
        (info,) = client.schedules.list()
        assert (info.id, info.every) == ("poll", timedelta(seconds=60))
        (stored,) = client._call(client.aio.store.schedules(["poll"]))  # type: ignore[attr-defined]
        assert stored.version == 1
