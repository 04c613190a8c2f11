"""What an operator would do, played: retry, edit and fork on a run in memory, or on a recorded one."""

from __future__ import annotations

import pytest

from redrive import Event, Flow, OperationRefused, Signal, WaitSignal, step, workflow
from redrive.testing import Run, View, explore, play
from redrive_interpreter.history.rows import Forked

approved = Signal("acts.approved", str)
shipped = Event("acts.shipped", str)


@step
def release(hold: str) -> None: ...


@step(undo=release)
def reserve(item: str) -> str:
    return item


@step
def quote(item: str) -> int:
    return 90


@step
def charge(amount: int) -> str:
    return str(amount)


@workflow("acts.order")
def order() -> Flow[str]:
    hold = yield from reserve("book")
    price = yield from quote("book")
    return f"{hold} {(yield from charge(price))}"


@workflow("acts.undoing", on_failure="rollback", signals=[approved])
def undoing() -> Flow[str]:
    yield from reserve("book")
    by = yield from WaitSignal(approved)
    return f"{by} {(yield from charge(5))}"


def test_a_failed_run_is_retried_from_the_step_that_failed() -> None:
    """F5."""
    run = play(order())
    run.answer(reserve("book"), "hold")
    run.answer(quote("book"), 90)
    run.fail(charge(90), ValueError("down"))
    change = run.retry()
    assert [str(one.key) for one in change.asks] == ["charge"]
    assert run.asked == [charge(90)]
    run.answer(charge(90), "ch-1")
    assert run.result == "hold ch-1"
    assert [type(row).__name__ for row in run.runs[0]][-1] == "Ended"
    assert len(run.runs) == 2


def test_a_signal_taken_after_the_point_is_there_again() -> None:
    """F13."""
    run = play(undoing())
    run.answer(reserve("book"), "hold")
    run.signal(approved, "ada")
    run.fail(charge(5), ValueError("down"))
    run.answer(release("hold"), None)
    with pytest.raises(OperationRefused, match=r"since='reserve'"):
        run.retry()
    run.retry(since="reserve")
    run.answer(reserve("book"), "hold-2")
    assert run.asked == [charge(5)], "the wait has had its signal"
    run.answer(charge(5), "ch-1")
    assert run.result == "ada ch-1"


def test_a_step_is_given_another_answer() -> None:
    """F5."""
    run = play(order(), answers={reserve: "hold", charge: lambda amount: f"ch-{amount}", quote: ValueError("no idea")})
    run.edit(quote("book"), 900)
    assert run.result == "hold ch-900"
    with pytest.raises(OperationRefused, match=r"since='charge'"):
        run.edit("quote", 7)
    run.edit("quote", 7, since="charge")
    assert run.result == "hold ch-7"


def test_a_copy_goes_on_by_itself_and_leaves_the_run_as_it_was() -> None:
    """F7."""
    run = play(order(), answers={reserve: "hold", quote: 90, charge: lambda amount: f"ch-{amount}"})
    before = run.history
    copy = run.fork("charge", id="copy")
    assert copy.result == run.result == "hold ch-90"
    assert run.history == before
    (forked,) = [row for row in copy.history if isinstance(row, Forked)]
    assert forked.id == "copy"
    copy.restart()


def test_a_recorded_history_is_played_on() -> None:
    run = play(order())
    run.answer(reserve("book"), "hold")
    again = Run.recorded(order, run.history)
    assert again.asked == [quote("book")]
    again.answer(quote("book"), 1)
    ended = Run.recorded(order, again.history, answers={charge: "ch"})
    assert ended.result == "hold ch"
    ended.edit("quote", 2, since="charge")
    assert ended.result == "hold ch"


def test_a_bug_is_not_retried_before_it_is_mended() -> None:
    """C3."""
    broken = [True]

    @workflow("acts.buggy")
    def buggy() -> Flow[str]:
        hold = yield from reserve("book")
        if broken[0]:
            raise NameError("slip")
        return hold

    run = play(buggy(), answers={reserve: "hold"})
    with pytest.raises(OperationRefused, match=r"would end it again: NameError: slip"):
        run.retry()
    broken[0] = False
    run.retry()
    assert run.result == "hold"


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_crash_anywhere_in_an_edited_history_changes_nothing(cut: int) -> None:
    """assert_survives_crashes, over a rewrite: each prefix replays to what follows it."""
    run = play(undoing())
    run.answer(reserve("book"), "hold")
    run.signal(approved, "ada")
    run.fail(charge(5), ValueError("down"))
    run.answer(release("hold"), None)
    run.retry(since="reserve")
    run.answer(reserve("book"), "hold-2")
    run.answer(charge(5), "ch-1")
    rows = run.history
    from redrive_interpreter.history.rows import FACTS

    if cut < len(rows) and isinstance(rows[cut], FACTS):
        again = Run.recorded(undoing, rows[:cut])
        assert again.history == rows[:cut]


class Declined(Exception):
    """The card was declined."""


@step
def refund(charge: str) -> None: ...


@step(undo=refund, raises=[Declined])
def pay(amount: int) -> str:
    return str(amount)


@step(raises=[Declined])
def ship(paid: str) -> str:
    return paid


@workflow("acts.paying", on_failure="rollback", raises=[Declined])
def paying() -> Flow[str]:
    paid = yield from pay(1)
    return (yield from ship(paid))


def test_an_exploration_retries_failed_runs_as_an_operator_would() -> None:
    """Each order of failures, undos, crashes and retries keeps what the invariants say."""

    def nobody_ships_what_was_refunded(view: View) -> bool:
        return view.status != "completed" or view.done("pay") > view.undone("pay")

    plain = explore(paying(), [nobody_ships_what_was_refunded], cancels=0)
    retried = explore(paying(), [nobody_ships_what_was_refunded], cancels=0, retries=2)
    assert retried.complete
    assert retried.states > plain.states
    assert "retry" in {label for _, label, _ in retried.edges}
