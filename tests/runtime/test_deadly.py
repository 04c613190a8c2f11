"""Processes that die by SIGKILL of what they run, and stored text that would like to run."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from redrive import AsyncDurableService, ExecutionFailed, Flow, step, workflow
from tests.runtime.programs import deadly
from tests.runtime.support import standing

PROGRAM = Path(deadly.__file__)


async def test_an_execution_that_kills_its_process_each_time_is_parked_in_the_end(tmp_path: Path) -> None:
    """E7, W2: by real deaths; the lease of a minute is not waited for."""
    url, log = f"sqlite:///{tmp_path / 'it.db'}", tmp_path / "log"
    for death in range(1, 4):
        run = [sys.executable, str(PROGRAM), url, str(log)]
        worker = await asyncio.to_thread(subprocess.run, run, capture_output=True, timeout=60, check=False)
        assert worker.returncode == -signal.SIGKILL, worker.stderr
        assert len(log.read_text().split()) == death
    async with AsyncDurableService(url, [deadly.it], max_recoveries=2, build="b", lease=60) as service:
        info = await asyncio.wait_for(standing(service.execution("it"), "parked"), 20)
    assert "died 3 times" in info.parked["b"]
    assert len(log.read_text().split()) == 3


@step
async def fails() -> None:
    raise ValueError("harmless")


@workflow("deadly.fails")
def failing() -> Flow[None]:
    yield from fails()


async def test_a_stored_text_that_names_a_module_imports_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I4: an attacker writes the type of an error into the file; everything that reads the execution takes it as text."""
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Boom(Exception): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    url = f"sqlite:///{tmp_path / 'it.db'}"
    async with AsyncDurableService(url, [failing]) as service:
        execution = await service.start(failing(), id="it")
        with pytest.raises(ExecutionFailed):
            await execution.result(10)
    database = sqlite3.connect(tmp_path / "it.db", isolation_level=None)
    for table, column in (("executions", "outcome"), ("history", "rows")):
        changed = (
            f"replace(replace({column}, 'redrive_interpreter.errors.StepFailed', 'evil_module.Boom'), 'ValueError', 'evil_module.Boom')"
        )
        database.execute(f"UPDATE {table} SET {column} = {changed}")
    database.close()
    async with AsyncDurableService(url, [failing]) as service:
        execution = service.execution("it", failing)
        with pytest.raises(ExecutionFailed) as failed:
            await execution.result(10)
        await execution.info()
        await execution.history()
    assert "evil_module.Boom" in str(failed.value)
    assert "evil_module" not in sys.modules
    assert not (tmp_path / "ran").exists()
