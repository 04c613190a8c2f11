"""Executions that start, await, signal and cancel each other."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from redrive import (
    AsyncDurableService,
    CancelChild,
    Cancelled,
    ChildFailed,
    ChildTimeout,
    ContinueAs,
    ExecutionCancelled,
    ExecutionConflict,
    ExecutionFailed,
    ExecutionFinished,
    ExecutionNotFound,
    Flow,
    Race,
    RunChild,
    SendSignal,
    Settle,
    Signal,
    Sleep,
    StartChild,
    WaitChild,
    WaitSignal,
    step,
    workflow,
)
from tests.runtime.support import standing

word = Signal("word", str)


@attrs.define
class Refused(Exception):
    why: str


@step
async def double(n: int) -> int:
    return 2 * n


@workflow("children.double")
def doubling(n: int) -> Flow[int]:
    return (yield from double(n))


@workflow("children.refuses", raises=[Refused])
def refuses() -> Flow[None]:
    yield from ()
    raise Refused("no")


@workflow("children.waits")
def waits() -> Flow[str]:
    return (yield from WaitSignal(word))


@workflow("children.continues")
def continues(n: int) -> Flow[int]:
    yield from double(n)
    return n if n == 0 else (yield from ContinueAs(continues(n - 1)))


@workflow("children.parent")
def parent() -> Flow[list[int]]:
    ref = yield from StartChild(doubling(3))
    one = yield from RunChild(doubling(4), id="the child")
    return [one, (yield from WaitChild(ref))]


@workflow("children.sees_failure")
def sees_failure() -> Flow[str]:
    try:
        yield from RunChild(refuses(), id="r")
    except ChildFailed as failed:
        return f"{failed.id} {failed.status}: {failed.cause!r}"
    return "?"


@workflow("children.conflict")
def conflict() -> Flow[str]:
    try:
        yield from RunChild(doubling(1), id="stranger")
    except ExecutionConflict as error:
        return error.id
    return "?"


@workflow("children.impatient")
def impatient() -> Flow[str]:
    ref = yield from StartChild(waits(), id="w")
    try:
        yield from WaitChild(ref, timeout=0.05)
    except ChildTimeout:
        yield from SendSignal(ref, word, "hurry")
        return (yield from WaitChild(ref))
    return "?"


@workflow("children.closes")
def closes(policy: str) -> Flow[None]:
    yield from StartChild(waits(), id="w", on_parent_close=policy)  # type: ignore[arg-type]


@workflow("children.races")
def races() -> Flow[int]:
    won = yield from Race(RunChild(waits(), id="w"), Sleep(0.05))
    return won.index


@workflow("children.cancels")
def cancels() -> Flow[str]:
    ref = yield from StartChild(waits(), id="w")
    yield from CancelChild(ref, "enough")
    outcome = yield from Settle(WaitChild(ref))
    return str(getattr(outcome, "error", outcome))


@workflow("children.asks")
def asks() -> Flow[list[str]]:
    told: list[str] = []
    for target in ("nobody", "done"):
        try:
            yield from SendSignal(target, word, "hello")
        except (ExecutionNotFound, ExecutionFinished) as error:
            told.append(type(error).__name__)
    return told


@workflow("children.grandparent")
def grandparent() -> Flow[int]:
    return (yield from RunChild(continues(3)))


ALL = [
    doubling, refuses, waits, continues, parent, sees_failure, conflict, impatient, closes, races, cancels, asks, grandparent,
]  # fmt: skip


async def test_children_are_executions_of_their_own(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(parent(), id="p")
        assert await execution.result() == [8, 6]
        assert (await service.execution("the child").info()).parent == "p"


async def test_a_childs_failure_is_raised_with_its_cause(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        assert await service.execute(sees_failure()) == "r failed: Refused(why='no')"


async def test_a_strangers_id_is_a_conflict_and_the_stranger_is_untouched(store_url: str) -> None:
    """E10."""
    async with AsyncDurableService(store_url, ALL) as service:
        stranger = await service.start(waits(), id="stranger")
        assert await service.execute(conflict()) == "stranger"
        await stranger.signal(word, "untouched")
        assert await stranger.result() == "untouched"


async def test_a_wait_for_a_child_gives_up_and_the_child_goes_on(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        assert await service.execute(impatient()) == "hurry"


async def test_the_childs_end_follows_its_runs(store_url: str) -> None:
    """E9."""
    async with AsyncDurableService(store_url, ALL) as service:
        assert await service.execute(grandparent()) == 0


async def test_a_child_is_cancelled_when_its_parent_ends(store_url: str) -> None:
    """E10."""
    async with AsyncDurableService(store_url, ALL) as service:
        await service.execute(closes("cancel"))
        with pytest.raises(ExecutionCancelled):
            await service.execution("w").result(5)


async def test_an_abandoned_child_goes_on(store_url: str) -> None:
    """E10."""
    async with AsyncDurableService(store_url, ALL) as service:
        await service.execute(closes("abandon"))
        child = service.execution("w", waits)
        await child.signal(word, "alone")
        assert await child.result(5) == "alone"


async def test_a_parent_waits_for_its_child_if_told_to(store_url: str) -> None:
    """E10."""
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(closes("wait"))
        await asyncio.sleep(0.05)
        child = service.execution("w", waits)
        await standing(child, "suspended")
        assert (await execution.info()).status == "suspended"
        await child.signal(word, "go")
        assert await execution.result(5) is None


async def test_a_run_child_that_loses_a_race_is_cancelled(store_url: str) -> None:
    """E10."""
    async with AsyncDurableService(store_url, ALL) as service:
        assert await service.execute(races()) == 1
        with pytest.raises(ExecutionCancelled):
            await service.execution("w").result(5)


async def test_a_child_can_be_cancelled(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        assert "cancelled" in await service.execute(cancels())


async def test_signals_between_executions_fail_in_the_sender(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        await service.execute(doubling(1), id="done")
        assert await service.execute(asks()) == ["ExecutionNotFound", "ExecutionFinished"]


async def test_a_parent_survives_a_restart_while_its_child_runs(store_url: str) -> None:
    @workflow("children.patient")
    def patient() -> Flow[str]:
        return (yield from RunChild(waits(), id="w"))

    async with AsyncDurableService(store_url, [*ALL, patient]) as service:
        await service.start(patient(), id="p")
        while True:
            try:
                await standing(service.execution("w"), "suspended")
                break
            except ExecutionNotFound:
                await asyncio.sleep(0.002)
    async with AsyncDurableService(store_url, [*ALL, patient]) as service:
        await service.signal("w", word, "still here")
        assert await service.execution("p", patient).result(10) == "still here"


async def test_cancelling_a_parent_cancels_the_child_it_runs(store_url: str) -> None:
    @workflow("children.cancelled")
    def patient() -> Flow[str]:
        try:
            return (yield from RunChild(waits(), id="w"))
        except Cancelled:
            yield from Sleep(0)
            raise

    async with AsyncDurableService(store_url, [*ALL, patient]) as service:
        execution = await service.start(patient(), id="p")
        await standing(execution, "suspended")
        await execution.cancel("stop")
        for id in ("p", "w"):
            with pytest.raises((ExecutionCancelled, ExecutionFailed)):
                await service.execution(id).result(5)
