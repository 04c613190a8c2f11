"""What comes after a failed attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redrive_interpreter import InvalidDefinition, InvalidDuration, Key, Retry, RetryAfter, StepInterrupted, StepTimeout, after_failure

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def waits(*policies: Retry, error: BaseException | None = None, attempts: int = 5) -> list[float | None]:
    """The wait after each attempt, in seconds; None where there is no next one."""
    dues = [after_failure(policies, error or OSError("down"), attempt=n, first_at=T0, now=T0, token="t") for n in range(1, attempts + 1)]
    return [None if due is None else (due - T0).total_seconds() for due in dues]


def test_without_a_policy_there_is_one_attempt() -> None:
    assert waits() == [None] * 5
    assert waits(Retry()) == [None] * 5


def test_waits_double_and_attempts_count_the_first() -> None:
    assert waits(Retry(4)) == [1, 2, 4, None, None]


def test_waits_grow_by_the_factor_up_to_the_longest() -> None:
    assert waits(Retry(9, delay=2, factor=3, max_delay=timedelta(seconds=20))) == [2, 6, 18, 20, 20]
    assert waits(Retry(9, delay=0)) == [0] * 5
    assert waits(Retry(9, delay=5, factor=1)) == [5] * 5


def test_none_is_for_ever_and_the_wait_stays_a_time() -> None:
    due = after_failure((Retry(attempts=None),), OSError(), attempt=100_000, first_at=T0, now=T0, token="t")
    assert due is not None
    assert due.year > 3000
    assert after_failure((Retry(None, delay=0),), OSError(), attempt=100_000, first_at=T0, now=T0, token="t") == T0


def test_nothing_is_due_later_than_within_counts_from_the_first_asking() -> None:
    assert waits(Retry(None, within=5)) == [1, 2, 4, None, None]
    late = after_failure((Retry(None, within=5),), OSError(), attempt=1, first_at=T0, now=T0 + 5 * SECOND, token="t")
    assert late is None


def test_only_the_errors_listed_are_retried() -> None:
    policy = Retry(3, on=OSError, give_up_on=(FileNotFoundError,))
    assert waits(policy, error=TimeoutError(), attempts=1) == [1]
    assert waits(policy, error=FileNotFoundError(), attempts=1) == [None]
    assert waits(policy, error=ValueError(), attempts=1) == [None]


def test_of_several_policies_the_first_that_matches_counts() -> None:
    policies = (Retry(2, delay=7, on=OSError), Retry(4, delay=3))
    assert waits(*policies) == [7, None, None, None, None]
    assert waits(*policies, error=ValueError()) == [3, 6, 12, None, None]


def test_a_body_says_itself_when_it_may_be_tried_again() -> None:
    assert waits(Retry(3, on=OSError), error=RetryAfter(30)) == [30, 30, None, None, None]
    assert waits(Retry(3, within=10), error=RetryAfter(timedelta(minutes=1))) == [None] * 5
    assert waits(Retry(2), error=RetryAfter(-5), attempts=1) == [0]
    assert waits(error=RetryAfter(30)) == [None] * 5
    assert str(RetryAfter(30, "rate limited")) == "rate limited"


def test_a_timeout_is_retried_like_any_error() -> None:
    assert waits(Retry(2), error=StepTimeout(Key("pay"), "StepTimeout", "")) == [1, None, None, None, None]


def test_an_interrupted_step_is_retried_only_where_it_is_listed() -> None:
    error = StepInterrupted(Key("pay"), "StepInterrupted", "")
    assert waits(Retry(2), error=error, attempts=1) == [None]
    assert waits(Retry(2, on=(Exception, StepInterrupted)), error=error, attempts=1) == [1]


def test_cancelled_bodies_are_retried_only_where_base_exceptions_are_listed() -> None:
    class Stop(BaseException): ...

    assert waits(Retry(2), error=Stop(), attempts=1) == [None]
    assert waits(Retry(2, on=Stop), error=Stop(), attempts=1) == [1]


def test_jitter_shortens_the_wait_by_its_share_and_is_the_same_each_time() -> None:
    policy = Retry(9, delay=10, factor=1, jitter=0.5)
    first = waits(policy)
    assert first == waits(policy)
    assert all(wait is not None and 5 <= wait <= 10 for wait in first)
    assert len(set(first)) == 5
    assert after_failure((policy,), OSError(), attempt=1, first_at=T0, now=T0, token="other") != T0 + timedelta(seconds=first[0] or 0)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"attempts": 0}, InvalidDefinition),
        ({"attempts": 1.5}, InvalidDefinition),
        ({"attempts": True}, InvalidDefinition),
        ({"delay": -1}, InvalidDuration),
        ({"delay": float("inf")}, InvalidDuration),
        ({"delay": "1s"}, InvalidDuration),
        ({"factor": 0.5}, InvalidDefinition),
        ({"factor": float("nan")}, InvalidDefinition),
        ({"factor": float("inf")}, InvalidDefinition),
        ({"max_delay": -1}, InvalidDuration),
        ({"jitter": 2}, InvalidDefinition),
        ({"within": 0}, InvalidDuration),
        ({"on": (5,)}, InvalidDefinition),
        ({"give_up_on": "x"}, InvalidDefinition),
        *(({"delay": 5}, InvalidDefinition), ({"delay": 1}, InvalidDefinition), ({"factor": 2}, InvalidDefinition)),  # of one attempt
        *(({"within": 60}, InvalidDefinition), ({"on": Exception}, InvalidDefinition), ({"jitter": 0.0}, InvalidDefinition)),
    ],
)
def test_a_policy_that_means_nothing_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="Retry"):
        Retry(**options)


def test_a_factor_of_any_size_ends_at_the_longest_delay() -> None:
    assert waits(Retry(9, factor=10**400, max_delay=60)) == [1, 60, 60, 60, 60]


def test_one_attempt_is_what_a_bare_policy_or_a_stated_one_means() -> None:
    assert Retry() == Retry(1) == Retry(attempts=1, delay=1)
    assert Retry(None, delay=5).attempts is None


def test_policies_are_values() -> None:
    assert Retry(3, delay=1) == Retry(3, delay=SECOND)
    assert hash(Retry(3)) == hash(Retry(3))
