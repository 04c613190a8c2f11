"""The test kit: a month in milliseconds, planted bugs, the purity check, exploration."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

import attrs

from redrive import Flow, Invocation, Map, Retry, Rollback, Signal, SignalTimeout, Sleep, StepTimeout, WaitSignal, step, workflow
from redrive.testing import Violation, at_most_once, compensated, explore, in_turn, never, play
from redrive.testing.run import BEGIN
from tests.benchmarks.program import add, steps
from tests.benchmarks.timing import Result, best

placed, packed, approved = Signal("bench.placed", str), Signal("bench.packed", str), Signal("bench.approved", str)
_DAYS: Final = timedelta(days=10)
_ROUNDS: Final = 50
_STEPS: Final = 500


class Declined(Exception):
    pass


@step
def release(hold: str) -> None: ...


@step(undo=release)
def reserve(order: str) -> str:
    return order


@step(raises=[Declined], timeout=30, retry=Retry(attempts=3, delay=60, give_up_on=Declined))
def charge(order: str) -> str:
    return order


@step(raises=[Declined], timeout=30)
def charge_once(order: str) -> str:
    return order


@step
def ship(order: str) -> str:
    return order


@step
def expire(order: str) -> None: ...


@workflow("bench.month")
def month(order: str) -> Flow[str]:
    """Thirty days, three signals, and a bank that fails twice."""
    by: list[str] = []
    for signal in (placed, packed, approved):
        yield from Sleep(_DAYS)
        by.append((yield from WaitSignal(signal, timeout=_DAYS)))
    return (yield from charge(" ".join(by)))


@workflow("bench.race")
def race(order: str) -> Flow[str]:
    try:
        yield from WaitSignal(approved, timeout=_DAYS)
    except SignalTimeout:
        yield from expire(order)
    if (yield from WaitSignal(approved, timeout=0, default=None)) is not None:
        return (yield from ship(order))
    return "expired"


@workflow("bench.undo")
def forgets_an_undo(order: str) -> Flow[str]:
    yield from reserve(order)
    try:
        return (yield from charge_once(order))
    except Declined:
        yield from Rollback("declined")
        return "declined"


@workflow("bench.double")
def charges_twice(order: str) -> Flow[str]:
    for _ in range(2):
        try:
            return (yield from charge_once(order))
        except StepTimeout:
            yield from Sleep(60)
    return "gave up"


@attrs.frozen
class Basket:
    tags: frozenset[str]
    articles: set[str]


@step
def look(basket: Basket) -> Basket:
    return basket


@workflow("bench.baskets")
def baskets(basket: Basket) -> Flow[None]:
    for _ in range(_ROUNDS):
        basket = yield from look(basket)


@workflow("bench.lots")
def draws_lots_for_nothing() -> Flow[None]:
    for _ in range(_ROUNDS):
        random.random()
        yield from ship("o-1")


@workflow("bench.wide")
def wide() -> Flow[None]:
    yield from Map(ship, [str(number) for number in range(8)])


def measure() -> list[Result]:
    return [_month(), *_planted(), *_purity(), _states()]


def _month() -> Result:
    by_hand = best(9, lambda: _repeat(_ROUNDS, _month_by_hand)) / _ROUNDS
    played = best(9, lambda: _repeat(_ROUNDS, _month_played)) / _ROUNDS
    baseline = f"bare generator, {by_hand * 1e6:.1f} µs; {played / by_hand:.0f}x that"
    return Result("play of 30 days, three signals, two retries", baseline, played * 1e3, "ms", 5)


def _month_played(*, check_purity: bool = False) -> None:
    bank = in_turn(ConnectionError("reset"), ConnectionError("reset"), "ch_1")
    run = play(month("o-1"), {charge: bank}, {placed: "Ada", packed: "Bob", approved: "Eve"}, check_purity=check_purity)
    assert run.result == "ch_1"
    assert run.now >= BEGIN + 3 * _DAYS
    run.close()


def _month_by_hand() -> None:
    assert month.fn is not None
    running = month.fn("o-1")
    running.send(None)
    try:
        for value in (None, "Ada", None, "Bob", None, "Eve", "ch_1"):
            running.send(value)
    except StopIteration:
        return
    raise AssertionError("it goes on")


def _planted() -> list[Result]:
    planted: list[tuple[str, Invocation[Any], Any]] = [
        ("an approval that races its timeout", race("o-1"), never(ship, after=expire)),
        ("a forgotten undo", forgets_an_undo("o-1"), compensated()),
        ("a double charge", charges_twice("o-1"), at_most_once(charge_once)),
    ]
    return [_found(*one) for one in planted]


def _found(what: str, invocation: Invocation[Any], invariant: Any) -> Result:
    begun = time.process_time()
    try:
        explore(invocation, [invariant])
    except Violation as violation:
        seconds = time.process_time() - begun
        return Result(f"explore finds {what}", f"{len(violation.schedule)} moves long", seconds, "s", 10, f"{seconds * 1e3:.1f} ms")
    raise AssertionError(f"explore does not find {what}")


def _purity() -> list[Result]:
    """Of the month, and of the least that a run can do besides: steps that are answered with a constant.

    Many sets have to be turned, and turned back; a workflow that draws lots is driven twice, for one other world may by chance agree.
    """
    basket = Basket(frozenset("abcdefg"), set("hijklmn"))
    runs: list[tuple[str, float, Callable[[bool], None]]] = [
        ("the month", 2, lambda pure: _repeat(_ROUNDS, lambda: _month_played(check_purity=pure))),
        (f"{_STEPS} steps", 2, lambda pure: play(steps(_STEPS), {add: 1}, check_purity=pure).close()),
        ("two sets a step", 2, lambda pure: play(baskets(basket), {look: basket}, check_purity=pure).close()),
        ("lots drawn for nothing", 3, lambda pure: play(draws_lots_for_nothing(), {ship: "p"}, check_purity=pure).close()),
    ]
    results: list[Result] = []
    for what, most, run in runs:
        plain, checked = _in_turns(partial(run, False), partial(run, True))
        results.append(Result(f"play with a purity check, {what}", f"without it, {plain * 1e3:.1f} ms", checked / plain, "x", most))
    return results


def _in_turns(one: Callable[[], None], other: Callable[[], None]) -> tuple[float, float]:
    """The best times of both; in turns, so that what disturbs the machine disturbs both."""
    pairs = [(best(1, one), best(1, other)) for _ in range(15)]
    return min(first for first, _ in pairs), min(second for _, second in pairs)


def _states() -> Result:
    seen = explore(wide(), cancels=0)
    assert seen.complete
    seconds = best(3, lambda: explore(wide(), cancels=0))
    detail = f"{seen.states / seconds:,.0f} states and {seen.schedules / seconds:,.0f} moves a second"
    return Result("exploration", detail, seconds / seen.states * 1e3, "ms", None, "a state")


def _repeat(times: int, call: Callable[[], None]) -> None:
    for _ in range(times):
        call()
