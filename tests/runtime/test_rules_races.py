"""Two things at the same moment: exactly one of them counts, and what is stored says which."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from redrive import (
    AsyncDurableService,
    Cancelled,
    DurableService,
    ExecutionCancelled,
    ExecutionFinished,
    Flow,
    Signal,
    WaitSignal,
    step,
    workflow,
)
from redrive.codec import JsonCodec
from redrive_interpreter import Finished, drive

word = Signal("word", int)
STARTER = Path(__file__).parent / "programs" / "starts.py"


@step
async def brief(n: int) -> int:
    await asyncio.sleep(0)
    return n


@workflow("rules.finishing")
def finishing(n: int) -> Flow[str]:
    try:
        yield from brief(n)
        return "finished"
    except Cancelled:
        yield from brief(n)
        return "tidied"


async def test_a_cancel_is_either_refused_or_obeyed(store_url: str) -> None:
    """E3: sent at any moment around the end, by a client elsewhere; what was accepted is never ignored."""
    async with AsyncDurableService(store_url, [finishing]) as service, AsyncDurableService(store_url, worker=False) as client:

        async def one(n: int) -> str:
            execution = await service.start(finishing(n))
            for _ in range(n % 23):
                await asyncio.sleep(0)
            try:
                await client.execution(execution.id).cancel("now")
            except ExecutionFinished:
                assert await execution.result(10) == "finished"
                return "refused"
            with pytest.raises(ExecutionCancelled):
                await execution.result(10)
            info = await execution.info()
            assert info.result in ("tidied", None), "None: it was cancelled before it began"
            return "obeyed"

        seen = {await one(n) for n in range(100)}
        seen |= set(await asyncio.gather(*(one(n) for n in range(100))))
    assert "obeyed" in seen


@workflow("rules.waits")
def waits() -> Flow[tuple[int, int]]:
    first = yield from WaitSignal(word, timeout=0.01, default=-1)
    second = -1 if first != -1 else (yield from WaitSignal(word))
    return first, second


async def test_a_signal_and_its_timeout_have_one_outcome(store_url: str) -> None:
    """G2, O3: sent around the due time 200 times; it ends the wait or is there for the next, and replay agrees."""
    codec = JsonCodec()
    async with AsyncDurableService(store_url, [waits]) as service, AsyncDurableService(store_url, worker=False) as client:

        async def one(n: int) -> str:
            execution = await service.start(waits())
            await asyncio.sleep(0.006 + 0.00004 * n)
            await client.signal(execution.id, word, n)
            result = await execution.result(10)
            assert result in ((n, -1), (-1, n))
            verdict = drive(waits, await execution.history(), codec)
            assert isinstance(verdict, Finished)
            assert (await execution.info()).unread == 0
            return "signal" if result[0] == n else "timeout"

        outcomes = [outcome for at in range(0, 200, 20) for outcome in await asyncio.gather(*(one(n) for n in range(at, at + 20)))]
    assert len(outcomes) == 200


@workflow("rules.started")
def started(n: int) -> Flow[int]:
    return (yield from brief(n))


def test_twenty_threads_that_start_one_id_start_one_execution(store_url: str) -> None:
    """E1."""
    from concurrent.futures import ThreadPoolExecutor

    with DurableService(store_url, [started]) as one, DurableService(store_url, [started]) as two, ThreadPoolExecutor(20) as threads:
        for n in range(5):
            begun = list(threads.map(lambda k, n=n: (one if k % 2 else two).start(started(n), id=f"it-{n}").result(10), range(20)))
            assert begun == [n] * 20
            assert len(one.execution(f"it-{n}").history(1)) == len(one.execution(f"it-{n}").history())


def test_three_processes_that_start_the_same_ids_start_each_once(tmp_path: Path) -> None:
    """E1, E10: each id's step leaves one line, whoever ran it."""
    command = [sys.executable, str(STARTER), f"sqlite:///{tmp_path / 'it.db'}", str(tmp_path / "log")]
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for starter in starters:
        out, err = starter.communicate(timeout=60)
        assert (starter.returncode, out) == (0, f"{list(range(30))}\n"), err
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(30))
