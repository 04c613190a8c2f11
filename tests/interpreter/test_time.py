"""Sleeps, deadlines and Now: stored due times, and a clock that stands still within a turn (T1, O3, O4, E4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from redrive_interpreter import Answered, Cancelled, ClearTimer, Finished, Flow, Key, Now, Ok, SetTimer, Sleep, TimerFired, workflow
from tests.interpreter.kit import T0, start
from tests.interpreter.shop import Broken, ping, reserve


def test_a_sleep_sets_a_timer_and_ends_with_it() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        yield from Sleep(90)
        return (yield from Now()).isoformat()

    run = start(w())
    assert [(timer.key, timer.due) for timer in run.of(SetTimer)] == [("__sleep", T0 + timedelta(seconds=90))]
    assert run.machine.next_due == T0 + timedelta(seconds=90)
    assert run.fire("__sleep").result == "2027-01-01T00:01:30+00:00"


@pytest.mark.parametrize("sleep", [Sleep(0), Sleep(-5), Sleep(until=T0 - timedelta(days=1)), Sleep(until=T0)])
def test_zero_negative_and_past_mean_now(sleep: Sleep) -> None:
    """T1."""

    @workflow("w")
    def w() -> Flow[str]:
        yield from sleep
        return "awake"

    run = start(w())
    assert (run.result, run.of(SetTimer)) == ("awake", [])


def test_a_hundred_years_work() -> None:
    """T1."""

    @workflow("w")
    def w() -> Flow[None]:
        yield from Sleep(timedelta(days=36_525))

    assert start(w()).fire("__sleep").status == "completed"


def test_a_timer_that_is_told_before_it_is_due_moves_the_clock_to_its_due_time() -> None:
    """O3: after a timeout Now() ≥ due."""

    @workflow("w")
    def w() -> Flow[Any]:
        yield from Sleep(90)
        return (yield from Now())

    run = start(w())
    assert run.tell(TimerFired(Key("__sleep"), at=T0)).result == T0 + timedelta(seconds=90)


def test_now_stands_still_within_a_turn_and_never_goes_back() -> None:
    """O4."""

    @workflow("w")
    def w() -> Flow[list[Any]]:
        first = yield from Now()
        yield from ping(1)
        second = yield from Now()
        third = yield from Now()
        yield from ping(2)
        return [first, second, third, (yield from Now())]

    later = T0 + timedelta(seconds=50)
    run = start(w()).tell(Answered(Key("ping"), Ok(1), at=later)).tell(Answered(Key("ping#2"), Ok(1), at=T0))
    assert run.result == [T0, later, later, later]


def test_a_deadline_throws_cancelled_and_the_run_ends_with_workflow_timeout() -> None:
    """E4."""
    seen: list[str] = []

    @workflow("w")
    def w() -> Flow[None]:
        try:
            yield from Sleep(600)
        except Cancelled as error:
            seen.append(error.by)
            raise

    run = start(w(), deadline=60)
    assert run.machine.timers[Key("__deadline")] == T0 + timedelta(seconds=60)
    run.fire("__deadline")
    assert (run.status, run.failure.type, set(seen)) == ("failed", "WorkflowTimeout", {"deadline"})


def test_it_counts_as_on_failure() -> None:
    """E4."""

    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from reserve("a")
        yield from Sleep(600)

    run = start(w(), deadline=60).ok("reserve", "h").fire("__deadline").ok("rollback:reserve")
    assert (run.status, run.failure.type, run.undone) == ("failed", "WorkflowTimeout", ["reserve"])


def test_so_it_does_where_the_workflow_swallows_it() -> None:
    """E4."""

    @workflow("w", on_failure="rollback")
    def w() -> Flow[str]:
        yield from reserve("a")
        try:
            yield from Sleep(600)
        except Cancelled:
            return "never mind"
        return "slept"

    run = start(w(), deadline=60).ok("reserve", "h").fire("__deadline").ok("rollback:reserve")
    assert (run.status, run.failure.type, run.undone) == ("failed", "WorkflowTimeout", ["reserve"])


def test_a_bug_after_a_deadline_is_a_bug() -> None:
    """C3."""

    @workflow("w", on_failure="rollback")
    def w() -> Flow[str]:
        yield from reserve("a")
        try:
            yield from Sleep(600)
        except Cancelled:
            return undefined  # type: ignore[name-defined,no-any-return]  # noqa: F821
        return "slept"

    run = start(w(), deadline=60).ok("reserve", "h").fire("__deadline")
    assert (run.status, run.done.bug, run.undone) == ("failed", True, [])


def test_a_run_that_ends_in_time_clears_its_deadline() -> None:
    @workflow("w")
    def w() -> Flow[int]:
        return (yield from ping(1))

    run = start(w(), deadline=60).ok("ping", 1)
    assert run.result == 1
    assert [timer.key for timer in run.of(ClearTimer)] == ["__deadline"]


def test_a_deadline_that_passes_after_the_end_changes_nothing() -> None:
    from redrive_interpreter import DeadlinePassed

    @workflow("w")
    def w() -> Flow[None]:
        yield from ping(1)
        raise Broken("no")

    run = start(w(), deadline=60).ok("ping")
    before = list(run.rows)
    assert run.tell(DeadlinePassed(at=run.now)).rows == before
    assert isinstance(run.machine.verdict, Finished)
