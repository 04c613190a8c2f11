"""What ends a process, raised by a workflow: never recorded as its outcome, and the same in the first turn as in any other."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from redrive import AsyncDurableService, DurableService, Flow, Signal, WaitSignal, step, workflow
from redrive_interpreter import Ended, Workflow
from tests.runtime.support import standing

INTERRUPTED = Path(__file__).parent / "programs" / "interrupted.py"
go = Signal("exits.go", str)


@step
async def brief() -> None:
    pass


def exits_with(error: BaseException) -> list[Workflow[..., Any]]:
    """Two workflows, of which one raises *error* in its first turn, and one in a later one."""

    @workflow("exits.first")
    def first() -> Flow[str]:
        raise error
        yield from brief()

    @workflow("exits.later")
    def later() -> Flow[str]:
        yield from brief()
        raise error

    return [first, later]


@workflow("exits.told")
def told() -> Flow[str]:
    raise SystemExit((yield from WaitSignal(go)))


@workflow("exits.waits")
def waits() -> Flow[str]:
    return (yield from WaitSignal(go))


@workflow("exits.told")
def told_mended() -> Flow[str]:
    return (yield from WaitSignal(go))


@workflow("exits.first")
def first_mended() -> Flow[str]:
    yield from brief()
    return "mended"


@workflow("exits.later")
def later_mended() -> Flow[str]:
    yield from brief()
    return "mended"


EXITS = exits_with(SystemExit("enough"))
MENDED = [first_mended, later_mended, told_mended, waits]
WHICH = pytest.mark.parametrize("which", [0, 1], ids=["in the first turn", "in a later turn"])


def broken(store: str) -> AsyncDurableService:
    return AsyncDurableService(store, [*EXITS, told, waits], build="broken")


def mended(store: str) -> AsyncDurableService:
    return AsyncDurableService(store, MENDED, build="mended")


# ── SystemExit ──────────────────────────────────────────────────────────────────────────────────
@WHICH
async def test_a_workflow_that_exits_is_parked_and_the_worker_goes_on(store_url: str, which: int) -> None:
    """D2, D6: whoever starts it hears nothing of it; the reason names the line."""
    async with broken(store_url) as service:
        other = await service.start(waits())
        execution = await service.start(EXITS[which](), id="it")
        reason = (await standing(execution, "parked")).parked["broken"]
        assert reason.endswith("SystemExit: enough\n")
        assert "test_exits.py" in reason
        assert not [row for row in await execution.history() if isinstance(row, Ended)]
        await other.signal(go, "on")
        assert await other.result(10) == "on"


@WHICH
async def test_code_that_does_not_exit_goes_on_from_there(store_url: str, which: int) -> None:
    """D2."""
    async with broken(store_url) as service:
        await standing(await service.start(EXITS[which](), id="it"), "parked")
    async with mended(store_url) as service:
        assert await service.execution("it").result(10) == "mended"


async def test_one_that_a_client_started_is_parked_all_the_same(store_url: str) -> None:
    async with AsyncDurableService(store_url, MENDED, worker=False) as client:
        await client.start(first_mended(), id="it")
    async with broken(store_url) as service:
        assert "SystemExit: enough" in (await standing(service.execution("it"), "parked")).parked["broken"]


async def test_one_that_exits_when_it_is_told_something_has_not_heard_it_yet(store_url: str) -> None:
    """D2: the signal is there for code that can take it."""
    async with broken(store_url) as service:
        await standing(await service.start(told(), id="it"), "suspended")
    async with broken(store_url) as service:
        await service.signal("it", go, "enough")
        assert "SystemExit: enough" in (await standing(service.execution("it"), "parked")).parked["broken"]
    async with mended(store_url) as service:
        assert await service.execution("it").result(10) == "enough"


# ── signals ─────────────────────────────────────────────────────────────────────────────────────
@WHICH
@pytest.mark.parametrize(("how", "code"), [("SIGINT", -signal.SIGINT), ("SIGTERM", 3)])
def test_a_signal_that_ends_the_process_within_a_turn_is_not_the_executions(tmp_path: Path, which: int, how: str, code: int) -> None:
    """S5: nothing of the turn is recorded, and the next worker computes it again. A second Ctrl-C, and a handler that exits."""
    store = f"sqlite:///{tmp_path / 'it.db'}"
    ended = subprocess.run([sys.executable, INTERRUPTED, store, str(which), how], capture_output=True, timeout=60, check=False)
    assert ended.returncode == code, ended.stderr

    async def go_on() -> None:
        async with mended(store) as service:
            execution = await service.start(MENDED[which](), id="it")
            assert await execution.result(20) == "mended"
            assert not (await execution.info()).parked

    asyncio.run(go_on())


@WHICH
@pytest.mark.parametrize("error", [SystemExit("enough"), KeyboardInterrupt("enough")], ids=repr)
def test_on_the_thread_of_a_blocking_service_it_can_only_be_the_workflows_own(store_url: str, which: int, error: BaseException) -> None:
    """Signals come to the main thread. So it is parked, and the thread goes on for others."""
    made = exits_with(error)
    with DurableService(store_url, [*made, waits], build="broken") as service:
        execution = service.start(made[which](), id="it")
        while (info := execution.info()).status != "parked":
            time.sleep(0.002)
        assert info.parked["broken"].endswith(f"{type(error).__name__}: enough\n")
        other = service.start(waits())
        other.signal(go, "on")
        assert other.result(10) == "on"
