"""What an attempt becomes is decided once: the test kit and the worker say the same of it."""

from __future__ import annotations

from redrive import Flow, Retry, step, workflow
from redrive.testing import Play, explore


@step
def give_back(receipt: str) -> None: ...


@step(undo=give_back)
def reserve() -> str:
    return "r-0"


@step(undo=give_back, retry=Retry(attempts=3))
def take() -> str:
    return "r-1"


@workflow("kit.retried", on_cancel="rollback", on_failure="rollback")
def retried() -> Flow[str]:
    yield from reserve()
    return (yield from take())


def test_a_cancel_during_the_attempt_of_a_retried_step_with_an_undo_survives_a_crash() -> None:
    explored = explore(retried(), undeclared=True, cancels=1)
    assert explored.complete
    assert "cancelled" in " ".join(explored.ends)


def test_an_attempt_that_fails_after_the_cut_asks_for_no_other(play: Play) -> None:
    run = play(retried())
    run.answer(reserve(), "r-0")
    run.cancel("no")
    run.fail(take(), RuntimeError("down"), final=False)
    run.restart()
    run.answer(give_back("r-0"), None)
    assert run.verdict.status == "cancelled"
