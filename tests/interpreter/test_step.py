"""A step: asked once, answered once, whatever happens between."""

from __future__ import annotations

from datetime import timedelta

import pytest

from redrive_interpreter import AbandonStep, Asked, Flow, RunStep, StepFailed, StepTimeout, workflow
from tests.interpreter.kit import T0, start
from tests.interpreter.shop import Declined, charge, ping, refund, wire


def test_a_step_is_asked_once_and_its_answer_is_what_the_yield_gives() -> None:
    @workflow("w")
    def w() -> Flow[int]:
        return (yield from ping(1)) + (yield from ping(2))

    run = start(w())
    [perform] = run.of(RunStep)
    assert (perform.key, perform.step, perform.input, perform.attempt, perform.first_at) == ("ping", ping(1), {"n": 1}, 1, T0)
    run.ok("ping", 10)
    assert run.of(RunStep)[0].key == "ping#2"
    assert run.ok("ping#2", 5).result == 15


def test_both_spellings_ask_the_same() -> None:
    @workflow("w")
    def bare() -> Flow[int]:
        first = yield ping(1)
        return first + (yield from ping(2))

    @workflow("w")
    def delegated() -> Flow[int]:
        first = yield from ping(1)
        return first + (yield from ping(2))

    run = start(bare()).ok("ping", 1)
    assert run.replay(delegated).ok("ping#2", 2).result == 3


def test_an_undeclared_error_is_raised_as_step_failed_and_a_fresh_one_each_time() -> None:
    """S5."""
    seen: list[StepFailed] = []

    @workflow("w")
    def w() -> Flow[None]:
        try:
            yield from ping(1)
        except StepFailed as error:
            seen.append(error)
        yield from ping(2)

    start(w()).fail("ping", ValueError("no"))
    assert {(error.key, error.type, error.message) for error in seen} == {("ping", "ValueError", "no")}
    assert len({id(error) for error in seen}) == len(seen) > 1


def test_a_declared_error_is_rebuilt_as_its_class() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        try:
            return (yield from charge(5))
        except Declined as error:
            return f"declined: {error}"

    assert start(w()).fail("charge", Declined("no funds")).result == "declined: no funds"


def test_a_timeout_leaves_the_step_in_doubt() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        try:
            return (yield from charge(5))
        except StepTimeout:
            return "late"

    run = start(w()).fail("charge", "StepTimeout", in_doubt=True)
    assert run.result == "late"
    assert run.machine.in_doubt == ("charge",)


def test_a_users_own_step_timeout_is_not_redrives() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        try:
            return (yield from charge(5))
        except StepTimeout:
            return "redrive's"
        except StepFailed as error:
            return error.type

    assert start(w()).fail("charge", "shop.StepTimeout").result == "shop.StepTimeout"


def test_a_retry_is_stored_and_asked_again_when_it_is_due() -> None:
    """S4."""

    @workflow("w")
    def w() -> Flow[int]:
        return (yield from ping(1))

    run = start(w()).retry("ping", 1, after=30)
    [perform] = run.of(RunStep)
    assert (perform.attempt, perform.due) == (2, T0 + timedelta(seconds=30))
    assert run.machine.next_due == T0 + timedelta(seconds=30)
    again = run.replay()
    assert [(request.attempt, request.due) for request in again.of(RunStep)] == [(2, perform.due)]
    assert again.at(30).ok("ping", 3).result == 3


def test_an_attempt_of_an_at_most_once_step_that_began_comes_back_as_interrupted() -> None:
    """S3."""

    @workflow("w")
    def w() -> Flow[str]:
        return (yield from wire(1))

    run = start(w())
    assert not run.of(RunStep)[0].interrupted
    assert run.begin("wire").replay().of(RunStep)[0].interrupted


def test_the_undo_step_is_stored_with_what_it_undoes() -> None:
    """N4."""

    @workflow("w")
    def w() -> Flow[None]:
        yield from charge(1)
        yield from ping(1)

    run = start(w()).ok("charge", "c")
    assert [row.undo for row in run.rows if isinstance(row, Asked)] == [refund.step_id, None]


def test_an_id_names_a_step_and_repeats_are_numbered() -> None:
    @workflow("w")
    def w() -> Flow[None]:
        yield from ping(1).options(id="a/b")
        yield from ping(1).options(id="a/b")
        yield from ping(1)

    run = start(w()).ok("a%2Fb").ok("a%2Fb#2").ok("ping")
    assert run.history == ["a%2Fb", "a%2Fb#2", "ping"]
    assert run.status == "completed"


def test_an_answer_for_a_step_that_was_dropped_is_dropped() -> None:
    from redrive_interpreter import Race, Sleep

    @workflow("w")
    def w() -> Flow[int]:
        won = yield from Race(ping(1), Sleep(1))
        yield from ping(2)
        return won.index

    run = start(w()).fire("__race/1/__sleep")
    assert [drop.key for drop in run.of(AbandonStep)] == ["__race/0/ping"]
    assert run.machine.in_doubt == ("__race/0/ping",)
    before = list(run.rows)
    assert run.ok("__race/0/ping", 1).rows == before


@pytest.mark.parametrize("value", [None, 0, "", [], {"a": 1}])
def test_any_value_is_an_answer(value: object) -> None:
    @workflow("w")
    def w() -> Flow[object]:
        return (yield from ping(1))

    assert start(w()).ok("ping", value).result == value
