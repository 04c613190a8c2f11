"""Deep and wide compositions work (D8)."""

from __future__ import annotations

from typing import Any

import pytest

from redrive_interpreter import All, Asked, Flow, Map, Ok, Race, Rollback, Sleep, replay, workflow
from tests.interpreter.kit import Run, start
from tests.interpreter.shop import Broken, ping, reserve


def test_yield_from_two_hundred_deep() -> None:
    def down(n: int) -> Flow[int]:
        if n == 0:
            return (yield from ping(1))
        return (yield from down(n - 1)) + 1

    @workflow("w")
    def w() -> Flow[int]:
        return (yield from down(200))

    assert start(w()).ok("ping", 0).result == 200


@workflow("d")
def deep(n: int, breaks: bool = False) -> Flow[int]:
    if n:
        return (yield from deep(n - 1, breaks)) + 1
    value = yield from ping(1)
    if breaks:
        raise Broken("at the bottom")
    return value


def test_inline_workflows_a_thousand_deep() -> None:
    run = start(deep(1000))
    [key] = run.asked
    assert key.count("/") == 1000
    assert run.ok(key, 0).result == 1000


def test_an_error_comes_up_from_a_thousand_deep_and_so_does_a_cancel() -> None:
    run = start(deep(1000, breaks=True))
    assert run.ok(run.asked[0]).status == "failed"
    assert start(deep(1000)).cancel().status == "cancelled"


def test_map_over_ten_thousand_items() -> None:
    @workflow("w")
    def w() -> Flow[int]:
        return sum((yield from Map(ping, range(10_000))))

    run = Run(w(), checked=False)
    for n in range(10_000):
        run.ok(f"__map/{n}/ping", 1)
    assert run.result == 10_000
    assert replay(run.workflow, run.rows).machine.verdict == run.machine.verdict


def test_a_failure_among_ten_thousand_cuts_the_rest() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from Map(lambda n: Sleep(n + 1), range(10_000)))

    run = Run(w(), checked=False)
    assert len(run.machine.timers) == 10_000
    assert run.cancel().status == "cancelled"
    assert run.machine.timers == {}


def test_ten_thousand_steps_in_one_workflow() -> None:
    @workflow("w")
    def w() -> Flow[int]:
        total = 0
        for n in range(10_000):
            total += yield from ping(n)
        return total

    run = Run(w(), checked=False).ok("ping", 1)
    for n in range(2, 10_001):
        run.ok(f"ping#{n}", 1)
    assert run.result == 10_000
    assert sum(isinstance(row, Asked) for row in run.rows) == 10_000
    replayed = replay(run.workflow, run.rows)
    assert replayed.rows == []
    assert replayed.machine.verdict.outcome == Ok(10_000)  # type: ignore[union-attr]


@pytest.mark.parametrize("depth", [200, 1000])
def test_all_and_race_nested_deep(depth: int) -> None:
    def down(n: int) -> Flow[Any]:
        if n == 0:
            return (yield from ping(1))
        if n % 2:
            return (yield from All(down(n - 1)))[0]
        return (yield from Race(down(n - 1))).value

    @workflow("w")
    def w() -> Flow[int]:
        return (yield from down(depth))

    run = Run(w(), checked=depth < 500)
    [key] = run.asked
    assert run.ok(key, 7).result == 7
    assert Run(w(), checked=depth < 500).cancel().status == "cancelled"


def test_ten_thousand_undos() -> None:
    @workflow("w")
    def w() -> Flow[int]:
        yield from Map(reserve, ["x"] * 10_000)
        return len((yield from Rollback()))

    run = Run(w(), checked=False)
    for n in range(10_000):
        run.ok(f"__map/{n}/reserve", "h")
    for n in reversed(range(10_000)):
        run.ok(f"rollback:__map/{n}/reserve")
    assert run.result == 10_000
