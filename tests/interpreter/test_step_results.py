"""From the end of a body to its fact: what every host asks of `step_results`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from redrive_interpreter import (
    LIVE,
    Answered,
    Err,
    Flow,
    Key,
    Ok,
    Retry,
    Retrying,
    RunStep,
    Started,
    State,
    Step,
    Suspended,
    advance,
    step,
    step_results,
    workflow,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = UUID(int=7)


@step(retry=Retry(attempts=2, delay=timedelta(seconds=3), jitter=0), key="mine")
def flaky(order: str) -> str: ...


@step
def plain(order: str) -> str: ...


def perform(command: Step[Any], attempt: int = 1) -> RunStep:
    return RunStep(Key(command.step_id), command, {"order": "17"}, attempt, first_at=NOON)


def test_a_body_gets_its_arguments_by_name_and_position() -> None:
    assert step_results.arguments_of(perform(plain("17")), LIVE) == (("17",), {})


def test_a_value_answers_the_step() -> None:
    assert step_results.succeeded(perform(plain("17")), "ch", codec=LIVE, now=NOON) == Answered(Key("plain"), Ok("ch"), at=NOON)


def test_a_command_is_no_result_and_its_effect_is_in_doubt() -> None:
    fact = step_results.succeeded(perform(plain("17")), plain("18"), codec=LIVE, now=NOON)
    assert isinstance(fact.outcome, Err)
    assert "only workflows yield commands" in fact.outcome.error.message
    assert fact.in_doubt


def test_an_error_is_retried_as_the_step_says_and_then_fails_it() -> None:
    again = step_results.failed(perform(flaky("17")), ValueError("no"), run=RUN, codec=LIVE, now=NOON)
    assert isinstance(again, Retrying)
    assert again.due == NOON + timedelta(seconds=3)
    fact = step_results.failed(perform(flaky("17"), attempt=2), ValueError("no"), run=RUN, codec=LIVE, now=NOON)
    assert isinstance(fact, Answered)
    assert isinstance(fact.outcome, Err)
    assert (fact.outcome.error.type, fact.outcome.error.attempts) == ("ValueError", 2)


def test_an_attempt_that_a_crash_interrupted_is_in_doubt_as_its_error_says() -> None:
    fact = step_results.failed(
        perform(plain("17")), step_results.interrupted(Key("plain"), 1), run=RUN, codec=LIVE, now=NOON, in_doubt=True
    )
    assert isinstance(fact, Answered)
    assert fact.in_doubt


def test_an_idempotency_key_is_of_the_run_and_the_step_and_no_attempt() -> None:
    keys = [step_results.idempotency_key(perform(plain("17"), attempt), RUN) for attempt in (1, 2)]
    assert len(set(keys)) == 1
    assert step_results.idempotency_key(perform(plain("17")), UUID(int=8)) != keys[0]
    assert step_results.idempotency_key(perform(flaky("17")), RUN) == "mine"


def test_a_hosts_idempotency_key_is_the_workers() -> None:
    from redrive.step_context import StepContext

    context = StepContext("o-1", RUN, "plain", 1, None, None, None)
    assert step_results.idempotency_key(perform(plain("17")), RUN) == context.idempotency_key


runs: list[str] = []


@workflow("step_results.one")
def one(order: str) -> Flow[str]:
    runs.append(order)
    return (yield from plain(order))


def test_a_state_knows_how_its_run_stands_without_another_replay() -> None:
    state, requests = advance(State(one), Started(id="o-1", run=RUN, args=("17",), at=NOON))
    began = len(runs)
    assert state.verdict == Suspended({Key("plain"): plain("17")})
    assert list(state.pending_requests) == requests
    assert state.next_due is None
    assert len(runs) == began


def test_a_state_of_a_blob_replays_once_and_is_equal() -> None:
    state, requests = advance(State(one), Started(id="o-1", run=RUN, args=("17",), at=NOON))
    again, began = State(one, state.blob), len(runs)
    assert again == state
    assert list(again.pending_requests) == requests
    assert again.verdict == state.verdict
    assert len(runs) == began + 1
