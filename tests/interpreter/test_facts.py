"""Facts: one a turn, dropped for what is settled, refused for what was never asked, and then nothing has changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from redrive_interpreter import (
    Answered,
    AttemptStarted,
    CancelRequested,
    ChildFinished,
    DeadlinePassed,
    Failure,
    Flow,
    Key,
    Machine,
    Ok,
    Race,
    Retrying,
    RollbackRetried,
    Signalled,
    Sleep,
    Started,
    TimerFired,
    UnexpectedFact,
    workflow,
)
from redrive_interpreter.history.rows import FACTS
from tests.interpreter.kit import RUN, T0, picture, start
from tests.interpreter.shop import ping

STRANGER = Key("nobody#3")
LATER = T0 + timedelta(days=1)


@workflow("w")
def w() -> Flow[Any]:
    won = yield from Race(ping(1), Sleep(60))
    return (yield from ping(won.index))


@pytest.mark.parametrize(
    "fact",
    [
        Answered(STRANGER, Ok(1), at=LATER),
        AttemptStarted(STRANGER, 1, at=LATER),
        Retrying(STRANGER, 1, Failure("Boom", "x"), LATER, at=LATER),
        TimerFired(STRANGER, at=LATER),
        Started(id="again", run=RUN, at=LATER),
        "not a fact",
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_a_fact_for_what_was_never_asked_is_refused_and_nothing_has_changed(fact: Any) -> None:
    run = start(w())
    before, rows = picture(run.machine), list(run.rows)
    with pytest.raises(UnexpectedFact):
        run.machine.receive(fact)
    assert (picture(run.machine), run.rows, run.machine.take()) == (before, rows, [])
    assert run.ok("__race/0/ping").ok("ping", 5).result == 5


@pytest.mark.parametrize("fact", [fact for fact in FACTS if fact is not Started], ids=lambda fact: fact.__name__)
def test_a_history_begins_with_started(fact: Any) -> None:
    made = object.__new__(fact)
    with pytest.raises(UnexpectedFact, match="begins with Started"):
        Machine(w).receive(made)


@pytest.mark.parametrize(
    "fact",
    [
        Answered(Key("__race/0/ping"), Ok(1), at=LATER),
        Retrying(Key("__race/0/ping"), 1, Failure("Boom", "x"), LATER, at=LATER),
        AttemptStarted(Key("__race/0/ping"), 1, at=LATER),
        TimerFired(Key("__race/1/__sleep"), at=LATER),
        ChildFinished(id="stranger", status="completed", outcome=Ok(1), at=LATER),
        DeadlinePassed(at=LATER),
        RollbackRetried(at=LATER),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_a_fact_about_what_is_settled_is_dropped(fact: Any) -> None:
    run = start(w()).ok("__race/0/ping", 1)
    before = list(run.rows)
    assert run.tell(fact).rows == before
    assert run.requests == []


@pytest.mark.parametrize(
    "fact",
    [
        Answered(Key("__race/1/__sleep"), Ok(1), at=LATER),
        Answered(Key("ping"), Ok(1), at=LATER),
        Signalled("x", at=LATER),
        CancelRequested(at=LATER),
        DeadlinePassed(at=LATER),
        TimerFired(Key("__race/1/__sleep"), at=LATER),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_after_the_end_every_fact_is_dropped(fact: Any) -> None:
    run = start(w()).ok("__race/0/ping", 1).ok("ping", 5)
    before = list(run.rows)
    assert run.tell(fact).rows == before


def test_a_step_that_ran_when_the_run_ended_may_still_answer() -> None:
    from redrive_interpreter import All

    @workflow("w")
    def bug() -> Flow[Any]:
        def branch() -> Flow[None]:
            yield from ping(2)
            yield 5  # type: ignore[misc]

        return (yield from All(ping(1), branch()))

    run = start(bug()).ok("__all/1/ping")
    assert (run.status, run.machine.in_doubt) == ("failed", ("__all/0/ping",))
    before = list(run.rows)
    assert run.ok("__all/0/ping", 1).rows == before


def test_the_answer_of_a_timer_is_not_an_answer() -> None:
    run = start(w())
    assert run.ok("__race/1/__sleep").asked == ["__race/0/ping", "__race/1/__sleep"]
