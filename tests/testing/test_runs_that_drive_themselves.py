"""Stubs, retries, children and whole months: runs that need no word from the test."""

from __future__ import annotations

import time
from datetime import timedelta

import attrs
import pytest

from redrive.testing import Unexpected, in_turn, play
from redrive_interpreter import (
    All,
    Attribute,
    Cancelled,
    ChildFailed,
    ContinueAs,
    ExecutionNotFound,
    Flow,
    Retry,
    RetryAfter,
    RunChild,
    SendSignal,
    SetAttribute,
    Signal,
    SignalTimeout,
    Sleep,
    StartChild,
    StepFailed,
    StepInterrupted,
    StepTimeout,
    WaitSignal,
    step,
    workflow,
)


@attrs.frozen
class Invoice:
    number: int
    lines: list[str]


class Refused(Exception):
    pass


@step(retry=Retry(attempts=4, delay=60, factor=2, give_up_on=Refused), raises=[Refused], timeout=30)
async def send(invoice: Invoice) -> str: ...


@step(at_most_once=True)
def pay(number: int) -> str: ...


paid = Signal("invoice.paid", int)
state = Attribute("state", Invoice)


@workflow("billing.month")
def month(number: int) -> Flow[list[str]]:
    told = []
    for week in range(3):
        yield from SetAttribute(state, Invoice(number, [str(week)]))
        told.append((yield from send(Invoice(number, [f"week {week}"]))))
        yield from Sleep(timedelta(days=10))
        told.append(str((yield from WaitSignal(paid, timeout=timedelta(days=1)))))
    return told


@workflow("billing.year")
def year(months: int, done: int = 0) -> Flow[int]:
    yield from send(Invoice(done, []))
    if done + 1 == months:
        return done + 1
    return (yield from ContinueAs(year(months, done + 1)))


INVOICE = Invoice(7, [])


def test_a_month_with_three_signals_and_retries_takes_milliseconds() -> None:
    def run() -> float:
        began = time.perf_counter()
        flaky = in_turn(ConnectionError("gone"), ConnectionError("gone"), "sent")
        played = play(month(7), {send: flaky}, {paid: [1, 2, 3]})
        assert played.result == ["sent", "1", "sent", "2", "sent", "3"]
        assert played.now - played.runs[0][0].at == timedelta(days=30, seconds=180)  # type: ignore[union-attr]
        return time.perf_counter() - began

    assert min(run() for _ in range(5)) < 0.005


def test_a_stub_that_raises_is_an_attempt_and_the_last_one_counts() -> None:
    run = play(year(1), {send: ConnectionError("gone")})
    assert isinstance(run.error, Exception)
    assert "after 4 attempts: ConnectionError: gone" in str(run.error)
    assert run.trace().count("failed, attempt") == 3
    assert "again after 0:04:00" in run.trace()


def test_an_error_that_a_policy_gives_up_on_is_final() -> None:
    assert "attempt 1" not in play(year(1), {send: Refused("no")}).trace()


def test_a_stub_may_say_when_to_come_again() -> None:
    run = play(year(1), {send: in_turn(RetryAfter(3600), "sent")})
    assert run.result == 1
    assert run.now - run.history[0].at == timedelta(hours=1)  # type: ignore[union-attr]


def test_time_stands_still_when_it_is_told_to() -> None:
    run = play(year(1), {send: in_turn(ConnectionError("gone"), "sent")}, skip_time=False)
    run.advance(59)
    assert run.asked == [send(Invoice(0, []))]
    run.advance(1)
    assert run.result == 1


def test_stubs_go_by_step_id_command_and_predicate() -> None:
    exact = {send(INVOICE): "the very one", "send": "by id"}

    @workflow("two")
    def two() -> Flow[tuple[str, str]]:
        return (yield from All(send(INVOICE), send(Invoice(8, []))))

    assert play(two(), exact).result == ("the very one", "by id")
    assert play(two(), {(lambda command: command.step_id == "send"): "by predicate"}).result == ("by predicate", "by predicate")


def test_a_stub_gets_a_copy_of_the_arguments() -> None:
    mine = Invoice(7, ["tea"])
    seen = []

    @workflow("one")
    def one() -> Flow[str]:
        return (yield from send(mine))

    async def stub(invoice: Invoice) -> str:
        seen.append(invoice)
        invoice.lines.append("milk")
        return "sent"

    assert play(one(), {send: stub}).result == "sent"
    assert seen == [Invoice(7, ["tea", "milk"])]
    assert mine.lines == ["tea"]


def test_an_assertion_of_a_stub_is_the_tests_own() -> None:
    def stub(invoice: Invoice) -> str:
        assert invoice.number == 9
        return "sent"

    with pytest.raises(AssertionError):
        play(year(1), {send: stub})


def test_a_scripted_failure_is_final_unless_the_test_says_otherwise() -> None:
    run = play(year(1))
    run.fail(send(Invoice(0, [])), ConnectionError("gone"))
    assert "ConnectionError" in str(run.error)
    again = play(year(1))
    again.fail(send(Invoice(0, [])), ConnectionError("gone"), final=False)
    again.time_out("send", final=False)
    again.answer("send", "sent")
    assert again.result == 1
    assert again.now - again.history[0].at == timedelta(seconds=180)  # type: ignore[union-attr]


def test_steps_and_waits_time_out_as_they_do_live() -> None:
    @workflow("late")
    def late() -> Flow[list[str]]:
        seen: list[str] = []
        for command in (send(INVOICE), pay(1), WaitSignal(paid, timeout=60)):
            try:
                yield command
            except (StepTimeout, StepInterrupted, SignalTimeout) as error:
                seen.append(type(error).__name__)
        return seen

    run = play(late())
    run.time_out(send(INVOICE))
    run.time_out(pay(1))
    assert run.in_doubt == ("send", "pay")
    run.time_out(WaitSignal(paid, timeout=60))
    assert run.result == ["StepTimeout", "StepInterrupted", "SignalTimeout"]
    assert play(late(), {send: StepTimeout, pay: StepInterrupted}).result == run.result


def test_continue_as_is_followed() -> None:
    run = play(year(12), {send: "sent"})
    assert run.result == 12
    assert len(run.runs) == 12
    assert play(year(2)).asked == [send(Invoice(0, []))]


def test_attributes_are_read_by_name_and_by_type() -> None:
    run = play(month(7))
    assert run.attributes["state"] == {"number": 7, "lines": ["0"]}
    assert run.attributes[state] == Invoice(7, ["0"])


def test_the_trace_is_the_same_text_for_the_same_run() -> None:
    run = play(month(7), {send: "sent"}, {paid: [1, 2]})
    assert run.trace().splitlines()[:6] == [
        'billing.month starts with {"number":7}',
        '  sets state = {"number":7,"lines":["0"]}',
        '  asks send: step send {"invoice":{"number":7,"lines":["week 0"]}}',
        'send = "sent"',
        '  asks sleep {"seconds":864000.0}',
        "after 10 days, 0:00:00: sleep is due",
    ]


def test_another_execution_may_refuse() -> None:
    @workflow("sender")
    def sender() -> Flow[str]:
        try:
            yield from SendSignal("other", paid, 1)
        except ExecutionNotFound as error:
            return f"no {error.id}"
        return "sent"

    assert play(sender()).result == "sent"
    assert play(sender(), {SendSignal("other", paid, 1): ExecutionNotFound("other")}).result == "no other"


def test_children_end_when_the_test_says_so() -> None:
    @workflow("parent")
    def parent() -> Flow[str]:
        yield from StartChild(year(1), id="left-alone", on_parent_close="wait")
        try:
            return str((yield from RunChild(year(2))))
        except ChildFailed as error:
            return error.status

    run = play(parent())
    run.answer(RunChild(year(2)), 2)
    assert run.asked == []
    run.end_child("left-alone", 1)
    assert run.result == "2"
    cancelled = play(parent(), {year: Cancelled("enough")})
    assert cancelled.result == "cancelled"


def test_what_never_ends_is_an_error_not_a_hang() -> None:
    @workflow("for.ever")
    def for_ever() -> Flow[None]:
        while True:
            yield from Sleep(1)

    import redrive.testing.stub_driver as driver

    most, driver.MOST_TURNS = driver.MOST_TURNS, 50  # type: ignore[misc]
    try:
        with pytest.raises(Unexpected, match="no end in sight"):
            play(for_ever(), {})
    finally:
        driver.MOST_TURNS = most  # type: ignore[misc]


def test_an_undeclared_error_names_the_step() -> None:
    @workflow("catching")
    def catching() -> Flow[str]:
        try:
            yield from pay(1)
        except StepFailed as error:
            return str(error)
        return ""

    result = play(catching(), {pay: KeyError("x")}).result
    assert result == "step pay failed: KeyError: 'x' (to catch KeyError itself, declare it: @step(raises=[KeyError]))"
