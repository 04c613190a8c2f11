"""All and Map: branches side by side, the first failure cuts the rest and is raised (P1, P2, O5)."""

from __future__ import annotations

from typing import Any

from redrive_interpreter import All, Asked, Cancelled, Flow, Map, Rollback, RunStep, Sleep, StepFailed, workflow
from tests.interpreter.kit import start
from tests.interpreter.shop import Broken, charge, ping, reserve


def test_it_gives_a_tuple_a_mapping_or_a_list() -> None:
    @workflow("w")
    def w() -> Flow[list[Any]]:
        a = yield from All(ping(1), ping(2))
        b = yield from All(x=ping(1), y=ping(2))
        c = yield from All.of(ping(n) for n in range(2))
        return [a, b, c]

    run = start(w()).ok("__all/1/ping", 2).ok("__all/0/ping", 1)
    run.ok("__all#2/x/ping", 1).ok("__all#2/y/ping", 2).ok("__all#3/0/ping", 1).ok("__all#3/1/ping", 2)
    assert run.result == [(1, 2), {"x": 1, "y": 2}, [1, 2]]


def test_all_of_nothing_is_there_at_once() -> None:
    @workflow("w")
    def w() -> Flow[list[Any]]:
        return [(yield from All()), (yield from All.of([])), (yield from Map(ping, []))]

    assert start(w()).result == [(), [], []]


def test_branches_start_in_order_each_until_it_waits() -> None:
    """O1."""
    order: list[str] = []

    def branch(name: str) -> Flow[None]:
        order.append(f"{name} begins")
        yield from ping(1)
        order.append(f"{name} goes on")

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from All(branch("a"), branch("b")))

    run = start(w(), checked=False).ok("__all/1/ping").ok("__all/0/ping")
    assert run.status == "completed"
    assert order == ["a begins", "b begins", "b goes on", "a goes on"]


def test_the_first_failure_cuts_the_rest_and_is_raised() -> None:
    """P2."""
    cut: list[str] = []

    def branch() -> Flow[None]:
        try:
            yield from Sleep(60)
        except Cancelled as error:
            cut.append(error.by)
            yield from ping(7)
            raise

    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from All(ping(1), branch(), ping(2))
        except StepFailed as error:
            return str(error.key)
        return "no error"

    run = start(w()).fail("__all/0/ping")
    assert run.asked == ["__all/1/ping"]
    assert run.ok("__all/1/ping").result == "__all/0/ping"
    assert set(cut) == {"sibling"}


def test_of_several_errors_the_first_is_raised_and_the_others_are_its_notes() -> None:
    """P1."""

    def branch() -> Flow[None]:
        try:
            yield from Sleep(60)
        except Cancelled:
            raise Broken("while cleaning up") from None

    @workflow("w")
    def w() -> Flow[list[str]]:
        try:
            yield from All(ping(1), branch())
        except StepFailed as error:
            return error.__notes__
        return []

    [note] = start(w()).fail("__all/0/ping").result
    assert "Broken: while cleaning up" in note


def test_a_failed_all_leaves_the_undos_to_whoever_handles_it() -> None:
    """P2."""

    @workflow("w")
    def w() -> Flow[list[str]]:
        try:
            yield from All(reserve("a"), ping(1), charge(5))
        except StepFailed:
            return list((yield from Rollback()))
        return []

    run = start(w()).ok("__all/0/reserve", "h").fail("__all/1/ping")
    assert run.asked == ["__all/2/charge"]
    run.ok("__all/2/charge", "ch")
    assert run.asked == ["rollback:__all/2/charge"]
    assert run.ok("rollback:__all/2/charge").ok("rollback:__all/0/reserve").result == ["__all/2/charge", "__all/0/reserve"]


def test_a_limit_is_how_many_run_at_a_time() -> None:
    @workflow("w")
    def w() -> Flow[list[int]]:
        return (yield from Map(ping, [10, 11, 12], limit=2))

    run = start(w())
    assert run.asked == ["__map/0/ping", "__map/1/ping"]
    run.ok("__map/1/ping", 1)
    assert run.asked == ["__map/0/ping", "__map/2/ping"]
    assert run.of(RunStep)[0].input == {"n": 12}
    assert run.ok("__map/0/ping", 0).ok("__map/2/ping", 2).result == [0, 1, 2]


def test_a_map_goes_on_as_wide_as_it_began() -> None:
    """N3."""

    def mapped(limit: int) -> Any:
        @workflow("w")
        def w() -> Flow[list[int]]:
            return (yield from Map(ping, [10, 11, 12], limit=limit))

        return w

    run = start(mapped(1)()).replay(mapped(3))
    assert run.asked == ["__map/0/ping"]
    run.checked = False
    run.ok("__map/0/ping", 0)
    assert run.asked == ["__map/1/ping"]


def test_enough_ends_it_and_undoes_what_the_unfinished_completed() -> None:
    def book(n: int) -> Flow[int]:
        yield from reserve(str(n))
        return (yield from ping(n))

    @workflow("w")
    def w() -> Flow[list[Any]]:
        return (yield from Map(book, [0, 1, 2], enough=1))

    run = start(w()).ok("__map/0/reserve", "a").ok("__map/1/reserve", "b").ok("__map/1/ping", 5)
    assert run.asked == ["__map/2/reserve"]
    run.ok("__map/2/reserve", "c").ok("rollback:__map/2/reserve").ok("rollback:__map/0/reserve")
    assert run.result == [None, 5, None]


def test_enough_of_nothing_starts_nothing() -> None:
    @workflow("w")
    def w() -> Flow[list[Any]]:
        return (yield from Map(ping, [1, 2], enough=0))

    assert start(w()).result == [None, None]


def test_more_than_enough_is_all() -> None:
    @workflow("w")
    def w() -> Flow[list[Any]]:
        return (yield from Map(ping, [1], enough=5))

    assert start(w()).ok("__map/0/ping", 1).result == [1]


def test_the_function_of_a_map_may_fail() -> None:
    def build(n: int) -> Any:
        if n == 1:
            raise Broken("cannot build")
        return ping(n)

    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from Map(build, [0, 1, 2])
        except Broken as error:
            return str(error)
        return "built"

    run = start(w())
    assert run.result == "cannot build"
    assert run.history == ["__map", "__map/0/ping"]


def test_the_function_of_a_map_may_raise_what_is_no_exception() -> None:
    """As the workflow itself may: it fails, and the worker goes on."""

    class Odd(BaseException):
        pass

    def build(n: int) -> Any:
        raise Odd("cannot build")

    @workflow("w")
    def w() -> Flow[list[int]]:
        return (yield from Map(build, [0]))

    run = start(w())
    assert (run.status, run.failure.message) == ("failed", "cannot build")


def test_keys_in_a_branch_do_not_depend_on_the_others() -> None:
    """O5."""

    def branch(n: int) -> Flow[None]:
        yield from ping(n)
        yield from ping(n)

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from All(branch(0), branch(1)))

    one = start(w()).ok("__all/0/ping").ok("__all/0/ping#2").ok("__all/1/ping").ok("__all/1/ping#2")
    other = start(w()).ok("__all/1/ping").ok("__all/0/ping").ok("__all/1/ping#2").ok("__all/0/ping#2")
    assert sorted(one.history) == sorted(other.history)


def test_the_count_of_branches_is_stored() -> None:
    """N2."""

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from All(a=ping(1), b=ping(2)))

    [row, *_] = [row for row in start(w()).rows if isinstance(row, Asked)]
    assert row.input == {"count": 2, "names": ["a", "b"], "limit": None, "enough": None}


def test_a_branch_may_be_a_command_an_invocation_or_a_flow() -> None:
    @workflow("sub")
    def sub(n: int) -> Flow[int]:
        return (yield from ping(n))

    def flow(n: int) -> Flow[int]:
        return (yield from ping(n))

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from All(ping(1), sub(2), flow(3)))

    run = start(w())
    assert run.asked == ["__all/0/ping", "__all/1/sub/ping", "__all/2/ping"]
    assert run.ok("__all/0/ping", 1).ok("__all/1/sub/ping", 2).ok("__all/2/ping", 3).result == (1, 2, 3)


def test_an_error_that_cannot_say_what_it_is_does_no_harm() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def branch() -> Flow[None]:
        try:
            yield from Sleep(60)
        except Cancelled:
            raise Mute from None

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from All(ping(1), branch()))

    run = start(w()).fail("__all/0/ping")
    assert (run.status, run.failure.type.rpartition(".")[2]) == ("failed", "StepFailed")
