"""The service, typed: every line here must pass both checkers."""

from __future__ import annotations

from typing import Any, assert_type

import attrs
import psycopg

from redrive import (
    AsyncDurableService,
    AsyncExecution,
    DeadLetter,
    DurableService,
    Event,
    Execution,
    ExecutionInfo,
    Flow,
    Retry,
    SetAsideSignal,
    Signal,
    Sleep,
    StepContext,
    Workflow,
    current_step,
    workflow,
)
from redrive.testing import Run

approved = Signal("approved", str)
tick = Signal("tick")
processed = Event("processed", int)
by_name = Workflow("elsewhere", returns=bytes)


@workflow("typed")
def typed(n: int) -> Flow[str]:
    yield from Sleep(1)
    return str(n)


def blocking(service: DurableService) -> None:
    execution = service.start(typed(1), id="t", timeout=60, attributes={"a": 1})
    assert_type(execution, Execution[str])
    assert_type(execution.result(timeout=30), str)
    assert_type(execution.signal(approved, "Ada", key="k"), bool)
    assert_type(execution.signal(tick), bool)
    assert_type(execution.info(), ExecutionInfo)
    assert_type(execution.attributes(), dict[str, Any])
    assert_type(service.execute(typed(1)), str)
    assert_type(service.start(by_name()), Execution[bytes])
    assert_type(service.execution("t"), Execution[Any])
    assert_type(service.execution("t", typed), Execution[str])
    assert_type(service.signal_with_start(typed(1), id="t", signal=approved, payload="Ada"), Execution[str])
    assert_type(service.signal("t", approved, "Ada"), bool)
    for number in service.subscribe(processed):
        assert_type(number, int)

    @service.on(processed)
    def handler(number: int) -> None: ...

    assert_type(handler(3), None)

    @service.on(processed, name="again", retry=Retry(attempts=3))
    async def awaited(number: object) -> str:
        return str(number)

    service.on(processed, retry=(Retry(on=OSError), Retry(attempts=None, on=ValueError)))(awaited)
    for signal in service.operator.set_aside("t"):
        assert_type(signal, SetAsideSignal)
        assert_type(service.operator.redeliver(signal.execution, signal.seq), int)
    for letter in service.operator.dead_letters("again", retrying=True):
        assert_type(letter, DeadLetter)
        assert_type(service.operator.drop_events(letter.handler, letter.seq), int)


def inside(service: DurableService, cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
    assert_type(service.start_in(cursor, typed(1)), Execution[str])


async def inside_awaited(
    service: AsyncDurableService, cursor: psycopg.Cursor[tuple[Any, ...]], awaited: psycopg.AsyncCursor[tuple[Any, ...]]
) -> None:
    assert_type(service.start_in(cursor, typed(1)), AsyncExecution[str])
    assert_type(await service.start_in(awaited, typed(1), id="t"), AsyncExecution[str])


async def not_blocking(service: AsyncDurableService) -> None:
    execution = await service.start(typed(1), id="t", delay=3)
    assert_type(execution, AsyncExecution[str])
    assert_type(await execution.result(), str)
    assert_type(await service.execute(typed(1)), str)
    assert_type(service.execution("t", typed), AsyncExecution[str])
    assert_type(await service.signal("t", tick), bool)
    async for number in service.subscribe(processed):
        assert_type(number, int)


def in_a_body() -> None:
    assert_type(current_step(), StepContext)
    assert_type(current_step().idempotency_key, str)


@attrs.frozen
class Order:
    id: str


@workflow("orders")
def orders(order: Order, *, rush: bool = False) -> Flow[int]:
    yield from Sleep(1)
    return len(order.id) + rush


@workflow("nothing")
def nothing() -> Flow[None]:
    yield from Sleep(1)


def services(more: list[Workflow[..., Any]]) -> None:
    DurableService("memory://", [typed, orders])
    DurableService("memory://", workflows=[typed, orders, nothing, by_name])
    AsyncDurableService("memory://", (typed, orders, nothing))
    AsyncDurableService("memory://", {typed, orders})
    DurableService("memory://", more)
    flows = [typed, orders, nothing]
    DurableService("memory://", flows)
    AsyncDurableService("memory://", workflows=flows)
    DurableService("memory://", [*flows, by_name])
    DurableService("memory://", (flow for flow in more))
    several = {typed, orders}
    DurableService("memory://", several)
    pair = (typed, orders)
    AsyncDurableService("memory://", pair)


placed = Signal("placed", Order)
several = Signal("several", list[int | str])
either: Signal[int | None] = Signal("either", int | None)
anything: Signal[Any] = Signal("anything", Any)


def payloads(execution: Execution[str], service: DurableService, run: Run[str], order: Order) -> None:
    execution.signal(placed, order)
    execution.signal(several, [1, "a"])
    execution.signal(several, [])
    execution.signal(either, None)
    execution.signal(either, 3)
    execution.signal(anything, order)
    execution.signal("by name", order, key="k")
    service.signal("t", "by name", 3)
    service.signal("t", either, None)
    service.signal_with_start(typed(1), id="t", signal=tick)
    service.signal_with_start(typed(1), id="t", signal=placed, payload=order)
    run.signal(placed, order)
    run.signal(several, [1])
    run.signal(tick)
    run.signal("by name")
    run.signal("by name", 3)
