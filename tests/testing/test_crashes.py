"""`assert_survives_crashes`: silent about honest workflows, exact about the others."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from examples.saga import Trip, book_car, book_flight, book_hotel, book_trip, cancel_booking
from redrive.testing import CrashChanged, assert_survives_crashes, in_turn
from redrive_interpreter import (
    All,
    Attribute,
    ContinueAs,
    Emit,
    Event,
    Flow,
    Note,
    Now,
    Random,
    Retry,
    RunChild,
    SetAttribute,
    Signal,
    Sleep,
    WaitSignal,
    step,
    workflow,
)

told = Event("told", str)
go = Signal("go", str)
state = Attribute("state", str)


@step(retry=Retry(attempts=3))
def fetch(url: str) -> str: ...


@workflow("child")
def child(n: int) -> Flow[int]:
    yield from ()
    return n


@workflow("busy")
def busy(n: int) -> Flow[list[str]]:
    yield from Note("begun", at=str((yield from Now())))
    yield from SetAttribute(state, "fetching")
    pages = yield from All.of([fetch(f"p{i}") for i in range(n)])
    yield from Emit(told, "fetched")
    yield from Note("fetched", luck=(yield from Random()))
    yield from RunChild(child(3))
    yield from SetAttribute(state, "waiting")
    yield from WaitSignal(go, timeout=60)
    yield from Sleep(5)
    yield from Emit(told, "done")
    if n > 2:
        return (yield from ContinueAs(busy(n - 1)))
    return pages


def test_an_honest_workflow_survives_a_crash_at_every_record() -> None:
    flaky = in_turn(ConnectionError("gone"), "page")
    run = assert_survives_crashes(busy(3), {fetch: flaky, child: 3}, {go: ["now", "again"]})
    assert run.result == ["page", "page"]
    assert len(run.runs) == 2


@pytest.mark.parametrize("cars", [0, 1])
def test_the_saga_example_survives(cars: int) -> None:
    bodies = {step.step_id: step.body for step in (book_flight, book_hotel, book_car)}
    run = assert_survives_crashes(book_trip(Trip("Ada", "Oslo", cars)), {**bodies, cancel_booking: None})
    assert len(run.result) == 3 * cars


def test_the_wall_clock_in_an_argument_is_found_at_the_first_crash() -> None:
    @workflow("clock")
    def clock() -> Flow[str]:
        return (yield from fetch(str(time.perf_counter())))

    with pytest.raises(CrashChanged, match="fetch"):
        assert_survives_crashes(clock(), {fetch: "page"})


def test_a_branch_taken_by_lot_is_found() -> None:
    random.seed(1)

    @workflow("lots")
    def lots() -> Flow[list[str]]:
        got = []
        for n in range(20):
            got.append((yield from fetch(f"{n}{'a' if random.random() < 0.5 else 'b'}")))
        return got

    with pytest.raises(CrashChanged):
        assert_survives_crashes(lots(), {fetch: "page"})


def test_what_one_run_leaves_behind_for_the_next_is_found_and_shown_as_a_diff() -> None:
    count: Iterator[int] = iter(range(1000))

    @workflow("counts")
    def counts() -> Flow[int]:
        yield from fetch("a")
        return next(count)

    with pytest.raises(CrashChanged) as found:
        assert_survives_crashes(counts(), {fetch: "page"})
    assert "-ends completed = 0" in str(found.value)
    assert "+ends completed = 1" in str(found.value)


def test_a_cache_that_forgets_to_ask_after_a_crash_is_found() -> None:
    cache: dict[str, str] = {}

    @workflow("cached")
    def cached() -> Flow[str]:
        if "a" not in cache:
            cache["a"] = yield from fetch("a")
        return cache["a"]

    with pytest.raises(CrashChanged):
        assert_survives_crashes(cached(), {fetch: "page"})
