"""ContinueAs: same execution, next run, empty history; what stays and what ends (E9)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from redrive_interpreter import (
    AbandonStep,
    All,
    Cancelled,
    ContinueAs,
    Flow,
    Info,
    Machine,
    NewId,
    Patch,
    Rollback,
    Sleep,
    Spawn,
    StartChild,
    WaitChild,
    WaitSignal,
    workflow,
)
from redrive_interpreter.commands.child_workflows import ChildRef
from tests.interpreter.kit import T0, Run, start
from tests.interpreter.shop import approved, ping, reserve

NEXT = UUID("00000000-0000-4000-8000-000000000002")


@workflow("child")
def child() -> Flow[int]:
    return (yield from ping(1))


@workflow("count")
def count(n: int) -> Flow[Any]:
    yield from reserve(str(n))
    if n < 1:
        return (yield from ContinueAs(count(n + 1)))
    return [n, (yield from Rollback()), (yield from NewId()), (yield from Info())]


def following(run: Run) -> Run:
    """The next run of the execution."""
    assert run.status == "continued"
    made: Any = object.__new__(Run)
    started = run.machine.next_run(run=NEXT, at=run.now)
    made.workflow, made.codec, made.checked, made.now, made.rows = run.workflow, run.codec, run.checked, run.now, []
    made.machine = Machine(run.workflow, run.codec)
    made.tell(started)
    return made  # type: ignore[no-any-return]


def test_the_next_run_has_the_new_input_and_an_empty_history() -> None:
    run = following(start(count(0)).ok("reserve", "h"))
    assert run.history == ["reserve"]
    assert run.machine.info.run_number == 2
    assert run.machine.info.id == "x-1"
    assert run.machine.info.started_at == T0
    run.ok("reserve", "h").ok("rollback:reserve")
    assert run.result[:2] == [1, ("reserve",)]


def test_undos_and_patches_end_with_the_run() -> None:
    @workflow("w")
    def w(n: int) -> Flow[Any]:
        yield from reserve("a")
        patched = yield from Patch("p")
        if n == 0:
            return (yield from ContinueAs(w(1)))
        return [patched, (yield from Rollback())]

    run = following(start(w(0)).ok("reserve", "h")).ok("reserve", "h")
    assert run.asked == ["rollback:reserve"]


def test_unread_signals_children_and_the_deadline_stay_with_the_execution() -> None:
    @workflow("w")
    def w(n: int) -> Flow[Any]:
        if n == 0:
            yield from StartChild(child(), id="kid")
            yield from ping(1)
            return (yield from ContinueAs(w(1)))
        by = yield from WaitSignal(approved)
        return [by, (yield from WaitChild(ChildRef("kid")))]

    run = start(w(0), deadline=600).ok("__start_child").signal("approved", "Ada").ok("ping")
    run = following(run)
    assert run.machine.timers == {"__deadline": T0 + timedelta(seconds=600)}
    assert run.asked == ["__wait_child"]
    assert run.child("kid", 5).result == ["Ada", 5]


def test_a_child_that_ended_before_is_remembered() -> None:
    @workflow("w")
    def w(n: int) -> Flow[Any]:
        if n == 0:
            yield from StartChild(child(), id="kid")
            yield from ping(1)
            return (yield from ContinueAs(w(1)))
        return (yield from WaitChild(ChildRef("kid")))

    assert following(start(w(0)).ok("__start_child").child("kid", 5).ok("ping")).result == 5


def test_tasks_end_before_the_run_does() -> None:
    @workflow("w")
    def w(n: int) -> Flow[Any]:
        if n == 0:
            yield from Spawn(reserve("a"))
            yield from Spawn(ping(1))
            return (yield from ContinueAs(w(1)))
        return (yield from ping(5))

    run = start(w(0))
    assert run.asked == ["__spawn/reserve"]
    assert run.ok("__spawn/reserve", "h").status == "continued"


def test_it_works_only_at_the_root() -> None:
    @workflow("inner")
    def inner() -> Flow[Any]:
        return (yield from ContinueAs(count(1)))

    @workflow("w")
    def inline() -> Flow[Any]:
        return (yield from inner())

    @workflow("w")
    def branch() -> Flow[Any]:
        return (yield from All(ContinueAs(count(1))))

    for run in (start(inline()), start(branch())):
        assert (run.status, run.done.bug) == ("failed", True)
        assert "ContinueAs works only" in run.failure.message


def test_a_helper_of_the_root_may_continue_it() -> None:
    def helper() -> Flow[Any]:
        return (yield from ContinueAs(count(1)))

    @workflow("count")
    def w() -> Flow[Any]:
        return (yield from helper())

    assert start(w()).status == "continued"


def test_a_cancelled_run_has_no_next_one() -> None:
    """E3: a cancel that was accepted is not lost."""

    @workflow("w")
    def w(n: int) -> Flow[Any]:
        try:
            yield from Sleep(60)
        except Cancelled:
            return (yield from ContinueAs(w(n + 1)))
        return "slept"

    assert start(w(0)).cancel().status == "cancelled"

    @workflow("w")
    def tasks(n: int) -> Flow[Any]:
        yield from Spawn(reserve("a"))
        return (yield from ContinueAs(tasks(n + 1)))

    run = start(tasks(0)).cancel()
    assert run.of(AbandonStep) == []
    assert run.ok("__spawn/reserve", "h").status == "cancelled"


def test_a_finally_around_it_that_yields_is_refused() -> None:
    import pytest

    @workflow("w")
    def w(n: int) -> Flow[Any]:
        try:
            return (yield from ContinueAs(w(n + 1)))
        finally:
            yield from ping(1)

    with pytest.warns(RuntimeWarning, match="finally"):
        assert start(w(0), checked=False).status == "continued"
