"""What a worker puts away when more is live than it keeps: the longest idle first, without a look through all for each newcomer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redrive.ports.store import Claim
from redrive.worker import eviction
from redrive.worker.eviction import Eviction
from redrive.worker.life.active_execution import ActiveExecution

NOW = datetime(2027, 1, 1, tzinfo=UTC)
SOON = timedelta(seconds=5)


class Machine:
    """As much of one as is asked here."""

    def __init__(self, next_due: datetime | None) -> None:
        self.next_due = next_due


class Count(dict[str, ActiveExecution]):
    """Counts how many were looked through."""

    looked = 0

    def values(self) -> Iterator[ActiveExecution]:  # type: ignore[override]
        for live in super().values():
            self.looked += 1
            yield live


def add(lives: dict[str, ActiveExecution], id: str, used: float, due: timedelta | None = None) -> ActiveExecution:
    nothing: Any = None
    live = lives[id] = ActiveExecution(Claim(id=id, worker="w", fence=1, workflow="w", run=id, number=1, length=1), nothing)
    machine: Any = Machine(None if due is None else NOW + due)
    live.machine, live.used = machine, used
    return live


def put_away(lives: dict[str, ActiveExecution], sweep: Eviction) -> list[str]:
    ids = [live.id for live in sweep.dispensable(NOW)]
    for id in ids:
        del lives[id]
    return ids


@pytest.fixture(autouse=True)
def nothing_is_idle_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "IDLE_SECONDS", 1e9)


def test_the_longest_idle_goes_first_and_no_more_than_are_too_many() -> None:
    lives = dict[str, ActiveExecution]()
    for n in (3, 1, 2, 5, 4):
        add(lives, str(n), used=n)
    assert put_away(lives, Eviction(lives, 3)) == ["1", "2"]


def test_one_that_was_used_since_is_not_the_longest_idle_any_more() -> None:
    lives = dict[str, ActiveExecution]()
    for n in range(1, 6):
        add(lives, str(n), used=n)
    sweep = Eviction(lives, 4)
    assert put_away(lives, sweep) == ["1"]
    lives["2"].used = 10
    add(lives, "new", used=11)
    assert put_away(lives, sweep) == ["3"]


def test_what_has_something_due_soon_goes_last_and_once() -> None:
    lives = dict[str, ActiveExecution]()
    add(lives, "soon", used=1, due=SOON)
    add(lives, "soon too", used=2, due=SOON)
    add(lives, "later", used=3, due=timedelta(days=1))
    add(lives, "never", used=4)
    assert put_away(lives, Eviction(lives, 1)) == ["later", "never", "soon"]


def test_what_goes_on_is_kept_however_many_there_are() -> None:
    lives = dict[str, ActiveExecution]()
    for n in range(10):
        add(lives, str(n), used=n).driving = n != 7
    assert put_away(lives, Eviction(lives, 1)) == ["7"]
    assert len(lives) == 9


def test_each_newcomer_costs_no_look_through_all() -> None:
    lives, size = Count(), 2_000
    for n in range(size):
        add(lives, str(n), used=n)
    sweep = Eviction(lives, size)
    gone = list[str]()
    for n in range(size):
        add(lives, f"new {n}", used=size + n)
        gone += put_away(lives, sweep)
    assert gone == [str(n) for n in range(size)]
    assert lives.looked <= 20 * size, "and not two thousand times"


def test_a_crowd_that_is_at_work_is_not_looked_through_for_each_newcomer() -> None:
    lives, size = Count(), 5_000
    for n in range(size):
        add(lives, str(n), used=n).driving = True
    sweep = Eviction(lives, 100)
    for _ in range(50):
        assert put_away(lives, sweep) == []
    assert lives.looked <= 10 * size
