"""The service, wrongly used: every marked line must be reported by both checkers, and no other."""

from __future__ import annotations

import attrs

from redrive import (
    AsyncDurableService,
    Attribute,
    DurableService,
    Emit,
    Event,
    Execution,
    Flow,
    SendSignal,
    SetAttribute,
    Signal,
    Sleep,
    step,
    workflow,
)
from redrive.testing import Run

approved = Signal("approved", str)
tick = Signal("tick")


@workflow("typed")
def typed(n: int) -> Flow[str]:
    yield from Sleep(1)
    return str(n)


def blocking(service: DurableService) -> None:
    execution = service.start(typed(1), colour="red")  # wrong: no such option
    execution.signal(approved, 3)  # wrong: the payload is a str
    execution.signal(approved)  # wrong: it has a payload
    service.start(typed)  # wrong: an invocation is wanted
    service.start(typed("1"))  # wrong: n is an int
    wrong: int = service.execute(typed(1))  # wrong: the result is a str
    service.signal_with_start(typed(1), id="t", signal=tick, payload=3)  # wrong: it has no payload
    DurableService("memory://", [typed], leash=3)  # wrong: no such option
    print(wrong)
    service.on(Event("number", int))(takes_text)  # wrong: the payload is an int
    service.on(Event("number", int), retry=3)  # wrong: a Retry is wanted


def takes_text(text: str) -> None: ...


async def not_blocking(service: AsyncDurableService) -> None:
    execution = await service.start(typed(1))
    await execution.signal(approved, 3)  # wrong: the payload is a str
    wrong: int = await execution.result()  # wrong: the result is a str
    print(wrong)


@attrs.frozen
class Order:
    id: str


placed = Signal("placed", Order)
several = Signal("several", list[int])


@step
def count(order: Order) -> int:
    return len(order.id)


def plain(n: int) -> int:
    return n


def workflows() -> None:
    DurableService("memory://", [plain])  # wrong: not a workflow
    DurableService("memory://", (typed, plain))  # wrong: one of them is not a workflow
    AsyncDurableService("memory://", typed)  # wrong: a list is wanted
    AsyncDurableService("memory://", typed(1))  # wrong: a list of workflows is wanted


def payloads(execution: Execution[str], service: DurableService, run: Run[str], order: Order) -> None:
    execution.signal(placed, 3)  # wrong: names int and Order
    execution.signal(several, ["a"])  # wrong: names str and int
    service.signal("t", placed, 3)  # wrong: names int and Order
    service.signal_with_start(typed(1), id="t", signal=placed, payload=3)  # wrong: names int and Order
    run.signal(placed, 3)  # wrong: names int and Order
    run.answer(count(order), order)  # wrong: names Order and int
    SendSignal("t", placed, 3)  # wrong: names int and Order
    Emit(Event("shipped", int), order)  # wrong: names Order and int
    SetAttribute(Attribute("state", int), order)  # wrong: names Order and int
    run.signal(placed)  # wrong: it has a payload
    run.signal(tick, 3)  # wrong: it has no payload
    service.signal("t", tick, 3)  # wrong: it has no payload


async def payloads_async(service: AsyncDurableService, order: Order) -> None:
    await service.signal("t", placed, 3)  # wrong: names int and Order
    await (await service.start(typed(1))).signal(placed, 3)  # wrong: names int and Order
    await service.signal_with_start(typed(1), id="t", signal=placed, payload=order.id)  # wrong: names str and Order
