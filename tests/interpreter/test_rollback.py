"""Undos: newest first, once, by scope; and what becomes of a run whose undos fail (C1, C2)."""

from __future__ import annotations

from typing import Any

from redrive_interpreter import (
    All,
    Commit,
    Flow,
    Race,
    Rollback,
    RunChild,
    RunStep,
    Sleep,
    Spawn,
    StartChild,
    Step,
    StepFailed,
    Switch,
    WaitSignal,
    workflow,
)
from tests.interpreter.kit import start
from tests.interpreter.shop import Broken, charge, ping, release, reserve, tick


def test_undos_run_newest_first_each_as_a_step_of_its_own() -> None:
    """C1."""

    @workflow("w")
    def w() -> Flow[list[str]]:
        yield from reserve("a")
        yield from ping(1)
        yield from charge(5)
        return [str(key) for key in (yield from Rollback("sold out"))]

    run = start(w()).ok("reserve", "hold").ok("ping").ok("charge", "ch-1")
    [perform] = run.of(RunStep)
    assert (perform.key, perform.step.step_id, perform.input) == ("rollback:charge", "refund", {"charge": "ch-1"})
    run.ok("rollback:charge")
    assert run.of(RunStep)[0].input == {"hold": "hold"}
    run.ok("rollback:reserve")
    assert run.result == ["charge", "reserve"]
    assert run.undone == ["charge", "reserve"]


def test_a_second_rollback_undoes_only_what_completed_since() -> None:
    """C1."""

    @workflow("w")
    def w() -> Flow[list[list[str]]]:
        yield from reserve("a")
        first = yield from Rollback()
        yield from reserve("b")
        second = yield from Rollback()
        third = yield from Rollback()
        return [list(first), list(second), list(third)]

    run = start(w()).ok("reserve", "1").ok("rollback:reserve").ok("reserve#2", "2").ok("rollback:reserve#2")
    assert run.result == [["reserve"], ["reserve#2"], []]


def test_a_rollback_in_a_branch_undoes_that_branch() -> None:
    """C1."""

    def branch(n: int) -> Flow[list[str]]:
        yield from reserve(str(n))
        if n:
            return []
        return list((yield from Rollback()))

    @workflow("w")
    def w() -> Flow[Any]:
        yield from reserve("outside")
        inside = yield from All(branch(0), branch(1))
        return [inside, list((yield from Rollback()))]

    run = start(w()).ok("reserve", "x").ok("__all/0/reserve", "a").ok("__all/1/reserve", "b").ok("rollback:__all/0/reserve")
    run.ok("rollback:__all/1/reserve").ok("rollback:reserve")
    assert run.result == [(["__all/0/reserve"], []), ["__all/1/reserve", "reserve"]]


def test_a_rollback_in_an_inline_workflow_undoes_that_workflow() -> None:
    """C1."""

    @workflow("inner")
    def inner() -> Flow[int]:
        yield from reserve("in")
        return len((yield from Rollback()))

    @workflow("w")
    def w() -> Flow[list[Any]]:
        yield from reserve("out")
        count = yield from inner()
        return [count, list((yield from Rollback()))]

    run = start(w()).ok("reserve", "1").ok("inner/reserve", "2").ok("rollback:inner/reserve")
    assert run.asked == ["rollback:reserve"]
    assert run.ok("rollback:reserve").result == [1, ["reserve"]]


def test_a_commit_is_the_point_of_no_return_of_its_scope() -> None:
    @workflow("w")
    def w() -> Flow[list[str]]:
        yield from reserve("a")
        yield from Commit("paid")
        yield from reserve("b")
        return list((yield from Rollback()))

    run = start(w()).ok("reserve", "1").ok("reserve#2", "2").ok("rollback:reserve#2")
    assert run.result == ["reserve#2"]


def test_on_failure_rolls_back_without_being_asked() -> None:
    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from reserve("a")
        raise Broken("no")

    run = start(w()).ok("reserve", "1")
    assert run.asked == ["rollback:reserve"]
    run.ok("rollback:reserve")
    assert (run.status, run.failure.message, run.undone) == ("failed", "no", ["reserve"])


def test_on_failure_holds_inline_too() -> None:
    @workflow("inner", on_failure="rollback")
    def inner() -> Flow[None]:
        yield from reserve("a")
        raise Broken("no")

    @workflow("w")
    def w() -> Flow[str]:
        yield from reserve("outer")
        try:
            yield from inner()
        except Broken as error:
            return f"handled: {error}"
        return "no error"

    run = start(w()).ok("reserve", "1").ok("inner/reserve", "2")
    assert run.asked == ["rollback:inner/reserve"]
    assert run.ok("rollback:inner/reserve").result == "handled: no"
    assert run.undone == ["inner/reserve"]


def test_on_failure_does_not_run_for_a_cancel_nor_on_cancel_for_a_failure() -> None:
    @workflow("w", on_cancel="rollback")
    def fails() -> Flow[None]:
        yield from reserve("a")
        raise Broken("no")

    @workflow("w", on_failure="rollback")
    def waits() -> Flow[None]:
        yield from reserve("a")
        yield from WaitSignal(tick)

    assert start(fails()).ok("reserve", "1").status == "failed"
    assert start(waits()).ok("reserve", "1").cancel().status == "cancelled"


def test_an_undo_that_fails_ends_the_run_and_is_not_thrown_into_it() -> None:
    """C2."""

    @workflow("w")
    def w() -> Flow[str]:
        yield from reserve("a")
        yield from reserve("b")
        try:
            yield from Rollback()
        except BaseException as error:
            return f"seen: {error!r}"
        return "rolled back"

    run = start(w()).ok("reserve", "1").ok("reserve#2", "2").fail("rollback:reserve#2")
    assert run.status == "compensation_failed"
    assert "reserve#2" in run.failure.message
    assert run.undone == []


def test_the_operator_goes_on_with_the_undos_and_never_forward() -> None:
    """C2: a Rollback in mid-flow ends `failed`."""

    @workflow("w")
    def w() -> Flow[str]:
        yield from reserve("a")
        yield from reserve("b")
        yield from Rollback()
        yield from ping(1)
        return "on"

    run = start(w()).ok("reserve", "1").ok("reserve#2", "2").fail("rollback:reserve#2").retry_rollback()
    assert run.asked == ["rollback:reserve#2"]
    run.ok("rollback:reserve#2").ok("rollback:reserve")
    assert (run.status, run.undone) == ("failed", ["reserve#2", "reserve"])


def test_a_rollback_at_the_end_ends_as_it_was_ending() -> None:
    """C2."""

    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from reserve("a")
        raise Broken("the reason")

    run = start(w()).ok("reserve", "1").fail("rollback:reserve").retry_rollback().ok("rollback:reserve")
    assert (run.status, run.failure.message) == ("failed", "the reason")

    @workflow("w", on_cancel="rollback")
    def waits() -> Flow[None]:
        yield from reserve("a")
        yield from WaitSignal(tick)

    run = start(waits()).ok("reserve", "1").cancel().fail("rollback:reserve").retry_rollback().ok("rollback:reserve")
    assert run.status == "cancelled"


def test_an_undo_can_fail_again_and_be_tried_again() -> None:
    @workflow("w")
    def w() -> Flow[None]:
        yield from reserve("a")
        yield from Rollback()

    run = start(w()).ok("reserve", "1").fail("rollback:reserve").retry_rollback().fail("rollback:reserve")
    assert run.status == "compensation_failed"
    assert run.retry_rollback().ok("rollback:reserve").status == "failed"


def test_on_error_continue_tries_them_all_and_lists_the_failures() -> None:
    """C2."""

    @workflow("w")
    def w() -> Flow[None]:
        for item in "abc":
            yield from reserve(item)
        yield from Rollback(on_error="continue")

    run = start(w()).ok("reserve", "1").ok("reserve#2", "2").ok("reserve#3", "3")
    run.fail("rollback:reserve#3").ok("rollback:reserve#2").fail("rollback:reserve")
    assert (run.status, run.undone) == ("compensation_failed", ["reserve#2"])
    assert "reserve#3" in run.failure.message
    assert "undo of reserve:" in run.failure.message
    run.retry_rollback()
    assert run.asked == ["rollback:reserve#3"]
    assert run.ok("rollback:reserve#3").ok("rollback:reserve").status == "failed"


def test_what_runs_beside_an_undo_that_fails_is_cut_and_its_own_undos_are_not_forgotten() -> None:
    """C2: siblings cut; the undos that they were at are taken up by the retry."""

    def branch(n: int) -> Flow[None]:
        yield from reserve(str(n))
        yield from Rollback()

    @workflow("w")
    def w() -> Flow[None]:
        yield from All(branch(0), branch(1), Sleep(60))

    run = start(w()).ok("__all/0/reserve", "a").ok("__all/1/reserve", "b").fail("rollback:__all/0/reserve")
    assert (run.status, run.machine.timers) == ("compensation_failed", {})
    run.retry_rollback().ok("rollback:__all/0/reserve")
    assert run.asked == ["rollback:__all/1/reserve"]
    run.ok("rollback:__all/1/reserve")
    assert (run.status, run.undone) == ("failed", ["__all/0/reserve", "__all/1/reserve"])


def test_two_rollbacks_at_once_undo_a_step_once() -> None:
    """C1: once."""

    def task() -> Flow[list[str]]:
        yield from reserve("a")
        keys = yield from Rollback()
        return list(keys)

    @workflow("w")
    def w() -> Flow[Any]:
        yield from Spawn(task())
        yield from WaitSignal(tick)
        return list((yield from Rollback()))

    run = start(w()).ok("__spawn/reserve", "1").signal("tick")
    assert run.history.count("rollback:__spawn/reserve") == 1
    run.ok("rollback:__spawn/reserve")
    assert (run.result, run.undone) == ([], ["__spawn/reserve"])


def test_a_ready_undo_also_covers_a_step_in_doubt() -> None:
    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from ping(1).options(undo=release("order-1"))

    run = start(w()).fail("ping", "StepTimeout", in_doubt=True)
    assert run.of(RunStep)[0].input == {"hold": "order-1"}
    run.ok("rollback:ping")
    assert (run.status, run.machine.in_doubt, run.undone) == ("failed", (), ["ping"])


def test_a_step_that_failed_for_sure_is_not_undone() -> None:
    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from ping(1).options(undo=release("order-1"))

    assert start(w()).fail("ping").status == "failed"


def test_an_undo_may_be_a_plain_function() -> None:
    def put_back(hold: str) -> None: ...

    @workflow("w")
    def w() -> Flow[int]:
        yield from Step("take", lambda: "h").options(undo=put_back)
        return len((yield from Rollback()))

    run = start(w()).ok("take", "h-1")
    assert run.of(RunStep)[0].step.step_id == "put_back"
    assert run.ok("rollback:take").result == 1


def test_a_rollback_with_nothing_to_undo_gives_nothing() -> None:
    @workflow("w")
    def w() -> Flow[tuple[Any, ...]]:
        return (yield from Rollback())

    assert start(w()).result == ()


def test_a_scope_of_a_switch_is_a_scope() -> None:
    def case() -> Flow[list[str]]:
        yield from reserve("in")
        return list((yield from Rollback()))

    @workflow("w")
    def w() -> Flow[list[str]]:
        yield from reserve("out")
        return (yield from Switch("s", 1).when(1, case()))

    assert start(w()).ok("reserve", "1").ok("s/1/reserve", "2").ok("rollback:s/1/reserve").result == ["s/1/reserve"]


def test_a_step_failing_inside_a_cleanup_does_not_disturb_the_undos() -> None:
    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from reserve("a")
        try:
            yield from ping(1)
        except StepFailed:
            yield from ping(2)

    run = start(w()).ok("reserve", "1").fail("ping").fail("ping#2").ok("rollback:reserve")
    assert (run.status, run.failure.type.rpartition(".")[2]) == ("failed", "StepFailed")


def test_an_undo_is_retried_by_its_own_policy() -> None:
    @workflow("w")
    def w() -> Flow[None]:
        yield from reserve("a")
        yield from Rollback()

    run = start(w()).ok("reserve", "1").retry("rollback:reserve", 1, after=5)
    assert run.of(RunStep)[0].attempt == 2
    assert run.at(5).ok("rollback:reserve").status == "completed"


def test_while_the_operator_goes_on_with_the_undos_nothing_else_of_the_run_wakes() -> None:
    """C2: never forward."""

    @workflow("w")
    def w() -> Flow[str]:
        yield from reserve("a")
        yield from All(undoing_branch(), WaitSignal(tick), Sleep(60), StartChild(kid(), id="kid"), RunChild(kid(), id="other"))
        return "forward"

    run = start(w()).ok("reserve", "1").ok("__all/3/__start_child").ok("__all/4/__run_child")
    run.ok("__all/0/reserve", "2").fail("rollback:__all/0/reserve")
    assert run.status == "compensation_failed"
    run.retry_rollback().signal("tick").child("kid", 1).child("other", 1).cancel("now")
    assert run.asked == ["rollback:__all/0/reserve"]
    run.ok("rollback:__all/0/reserve")
    assert (run.status, run.undone) == ("failed", ["__all/0/reserve"])


def undoing_branch() -> Flow[Any]:
    yield from reserve("b")
    return (yield from Rollback())


@workflow("kid")
def kid() -> Flow[int]:
    return (yield from ping(1))


def test_a_run_that_so_ends_failed_rolls_back_as_any_failed_one_of_its_workflow() -> None:
    """C2, and on_failure."""

    def branch() -> Flow[None]:
        yield from reserve("b")
        yield from WaitSignal(tick)

    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from reserve("a")
        yield from Race(branch(), ping(1))

    run = start(w()).ok("reserve", "1").ok("__race/0/reserve", "2").ok("__race/1/ping").fail("rollback:__race/0/reserve")
    assert run.status == "compensation_failed"
    run.retry_rollback().ok("rollback:__race/0/reserve")
    assert run.asked == ["rollback:reserve"]
    run.fail("rollback:reserve")
    assert run.status == "compensation_failed"
    run.retry_rollback().ok("rollback:reserve")
    assert (run.status, run.undone) == ("failed", ["__race/0/reserve", "reserve"])
