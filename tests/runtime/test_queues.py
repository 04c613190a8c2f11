"""Queues of executions, from the service down: admission by workers, families, deadlines, pauses (rules Q)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from redrive import (
    All,
    AsyncDurableService,
    DurableService,
    ExecutionCancelled,
    ExecutionConflict,
    ExecutionFailed,
    Flow,
    InvalidDefinition,
    Queue,
    QueueNotFound,
    Rate,
    RunChild,
    Signal,
    Sleep,
    StartChild,
    WaitChild,
    WaitSignal,
    Workflow,
    step,
    workflow,
)
from redrive.stores.memory import MemoryStore

one = Queue("one", concurrency=1, partition_concurrency=1)
many = Queue("many", concurrency=2)
customers = Queue("customers", partition_concurrency=1)
go = Signal("go")


class Watch:
    """How many are under way at once, in total and of each customer."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {}
        self.most, self.most_of_one = 0, 0
        self.order: list[str] = []

    def enter(self, who: str) -> None:
        self.now[who] = self.now.get(who, 0) + 1
        self.most = max(self.most, sum(self.now.values()))
        self.most_of_one = max(self.most_of_one, self.now[who])
        self.order.append(who)

    def leave(self, who: str) -> None:
        self.now[who] -= 1


watch = Watch()


@step
async def work(who: str) -> str:
    watch.enter(who)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    watch.leave(who)
    return who


@workflow("queues.limited", queue=many)
def limited(who: str) -> Flow[str]:
    yield from work(who)
    return (yield from work(who))


@workflow("queues.customer", queue=customers, partition=lambda customer: customer)
def of_customer(customer: str, n: int = 0) -> Flow[str]:
    return (yield from work(customer))


@workflow("queues.waits", queue=one)
def waits() -> Flow[str]:
    yield from WaitSignal(go)
    return "gone"


@workflow("queues.nested", queue=one)
def nested(depth: int) -> Flow[int]:
    if not depth:
        return 0
    return 1 + (yield from RunChild(nested(depth - 1)))


@workflow("queues.started", queue=one)
def starts_then_waits(depth: int) -> Flow[int]:
    if not depth:
        return 0
    child = yield from StartChild(starts_then_waits(depth - 1))
    yield from Sleep(0.001)
    return 1 + (yield from WaitChild(child))


@workflow("queues.leaves", queue=one)
def leaves_a_child(depth: int) -> Flow[int]:
    if depth:
        yield from StartChild(leaves_a_child(depth - 1), on_parent_close="wait")
    return depth


@workflow("queues.fans", queue=one)
def fans_out(width: int) -> Flow[list[int]]:
    found = yield from All.of([RunChild(nested(0)) for _ in range(width)])
    return list(found)


@workflow("queues.plain")
def plain() -> Flow[str]:
    return (yield from work("plain"))


FLOWS = [limited, of_customer, waits, nested, starts_then_waits, leaves_a_child, fans_out, plain]


@pytest.fixture(autouse=True)
def fresh_watch() -> None:
    watch.__init__()  # type: ignore[misc]


@asynccontextmanager
async def serving(store: MemoryStore | None = None, **options: object) -> AsyncGenerator[AsyncDurableService]:
    async with AsyncDurableService(store or MemoryStore(), FLOWS, **options) as service:  # type: ignore[arg-type]
        yield service


async def test_no_more_than_the_limit_are_under_way_at_once() -> None:
    """Q1, Q2: and all are, in the end."""
    async with serving() as service:
        started = [await service.start(limited(f"w-{n}"), id=f"e-{n}") for n in range(12)]
        assert sorted([await execution.result() for execution in started]) == sorted(f"w-{n}" for n in range(12))
        (found,) = [one for one in await service.queues.list() if one.name == "many"]
        assert (found.waiting, found.held, found.concurrency, found.served_by) == (0, 0, 2, 1)


async def test_one_at_a_time_of_each_customer() -> None:
    """Q2, Q5: in the order of their starts."""
    async with serving() as service:
        started = [await service.start(of_customer(f"c-{n % 3}", n)) for n in range(9)]
        await asyncio.gather(*(execution.result() for execution in started))
    assert watch.most_of_one == 1


@pytest.mark.parametrize("family", [nested(4), starts_then_waits(3), leaves_a_child(3)], ids=["runs", "waits", "closes"])
async def test_a_family_in_its_own_full_queue_cannot_deadlock(family: object) -> None:
    """Q9: whether a command waits for the child, or the end of its parent."""
    async with serving() as service:
        execution = await service.start(family)  # type: ignore[arg-type]
        assert await asyncio.wait_for(execution.result(), 10) == family.args[0]  # type: ignore[attr-defined]
        found = {one.name: one for one in await service.queues.list()}
        assert (found["one"].waiting, found["one"].held) == (0, 0)


async def test_children_of_one_lender_take_turns() -> None:
    """Q9: one at a time."""
    async with serving() as service:
        assert await asyncio.wait_for((await service.start(fans_out(5))).result(), 10) == [0] * 5


async def test_what_waits_says_where_it_stands() -> None:
    """Q13."""
    async with serving() as service:
        first = await service.start(waits(), id="first")
        await _until_held(service, "one", 1)
        others = [await service.start(waits(), id=f"other-{n}") for n in range(3)]
        info = await others[1].info()
        assert [str(each) for each in info.waiting_on] == ["queue one, 2nd of 3: 1 of 1 held"]
        assert str(info).endswith("is pending: it waits for queue one, 2nd of 3: 1 of 1 held")
        await service.queues.pause("one", "crm is down")
        assert str((await others[0].info()).waiting_on[0]) == "queue one, 1st of 3: it is paused: crm is down"
        await service.queues.resume("one")
        for execution in [first, *others]:
            await execution.signal(go)
            assert await execution.result() == "gone"


async def test_what_nobody_serves_says_so() -> None:
    """Q13."""
    store = MemoryStore()
    async with AsyncDurableService(store, FLOWS, queues=["many"]) as service:
        execution = await service.start(waits(), id="a")
        assert str((await execution.info()).waiting_on[0]) == "queue one, 1st of 1: no worker serves it"
        assert await (await service.start(limited("x"))).result() == "x"
    async with serving(store) as service:
        await service.execution("a").signal(go)
        assert await service.execution("a").result() == "gone"


async def test_a_cancel_ends_what_waits_at_once() -> None:
    """Q14."""
    async with serving() as service:
        first = await service.start(waits())
        await _until_held(service, "one", 1)
        second = await service.start(waits())
        await second.cancel("no more")
        with pytest.raises(ExecutionCancelled):
            await second.result()
        await first.signal(go)
        await first.result()


async def test_a_deadline_ends_what_waits_without_a_place() -> None:
    """Q14, E4."""
    async with serving() as service:
        first = await service.start(waits())
        await _until_held(service, "one", 1)
        second = await service.start(waits(), timeout=0.05)
        with pytest.raises(ExecutionFailed, match="WorkflowTimeout"):
            await second.result()
        assert (await first.info()).status == "suspended"
        await first.signal(go)
        await first.result()


async def test_dedup_gives_back_the_handle_of_the_holder() -> None:
    """Q11: and tells another call apart."""
    async with serving() as service:
        first = await service.start(of_customer("c", 1), dedup="x")
        again = await service.start(of_customer("c", 1), dedup="x")
        assert again.id == first.id or (await first.info()).status == "completed"
        await first.result()
        await service.queues.pause("customers")
        held = await service.start(of_customer("c", 2), dedup="x")
        assert held.id != first.id
        with pytest.raises(ExecutionConflict, match=held.id):
            await service.start(of_customer("c", 3), dedup="x")
        await service.queues.resume("customers")
        await held.result()


async def test_a_start_may_name_another_queue_and_a_partition() -> None:
    """Q1."""
    async with serving() as service:
        await service.queues.pause("many")
        execution = await service.start(plain(), queue=many, partition="p", priority=-1)
        assert str((await execution.info()).waiting_on[0]) == "queue many, partition p, 1st of 1: it is paused"
        assert [one.partition for one in await service.queues.partitions("many")] == ["p"]
        await service.queues.resume("many")
        assert await execution.result() == "plain"


async def test_a_start_by_name_takes_the_queue_that_workers_declared() -> None:
    """Q1: and is refused where only the code can find the partition."""
    store = MemoryStore()
    async with serving(store) as service, AsyncDurableService(store, worker=False) as client:
        await service.queues.pause("many")
        by_name = Workflow("queues.limited", returns=str)
        execution = await client.start(by_name("x"))
        assert str((await execution.info()).waiting_on[0]).startswith("queue many, 1st of 1")
        await service.queues.resume("many")
        assert await execution.result() == "x"
        with pytest.raises(InvalidDefinition, match=r"give partition="):
            await client.start(Workflow("queues.customer", returns=str)("c"))
        given = await client.start(Workflow("queues.customer", returns=str)("c"), partition="c")
        assert await given.result() == "c"
        with pytest.raises(InvalidDefinition, match="no worker has ever listed workflow 'unknown'"):
            await client.start(Workflow("unknown")())
        with pytest.raises(InvalidDefinition, match="is in no queue"):
            await client.start(Workflow("queues.plain", returns=str)(), dedup="x")


async def test_limits_by_hand_hold_at_once_and_end_with_a_reset() -> None:
    """Q12."""
    async with serving() as service:
        await service.queues.limit("one", concurrency=2, partition_concurrency=2)
        started = [await service.start(waits()) for _ in range(3)]
        await _until_held(service, "one", 2)
        await service.queues.reset("one")
        for execution in started:
            await execution.signal(go)
        await asyncio.gather(*(execution.result() for execution in started))
        with pytest.raises(QueueNotFound):
            await service.queues.limit("unknown", concurrency=1)
        with pytest.raises(InvalidDefinition):
            await service.queues.limit("one", concurrency=0)


async def test_a_queue_with_a_rate_lets_them_begin_in_time() -> None:
    """Q4."""
    rated = Queue("rated", rate=Rate(2, per=0.2))
    async with AsyncDurableService(MemoryStore(), FLOWS, queues=[rated]) as service:
        started = [await service.start(plain(), queue="rated") for _ in range(5)]
        await asyncio.gather(*(execution.result() for execution in started))
        (found,) = [one for one in await service.queues.list() if one.name == "rated"]
        assert found.begun == 5


async def test_two_workers_hold_one_limit() -> None:
    """Q2."""
    store = MemoryStore()
    async with serving(store) as ada, serving(store):
        started = [await ada.start(of_customer(f"c-{n % 2}", n)) for n in range(10)]
        await asyncio.gather(*(execution.result() for execution in started))
    assert watch.most_of_one == 1


async def test_an_execution_without_a_queue_begins_at_once_whatever_the_queues_do() -> None:
    async with serving() as service:
        for queue in ("one", "many", "customers"):
            await service.queues.pause(queue)
        assert await (await service.start(plain())).result() == "plain"


def test_the_blocking_service_has_the_same() -> None:
    with DurableService(MemoryStore(), FLOWS) as service:
        execution = service.start(limited("x"))
        assert execution.result() == "x"
        service.queues.pause("many", "why")
        waiting = service.start(limited("y"), partition="p")
        assert [info.paused for info in service.queues.list() if info.name == "many"] == ["why"]
        assert [each.partition for each in service.queues.partitions("many")] == ["p"]
        service.queues.limit("many", concurrency=5)
        service.queues.reset("many")
        service.queues.resume("many")
        assert waiting.result() == "y"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"partition": "p"}, "partition= and priority= are places in a queue"),
        ({"priority": 3}, "partition= and priority= are places in a queue"),
        ({"dedup": "x"}, "dedup= names an execution in a queue"),
        ({"queue": "one", "priority": 2.5}, "whole number"),
        ({"queue": "one", "partition": "x" * 256}, "at most 255 bytes"),
        ({"queue": "one", "partition": 1}, "a partition is text"),
        ({"queue": 1}, "takes a Queue or its name"),
    ],
)
async def test_a_start_with_a_place_that_cannot_be_is_refused(options: dict[str, object], said: str) -> None:
    async with serving() as service:
        with pytest.raises(InvalidDefinition, match=said):
            await service.start(plain(), **options)  # type: ignore[arg-type]


async def test_a_partition_that_raises_refuses_the_start() -> None:
    """Q1."""
    async with serving() as service:
        with pytest.raises(InvalidDefinition, match="a partition is text"):
            await service.start(of_customer(None))  # type: ignore[arg-type]


def test_two_queues_of_one_name_and_a_bare_one_are_refused() -> None:
    with pytest.raises(InvalidDefinition, match="two queues are called 'one'"):
        AsyncDurableService(MemoryStore(), FLOWS, queues=[Queue("one", concurrency=7)])
    with pytest.raises(InvalidDefinition, match="takes a list"):
        AsyncDurableService(MemoryStore(), FLOWS, queues="one")  # type: ignore[arg-type]


async def _until_held(service: AsyncDurableService, queue: str, held: int) -> None:
    async with asyncio.timeout(10):
        while [one.held for one in await service.queues.list() if one.name == queue] != [held]:
            await asyncio.sleep(0.005)
