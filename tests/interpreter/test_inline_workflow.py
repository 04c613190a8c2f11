"""Workflows run inline: a scope of their own, their own undos, as deep as one likes."""

from __future__ import annotations

from typing import Any

from redrive_interpreter import Cancelled, Flow, Sleep, Workflow, workflow
from tests.interpreter.kit import start
from tests.interpreter.shop import Broken, ping, reserve


@workflow("sub")
def sub(n: int) -> Flow[int]:
    first = yield from ping(n)
    return first + (yield from ping(n))


def test_its_keys_are_in_a_scope_named_after_it() -> None:
    @workflow("w")
    def w() -> Flow[int]:
        return (yield from sub(1)) + (yield from sub(2))

    run = start(w()).ok("sub/ping", 1).ok("sub/ping#2", 2).ok("sub#2/ping", 3).ok("sub#2/ping#2", 4)
    assert run.result == 10


def test_both_spellings_run_it() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        return (yield sub(1)) + (yield from sub(1))

    assert start(w()).ok("sub/ping", 1).ok("sub/ping#2", 1).ok("sub#2/ping", 1).ok("sub#2/ping#2", 1).result == 4


def test_an_undecorated_helper_opens_no_scope() -> None:
    def helper() -> Flow[int]:
        return (yield from ping(1))

    @workflow("w")
    def w() -> Flow[int]:
        yield from ping(0)
        return (yield from helper()) + (yield helper())

    assert start(w()).ok("ping", 0).ok("ping#2", 1).ok("ping#3", 2).result == 3


def test_an_error_passes_through_its_frames_to_whoever_catches_it() -> None:
    @workflow("breaks")
    def breaks() -> Flow[None]:
        yield from ping(1)
        raise Broken("inside")

    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from breaks()
        except Broken as error:
            return str(error)
        return "fine"

    assert start(w()).ok("breaks/ping").result == "inside"


def test_a_cancel_is_thrown_at_the_innermost_yield_and_goes_outwards() -> None:
    order: list[str] = []

    @workflow("inner", on_cancel="rollback")
    def inner() -> Flow[None]:
        yield from reserve("a")
        try:
            yield from Sleep(60)
        except Cancelled:
            order.append("inner")
            raise

    @workflow("w")
    def w() -> Flow[None]:
        try:
            yield from inner()
        except Cancelled:
            order.append("outer")
            raise

    run = start(w(), checked=False).ok("inner/reserve", "h").cancel().ok("rollback:inner/reserve")
    assert (run.status, order) == ("cancelled", ["inner", "outer"])


def test_one_known_by_name_only_cannot_run_inline() -> None:
    elsewhere = Workflow("elsewhere", returns=int)

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from elsewhere())

    run = start(w())
    assert (run.status, run.done.bug) == ("failed", True)
    assert "start it as a child" in run.failure.message


def test_a_cancel_that_comes_while_its_undos_run_is_thrown_into_the_outer_one() -> None:
    @workflow("inner", on_failure="rollback")
    def inner() -> Flow[None]:
        yield from reserve("a")
        raise Broken("no")

    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from inner()
        except Broken:
            return "broken"
        except Cancelled:
            return "cancelled first"
        return "?"

    run = start(w()).ok("inner/reserve", "h").cancel()
    assert run.asked == ["rollback:inner/reserve"]
    run.ok("rollback:inner/reserve")
    assert (run.status, run.result) == ("cancelled", "cancelled first")
