"""Switch: the label is stored before the branch is entered, and looked up on replay."""

from __future__ import annotations

from typing import Any

from redrive_interpreter import Asked, Diverged, Flow, NoBranch, Switch, workflow
from tests.interpreter.kit import raises, start
from tests.interpreter.shop import Broken, ping


def big(n: int) -> bool:
    return n > 10


def switching(value: int, sure: Any = big) -> Any:
    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from Switch("size", value).when(1, ping(1)).when(sure, ping(2), label="big").otherwise(ping(3)))

    return w


def test_the_first_case_that_matches_is_taken() -> None:
    assert start(switching(1)()).asked == ["size/1/ping"]
    assert start(switching(11)()).asked == ["size/big/ping"]
    assert start(switching(5)()).asked == ["size/otherwise/ping"]
    assert start(switching(5)()).ok("size/otherwise/ping", 9).result == 9


def test_the_label_is_stored() -> None:
    [row, *_] = [row for row in start(switching(11)()).rows if isinstance(row, Asked)]
    assert (row.key, row.kind, row.label) == ("size", "switch", "big")


def test_a_replay_takes_the_stored_case_and_asks_no_predicate() -> None:
    def never(n: int) -> bool:
        raise AssertionError("asked again")

    run = start(switching(11)()).replay(switching(1, never))
    assert run.asked == ["size/big/ping"]


def test_a_case_that_the_code_no_longer_has_is_divergence() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from Switch("size", 11).when(1, ping(1)).otherwise(ping(3)))

    assert "'big'" in raises(Diverged, lambda: start(switching(11)()).replay(w))


def test_no_match_and_no_otherwise_is_no_branch() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from Switch("size", 5).when(1, ping(1))
        except NoBranch as error:
            return str(error)
        return "matched"

    assert start(w()).result == "switch 'size': no case matches 5"


def test_an_error_of_a_predicate_is_the_workflows() -> None:
    def broken(n: int) -> bool:
        raise Broken("cannot tell")

    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from Switch("size", 5).when(broken, ping(1))
        except Broken as error:
            return str(error)
        return "matched"

    assert start(w()).result == "cannot tell"


def test_what_is_no_exception_is_the_workflows_too() -> None:
    class Odd(BaseException):
        pass

    def broken(n: int) -> bool:
        raise Odd("cannot tell")

    @workflow("w")
    def w() -> Flow[None]:
        yield from Switch("size", 5).when(broken, ping(1))

    run = start(w())
    assert (run.status, run.failure.message) == ("failed", "cannot tell")
