"""What a type checker must refuse: every line marked ``wrong`` is reported by each of them, on that very line."""

# pyright: reportUnusedExpression=false
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from redrive_interpreter import (
    All,
    Attribute,
    Branch,
    ChildRef,
    Command,
    ContinueAs,
    Emit,
    Event,
    Flow,
    Join,
    Map,
    Note,
    Race,
    Rollback,
    RunChild,
    SendSignal,
    SetAttribute,
    Settle,
    Signal,
    Sleep,
    Spawn,
    StartChild,
    Step,
    StepId,
    Switch,
    Task,
    WaitChild,
    WaitSignal,
    Workflow,
    step,
    workflow,
)


@attrs.frozen
class Order:
    id: str
    total: int


@attrs.frozen
class Charge:
    id: str


approved = Signal("orders.approved", str)
ticked = Signal("tick")
processed = Event("orders.processed", Order)
state = Attribute("state", str)


@step
async def refund(charge: Charge) -> None: ...


@step(undo=refund)
async def charge(order: Order) -> Charge:
    return Charge(order.id)


@step
def reserve(order: Order) -> str:
    return order.id


@step(undo=refund)  # wrong: it undoes a Charge, and this gives a str
def unfit(order: Order) -> str:
    return order.id


@workflow
def pay(order: Order) -> Flow[str]:
    charged = yield from charge(order)
    return charged.total  # wrong: a Charge has none


@workflow("no generator")  # wrong
def plain(order: Order) -> str:
    return order.id


def answer(command: Command[Any], value: object) -> None: ...
def exact(command: Command[Charge]) -> None: ...
def branch(branch: Branch[str]) -> None: ...


order = Order("o", 1)
charge("o-1")  # wrong
charge()  # wrong
charge(order, order)  # wrong
charge(total=1)  # wrong
reserve(1)  # wrong
charge.body(1)  # wrong
charge(order).id  # wrong: it is not the charge yet
charge(order).total  # wrong
charge(order).options(retries=3)  # wrong
charge(order).options(undo=reserve)  # wrong
reserve(order).options(undo=refund)  # wrong
Step("reserve", reserve.body, 1)  # wrong
Step("reserve", reserve.body)  # wrong
Step("reserve")  # wrong
Step(1, reserve.body, order)  # wrong
Step(StepId("reserve", int), reserve.body, order)  # wrong
exact(reserve(order))  # wrong
branch(charge(order))  # wrong
branch(order)  # wrong
Sleep("5")  # wrong
Sleep()  # wrong
Sleep(5, until=5)  # wrong
Sleep(until=5)  # wrong
WaitSignal(approved, timeout="1d")  # wrong
WaitSignal(5)  # wrong
Emit(processed, "order")  # wrong
Emit(processed)  # wrong
Emit(approved, "x")  # wrong
SendSignal("id", approved, 5)  # wrong
SendSignal("id", approved)  # wrong
SendSignal("id", ticked, 5)  # wrong
SendSignal(5, approved, "x")  # wrong
Rollback(on_error="maybe")  # wrong
Note(5)  # wrong
SetAttribute(state, 5)  # wrong
All(order)  # wrong
All(charge)  # wrong
All(charge(order), x=charge(order))  # wrong
All.of([charge(order)], limit="3")  # wrong
Race(order)  # wrong
Map(charge, ["o-1"])  # wrong
Map(charge)  # wrong
Map(pay, [1])  # wrong
Map(refund.body, [Charge("c")])  # wrong
Settle(order)  # wrong
Spawn(charge)  # wrong
Join(charge(order))  # wrong
Switch("total", order.total).when("x", charge(order))  # wrong
Switch("total", order.total).when(1, order)  # wrong
Switch(1, order.total)  # wrong
pay("o-1")  # wrong
pay()  # wrong
StartChild(pay)  # wrong
StartChild(charge(order))  # wrong
StartChild(pay(order), on_parent_close="ignore")  # wrong
StartChild(pay(order), retries=3)  # wrong
RunChild(pay(order), timeout="1d")  # wrong
RunChild(pay(order), retry=3)  # wrong
StartChild(pay(order), retry=[3])  # wrong
WaitChild("id")  # wrong
Workflow(5)  # wrong
workflow(5)  # wrong
step(5)  # wrong
Signal(5, str)  # wrong
Signal("x", 5)  # wrong


def flow(ref: ChildRef[str], task: Task[int], orders: Iterable[Order]) -> Flow[str]:
    charged: str = yield from charge(order)  # wrong
    waited: int = yield from WaitSignal(approved)  # wrong
    perhaps: str = yield from WaitSignal(approved, timeout=1, default=None)  # wrong
    both: tuple[str, str] = yield from All(reserve(order), charge(order))  # wrong
    mapped: list[str] = yield from Map(reserve, orders, enough=1)  # wrong
    won = yield from Race(reserve(order), charge(order))
    text: str = won.value  # wrong: either
    if won.index == 1:
        text = won.value  # wrong: the charge
    child: int = yield from WaitChild(ref)  # wrong
    ran: int = yield from RunChild(pay(order))  # wrong
    joined: str = yield from Join(task)  # wrong
    settled: str = yield from Settle(reserve(order))  # wrong
    inline: int = yield from pay(order)  # wrong
    chosen: int = yield from Switch("total", 1).when(1, reserve(order))  # wrong
    print(charged, waited, perhaps, both, mapped, text, child, ran, joined, settled, inline, chosen)
    yield from order  # wrong
    return 5  # wrong


@workflow
def again(n: int) -> Flow[int]:
    return (yield from ContinueAs(pay(order)))  # wrong: pay gives a str
