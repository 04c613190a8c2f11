"""Children that are started again, under the test kit: by stubs, by hand, through crashes, explored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from redrive.testing import Unexpected, assert_survives_crashes, explore, in_turn, play
from redrive_interpreter import (
    Cancelled,
    ChildFailed,
    Flow,
    Race,
    Retry,
    RunChild,
    Sleep,
    StartChild,
    WaitChild,
    workflow,
)


class Declined(Exception):
    pass


@workflow("kit.child", raises=[Declined])
def child(n: int) -> Flow[int]:
    yield from ()
    return n


RETRY = Retry(attempts=3, delay=60)


@workflow("kit.parent")
def parent() -> Flow[str]:
    try:
        return str((yield from RunChild(child(1), id="kid", retry=RETRY)))
    except ChildFailed as error:
        return f"{type(error.cause).__name__}: {error.cause}"


@workflow("kit.impatient")
def impatient() -> Flow[int]:
    return (yield from Race(RunChild(child(1), id="kid", retry=RETRY), Sleep(5))).index


@workflow("kit.starts")
def starts() -> Flow[int]:
    ref = yield from StartChild(child(1), id="kid", retry=RETRY)
    yield from Sleep(100)
    return (yield from WaitChild(ref))


# ── by stubs ────────────────────────────────────────────────────────────────────────────────────
def test_stubs_answer_each_attempt_and_the_clock_passes_between_them() -> None:
    run = play(parent(), answers={child: in_turn(Declined("no"), Declined("no"), 7)})
    began = run.now - timedelta(seconds=180)
    assert (run.result, run.now) == ("7", began + timedelta(seconds=60 + 120))


def test_the_last_failure_counts() -> None:
    assert play(parent(), answers={child: in_turn(Declined("1"), Declined("2"), Declined("3"))}).result == "Declined: 3"


def test_what_is_due_before_the_next_attempt_comes_first() -> None:
    run = play(impatient(), answers={child: Declined("no")})
    assert run.result == 1
    assert run.trace().count("starts kit.child again") == 1


def test_time_that_does_not_pass_by_itself_brings_no_attempt() -> None:
    run = play(parent(), answers={child: in_turn(Declined("no"), 7)}, skip_time=False)
    assert run.asked == [RunChild(child(1), id="kid")]
    run.advance(59)
    assert run.asked
    run.advance(1)
    assert run.result == "7"


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────
def test_one_attempt_fails_and_the_next_begins_when_it_is_due() -> None:
    run = play(parent())
    began = run.now
    run.fail(RunChild(child(1), id="kid"), Declined("no"), final=False)
    assert (run.asked, run.now) == ([RunChild(child(1), id="kid")], began)
    run.answer(RunChild(child(1), id="kid"), 7)
    assert (run.result, run.now) == ("7", began + timedelta(seconds=60))


def test_a_child_that_fails_for_good_fails_in_all_its_attempts() -> None:
    run = play(parent())
    run.fail(RunChild(child(1), id="kid"), Declined("no"))
    assert run.result == "Declined: no"
    assert (
        run.trace()
        == """\
kit.parent starts with {}
  asks run child kit.child {"id":"kid","call":{"n":1},"on_parent_close":"cancel"}
child kit.child kid is started
child kit.child kid ended failed tests.testing.test_child_retry.Declined: no
  starts kit.child again, attempt 2, after 0:01:00
after 0:01:00: child kit.child kid ended failed tests.testing.test_child_retry.Declined: no
  starts kit.child again, attempt 3, after 0:02:00
after 0:02:00: child kit.child kid ended failed tests.testing.test_child_retry.Declined: no
  kit.child is not started again
ends completed = "Declined: no\""""
    )


def test_a_child_that_is_tried_for_ever_cannot_fail_for_good() -> None:
    @workflow("kit.stubborn")
    def stubborn() -> Flow[int]:
        return (yield from RunChild(child(1), retry=Retry(attempts=None, delay=0)))

    run = play(stubborn())
    with pytest.raises(Unexpected, match=r"RunChild\(.* is tried again after 1,000 attempts; say final=False"):
        run.fail(RunChild(child(1)), Declined("no"))


def test_a_child_that_the_test_ends_is_started_again_too() -> None:
    run = play(starts())
    began = run.now
    run.end_child("kid", error=Declined("no"))
    run.end_child("kid", error=Declined("no"))
    assert run.now == began + timedelta(seconds=60)
    run.end_child("kid", 4)
    assert run.now == began + timedelta(seconds=180)
    assert run.result == 4


def test_one_that_is_cancelled_between_two_attempts_ends_at_once() -> None:
    run = play(starts())
    began = run.now
    run.end_child("kid", error=Declined("no"))
    run.end_child("kid", error=Cancelled("enough", "cancel"))
    assert run.now == began
    run.tick()
    assert "'kid' ended cancelled" in str(run.error)


def test_one_that_is_cut_before_its_next_attempt_says_so() -> None:
    run = play(impatient())
    run.fail(RunChild(child(1), id="kid"), Declined("no"), final=False)
    with pytest.raises(Unexpected, match="was cut before its next attempt"):
        run.answer(RunChild(child(1), id="kid"), 7)


def test_a_replay_keeps_what_was_decided() -> None:
    run = play(parent())
    run.fail("__run_child", Declined("no"), final=False)
    run.restart()
    run.answer("__run_child", 7)
    assert run.result == "7"


# ── crashed and explored ────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("of", [parent, impatient, starts])
def test_attempts_survive_crashes(of: Any) -> None:
    assert_survives_crashes(of(), {child: in_turn(Declined("no"), Declined("no"), 7)})


def test_exploration_sees_each_number_of_attempts() -> None:
    explored = explore(parent(), cancels=0)
    assert explored.complete
    assert explored.ends == {"completed": 4}
    assert [label for _, label, _ in explored.edges].count("child kit.child fails: Declined") == 3


def test_a_child_that_was_told_to_cancel_between_two_attempts_begins_none() -> None:
    """What never began runs nothing (E3), so it can neither complete nor fail."""
    explored = explore(parent())
    assert explored.complete
    assert explored.ends == {"completed": 4, "cancelled: Cancelled": 5}
    told = {after: before for before, label, after in explored.edges if label == "cancel"}
    ends = [(told[state], label) for state, label, _ in explored.edges if state in told]
    begun, waiting = sorted(label for state, label in ends if state == 0), [label for state, label in ends if state != 0]
    assert begun == ["child kit.child cancelled", "child kit.child done", "child kit.child fails: Declined"]
    assert waiting == 2 * ["child kit.child cancelled"]


def test_exploration_lets_what_is_due_come_before_the_next_attempt() -> None:
    explored = explore(impatient())
    assert explored.complete
    assert "race/sleep is due" in {label for _, label, _ in explored.edges}
