"""Operators' acts against live workers: whatever comes first, no invariant breaks (F4, F8)."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

import pytest

from redrive import AsyncDurableService, ExecutionFinished, OperationRefused
from redrive.ports.store import Stale
from redrive_interpreter import replay
from redrive_interpreter.history.rows import Ended
from tests.operating.shop import Provider, in_shop, undoing
from tests.runtime.support import standing

ROUNDS = 12
FINAL = ("completed", "failed", "cancelled", "compensation_failed")


def acts(service: AsyncDurableService, id: str) -> list[Callable[[], Awaitable[object]]]:
    operator = service.operator
    return [
        lambda: operator.pause(id),
        lambda: operator.resume(id),
        lambda: operator.skip_step(id, "charge", "by hand"),
        lambda: operator.edit_step(id, "reserve", "another hold", since="charge"),
        lambda: operator.retry(id, since="charge"),
        lambda: operator.retry(id),
        lambda: operator.force_fail(id, "given up"),
        lambda: service.execution(id).cancel("enough"),
    ]


@pytest.mark.parametrize("seed", range(2))
def test_acts_and_workers_race_and_nothing_breaks(store_url: str, bank: Provider, seed: int) -> None:
    """F1, F3, F4: each history replays, each number but the first is an act of the audit, and each has one end at most."""
    lots = random.Random(seed)

    async def pester(service: AsyncDurableService, id: str) -> None:
        for _ in range(4):
            await asyncio.sleep(lots.random() * 0.03)
            with contextlib.suppress(OperationRefused, Stale, ExecutionFinished):
                await lots.choice(acts(service, id))()

    async def run(service: AsyncDurableService) -> None:
        ids = [f"o-{n}" for n in range(ROUNDS)]
        for id in ids:
            await service.start(undoing(1), id=id)
        await asyncio.gather(*(pester(service, id) for id in ids))
        for id in ids:
            with contextlib.suppress(OperationRefused):
                await service.operator.resume(id)
        for id in ids:
            execution = service.execution(id)
            await standing(execution, *FINAL)
            info = await execution.info()
            audit = await service.operator.audit(id)
            assert info.number == 1 + sum(entry.verb not in ("pause", "resume") for entry in audit), audit
            for number in range(1, info.number + 1):
                rows = await execution.history(number)
                replay(undoing, rows, service.codec).machine.close()
                assert sum(isinstance(row, Ended) for row in rows) <= 1

    in_shop(run, store_url)


@pytest.mark.parametrize("verb", ["pause", "skip_step", "force_fail"])
def test_an_act_against_the_commit_of_an_answer(store_url: str, bank: Provider, verb: str) -> None:
    """F4: either the answer is stored first, or it is dropped (paused: kept), and never half of each."""

    async def run(service: AsyncDurableService) -> None:
        for n in range(ROUNDS):
            bank.gate["reserve"] = asyncio.Event()
            execution = await service.start(undoing(1), id=f"o-{n}")
            while bank.counts["reserve"] <= n:
                await asyncio.sleep(0)
            if n % 2:
                bank.gate["reserve"].set()
            with contextlib.suppress(OperationRefused):
                act = asyncio.create_task(_act(service, verb, execution.id))
                await asyncio.sleep(0)
                bank.gate["reserve"].set()
                await act
            if verb == "pause":
                with contextlib.suppress(OperationRefused):
                    await service.operator.resume(execution.id)
            info = await standing(execution, *FINAL)
            assert info.status == "failed" if verb == "force_fail" and info.number == 2 else "completed"
            if info.status == "completed":
                held = (await execution.result()).split()[0]
                assert held.startswith("reserve-") or held == "by"
        assert bank.counts["reserve"] == ROUNDS, "no body ran twice"

    in_shop(run, store_url)


async def _act(service: AsyncDurableService, verb: str, id: str) -> object:
    if verb == "pause":
        return await service.operator.pause(id)
    if verb == "skip_step":
        return await service.operator.skip_step(id, "reserve", "by hand")
    return await service.operator.force_fail(id, "enough")


def test_many_acts_at_once_on_one_execution_are_told_apart(store_url: str, bank: Provider) -> None:
    """F4: one of them is first; the others look again."""

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"ship"}
        execution = await service.start(undoing(1), id="o-1")
        await standing(execution, "failed")
        bank.down.clear()
        done = await asyncio.gather(*(service.operator.retry("o-1", since="reserve") for _ in range(5)), return_exceptions=True)
        changes = [one for one in done if not isinstance(one, BaseException)]
        assert changes
        assert all(isinstance(one, (OperationRefused, Stale)) for one in done if isinstance(one, BaseException)), done
        await standing(execution, "completed")
        assert (await execution.info()).number == 1 + len(changes)

    in_shop(run, store_url)
