"""Interrupts that are older than what they interrupt: nothing begins after them, and what never began is not in doubt (E3, E4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from redrive_interpreter import (
    AbandonStep,
    All,
    Cancelled,
    CancelRequested,
    DeadlinePassed,
    Emit,
    Fact,
    Flow,
    Join,
    Key,
    Machine,
    Race,
    RunChild,
    RunStep,
    Sleep,
    Spawn,
    Started,
    dump_row,
    load_row,
    replay,
    workflow,
)
from redrive_interpreter.history.rows import THE_RUN, Child
from tests.interpreter.kit import RUN, T0, Run, picture, start
from tests.interpreter.shop import charge, ping, shipped, wire

LATER = T0 + timedelta(seconds=5)


@workflow("before.child")
def child() -> Flow[None]:
    yield from Sleep(1)


def cancelled(*unbegun: str) -> CancelRequested:
    return CancelRequested(reason="no", at=LATER, unbegun=tuple(map(Key, unbegun)))


@pytest.mark.parametrize(
    ("fact", "status"),
    [(cancelled(THE_RUN), "cancelled"), (DeadlinePassed(at=LATER, unbegun=(THE_RUN,)), "failed")],
    ids=["cancel", "deadline"],
)
def test_a_run_that_never_began_runs_none_of_its_code(fact: Fact, status: str) -> None:
    """E3, E4: neither now nor on replay; and nothing of it is asked, emitted or undone."""
    called: list[str] = []

    @workflow("w", on_cancel="rollback", on_failure="rollback")
    def w() -> Flow[str]:
        called.append("first line")
        yield from Emit(shipped, "o-1")
        return "done"

    machine: Machine[str] = Machine(w)
    machine.hold(Started(id="x", run=RUN, at=T0, deadline=LATER))
    requests = machine.receive(fact)
    rows = machine.take()
    assert [type(row).__name__ for row in rows] == ["Started", type(fact).__name__, "Ended"]
    assert machine.finished is not None
    assert machine.finished.status == status
    assert all(not isinstance(request, RunStep) for request in requests)

    stored = [load_row(dump_row(row)) for row in rows]
    replayed = replay(w, stored)
    assert replayed.rows == []
    assert picture(replayed.machine) == picture(machine)
    assert called == []


def test_a_next_run_that_never_began_still_cancels_the_children_of_the_one_before() -> None:
    """E9, E10: children stay with the execution."""

    @workflow("w")
    def w() -> Flow[None]:
        yield from Sleep(1)

    children = tuple(Child(id=policy, key=Key(policy), workflow="c", on_parent_close=policy) for policy in ("cancel", "abandon"))
    machine: Machine[None] = Machine(w)
    machine.hold(Started(id="x", run=RUN, at=T0, number=2, children=children))
    requests = machine.receive(cancelled(THE_RUN))
    assert [request.id for request in requests if hasattr(request, "reason")] == ["cancel"]
    assert machine.finished is not None
    assert machine.finished.status == "cancelled"


@pytest.mark.parametrize("step", [ping(1), charge(1), wire(1)], ids=["plain", "with an undo", "at most once"])
def test_a_step_that_had_not_begun_is_cut_at_once_and_is_not_in_doubt(step: Any) -> None:
    """S10 is about steps in flight."""

    @workflow("w", on_cancel="rollback")
    def w() -> Flow[None]:
        yield from step

    run = start(w()).tell(cancelled(step.step_id))
    assert run.status == "cancelled"
    assert run.of(AbandonStep) == [AbandonStep(Key(step.step_id))]
    assert (run.machine.in_doubt, run.undone) == ((), [])


def test_a_step_that_had_begun_still_runs_to_its_end() -> None:
    @workflow("w")
    def w() -> Flow[None]:
        yield from All(charge(1), charge(2))

    run = start(w()).tell(cancelled("__all/1/charge"))
    assert run.asked == ["__all/0/charge"]
    assert run.ok("__all/0/charge", 1).status == "cancelled"


def test_a_child_whose_start_is_not_stored_is_never_started() -> None:
    @workflow("w")
    def w() -> Flow[None]:
        try:
            yield from RunChild(child(), id="c")
        except Cancelled:
            yield from ping(1)

    run = start(w()).tell(cancelled("__run_child"))
    assert run.of(AbandonStep) == [AbandonStep(Key("__run_child"))]
    assert run.asked == ["ping"]
    assert not run.machine.has_open_children


def test_a_cancel_reaches_spawned_tasks_at_once() -> None:
    """E3: while the workflow cleans up, nothing new begins in its tasks."""

    @workflow("task")
    def task() -> Flow[None]:
        yield from ping(1)
        yield from ping(2)

    @workflow("w")
    def w() -> Flow[None]:
        spawned = yield from Spawn(task())
        try:
            yield from Join(spawned)
        except Cancelled:
            yield from ping(3)

    run = start(w()).cancel()
    assert run.asked == ["ping"]
    assert run.ok("ping", 3).status == "cancelled"


def test_histories_of_older_releases_cut_their_tasks_when_the_scope_ends() -> None:
    """Rows without ``unbegun`` mean what they meant when they were stored."""

    @workflow("task")
    def task() -> Flow[None]:
        yield from ping(1)
        yield from ping(2)

    @workflow("w")
    def w() -> Flow[None]:
        yield from Spawn(task())
        try:
            yield from Sleep(9)
        except Cancelled:
            yield from ping(3)

    old = load_row({"row": "cancel", "reason": "no", "by": "cancel", "at": dump_row(cancelled())["at"]})
    assert "unbegun" not in dump_row(old)
    run = start(w()).tell(old)  # type: ignore[arg-type]
    assert run.asked == ["__spawn/task/ping", "ping"]
    assert run.ok("__spawn/task/ping", 1).asked == ["ping", "__spawn/task/ping#2"]
    assert load_row(dump_row(cancelled("a", "b"))) == cancelled("a", "b")


def test_cancelled_is_thrown_once_and_repeats_keep_the_first_reason() -> None:
    """E3."""
    seen: list[str] = []

    @workflow("w")
    def w() -> Flow[None]:
        try:
            yield from Race(Sleep(5), Sleep(6))
        except Cancelled as first:
            seen.append(first.reason)
            yield from ping(1)

    run: Run = start(w(), checked=False, deadline=9).cancel("first").cancel("second")
    run.tell(DeadlinePassed(at=LATER))
    assert run.ok("ping", 1).status == "cancelled"
    assert seen == ["first"]
