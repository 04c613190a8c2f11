"""What every command's answer is to a type checker. Not run: `test_typing` has it checked by mypy and pyright."""

from __future__ import annotations

import enum
import functools
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NewType, TypeVar, assert_never, assert_type
from uuid import UUID

import attrs

from redrive_interpreter import (
    All,
    Attribute,
    Branch,
    CancelChild,
    ChildRef,
    Commit,
    ContinueAs,
    Emit,
    Err,
    Event,
    Flow,
    Info,
    Invocation,
    Join,
    Key,
    Map,
    NewId,
    Note,
    Now,
    Ok,
    Patch,
    Race,
    Random,
    Retry,
    Rollback,
    RunChild,
    RunInfo,
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
    Won,
    Workflow,
    inject,
    step,
    workflow,
)

T = TypeVar("T")


@attrs.frozen
class Order:
    id: str
    total: int


@attrs.frozen
class Charge:
    id: str


class Payments: ...


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


Cents = NewType("Cents", int)

approved = Signal("orders.approved", str)
ticked = Signal("tick")
either = Signal("either", int | None)
chosen = Signal("chosen", Literal["yes", "no"])
processed = Event("orders.processed", Order)
started = Event("started")
state = Attribute("state", str)

assert_type(approved, Signal[str])
assert_type(ticked, Signal[None])
assert_type(either, Signal[int | None])
assert_type(approved.of("d-17"), Signal[str])
assert_type(processed, Event[Order])
assert_type(Signal("cents", Cents), Signal[Cents])


# ── steps ───────────────────────────────────────────────────────────────────────────────────────
@step
async def refund(charge: Charge) -> None: ...


@step(undo=refund, retry=Retry(attempts=5))
async def charge(order: Order) -> Charge:
    return Charge(order.id)


@step("orders.count")
def count(*words: str, unit: str = "") -> int:
    return len(words)


@step(timeout=5, raises=[ValueError])
async def lookup(key: str, *, payments: Payments = inject()) -> dict[str, Any]:
    return {}


@step
def maybe(key: str) -> str | None:
    return None


@step
def later(key: str) -> Awaitable[int]:
    raise NotImplementedError


@step
def look(anything: object) -> None: ...


@step(undo=look)
def reserve(order: Order) -> str:
    return order.id


@step(raises=(ValueError,))
def nothing() -> None: ...


def first(values: Sequence[T]) -> T:
    return values[0]


def size(order: Order) -> int:
    return order.total


async def fetch(key: str) -> bytes:
    return b""


class Shop:
    def price(self, order: Order) -> int:
        return order.total

    @staticmethod
    @step
    def label(order: Order) -> str:
        return order.id


def steps(order: Order, shop: Shop) -> Flow[None]:
    assert_type(charge(order), Step[Charge])
    assert_type((yield from charge(order)), Charge)
    assert_type((yield from charge(order).options(id="again", timeout=3, retry=Retry(3))), Charge)
    assert_type(charge(order).options(undo=refund), Step[Charge])
    assert_type(charge(order).options(undo=refund(Charge("c"))), Step[Charge])
    assert_type((yield from refund(Charge("c"))), None)
    assert_type((yield from count("a", "b", unit="m")), int)
    assert_type((yield from lookup("k")), dict[str, Any])
    assert_type((yield from maybe("k")), str | None)
    assert_type((yield from later("k")), int)
    assert_type((yield from reserve(order)), str)
    assert_type((yield from nothing()), None)
    assert_type((yield from Shop.label(order)), str)
    assert_type(size(order), int)
    assert_type(count.body("a"), int)
    assert_type((yield from Step("size", size, order)), int)
    assert_type((yield from Step("fetch", fetch, "k")), bytes)
    assert_type((yield from Step("quick", lambda: order.total)), int)
    assert_type((yield from Step("async", lambda: fetch("k"))), bytes)
    assert_type((yield from Step("price", shop.price, order)), int)
    assert_type((yield from Step("part", functools.partial(size, order))), int)
    assert_type((yield from Step(StepId("first", int), first, [1, 2])), int)
    assert_type((yield from Step(StepId("maybe", str | None), maybe.body, "k")), str | None)
    assert_type((yield from Step("class", Charge, "c")), Charge)


async def bodies(order: Order) -> None:
    assert_type(await charge.body(order), Charge)


# ── alone ───────────────────────────────────────────────────────────────────────────────────────
def alone(order: Order, other: ChildRef[int]) -> Flow[None]:
    assert_type((yield from Sleep(5)), None)
    assert_type((yield from Sleep(timedelta(days=1)).options(id="night")), None)
    assert_type((yield from Sleep(until=datetime(2030, 1, 1, tzinfo=UTC))), None)
    assert_type((yield from WaitSignal(approved)), str)
    assert_type((yield from WaitSignal(approved, timeout=timedelta(days=1))), str)
    assert_type((yield from WaitSignal(approved.of("d-1"), timeout=0, default=None)), str | None)
    assert_type((yield from WaitSignal(approved, timeout=5, default=7)), str | int)
    assert_type((yield from WaitSignal(ticked)), None)
    assert_type((yield from WaitSignal(either)), int | None)
    assert_type((yield from WaitSignal("untyped")), Any)
    assert_type((yield from Emit(processed, order)), None)
    assert_type((yield from Emit(started)), None)
    assert_type((yield from SendSignal("o-2", approved, "Ada")), None)
    assert_type((yield from SendSignal(other, ticked)), None)
    assert_type((yield from Rollback("why", on_error="continue")), tuple[Key, ...])
    assert_type((yield from Commit()), None)
    assert_type((yield from Note("seen", order=order, at=1)), None)
    assert_type((yield from Patch("new-price")), bool)
    assert_type((yield from Info()), RunInfo)
    assert_type((yield from Now()), datetime)
    assert_type((yield from NewId("invoice")), UUID)
    assert_type((yield from Random()), float)
    assert_type((yield from SetAttribute(state, "paid")), None)


# ── branches ────────────────────────────────────────────────────────────────────────────────────
def helper(order: Order) -> Flow[bytes]:
    charged = yield from charge(order)
    return charged.id.encode()


def one_of(order: Order) -> Branch[Charge | str]:
    return charge(order) if order.total else reserve(order)


def is_large(total: int) -> bool:
    return total > 100


def parallel(order: Order, orders: list[Order], many: list[Step[Charge]]) -> Flow[None]:
    assert_type((yield from All()), tuple[()])
    assert_type((yield from All(charge(order))), tuple[Charge])
    assert_type((yield from All(charge(order), Sleep(1))), tuple[Charge, None])
    assert_type((yield from All(charge(order), helper(order), pay(order))), tuple[Charge, bytes, str])
    a, b, c, d = count(), reserve(order), Now(), Random()
    assert_type((yield from All(a, b, c, d)), tuple[int, str, datetime, float])
    assert_type((yield from All(a, b, c, d, a, b, c, d)), tuple[int, str, datetime, float, int, str, datetime, float])
    assert_type((yield from All(*many)), tuple[Charge, ...])
    assert_type((yield from All(a, a, a, a, a, a, a, a, a)), tuple[int, ...])
    assert_type((yield from All(x=charge(order), y=charge(order))), dict[str, Charge])
    assert_type((yield from All.of(many, limit=3)), list[Charge])
    assert_type((yield from All.of(many, enough=1)), list[Charge | None])
    assert_type((yield from All.of(charge(o) for o in orders)), list[Charge])
    assert_type((yield from Map(charge, orders)), list[Charge])
    assert_type((yield from Map(reserve, orders, limit=2)), list[str])
    assert_type((yield from Map(pay, orders)), list[str])
    assert_type((yield from Map(helper, orders, enough=1)), list[bytes | None])
    assert_type((yield from Map(lambda o: count(o.id, "x"), orders)), list[int])
    assert_type((yield from Settle(charge(order))), Ok[Charge] | Err)
    task = yield from Spawn(charge(order))
    assert_type(task, Task[Charge])
    assert_type((yield from Join(task)), Charge)
    assert_type((yield from one_of(order)), Charge | str)


def races(order: Order) -> Flow[str]:
    won = yield from Race(charge(order), Sleep(5))
    assert_type(won, Won[Literal[0], Charge] | Won[Literal[1], None])
    if won.index == 0:
        assert_type(won.value, Charge)
    else:
        assert_type(won.value, None)
    three = yield from Race(charge(order), Sleep(5), WaitSignal(approved))
    match three.index:
        case 0:
            assert_type(three.value, Charge)
        case 1:
            assert_type(three.value, None)
        case 2:
            assert_type(three.value, str)
        case _:
            assert_never(three)
    named = yield from Race(paid=charge(order), again=charge(order))
    assert_type(named, Won[int, Charge])
    assert_type(named.name, str | None)
    mixed = yield from Race(paid=WaitSignal(approved), late=WaitSignal(approved))
    assert_type(mixed.value, str)
    settled = yield from Settle(charge(order))
    match settled:
        case Ok(value):
            assert_type(value, Charge)
        case Err(error):
            return str(error)
        case _:
            assert_never(settled)
    return ""


def switches(order: Order, colour: Colour) -> Flow[None]:
    by_value = Switch("colour", colour).when(Colour.RED, charge(order)).when(Colour.BLUE, reserve(order))
    assert_type((yield from by_value), Charge | str)
    by_test = Switch("total", order.total).when(is_large, charge(order)).when(lambda t: t > 10, helper(order), label="middle")
    assert_type((yield from by_test.otherwise(Sleep(1))), Charge | bytes | None)


# ── workflows ───────────────────────────────────────────────────────────────────────────────────
@workflow
def pay(order: Order) -> Flow[str]:
    charged = yield from charge(order)
    return charged.id


@workflow("countdown", on_failure="rollback", raises=[ValueError], signals=[approved, ticked], timeout=timedelta(days=1))
def countdown(n: int, *, by: int = 1) -> Flow[int]:
    if n <= 0:
        return 0
    return 1 + (yield from countdown(n - by, by=by))


@workflow
def forever(n: int) -> Flow[int]:
    yield from Sleep(60)
    return (yield from ContinueAs(forever(n + 1)))


remote = Workflow("elsewhere", returns=str)
perhaps = Workflow("perhaps", returns=str | None)
unknown = Workflow("unknown")


def workflows(order: Order) -> Flow[None]:
    assert_type(pay(order), Invocation[str])
    assert_type((yield from pay(order)), str)
    assert_type((yield from countdown(3, by=2)), int)
    assert_type(remote, Workflow[..., str])
    assert_type((yield from remote(1, two=2)), str)
    assert_type((yield from perhaps()), str | None)
    assert_type((yield from unknown()), Any)
    ref = yield from StartChild(pay(order), id="child", on_parent_close="abandon", timeout=60, undo=cancel_child)
    assert_type(ref, ChildRef[str])
    assert_type((yield from WaitChild(ref, timeout=5)), str)
    assert_type((yield from CancelChild(ref, "late")), None)
    assert_type((yield from RunChild(countdown(3), delay=1)), int)
    assert_type((yield from RunChild(countdown(3), retry=Retry(attempts=3))), int)
    assert_type((yield from StartChild(countdown(3), retry=(Retry(3, on=ValueError), Retry(None)))), ChildRef[int])
    assert_type((yield from RunChild(countdown(3), retry=[Retry(3)], id="kid")), int)
    assert_type((yield from RunChild(countdown(3), retry=None)), int)
    assert_type((yield from RunChild(remote(), attributes={state: "new"})), str)
    plain: int = yield charge(order)  # the bare form is Any
    assert_type(plain, int)


@step
async def cancel_child(ref: ChildRef[str]) -> None: ...


def takes_any_step(fn: Callable[[Order], Branch[Charge]]) -> Step[Charge]:
    return charge(Order("o", 1))


takes_any_step(charge)
