"""Children that a service starts again: over restarts, cancels, ends of their parents, and strangers."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import attrs
import pytest

from redrive import (
    AsyncDurableService,
    AsyncExecution,
    ChildFailed,
    ChildRef,
    ContinueAs,
    ExecutionCancelled,
    ExecutionConflict,
    ExecutionNotFound,
    Flow,
    Info,
    Retry,
    RunChild,
    Signal,
    Sleep,
    StartChild,
    WaitChild,
    WaitSignal,
    step,
    workflow,
)
from redrive.testing.contracts.lab import newest
from redrive_interpreter import Asked
from tests.runtime.support import standing

word = Signal("word", str)
tries: Counter[str] = Counter()
"""How often the child with this id has begun, in this process."""

SOON = Retry(attempts=3, delay=0.01)
NOT_SOON = Retry(attempts=3, delay=timedelta(hours=1))


@attrs.define
class Refused(Exception):
    why: str


@step
async def attempt(id: str) -> int:
    tries[id] += 1
    return tries[id]


@workflow("child_retry.flaky", raises=[Refused])
def flaky(good: int) -> Flow[int]:
    """Fails until attempt number *good*."""
    info = yield from Info()
    number = yield from attempt(info.id)
    if number < good:
        raise Refused(f"attempt {number}")
    return number


@workflow("child_retry.slow")
def slow() -> Flow[int]:
    info = yield from Info()
    number = yield from attempt(info.id)
    if number < 2:
        yield from Sleep(60)
    return number


@workflow("child_retry.listens", raises=[Refused])
def listens() -> Flow[str]:
    info = yield from Info()
    if (yield from attempt(info.id)) < 2:
        raise Refused("deaf")
    return (yield from WaitSignal(word))


@workflow("child_retry.parent")
def parent(id: str, good: int, retry: str) -> Flow[Any]:
    try:
        return (yield from RunChild(flaky(good), id=id, retry=SOON if retry == "soon" else NOT_SOON))
    except ChildFailed as error:
        return f"{error.status}: {error.cause}"


@workflow("child_retry.limits")
def limits(id: str) -> Flow[int]:
    return (yield from RunChild(slow(), id=id, timeout=0.05, retry=SOON))


@workflow("child_retry.speaks")
def speaks(id: str) -> Flow[str]:
    return (yield from RunChild(listens(), id=id, retry=Retry(attempts=2, delay=0.3)))


@workflow("child_retry.leaves")
def leaves(id: str, good: int) -> Flow[None]:
    yield from StartChild(flaky(good), id=id, on_parent_close="abandon", retry=Retry(attempts=2, delay=0.2))
    yield from WaitSignal(word)


@workflow("child_retry.second")
def second(id: str) -> Flow[int]:
    return (yield from WaitChild(ChildRef[int](id)))


@workflow("child_retry.first")
def first(id: str) -> Flow[int]:
    yield from StartChild(flaky(2), id=id, retry=Retry(attempts=2, delay=0.3))
    yield from WaitSignal(word)
    return (yield from ContinueAs(second(id)))


CHILDREN = [flaky, slow, listens]
PARENTS = [parent, limits, speaks, leaves, first, second]
ALL = [*CHILDREN, *PARENTS]


@pytest.fixture
def id(request: pytest.FixtureRequest) -> str:
    """An id for the child that no other test has."""
    return f"kid of {request.node.name}"


async def waiting(service: AsyncDurableService, id: str, run: int = 2) -> AsyncExecution[Any]:
    """The child, once it waits for its run number *run*."""
    child = service.execution(id)
    while True:
        try:
            if (await child.info()).status == "pending" and await child.history(run):
                return child
        except ExecutionNotFound:
            pass
        await asyncio.sleep(0.002)


def decisions(history: Any) -> list[Any]:
    return [row for row in history if isinstance(row, Asked) and row.kind == "child_attempt"]


async def test_a_child_that_fails_is_started_again_until_it_completes(store_url: str, id: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(parent(id, 3, "soon"))
        assert await execution.result(10) == 3
        assert tries[id] == 3
        assert len(decisions(await execution.history())) == 2
        info = await service.execution(id).info()
        assert (info.status, info.parent) == ("completed", execution.id)


async def test_the_last_failure_is_raised_when_the_attempts_have_run_out(store_url: str, id: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        assert await service.execute(parent(id, 99, "soon")) == "failed: attempt 3"
        assert tries[id] == 3


async def test_a_restart_neither_forgets_an_attempt_nor_makes_another(store_url: str, id: str) -> None:
    """S4: while it waits it is nobody's, and the due time stays what it was."""
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(parent(id, 2, "not soon"), id=f"parent of {id}")
        due = (await (await waiting(service, id)).info()).wake_at
        (waits,) = (await execution.info()).waiting_on
        assert (waits.attempt, waits.until) == (2, due)
        assert str(waits).startswith("child child_retry.flaky, attempt 2 after ")
    async with AsyncDurableService(store_url, ALL) as service:
        again = await waiting(service, id)
        assert (await again.info()).wake_at == due
        with pytest.raises(ExecutionNotFound):
            await again.history(3)
        assert len(decisions(await service.execution(f"parent of {id}").history())) == 1


async def test_a_parent_that_is_cancelled_takes_the_waiting_child_with_it(store_url: str, id: str) -> None:
    """E10."""
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(parent(id, 2, "not soon"))
        child = await waiting(service, id)
        await execution.cancel("enough")
        for cancelled in (execution, child):
            with pytest.raises(ExecutionCancelled):
                await cancelled.result(10)
        assert tries[id] == 1


async def test_an_abandoned_child_gets_the_attempt_that_was_decided(store_url: str, id: str) -> None:
    """E10."""
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(leaves(id, 2))
        await waiting(service, id)
        await execution.signal(word, "go")
        await execution.result(10)
        assert await service.execution(id, flaky).result(10) == 2


async def test_a_signal_between_two_attempts_is_for_the_next(store_url: str, id: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(speaks(id))
        await (await waiting(service, id)).signal(word, "hello")
        assert await execution.result(10) == "hello"


async def test_each_attempt_has_a_deadline_of_its_own(store_url: str, id: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        assert await service.execute(limits(id)) == 2


async def test_continue_as_keeps_the_attempt_that_waits(store_url: str, id: str) -> None:
    """E9."""
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(first(id))
        await waiting(service, id)
        await execution.signal(word, "on")
        assert await execution.result(10) == 2
        assert tries[id] == 2


async def test_an_execution_that_has_become_a_strangers_is_left_alone(store_url: str, id: str) -> None:
    """E10."""
    async with AsyncDurableService(store_url, PARENTS) as service:
        await service.start(parent(id, 2, "soon"), id=f"parent of {id}")
        while True:
            try:
                await service.execution(id).info()
                break
            except ExecutionNotFound:
                await asyncio.sleep(0.002)
    async with AsyncDurableService(store_url, CHILDREN) as service:
        await standing(service.execution(id), "failed")
        stranger = await service.start(flaky(1), id=id, restart=("failed",))
        assert await stranger.result(10) == 2
    async with AsyncDurableService(store_url, ALL) as service:
        told = await service.execution(f"parent of {id}", parent).result(10)
        assert told == f"failed: ExecutionConflict: {id}"
        assert await service.execution(id, flaky).result() == 2
        assert tries[id] == 2


# ── the children of a child that is started again ───────────────────────────────────────────────
@workflow("child_retry.grandchild")
def grandchild(until: str) -> Flow[str]:
    yield from attempt((yield from Info()).id)
    if until == "told":
        return (yield from WaitSignal(word))
    return "done"


@workflow("child_retry.has_a_child", raises=[Refused])
def has_a_child(fixed: str | None, until: str, policy: Any) -> Flow[str]:
    """Fails the first time, after its child has begun; *fixed* is the id that it gives to its child."""
    number = yield from attempt((yield from Info()).id)
    try:
        ref = yield from StartChild(grandchild(until), id=fixed, on_parent_close=policy)
    except ExecutionConflict as conflict:
        raise Refused(f"attempt {number} found {conflict.id} taken") from None
    if number < 2:
        raise Refused(f"attempt {number}")
    return (yield from WaitChild(ref))


@workflow("child_retry.grandparent")
def grandparent(id: str, fixed: str | None, until: str, policy: str, attempts: int) -> Flow[str]:
    try:
        return (yield from RunChild(has_a_child(fixed, until, policy), id=id, retry=Retry(attempts=attempts, delay=0.01)))
    except ChildFailed as error:
        return f"{error.status}: {error.cause}"


FAMILY = [grandchild, has_a_child, grandparent]


async def children_of(service: AsyncDurableService, id: str, many: int) -> list[AsyncExecution[Any]]:
    """The children that executions with this *id* have, oldest first, once there are so many and all have begun."""
    while True:
        found = [one for one in await newest(service.store, limit=100) if one.creator is not None and one.creator.id == id]
        if len(found) == many and {one.status for one in found} == {"suspended"}:
            return [service.execution(one.id) for one in sorted(found, key=lambda one: one.created_at)]
        await asyncio.sleep(0.002)


async def test_a_fixed_id_is_still_that_of_the_first_attempts_child(store_url: str, id: str) -> None:
    """E10: each further attempt is refused it, and fails for that; the parent is told when they have run out."""
    fixed = f"grand{id}"
    async with AsyncDurableService(store_url, FAMILY) as service:
        told = await service.start(grandparent(id, fixed, "at once", "wait", 3))
        assert await told.result(10) == f"failed: attempt 3 found {fixed} taken"
        assert (tries[id], tries[fixed]) == (3, 1)
        assert (await service.execution(fixed).info()).status == "completed"


async def test_a_fixed_id_is_taken_also_by_a_child_that_was_cancelled_with_the_first_attempt(store_url: str, id: str) -> None:
    fixed = f"grand{id}"
    async with AsyncDurableService(store_url, FAMILY) as service:
        told = await service.start(grandparent(id, fixed, "told", "cancel", 2))
        assert await told.result(10) == f"failed: attempt 2 found {fixed} taken"
        with pytest.raises(ExecutionCancelled):
            await service.execution(fixed).result(10)


async def test_a_child_that_the_first_attempt_left_is_untouched_by_the_others(store_url: str, id: str) -> None:
    fixed = f"grand{id}"
    async with AsyncDurableService(store_url, FAMILY) as service:
        told = await service.start(grandparent(id, fixed, "told", "abandon", 2))
        assert await told.result(10) == f"failed: attempt 2 found {fixed} taken"
        left = service.execution(fixed, grandchild)
        await left.signal(word, "on its own")
        assert await left.result(10) == "on its own"
        assert tries[fixed] == 1


async def test_without_a_fixed_id_each_attempt_has_a_child_of_its_own(store_url: str, id: str) -> None:
    """And what becomes of the first attempt's is not taken for what becomes of the second's."""
    async with AsyncDurableService(store_url, FAMILY) as service:
        told = await service.start(grandparent(id, None, "told", "abandon", 2))
        first, second = await children_of(service, id, 2)
        await first.signal(word, "the first")
        assert await first.result(10) == "the first"
        await second.signal(word, "the second")
        assert await told.result(10) == "the second"
