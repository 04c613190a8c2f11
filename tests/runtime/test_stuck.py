"""What is stuck, and why (F12): each reason from what is stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from redrive import DurableService, Flow, Retry, Stuck, step, workflow
from redrive.ports.aside_values import Aside
from redrive.ports.parks import EVERYBODY, Park
from redrive.ports.store import Snapshot
from redrive.ports.workers import KnownWorker
from redrive.stuck import Limits, diagnosis
from redrive_interpreter import Asked, Failure, Key, Retrying, Started

NOW = datetime(2027, 3, 3, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMITS = Limits(attempts=5, retrying_for=HOUR, overdue=timedelta(minutes=1), silent=HOUR, deaths=2)
ALIVE = KnownWorker(id="web-1", alive=True, expires_at=NOW + HOUR, workflows=frozenset({"w"}))
DEAD = KnownWorker(id="web-2", alive=False, expires_at=NOW - HOUR, workflows=frozenset({"w"}))
ELSEWHERE = KnownWorker(id="web-3", alive=True, expires_at=NOW + HOUR, workflows=frozenset({"other"}))
ROWS = [Started(id="e", run=UUID(int=1), workflow="w", at=NOW - 5 * HOUR), Asked(Key("charge"), "step", "charge")]


def snapshot(**changes: Any) -> Snapshot:
    fields: dict[str, Any] = {
        "id": "e", "workflow": "w", "status": "suspended", "run": "r", "number": 1, "length": 2, "input": "{}",
        "created_at": NOW - 5 * HOUR, "updated_at": NOW - timedelta(seconds=1), "wake_at": None, "deadline": None, "owner": None,
        "recoveries": 0, "attributes": "{}", "outcome": None, "unread": 0, "creator": None,
    }  # fmt: skip
    return Snapshot(**{**fields, **changes})


def found(rows: Any = (), aside: Any = (), workers: Any = (ALIVE,), **changes: Any) -> Stuck | None:
    return diagnosis(snapshot(**changes), rows, aside, workers, NOW, LIMITS)


def park(kind: Any, build: str = "b2") -> Park:
    return Park(build=build, kind=kind, reason="history has charge\nmore", at=NOW - 2 * HOUR)


def retrying(attempt: int, due: datetime) -> list[Any]:
    return [*ROWS, Retrying(Key("charge"), attempt, Failure("CrmDown", "503"), due, at=NOW - HOUR / 2)]


@pytest.mark.parametrize(
    ("case", "reason", "verb", "words"),
    [
        ({"status": "parked", "parks": (park("diverged"),)}, "parked", "fork", "parked by build b2 (diverged): history has charge"),
        ({"status": "parked", "parks": (park("error"),)}, "parked", "retry", "parked by build b2 (error)"),
        ({"status": "parked", "parks": (park("unknown_workflow", EVERYBODY),)}, "unserved", "worker", "no live worker lists workflow 'w'"),
        ({"status": "compensation_failed"}, "compensation_failed", "retry_rollback", "an undo failed"),
        ({"status": "pending", "wake_at": NOW - HOUR, "workers": (ELSEWHERE,)}, "unserved", "worker", "no worker here lists"),
        ({"status": "pending", "wake_at": NOW - HOUR, "workers": ()}, "unserved", "worker", "no worker is running"),
        ({"status": "running", "wake_at": NOW, "owner": "web-2", "workers": (ALIVE, DEAD)}, "worker_dead", "", "web-2"),
        ({"status": "running", "wake_at": NOW, "owner": "web-2", "workers": (DEAD,)}, "worker_dead", "worker", "no worker is running"),
        ({"status": "running", "owner": "web-1", "recoveries": 3}, "worker_died", "", "3 workers in a row"),
        ({"wake_at": NOW - HOUR}, "overdue", "worker", "no worker has taken it up"),
        ({"rows": retrying(7, NOW + HOUR)}, "retrying", "retry_now", "charge has failed 7 times, the last time with CrmDown: 503"),
        ({"rows": retrying(1, NOW + HOUR)}, "retrying", "retry_now", "charge has failed 1 times"),
        ({"unread": 2, "waits": "signal:paid"}, "unread", "signal", "2 signals came that it does not wait for; it waits for signal paid"),
        ({"status": "running", "owner": "web-1", "updated_at": NOW - 2 * HOUR, "rows": ROWS}, "slow", "force_fail", "charge has been"),
        ({"status": "cancelling", "owner": "web-1", "updated_at": NOW - 2 * HOUR, "rows": ROWS}, "slow", "force_fail", "does not hear it"),
    ],
)
def test_each_reason_is_told_with_the_verb_that_helps(case: dict[str, Any], reason: str, verb: str, words: str) -> None:
    one = found(**case)
    assert one is not None
    assert (one.reason, one.verb) == (reason, verb)
    assert words in one.detail
    assert one.suggestion
    assert one.since <= NOW


def test_a_signal_that_was_set_aside_is_told_with_its_error() -> None:
    aside = Aside(seq=3, execution="e", name="paid", data='"x"', sent_at=NOW - HOUR, error="paid: expected int", at=NOW - HOUR)
    one = found(aside=[aside])
    assert one is not None
    assert (one.reason, one.verb, one.since) == ("unread", "redeliver", NOW - HOUR)
    assert "expected int" in one.detail


@pytest.mark.parametrize(
    "case",
    [
        {"waits": "signal:paid"},
        {"wake_at": NOW + HOUR},
        {"status": "running", "owner": "web-1", "updated_at": NOW - HOUR / 2, "rows": ROWS},
        {"status": "pending", "wake_at": NOW - timedelta(seconds=5)},
        {"status": "completed", "unread": 5},
        {"status": "failed"},
    ],
)
def test_what_is_well_or_has_ended_is_not_stuck(case: dict[str, Any]) -> None:
    assert found(**case) is None


def test_one_retry_of_a_minute_ago_is_not_stuck() -> None:
    rows = [Started(id="e", run=UUID(int=1), workflow="w", at=NOW - HOUR / 2), *retrying(1, NOW + HOUR)[1:]]
    assert found(rows=rows) is None


@step(retry=Retry(attempts=None, delay=0.001, max_delay=0.01))
def never() -> int:
    raise ConnectionError("503")


@workflow("stuck.never")
def for_ever() -> Flow[int]:
    return (yield from never())


def test_a_blocking_operator_finds_what_is_stuck() -> None:
    with DurableService("memory://", [for_ever]) as service:
        service.start(for_ever(), id="a")
        found: list[Stuck] = []
        while not found:
            found = list(service.operator.stuck(attempts=3))
        assert (found[0].id, found[0].reason) == ("a", "retrying")
        assert "ConnectionError: 503" in str(found[0])
        assert list(service.operator.stuck(workflow="another", attempts=3)) == []
