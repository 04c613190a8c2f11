"""`play`: what a test can say, and what it is told when it is wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from redrive.testing import Unexpected, play
from redrive_interpreter import (
    Cancelled,
    ChildFailed,
    CodecError,
    Diverged,
    Emit,
    Event,
    Flow,
    Note,
    Rollback,
    RunChild,
    Signal,
    SignalTimeout,
    Sleep,
    UndeclaredError,
    WaitSignal,
    step,
    workflow,
)


class CardDeclined(Exception):
    pass


@attrs.frozen
class Hold:
    id: str
    lines: list[str]


@step
async def release(hold: Hold) -> None: ...


@step(undo=release)
async def reserve(order: str) -> Hold: ...


@step(raises=[CardDeclined])
async def charge(order: str, total: int) -> str: ...


approved = Signal("orders.approved", str)
processed = Event("orders.processed", Hold)


@workflow("checkout")
def checkout(order: str) -> Flow[str]:
    hold = yield from reserve(order)
    try:
        charged = yield from charge(order, 900)
    except CardDeclined as declined:
        yield from Rollback(str(declined))
        return "declined"
    yield from Sleep(timedelta(days=30))
    try:
        by = yield from WaitSignal(approved, timeout=timedelta(days=1))
    except SignalTimeout:
        by = "nobody"
    yield from Note("approved", by=by)
    yield from Emit(processed, hold)
    return f"{charged} approved by {by}"


@workflow("parent")
def parent() -> Flow[str]:
    try:
        return (yield from RunChild(checkout("o-1")))
    except ChildFailed as failed:
        return f"child: {failed.cause}"


HOLD = Hold("hold-7", ["tea"])


def test_a_declined_card_releases_the_stock() -> None:
    run = play(checkout("o-1"))
    run.answer(reserve("o-1"), HOLD)
    run.fail(charge("o-1", 900), CardDeclined("no funds"))
    run.answer(release(HOLD), None)
    assert run.result == "declined"
    assert run.undone == ("reserve",)


def test_thirty_days_pass_when_the_test_says_so() -> None:
    run = play(checkout("o-1"), {reserve: HOLD, "charge": "ch_1"})
    assert run.result == "ch_1 approved by nobody"
    scripted = play(checkout("o-1"))
    scripted.answer(reserve("o-1"), HOLD)
    scripted.answer(charge("o-1", 900), "ch_1")
    begun = scripted.now
    scripted.advance(days=29)
    assert scripted.asked == [Sleep(timedelta(days=30))]
    scripted.advance(days=1)
    scripted.signal(approved, "Ada")
    assert scripted.result == "ch_1 approved by Ada"
    assert scripted.now - begun == timedelta(days=30)


def test_stubs_may_be_values_errors_and_functions_of_the_arguments() -> None:
    answers = {reserve: HOLD, charge: lambda order, total: f"{order}:{total}"}
    run = play(checkout("o-9"), answers, {approved: "Ada"})
    assert run.result == "o-9:900 approved by Ada"
    assert run.emitted == [("orders.processed", HOLD)]
    assert run.notes == ["approved"]
    assert play(checkout("o-9"), {reserve: HOLD, charge: CardDeclined("no"), release: None}).result == "declined"


def test_an_error_that_the_step_does_not_declare_arrives_as_it_would_live() -> None:
    run = play(checkout("o-1"))
    run.answer(reserve("o-1"), HOLD)
    run.fail(charge("o-1", 900), ConnectionError("gone"))
    assert isinstance(run.error, UndeclaredError)
    assert run.error.type.endswith("StepFailed")
    assert "step charge failed: ConnectionError: gone" in str(run.error)


def test_a_wrong_expectation_prints_what_was_done_expected_and_asked() -> None:
    run = play(checkout("o-1"))
    run.answer(reserve("o-1"), HOLD)
    with pytest.raises(Unexpected) as missed:
        run.answer(charge("o-2", 900), "ch_1")
    text = str(missed.value)
    assert "expected  Step('charge', 'o-2', 900)" in text
    assert "reserve = {" in text
    assert "hold = yield from reserve(order)" in text
    assert "order: expected 'o-2', asked 'o-1'" in text
    assert "asking now:\n  Step('charge', 'o-1', 900)" in text
    assert "charged = yield from charge(order, 900)" in text
    run.answer(charge("o-1", 900), "ch_1")


def test_a_step_without_a_stub_names_the_stub_to_write() -> None:
    with pytest.raises(Unexpected, match=r"answers=\{'charge': …\}"):
        play(checkout("o-1"), {reserve: HOLD})


def test_values_pass_through_the_codec_as_they_do_live() -> None:
    mine = Hold("hold-7", ["tea"])
    run = play(checkout("o-1"))
    with pytest.raises(CodecError, match="reserve"):
        run.answer(reserve("o-1"), "hold-7")  # type: ignore[arg-type]
    run.answer(reserve("o-1"), mine)
    mine.lines.append("milk")
    run.fail(charge("o-1", 900), CardDeclined("no funds"))
    assert run.asked == [release(Hold("hold-7", ["tea"]))]


def test_a_restart_in_the_middle_changes_nothing() -> None:
    run = play(checkout("o-1"))
    run.restart()
    run.answer(reserve("o-1"), HOLD)
    run.restart()
    run.answer(charge("o-1", 900), "ch_1")
    run.restart()
    run.advance(days=30)
    run.restart()
    run.signal(approved, "Ada")
    assert run.result == "ch_1 approved by Ada"


def test_a_restart_on_other_code_is_a_divergence() -> None:
    names = ["reserve"]

    @workflow("fickle")
    def fickle() -> Flow[None]:
        yield from reserve(names[0])

    run = play(fickle())
    names[0] = "other"
    with pytest.raises(Diverged, match="arguments changed"):
        run.restart()


def test_a_child_is_answered_like_a_step() -> None:
    run = play(parent())
    run.answer(RunChild(checkout("o-1")), "ch_9")
    assert run.result == "ch_9"
    failing = play(parent())
    failing.fail(RunChild(checkout("o-1")), ValueError("lost"))
    assert failing.result == "child: ValueError: lost"


def test_a_cancel_is_thrown_into_the_workflow() -> None:
    scripted = play(checkout("o-1"))
    scripted.answer(reserve("o-1"), HOLD)
    scripted.cancel("changed my mind")
    assert scripted.asked == []
    assert isinstance(scripted.error, Cancelled)
    assert (scripted.error.reason, scripted.error.by) == ("changed my mind", "cancel")


def test_a_run_that_has_not_ended_has_no_result() -> None:
    with pytest.raises(Unexpected, match="has not ended"):
        _ = play(checkout("o-1")).result


def test_the_keys_that_a_rollback_gives_are_text_to_whoever_says_so() -> None:
    @workflow("keys")
    def keys() -> Flow[tuple[str, ...]]:
        yield from reserve("o-1")
        return (yield from Rollback())

    assert play(keys(), {reserve: HOLD, release: None}).result == ("reserve",)


def test_a_signal_may_be_sent_by_its_name() -> None:
    run = play(checkout("o-1"), {reserve: HOLD, charge: "ch_1"}, {"orders.approved": "Ada"})
    assert run.result == "ch_1 approved by Ada"
    scripted = play(checkout("o-1"))
    scripted.answer(reserve("o-1"), HOLD)
    scripted.answer(charge("o-1", 900), "ch_1")
    scripted.advance(days=30)
    scripted.signal("orders.approved", "Grace")
    assert scripted.result == "ch_1 approved by Grace"


def test_a_step_that_was_built_and_not_performed_is_no_value_and_the_message_says_what_to_do() -> None:
    @workflow("forgetful")
    def forgetful() -> Flow[str]:
        order: Any = charge("o-1", 900)
        hold = yield from reserve(order)
        return hold.id

    run = play(forgetful())
    assert isinstance(run.error, UndeclaredError)
    assert "yield from" in str(run.error)
