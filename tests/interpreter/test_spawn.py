"""Spawn, Join and Settle: start now and pick up later; failures as values."""

from __future__ import annotations

from typing import Any

import pytest

from redrive_interpreter import All, Cancelled, Err, Flow, Join, Key, Ok, Rollback, Settle, Sleep, Spawn, StepFailed, Task, workflow
from tests.interpreter.kit import start
from tests.interpreter.shop import Broken, ping, reserve


def test_a_task_runs_while_its_parent_goes_on() -> None:
    @workflow("w")
    def w() -> Flow[list[int]]:
        task = yield from Spawn(ping(1))
        second = yield from ping(2)
        return [(yield from Join(task)), second]

    run = start(w())
    assert run.asked == ["__spawn/ping", "ping"]
    assert run.ok("ping", 2).ok("__spawn/ping", 1).result == [1, 2]


def test_a_task_that_has_ended_can_be_joined_again_and_again() -> None:
    @workflow("w")
    def w() -> Flow[list[int]]:
        task = yield from Spawn(ping(1))
        return [(yield from Join(task)), (yield from Join(task))]

    assert start(w()).ok("__spawn/ping", 1).result == [1, 1]


def test_two_may_wait_for_one_task() -> None:
    def waiter(task: Task[int]) -> Flow[int]:
        return (yield from Join(task))

    @workflow("w")
    def w() -> Flow[Any]:
        task = yield from Spawn(ping(1))
        return (yield from All(waiter(task), waiter(task)))

    assert start(w()).ok("__spawn/ping", 4).result == (4, 4)


def test_a_failure_is_raised_where_the_task_is_joined() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        task = yield from Spawn(ping(1))
        yield from ping(2)
        try:
            return str((yield from Join(task)))
        except StepFailed as error:
            return str(error.key)

    assert start(w()).fail("__spawn/ping").ok("ping").result == "__spawn/ping"


def test_else_it_is_raised_at_the_end_of_the_scope() -> None:
    @workflow("inner")
    def inner() -> Flow[str]:
        yield from Spawn(ping(1))
        yield from ping(2)
        return "inner is done"

    @workflow("w")
    def w() -> Flow[str]:
        try:
            return (yield from inner())
        except StepFailed as error:
            return f"failed: {error.key}"

    assert start(w()).fail("inner/__spawn/ping").ok("inner/ping").result == "failed: inner/__spawn/ping"


def test_what_is_not_joined_when_its_scope_ends_is_cut_and_awaited() -> None:
    def task() -> Flow[None]:
        try:
            yield from Sleep(60)
        except Cancelled as error:
            yield from ping(["parent"].index(error.by))

    @workflow("w")
    def w() -> Flow[str]:
        yield from Spawn(task())
        yield from Spawn(reserve("a"))
        return "done"

    run = start(w())
    assert run.asked == ["__spawn#2/reserve", "__spawn/ping"]
    assert run.ok("__spawn#2/reserve", "h").ok("__spawn/ping").result == "done"


def test_a_task_spawned_in_a_branch_ends_with_the_branch() -> None:
    def branch() -> Flow[int]:
        yield from Spawn(Sleep(60))
        return 1

    @workflow("w")
    def w() -> Flow[Any]:
        result = yield from All(branch())
        yield from ping(1)
        return result

    run = start(w())
    assert run.asked == ["ping"]
    assert run.machine.timers == {}


def test_a_join_that_is_cut_leaves_the_task_alone() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        task = yield from Spawn(ping(1))
        try:
            yield from All(Join(task), ping(2))
        except StepFailed:
            return (yield from Join(task))

    run = start(w()).fail("__all/1/ping")
    assert run.asked == ["__spawn/ping"]
    assert run.ok("__spawn/ping", 8).result == 8


def test_a_task_may_join_another_while_both_are_being_cut() -> None:
    def second(task: Task[Any]) -> Flow[None]:
        try:
            yield from Sleep(60)
        except Cancelled:
            yield from Settle(Join(task))

    @workflow("w")
    def w() -> Flow[str]:
        task = yield from Spawn(reserve("a"))
        yield from Spawn(second(task))
        return "done"

    assert start(w()).ok("__spawn/reserve", "h").result == "done"


def test_a_task_nobody_spawned_cannot_be_joined() -> None:
    @workflow("w")
    def w() -> Flow[None]:
        yield from Join(Task(Key("__spawn")))

    run = start(w())
    assert (run.status, run.done.bug) == ("failed", True)
    assert "never spawned" in run.failure.message


def test_a_rollback_reaches_what_tasks_completed() -> None:
    @workflow("w")
    def w() -> Flow[list[str]]:
        task = yield from Spawn(reserve("a"))
        yield from Join(task)
        return list((yield from Rollback()))

    assert start(w()).ok("__spawn/reserve", "h").ok("rollback:__spawn/reserve").result == ["__spawn/reserve"]


def test_settle_makes_a_value_of_a_failure() -> None:
    def breaks() -> Flow[int]:
        yield from ping(2)
        raise Broken("no")

    @workflow("w")
    def w() -> Flow[list[Any]]:
        good = yield from Settle(ping(1))
        bad = yield from Settle(ping(1))
        worse = yield from Settle(breaks())
        assert isinstance(bad, Err)
        assert isinstance(worse, Err)
        return [good == Ok(7), type(bad.error).__name__, str(worse.error)]

    assert start(w()).ok("ping", 7).fail("ping#2").ok("ping#3").result == [True, "StepFailed", "no"]


def test_settle_opens_no_scope() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        yield from Settle(reserve("a"))
        return (yield from Rollback())

    assert start(w()).ok("reserve", "h").ok("rollback:reserve").result == ("reserve",)


def test_settle_lets_a_cancel_through() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from Settle(Sleep(60)))

    assert start(w()).cancel().status == "cancelled"


@pytest.mark.parametrize("count", [1, 50])
def test_many_tasks_end_with_their_scope(count: int) -> None:
    @workflow("w")
    def w() -> Flow[int]:
        for _ in range(count):
            yield from Spawn(Sleep(60))
        return count

    run = start(w())
    assert (run.result, run.machine.timers) == (count, {})
