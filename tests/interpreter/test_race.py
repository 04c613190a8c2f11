"""Race: the first to finish wins, also by failing; losers clean up and are undone before it returns (P1, P2)."""

from __future__ import annotations

from typing import Any

import pytest

from redrive_interpreter import (
    All,
    Cancelled,
    Emit,
    Flow,
    Join,
    Race,
    RunStep,
    Settle,
    Sleep,
    Spawn,
    StepFailed,
    Task,
    WaitChild,
    WaitSignal,
    Won,
    workflow,
)
from redrive_interpreter import StartChild as Start
from tests.interpreter.kit import T0, start
from tests.interpreter.shop import approved, charge, ping, reserve, shipped, tick, wire


def test_the_first_to_finish_wins_and_the_others_are_cut() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from Race(ping(1), WaitSignal(approved, timeout=60), Sleep(30)))

    run = start(w()).signal("approved", "Ada")
    assert run.result == Won(index=1, value="Ada")
    assert run.machine.timers == {}


def test_branches_may_have_names() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        won = yield from Race(paid=ping(1), late=Sleep(30))
        return won.name

    run = start(w())
    assert run.asked == ["__race/paid/ping", "__race/late/__sleep"]
    assert run.fire("__race/late/__sleep").result == "late"


def test_a_branch_that_fails_first_wins_by_failing() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from Race(ping(1), Sleep(30))
        except StepFailed as error:
            return str(error.key)
        return "no error"

    assert start(w()).fail("__race/0/ping").result == "__race/0/ping"


def test_what_a_loser_completed_is_undone_before_the_race_returns() -> None:
    """P2."""

    def book(n: int) -> Flow[str]:
        hold = yield from reserve(str(n))
        yield from ping(n)
        return hold

    @workflow("w")
    def w() -> Flow[Any]:
        won = yield from Race(book(0), book(1))
        yield from ping(9)
        return won.value

    run = start(w()).ok("__race/0/reserve", "a").ok("__race/1/reserve", "b").ok("__race/1/ping")
    assert run.asked == ["rollback:__race/0/reserve"]
    run.ok("rollback:__race/0/reserve")
    assert run.asked == ["ping"]
    assert run.ok("ping").result == "b"
    assert run.undone == ["__race/0/reserve"]


def test_a_losers_step_with_an_undo_runs_to_its_end_and_is_undone() -> None:
    """S10, P2."""

    @workflow("w")
    def w() -> Flow[int]:
        return (yield from Race(charge(5), Sleep(30))).index

    run = start(w()).fire("__race/1/__sleep")
    assert run.asked == ["__race/0/charge"]
    run.ok("__race/0/charge", "ch-1")
    assert run.asked == ["rollback:__race/0/charge"]
    assert run.ok("rollback:__race/0/charge").result == 1


def test_a_losers_step_at_most_once_is_awaited() -> None:
    @workflow("w")
    def w() -> Flow[int]:
        return (yield from Race(wire(5), Sleep(30))).index

    assert start(w()).fire("__race/1/__sleep").ok("__race/0/wire", "x").result == 1


def test_losers_may_clean_up_and_are_awaited() -> None:
    """P2."""
    by: list[str] = []

    def loser() -> Flow[None]:
        try:
            yield from Sleep(60)
        except Cancelled as error:
            by.append(error.by)
            yield from ping(1)

    @workflow("w")
    def w() -> Flow[int]:
        return (yield from Race(loser(), Sleep(1))).index

    run = start(w()).fire("__race/1/__sleep")
    assert run.asked == ["__race/0/ping"]
    assert run.ok("__race/0/ping").result == 1
    assert set(by) == {"race"}


def test_a_branch_that_finishes_at_once_keeps_later_ones_from_starting() -> None:
    """P1: later ones are not started."""

    @workflow("w")
    def w() -> Flow[int]:
        return (yield from Race(Emit(shipped, 1), ping(1))).index

    run = start(w())
    assert (run.result, run.of(RunStep)) == (0, [])


def quick() -> Flow[Any]:
    yield from Race(Emit(shipped, 1), Emit(shipped, 2))
    yield from Settle(Race(Emit(shipped, 3)))
    return "quick"


def test_so_does_one_that_finishes_at_once_by_way_of_branches_of_its_own() -> None:
    """P1."""

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from Race(quick(), ping(1))).value

    run = start(w())
    assert (run.result, run.of(RunStep)) == ("quick", [])


def test_of_branches_that_one_fact_ends_the_lower_index_wins() -> None:
    """P1."""

    @workflow("child")
    def child() -> Flow[int]:
        yield from ()
        return 1

    @workflow("w")
    def w() -> Flow[Any]:
        ref = yield from Start(child())
        other = WaitChild(ref)
        won = yield from Race(Sleep(60), WaitChild(ref), other)
        return [won.index, won.value]

    run = start(w())
    [request] = [request for request in run.requests if hasattr(request, "on_parent_close")]
    run.ok("__start_child").child(request.id, 7)
    assert run.result == [1, 7]


def test_a_race_without_branches_is_refused() -> None:
    with pytest.raises(TypeError, match="never end"):
        Race()


def test_an_outer_race_cuts_an_inner_one() -> None:
    @workflow("w")
    def w() -> Flow[int]:
        return (yield from Race(Race(reserve("a"), ping(2)), Sleep(1))).index

    run = start(w()).fire("__race/1/__sleep")
    assert run.asked == ["__race/0/__race/0/reserve"]
    run.ok("__race/0/__race/0/reserve", "h")
    assert run.ok("rollback:__race/0/__race/0/reserve").result == 1


def test_a_cancel_while_a_loser_cleans_up_is_thrown_when_the_race_is_over() -> None:
    def loser() -> Flow[None]:
        try:
            yield from Sleep(60)
        except Cancelled:
            yield from ping(1)

    @workflow("w")
    def w() -> Flow[int]:
        return (yield from Race(loser(), Sleep(1))).index

    run = start(w()).fire("__race/1/__sleep").cancel()
    assert run.asked == ["__race/0/ping"]
    assert run.ok("__race/0/ping").status == "cancelled"


def test_of_two_who_wait_for_one_task_the_lower_index_wins() -> None:
    """P1: also where the task ends by way of branches of its own."""

    def work() -> Flow[int]:
        yield from ping(1)
        yield from All(Emit(shipped, 1), Emit(shipped, 2))
        return 5

    def joins(task: Task[int]) -> Flow[int]:
        value = yield from Join(task)
        yield from Emit(shipped, value)
        return value

    @workflow("w")
    def w() -> Flow[Any]:
        task = yield from Spawn(work())
        won = yield from Race(joins(task), joins(task))
        return [won.index, won.value]

    run = start(w()).ok("__spawn/ping")
    assert run.result == [0, 5]
    assert "__race/1/__emit" not in run.history


def test_of_signals_that_are_there_already_the_oldest_wins() -> None:
    """P1: the oldest stored fact, then the lower index."""

    @workflow("w")
    def w() -> Flow[Any]:
        yield from ping(1)
        first = yield from Race(WaitSignal(approved), WaitSignal(tick))
        second = yield from Race(WaitSignal(approved), WaitSignal(tick))
        return [first.index, second.index]

    run = start(w()).signal("tick").signal("approved", "Ada").ok("ping")
    assert run.result == [1, 0]
    assert run.machine.unread == 0


def test_the_others_are_not_started_and_take_nothing() -> None:
    """P1, G1."""

    @workflow("w")
    def w() -> Flow[Any]:
        yield from ping(1)
        won = yield from Race(WaitSignal(approved), WaitSignal(tick), ping(2))
        return [won.index, (yield from WaitSignal(approved))]

    run = start(w()).signal("tick").signal("approved", "Ada").ok("ping")
    assert run.result == [1, "Ada"]
    assert run.history == ["ping", "__race", "__race/1/__wait_signal", "__wait_signal"]


def test_a_signal_that_came_too_late_for_its_wait_is_not_there() -> None:
    """P1, O3."""

    @workflow("w")
    def w() -> Flow[Any]:
        yield from ping(1)
        won = yield from Race(WaitSignal(tick, until=T0), WaitSignal(approved))
        return won.index

    assert start(w()).at(5).signal("tick").signal("approved", "Ada").ok("ping").result == 1


def test_a_child_that_ended_before_the_signal_came_wins() -> None:
    """P1."""

    @workflow("child")
    def child() -> Flow[int]:
        yield from ()
        return 1

    @workflow("w")
    def w() -> Flow[Any]:
        ref = yield from Start(child(), id="kid")
        yield from ping(1)
        return (yield from Race(WaitSignal(tick), WaitChild(ref))).index

    assert start(w()).ok("__start_child").at(1).child("kid", 1).at(2).signal("tick").ok("ping").result == 1
    assert start(w()).ok("__start_child").at(1).signal("tick").at(2).child("kid", 1).ok("ping").result == 0
