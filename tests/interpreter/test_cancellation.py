"""Cancellation: thrown at the yield, once; cleanup may yield; what has an undo runs to its end first (E3, S10)."""

from __future__ import annotations

from typing import Any

from redrive_interpreter import AbandonStep, All, Cancelled, Flow, Rollback, RunStep, Sleep, WaitSignal, workflow
from tests.interpreter.kit import start
from tests.interpreter.shop import Broken, approved, charge, ping, reserve, wire


def test_cancelling_a_run_that_waits_ends_it_at_once() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        return (yield from WaitSignal(approved, timeout=60))

    run = start(w()).cancel("closing time")
    assert run.status == "cancelled"
    assert "closing time" in run.failure.message
    assert run.machine.timers == {}


def test_cleanup_may_yield_and_its_value_is_kept() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from Sleep(60)
        except Cancelled as error:
            yield from ping(1)
            return f"{error.by}: {error.reason}"
        return "slept"

    run = start(w()).cancel("enough")
    assert run.asked == ["ping"]
    run.ok("ping", 1)
    assert (run.status, run.result) == ("cancelled", "cancel: enough")


def test_an_error_in_cleanup_fails_the_run() -> None:
    @workflow("w")
    def w() -> Flow[None]:
        try:
            yield from Sleep(60)
        except Cancelled:
            yield from ping(1)
            raise Broken("cleanup") from None

    assert start(w()).cancel().ok("ping").status == "failed"


def test_except_exception_does_not_catch_it() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from Sleep(60)
        except Exception:
            return "swallowed"
        return "slept"

    assert start(w()).cancel().status == "cancelled"


def test_it_is_thrown_once_and_repeats_keep_the_first_reason() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from Sleep(60)
        except Cancelled as error:
            yield from Sleep(10)
            return error.reason
        return "slept"

    run = start(w()).cancel("first")
    rows = len(run.rows)
    run.cancel("second")
    assert len(run.rows) == rows
    assert run.fire("__sleep#2").result == "first"


def test_a_step_with_an_undo_runs_to_its_end_before_the_cancel_is_thrown() -> None:
    """S10."""

    @workflow("w", on_cancel="rollback")
    def w() -> Flow[None]:
        yield from charge(5)

    run = start(w()).cancel()
    assert run.of(AbandonStep) == []
    assert run.asked == ["charge"]
    run.ok("charge", "ch-1")
    assert run.asked == ["rollback:charge"]
    run.ok("rollback:charge")
    assert (run.status, run.undone) == ("cancelled", ["charge"])


def test_so_does_a_step_at_most_once() -> None:
    """S10."""

    @workflow("w")
    def w() -> Flow[None]:
        yield from wire(5)

    run = start(w()).cancel()
    assert run.asked == ["wire"]
    assert run.ok("wire", "w-1").status == "cancelled"


def test_any_other_step_is_told_to_stop_and_not_awaited() -> None:
    """S10."""

    @workflow("w")
    def w() -> Flow[None]:
        yield from ping(5)

    run = start(w()).cancel()
    assert [drop.key for drop in run.of(AbandonStep)] == ["ping"]
    assert (run.status, run.machine.in_doubt) == ("cancelled", ("ping",))


def test_a_step_with_an_undo_gets_no_further_attempt_after_a_cancel() -> None:
    """S10: its timeout holds, no further attempt."""

    @workflow("w")
    def w() -> Flow[None]:
        yield from charge(5)

    run = start(w()).cancel().retry("charge", 1)
    assert run.of(RunStep) == []
    assert (run.status, run.machine.in_doubt) == ("cancelled", ())


def test_a_step_that_only_waits_for_its_retry_is_given_up_at_once() -> None:
    @workflow("w")
    def w() -> Flow[None]:
        yield from charge(5)

    run = start(w()).retry("charge", 1, after=60).cancel()
    assert (run.status, run.machine.in_doubt) == ("cancelled", ())


def test_a_retry_whose_time_has_come_is_in_flight_again() -> None:
    """S10: it may be running by now, so its effect must be known before anything is undone."""

    @workflow("w", on_cancel="rollback")
    def w() -> Flow[None]:
        yield from charge(5)

    run = start(w()).retry("charge", 1, after=60).at(60).cancel()
    assert run.asked == ["charge"]
    assert run.ok("charge", "ch_1").asked == ["rollback:charge"]

    @workflow("w")
    def plain() -> Flow[None]:
        yield from ping(1)

    cut = start(plain()).retry("ping", 1, after=60).at(61).cancel()
    assert cut.machine.in_doubt == ("ping",)


def test_a_cancel_waits_for_a_rollback() -> None:
    """E3: never thrown into a Rollback."""
    seen: list[Any] = []

    @workflow("w")
    def w() -> Flow[str]:
        yield from reserve("a")
        yield from reserve("b")
        try:
            seen.append((yield from Rollback()))
        except Cancelled:
            return "after the undos"
        return "not cancelled"

    run = start(w()).ok("reserve", "h1").ok("reserve#2", "h2").cancel()
    assert run.asked == ["rollback:reserve#2"]
    run.ok("rollback:reserve#2")
    assert run.asked == ["rollback:reserve"]
    run.ok("rollback:reserve")
    assert (run.status, run.result, run.undone, seen) == ("cancelled", "after the undos", ["reserve#2", "reserve"], [])


def test_branches_get_it_clean_up_side_by_side_and_are_awaited() -> None:
    """P2."""

    def branch(n: int) -> Flow[int]:
        try:
            yield from Sleep(60)
        except Cancelled:
            yield from ping(n)
            raise
        return n

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from All(branch(1), branch(2)))

    run = start(w()).cancel()
    assert run.asked == ["__all/0/ping", "__all/1/ping"]
    run.ok("__all/0/ping")
    assert run.asked == ["__all/1/ping"]
    assert run.ok("__all/1/ping").status == "cancelled"


def test_cleanup_is_not_cut_by_a_second_cancel_nor_by_the_deadline() -> None:
    """E3: cleanup has no deadline."""

    @workflow("w")
    def w() -> Flow[None]:
        try:
            yield from Sleep(60)
        except Cancelled:
            yield from All(ping(1), Sleep(600))
            raise

    run = start(w(), deadline=100).cancel()
    assert "__deadline" not in run.machine.timers
    run.cancel("again")
    assert run.asked == ["__all/0/ping", "__all/1/__sleep"]
    assert run.ok("__all/0/ping").fire("__all/1/__sleep").status == "cancelled"


def test_a_run_cancelled_before_it_could_begin_anything_is_cancelled() -> None:
    @workflow("w")
    def w() -> Flow[None]:
        yield from Sleep(0.001)

    assert start(w()).cancel().status == "cancelled"


@workflow("inner")
def swallowing() -> Flow[str]:
    try:
        yield from Sleep(60)
    except Cancelled:
        yield from ping(1)
    return "swallowed"


def test_each_scope_gets_it_once_also_where_the_one_inside_kept_it_to_itself() -> None:
    """E3: thrown once per scope."""

    @workflow("w")
    def w() -> Flow[str]:
        try:
            return (yield from swallowing())
        except Cancelled:
            return f"outer: {yield from swallowing_too()}"

    run = start(w()).cancel()
    assert run.asked == ["inner/ping"]
    run.ok("inner/ping")
    assert run.asked == ["late/__sleep"]
    run.fire("late/__sleep")
    assert (run.status, run.result) == ("cancelled", "outer: late")


@workflow("late")
def swallowing_too() -> Flow[str]:
    yield from Sleep(5)
    return "late"


def test_a_helper_is_no_scope_and_may_keep_it() -> None:
    def helper() -> Flow[str]:
        try:
            yield from Sleep(60)
        except Cancelled:
            yield from ping(1)
        return "kept"

    @workflow("w")
    def w() -> Flow[str]:
        kept = yield from helper()
        yield from ping(2)
        return kept

    run = start(w()).cancel().ok("ping").ok("ping#2")
    assert (run.status, run.result) == ("cancelled", "kept")


def test_an_error_of_an_inner_cleanup_goes_outwards_as_it_is() -> None:
    @workflow("inner")
    def inner() -> Flow[None]:
        try:
            yield from Sleep(60)
        except Cancelled:
            raise Broken("cleanup") from None

    @workflow("w")
    def w() -> Flow[None]:
        yield from inner()

    run = start(w()).cancel()
    assert (run.status, run.failure.message) == ("failed", "cleanup")
