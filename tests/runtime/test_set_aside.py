"""What comes from outside and cannot be read is set aside, and nothing is held up by it (G6)."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

import attrs
import pytest

from redrive import (
    AsyncDurableService,
    ContinueAs,
    DurableService,
    ExecutionFinished,
    ExecutionNotFound,
    Flow,
    RunChild,
    SendSignal,
    Signal,
    Sleep,
    WaitSignal,
    Workflow,
    step,
    workflow,
)
from redrive.ports.store import NewMessage
from redrive.testing import play
from redrive_interpreter import SetAside
from tests.runtime.support import standing, true


@attrs.frozen
class Old:
    by: str


@attrs.frozen
class New:
    by: str
    level: int


approved = Signal("aside.approved", New)
of_old_clients = Signal("aside.approved", Old)


@workflow("aside.waits")
def waits() -> Flow[str]:
    return (yield from WaitSignal(approved)).by


async def aside(service: AsyncDurableService, id: str, count: int = 1) -> list[Any]:
    """The payloads that an execution has aside, once there are *count*."""
    while len(found := await service.operator.set_aside(id)) < count:
        await asyncio.sleep(0.005)
    return [one.payload for one in found]


async def test_a_signal_of_another_type_is_set_aside_and_the_next_one_ends_the_wait(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """G6, W9."""
    async with AsyncDurableService(store_url, [waits]) as service, AsyncDurableService(store_url, worker=False) as other:
        execution = await service.start(waits(), id="e-1")
        await other.signal("e-1", of_old_clients, Old("Ada"))
        assert await aside(service, "e-1") == [{"by": "Ada"}]
        info = await standing(execution, "suspended")
        (kept,) = info.set_aside
        assert (kept.execution, kept.name, kept.payload) == ("e-1", "aside.approved", {"by": "Ada"})
        assert "without 'level'" in kept.error
        assert info.unread == 0
        assert "set aside" in str(info)
        await other.signal("e-1", approved, New("Bob", 1))
        assert await execution.result(timeout=10) == "Bob"
    told = [record for record in caplog.records if "set aside" in record.message]
    assert [(record.levelno, "e-1" in record.message) for record in told] == [(logging.WARNING, True)]


async def test_what_lay_in_the_inbox_while_no_worker_lived_is_sorted_out_by_the_first(store_url: str) -> None:
    async with AsyncDurableService(store_url, [waits], worker=False) as client, AsyncDurableService(store_url, worker=False) as stranger:
        await client.start(waits(), id="e-1")
        for payload in (Old("Ada"), Old("Eve")):
            await stranger.signal("e-1", of_old_clients, payload)
        await client.signal("e-1", approved, New("Bob", 1))
    async with AsyncDurableService(store_url, [waits]) as service:
        assert await service.execution("e-1", waits).result(timeout=10) == "Bob"
        assert await aside(service, "e-1", 2) == [{"by": "Ada"}, {"by": "Eve"}]


async def test_a_new_worker_replays_to_the_same_place(store_url: str) -> None:
    async with AsyncDurableService(store_url, [waits]) as service:
        await service.start(waits(), id="e-1")
        await service.signal("e-1", Signal("aside.approved", int), 5)
        await aside(service, "e-1")
    async with AsyncDurableService(store_url, [waits]) as service:
        await service.signal("e-1", approved, New("Bob", 1))
        assert await service.execution("e-1", waits).result(timeout=10) == "Bob"
        assert await aside(service, "e-1") == [5]


async def test_what_was_set_aside_is_redelivered_to_code_that_can_read_it(store_url: str) -> None:
    async with AsyncDurableService(store_url, [waits]) as service:
        await service.start(waits(), id="e-1")
        await service.signal("e-1", of_old_clients, Old("Ada"))
        await service.signal("e-1", Signal("aside.approved", str), "nonsense")
        await aside(service, "e-1", 2)

    @workflow("aside.waits")
    def reads_both() -> Flow[str]:
        return (yield from WaitSignal(Signal("aside.approved", New | Old))).by

    async with AsyncDurableService(store_url, [reads_both]) as service:
        first, second = await service.operator.set_aside("e-1")
        assert await service.operator.redeliver("e-1", second.seq) == 1
        assert await aside(service, "e-1", 2) == [{"by": "Ada"}, "nonsense"]  # again
        assert await service.operator.redeliver("e-1", first.seq) == 1
        assert await service.execution("e-1", reads_both).result(timeout=10) == "Ada"
        with pytest.raises(ExecutionFinished):
            await service.operator.redeliver("e-1")
        assert await service.operator.drop("e-1") == 1
        assert await service.operator.set_aside() == []
        with pytest.raises(ExecutionNotFound):
            await service.operator.drop("nobody")


def test_the_blocking_operator_does_the_same(store_url: str) -> None:
    with DurableService(store_url, [waits]) as service:
        execution = service.start(waits(), id="e-1")
        service.signal("e-1", of_old_clients, Old("Ada"))
        while not (found := service.operator.set_aside("e-1")):
            pass
        assert found[0].payload == {"by": "Ada"}
        assert service.operator.redeliver("e-1", found[0].seq + 1) == 0
        assert service.operator.drop("e-1", found[0].seq) == 1
        assert execution.info().set_aside == ()


async def test_a_signal_that_another_workflow_sends_is_set_aside_too(store_url: str) -> None:
    @workflow("aside.sends")
    def sends() -> Flow[None]:
        yield from SendSignal("e-1", of_old_clients, Old("Ada"))

    async with AsyncDurableService(store_url, [waits, sends]) as service:
        execution = await service.start(waits(), id="e-1")
        await service.execute(sends())
        assert await aside(service, "e-1") == [{"by": "Ada"}]
        await execution.signal(approved, New("Bob", 1))
        assert await execution.result(timeout=10) == "Bob"


async def test_it_stays_aside_across_runs_and_after_the_end(store_url: str) -> None:
    """E9."""

    @workflow("aside.again")
    def again(rounds: int) -> Flow[str]:
        if rounds:
            yield from Sleep(0.2)
            return (yield from ContinueAs(again(rounds - 1)))
        return (yield from WaitSignal(approved)).by

    async with AsyncDurableService(store_url, [again]) as service:
        execution = await service.start(again(1), id="e-1")
        await service.signal("e-1", of_old_clients, Old("Ada"))
        assert await aside(service, "e-1") == [{"by": "Ada"}]
        assert (await execution.info()).number == 2
        await execution.signal(approved, New("Bob", 1))
        assert await execution.result(timeout=10) == "Bob"
        assert len((await execution.info()).set_aside) == 1


async def test_what_is_no_json_at_all_is_set_aside(tmp_path: Path) -> None:
    """Somebody writes into the tables by hand."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    async with AsyncDurableService(url, [waits]) as service:
        execution = await service.start(waits(), id="e-1")
        await standing(execution, "suspended")
        await service.store.send("e-1", NewMessage(kind="signal", name="aside.approved", data="{broken"))
        service._look()
        assert await aside(service, "e-1") == ["{broken"]
        await execution.signal(approved, New("Bob", 1))
        assert await execution.result(timeout=10) == "Bob"
    with sqlite3.connect(tmp_path / "a.db") as db:
        assert db.execute("SELECT count(*) FROM inbox").fetchone() == (0,)


async def test_a_childs_result_that_the_parent_cannot_read_parks_it_until_its_code_fits(store_url: str) -> None:
    """A child's result is asked for by the parent's own code, which is mended, not the child: N6 and D2, not G6."""

    @step
    def name() -> str:
        return "Ada"

    @workflow("aside.child")
    def child() -> Flow[str]:
        return (yield from name())

    @workflow("aside.parent")
    def wrong() -> Flow[int]:
        return (yield from RunChild(Workflow("aside.child", returns=int)(), id="child"))

    @workflow("aside.parent")
    def right() -> Flow[str]:
        return (yield from RunChild(Workflow("aside.child", returns=str)(), id="child"))

    async with AsyncDurableService(store_url, [wrong, child], build="wrong") as service:
        await standing(await service.start(wrong(), id="e-1"), "parked")
    async with AsyncDurableService(store_url, [right, child], build="right") as service:
        assert await service.execution("e-1", right).result(timeout=10) == "Ada"


def test_play_shows_what_was_set_aside() -> None:
    run = play(waits())
    run.signal(of_old_clients, Old("Ada"))
    ((name, error),) = run.set_aside
    assert (name, "without 'level'" in error) == ("aside.approved", True)
    run.signal(approved, New("Bob", 1))
    assert run.result == "Bob"
    assert [row.name for row in run.history if isinstance(row, SetAside)] == ["aside.approved"]


async def test_many_that_cannot_be_read_do_not_hold_up_one_that_can(store_url: str) -> None:
    async with AsyncDurableService(store_url, [waits]) as service:
        execution = await service.start(waits(), id="e-1")
        number = Signal("aside.approved", int)
        await asyncio.gather(*(service.signal("e-1", number, n) for n in range(50)))
        await execution.signal(approved, New("Bob", 1))
        assert await execution.result(timeout=10) == "Bob"
        await true(lambda: True)
        assert sorted(await aside(service, "e-1", 50)) == list(range(50))
