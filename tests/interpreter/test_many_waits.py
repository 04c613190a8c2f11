"""Thousands of waits in one run: each fact concerns its own, and is not looked for among all the others."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import pytest

from redrive_interpreter import All, Flow, Race, RunChild, Signal, StartChild, WaitChild, WaitSignal, workflow
from tests.interpreter.kit import start
from tests.interpreter.shop import ping

FEW, MANY = 500, 8_000
names = [Signal(f"go-{n}", int) for n in range(MANY)]


@workflow("child")
def child(n: int) -> Flow[int]:
    return (yield from ping(n))


@workflow("w.awaits")
def awaits(count: int) -> Flow[int]:
    return len((yield from All.of([WaitSignal(names[n]) for n in range(count)])))


@workflow("w.keeps")
def keeps(count: int) -> Flow[int]:
    yield from ping(1)
    for n in reversed(range(count)):
        yield from WaitSignal(names[n])
    return count


@workflow("w.queues")
def queues(count: int) -> Flow[int]:
    yield from ping(1)
    for _ in range(count):
        yield from WaitSignal(names[0])
    return count


@workflow("w.children")
def children(count: int) -> Flow[int]:
    return len((yield from All.of([RunChild(child(n), id=f"c-{n}") for n in range(count)])))


def signalled_last_first(count: int) -> None:
    run = start(awaits(count), checked=False)
    for n in reversed(range(count)):
        run.signal(f"go-{n}", n)
    assert run.result == count


def kept_and_taken_last_first(count: int) -> None:
    run = start(keeps(count), checked=False)
    for n in range(count):
        run.signal(f"go-{n}", n)
    assert run.machine.unread == count
    run.ok("ping")
    assert (run.result, run.machine.unread) == (count, 0)


def kept_under_one_name(count: int) -> None:
    run = start(queues(count), checked=False)
    for n in range(count):
        run.signal("go-0", n)
    run.ok("ping")
    assert run.result == count


def children_end_last_first(count: int) -> None:
    run = start(children(count), checked=False)
    for n in range(count):
        run.ok(f"__all/{n}/__run_child")
    for n in reversed(range(count)):
        run.child(f"c-{n}", n)
    assert run.result == count


@pytest.mark.parametrize("drive", [signalled_last_first, kept_and_taken_last_first, kept_under_one_name, children_end_last_first])
def test_one_more_of_many_costs_what_one_of_few_does(drive: Callable[[int], None]) -> None:
    """A look through all of them would make it sixteen times as dear."""
    few, many = (min(_processor(drive, count) for _ in range(3)) / count for count in (FEW, MANY))
    assert many < 4 * few


def _processor(drive: Callable[[int], None], count: int) -> float:
    gc.collect()
    gc.disable()
    begun = time.process_time()
    drive(count)
    gc.enable()
    return time.process_time() - begun


@pytest.mark.parametrize("first", ["go-1", "go-2"])
def test_a_race_goes_by_the_order_in_which_kept_signals_came(first: str) -> None:
    """P1: by stored times; of one moment, by the order."""

    @workflow("w")
    def w() -> Flow[Any]:
        yield from ping(1)
        winner = yield from Race(one=WaitSignal(names[1]), two=WaitSignal(names[2]))
        return winner, (yield from WaitSignal(names[1])), (yield from WaitSignal(names[1]))

    run = start(w()).signal("go-0", 0).signal(first, 1).signal("go-2" if first == "go-1" else "go-1", 2).signal("go-1", 3).signal("go-1", 4)
    run.ok("ping")
    assert run.result[0].name == ("one" if first == "go-1" else "two")
    assert run.result[1:] == ((3, 4) if first == "go-1" else (2, 3))


def test_the_oldest_kept_signal_and_a_child_that_ended_then_count_alike() -> None:
    """The lower branch wins, as it did for histories that are stored."""

    @workflow("w")
    def w() -> Flow[Any]:
        ref = yield from StartChild(child(1), id="c")
        yield from ping(1)
        return (yield from Race(signal=WaitSignal(names[1]), child=WaitChild(ref)))

    run = start(w())
    run.ok("__start_child")
    run.child("c", 7).signal("go-1", 5)
    run.ok("ping")
    assert run.result.name == "signal"
