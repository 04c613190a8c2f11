"""The workflows of the golden files, one per kind of command and a few together. Never change one: add another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import attrs

from redrive import (
    All,
    Attribute,
    CancelChild,
    Cancelled,
    ChildFailed,
    Commit,
    ContinueAs,
    Emit,
    Event,
    Flow,
    Info,
    Join,
    Map,
    NewId,
    Note,
    Now,
    Patch,
    Race,
    Random,
    Retry,
    Rollback,
    RunChild,
    SendSignal,
    SetAttribute,
    Settle,
    Signal,
    SignalTimeout,
    Sleep,
    Spawn,
    StartChild,
    Step,
    StepInterrupted,
    Switch,
    WaitChild,
    WaitSignal,
    step,
    workflow,
)


@attrs.frozen
class Order:
    id: str
    total: int


@attrs.define
class Declined(Exception):
    why: str


approved = Signal("approved", str)
ready = Event("ready", Order)
state = Attribute("state", str)


@step
def release(hold: str) -> None: ...


@step(undo=release)
def reserve(order: Order) -> str: ...


@step(raises=[Declined], retry=Retry(attempts=3, delay=60))
def charge(order: Order) -> str: ...


@step(at_most_once=True)
def wire(order: Order) -> str: ...


@workflow("golden.step")
def one_step(order: Order) -> Flow[str]:
    return (yield from reserve(order))


@workflow("golden.raw_step")
def raw_step(order: Order) -> Flow[Any]:
    return (yield from Step("raw", len, [order.id, order.id]))


@workflow("golden.step_fails")
def step_fails(order: Order) -> Flow[str]:
    try:
        return (yield from charge(order))
    except Declined as error:
        return f"declined: {error.why}"


@workflow("golden.step_in_doubt")
def step_in_doubt(order: Order) -> Flow[str]:
    try:
        return (yield from wire(order))
    except StepInterrupted:
        return "nobody knows"


@workflow("golden.sleep")
def sleep() -> Flow[str]:
    yield from Sleep(timedelta(days=30))
    return "awake"


@workflow("golden.wait_signal")
def wait_signal() -> Flow[str]:
    first = yield from WaitSignal(approved, timeout=60)
    try:
        yield from WaitSignal(approved, timeout=60)
    except SignalTimeout:
        pass
    return first + (yield from WaitSignal(approved, timeout=5, default=" and nobody"))


@workflow("golden.set_aside")
def set_aside() -> Flow[str]:
    yield from release("hold")
    return (yield from WaitSignal(approved))


@workflow("golden.emit")
def emit(order: Order) -> Flow[None]:
    yield from Emit(ready, order)


@workflow("golden.send_signal")
def send_signal() -> Flow[None]:
    yield from SendSignal("other", approved, "Ada")


@workflow("golden.rollback", raises=[Declined])
def rollback(order: Order) -> Flow[int]:
    yield from reserve(order)
    yield from reserve(attrs.evolve(order, total=2))
    return len((yield from Rollback("no more", on_error="continue")))


@workflow("golden.commit")
def commit(order: Order) -> Flow[int]:
    yield from reserve(order)
    yield from Commit("sold")
    return len((yield from Rollback()))


@workflow("golden.note")
def note(order: Order) -> Flow[None]:
    yield from Note("seen", total=order.total)


@workflow("golden.switch")
def switch(order: Order) -> Flow[str]:
    return (yield from Switch("size", order.total).when(1, reserve(order), label="one").otherwise(charge(order)))


@workflow("golden.all")
def all_of(order: Order) -> Flow[str]:
    first, second = yield from All(reserve(order), charge(order))
    named = yield from All(a=reserve(order), b=Sleep(1))
    many = yield from All.of([charge(attrs.evolve(order, total=n)) for n in range(3)], limit=2)
    return first + second + str(sorted(named)) + "".join(many)


@workflow("golden.race")
def race(order: Order) -> Flow[str]:
    won = yield from Race(paid=charge(order), late=Sleep(3600))
    lost = yield from Race(reserve(order), Sleep(1))
    return f"{won.name} {lost.index}"


def hold_on(order: Order) -> Flow[None]:
    yield from reserve(order)
    yield from Sleep(3600)


@workflow("golden.race_undone")
def race_undone(order: Order) -> Flow[int]:
    return (yield from Race(hold_on(order), Sleep(1))).index


@workflow("golden.map")
def map_of(orders: Sequence[Order]) -> Flow[list[str]]:
    return list((yield from Map(charge, orders, limit=2)))


@workflow("golden.settle")
def settle(order: Order) -> Flow[str]:
    outcome = yield from Settle(charge(order))
    return type(outcome).__name__


@workflow("golden.spawn_join")
def spawn_join(order: Order) -> Flow[str]:
    task = yield from Spawn(charge(order))
    yield from Sleep(1)
    return (yield from Join(task))


@workflow("golden.child")
def child(n: int) -> Flow[int]:
    yield from Sleep(n)
    return n


@workflow("golden.start_child")
def start_child() -> Flow[int]:
    ref = yield from StartChild(child(1), id="child-1")
    return (yield from WaitChild(ref))


@workflow("golden.run_child")
def run_child() -> Flow[str]:
    try:
        return str((yield from RunChild(child(2), id="child-2", timeout=60)))
    except ChildFailed as error:
        return error.status


@workflow("golden.retry_child")
def retry_child() -> Flow[list[str]]:
    ref = yield from StartChild(child(4), id="child-4", retry=Retry(attempts=3, delay=10, give_up_on=Declined))
    seen: list[str] = []
    for kid in (RunChild(child(5), id="child-5", retry=Retry(attempts=2, delay=60)), WaitChild(ref)):
        try:
            seen.append(str((yield from kid)))
        except ChildFailed as error:
            seen.append(f"{error.id} {error.status}")
    return seen


@workflow("golden.cancel_child")
def cancel_child() -> Flow[None]:
    ref = yield from StartChild(child(3), on_parent_close="abandon")
    yield from CancelChild(ref, "not needed")


@workflow("golden.continue_as")
def continue_as(n: int) -> Flow[int]:
    yield from WaitSignal(approved, timeout=0, default=None)
    if n == 2:
        return n
    return (yield from ContinueAs(continue_as(n + 1)))


@workflow("golden.carry_on")
def carry_on(n: int) -> Flow[str]:
    if n == 2:
        return (yield from WaitSignal(approved))
    yield from StartChild(child(9), id="child-9", on_parent_close="abandon")
    yield from Sleep(60)
    return (yield from ContinueAs(carry_on(n + 1)))


@workflow("golden.patch")
def patch(order: Order) -> Flow[str]:
    if (yield from Patch("new-way")):
        return (yield from charge(order))
    return (yield from reserve(order))


@workflow("golden.readings")
def readings() -> Flow[str]:
    info, now = (yield from Info()), (yield from Now())
    id, chance = (yield from NewId("invoice")), (yield from Random())
    return f"{info.id} {now.isoformat()} {id} {chance}"


@workflow("golden.set_attribute")
def set_attribute() -> Flow[None]:
    yield from SetAttribute(state, "paid")


@workflow("golden.inline")
def inline(order: Order) -> Flow[str]:
    return (yield from one_step(order)) + (yield from one_step(order))


@workflow("golden.cancelled")
def cancelled(order: Order) -> Flow[str]:
    yield from reserve(order)
    try:
        yield from WaitSignal(approved)
    except Cancelled as error:
        yield from Rollback(error.reason)
    return "put back"


@workflow("golden.deadline", on_failure="rollback", timeout=3600)
def deadline(order: Order) -> Flow[str]:
    yield from reserve(order)
    return (yield from WaitSignal(approved))


@workflow("golden.undo_fails")
def undo_fails(order: Order) -> Flow[str]:
    yield from reserve(order)
    yield from Rollback("no")
    return "never"


@workflow("golden.bug")
def bug() -> Flow[str]:
    yield from Sleep(1)
    return nothing_of_this_name  # type: ignore[name-defined,no-any-return]  # noqa: F821


@workflow("golden.together")
def together(order: Order) -> Flow[str]:
    hold = yield from reserve(order)
    yield from SetAttribute(state, "held")
    won = yield from Race(WaitSignal(approved), Sleep(timedelta(days=1)))
    if won.index == 1:
        yield from Rollback("nobody approved")
        return "released"
    charged = yield from Map(charge, [order, attrs.evolve(order, total=order.total + 1)])
    yield from Note("charged", times=len(charged))
    yield from Emit(ready, order)
    return hold + "".join(charged)
