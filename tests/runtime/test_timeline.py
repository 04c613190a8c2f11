"""A run's rows as a person reads them, made by the real machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from redrive.timeline import Entry, timeline
from redrive_interpreter import (
    All,
    Answered,
    Asked,
    CancelRequested,
    ChildFinished,
    Err,
    Failure,
    Flow,
    Invocation,
    Key,
    Machine,
    Note,
    Ok,
    Race,
    Retry,
    Retrying,
    Rollback,
    RollbackRetried,
    Row,
    RunChild,
    SetAside,
    Signal,
    Signalled,
    Sleep,
    Spawn,
    Started,
    TimerFired,
    WaitSignal,
    step,
    workflow,
)

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
tick = Signal("tick", str)


@step
def unwork(n: int) -> None: ...


@step(undo=unwork)
def work(n: int) -> int:
    return n


class Recorded:
    """A machine and a clock; `rows` is what a store would hold."""

    def __init__(self, invocation: Invocation[Any]) -> None:
        self.now = BEGIN
        self.machine = Machine(invocation.workflow)
        self.rows: list[Row] = []
        self.feed(lambda at: Started(id="x", run=UUID(int=1), at=at, args=invocation.args, kwargs=dict(invocation.kwargs)), 0)

    def feed(self, fact: Callable[[datetime], Any], after: float = 1) -> None:
        self.now += timedelta(seconds=after)
        self.machine.receive(fact(self.now))
        self.rows += self.machine.take()

    def answer(self, key: str, value: object) -> None:
        self.feed(lambda at: Answered(Key(key), Ok(value), at=at))

    @property
    def entries(self) -> dict[str, Entry]:
        return {entry.key or entry.kind: entry for entry in timeline(self.rows).entries}

    @property
    def states(self) -> dict[str, str]:
        return {key: entry.state for key, entry in self.entries.items()}

    @property
    def waits_for(self) -> list[str]:
        return [entry.key for entry in timeline(self.rows).open]


@workflow("order")
def order() -> Flow[str]:
    yield from work(1)
    yield from Sleep(5)
    yield from Note("half way", so_far=1)
    return (yield from WaitSignal(tick))


def test_each_command_shows_when_it_was_asked_and_how_long_it_took() -> None:
    run = Recorded(order())
    run.answer("work", 1)
    run.feed(lambda at: TimerFired(Key("__sleep"), at=at), 5)
    run.feed(lambda at: Signalled("tick", "tock", at=at, sent_at=at), 60)
    line = timeline(run.rows)
    assert [(e.kind, e.state) for e in line.entries] == [("step", "done"), ("sleep", "done"), ("note", "note"), ("wait_signal", "done")]
    assert [e.ended_at - e.asked_at for e in line.entries if e.ended_at] == [timedelta(seconds=s) for s in (1, 5, 60)]
    assert line.entries[-1].value == "tock"
    assert line.ended is not None
    assert line.ended.status == "completed"
    assert line.open == []


def test_what_it_waits_for_and_until_when_is_read_off_the_rows() -> None:
    run = Recorded(order())
    run.answer("work", 1)
    (entry,) = timeline(run.rows).open
    assert (entry.kind, entry.due) == ("sleep", run.now + timedelta(seconds=5))


def test_a_signal_that_came_before_its_wait_ends_it_at_once() -> None:
    run = Recorded(order())
    run.feed(lambda at: Signalled("tick", "early", at=at, sent_at=at))
    run.answer("work", 1)
    run.feed(lambda at: TimerFired(Key("__sleep"), at=at), 5)
    assert timeline(run.rows).entries[-1].value == "early"


def test_a_retry_shows_its_count_its_last_error_and_when_the_next_is_due() -> None:
    run = Recorded(order())
    due = BEGIN + timedelta(minutes=1)
    run.feed(lambda at: Retrying(Key("work"), 2, Failure("OSError", "no route"), due, at=at))
    (entry,) = timeline(run.rows).open
    assert (entry.attempts, entry.retry_due, entry.failure) == (3, due, Failure("OSError", "no route"))


def test_a_child_that_is_started_again_is_still_waited_for() -> None:
    @workflow("timeline.parent")
    def parent() -> Flow[str]:
        return (yield from RunChild(order(), id="kid", retry=Retry(attempts=2, delay=60)))

    run = Recorded(parent())
    run.answer("__run_child", None)
    no_route = Failure("OSError", "no route")
    run.feed(lambda at: ChildFinished(id="kid", status="failed", outcome=Err(no_route), at=at))
    (entry,) = timeline(run.rows).open
    due = run.now + timedelta(minutes=1)
    assert (entry.kind, entry.attempts, entry.retry_due, entry.failure) == ("run_child", 2, due, no_route)
    assert [(entry.key, entry.state) for entry in timeline(run.rows).entries][1:] == [("__run_child/__attempt#2", "done")]
    run.feed(lambda at: ChildFinished(id="kid", status="failed", outcome=Err(no_route), at=at))
    assert [(entry.state, entry.attempts, entry.retry_due) for entry in timeline(run.rows).entries] == [
        ("failed", 2, None),
        ("done", 2, None),
    ]


def test_a_final_failure_is_kept_with_its_traceback() -> None:
    run = Recorded(order())
    failure = Failure("OSError", "no route", "Traceback …", attempts=5)
    run.feed(lambda at: Answered(Key("work"), Err(failure), at=at))
    (entry,) = timeline(run.rows).entries
    assert (entry.state, entry.failure, entry.attempts) == ("failed", failure, 5)


@workflow("race")
def race() -> Flow[None]:
    yield from Race(tick=WaitSignal(tick), late=Sleep(60))
    yield from work(2)


def test_what_a_lost_race_left_behind_is_shown_as_cut() -> None:
    run = Recorded(race())
    assert run.waits_for == ["__race/tick/__wait_signal", "__race/late/__sleep"]
    run.feed(lambda at: Signalled("tick", "x", at=at, sent_at=at))
    assert run.states == {"__race": "done", "__race/tick/__wait_signal": "done", "__race/late/__sleep": "cut", "work": "waiting"}


@workflow("side by side")
def side_by_side() -> Flow[None]:
    yield from All(work(1), work(2))


def test_branches_do_not_end_each_other() -> None:
    run = Recorded(side_by_side())
    run.answer("__all/0/work", 1)
    assert run.states == {"__all": "waiting", "__all/0/work": "done", "__all/1/work": "waiting"}
    run.answer("__all/1/work", 1)
    assert run.states == {"__all": "done", "__all/0/work": "done", "__all/1/work": "done"}


@workflow("spawner")
def spawner() -> Flow[None]:
    yield from Spawn(work(1))
    yield from work(2)


def test_a_spawned_task_is_not_over_because_its_parent_went_on() -> None:
    run = Recorded(spawner())
    assert sorted(run.waits_for) == ["__spawn/work", "work"]


@workflow("undone")
def undone() -> Flow[None]:
    yield from work(1)
    yield from Rollback("no use")


def test_undos_are_commands_like_others() -> None:
    run = Recorded(undone())
    run.answer("work", 1)
    assert run.waits_for == ["rollback:work"]
    run.answer("rollback:work", None)
    assert run.states == {"work": "done", "__rollback": "done", "rollback:work": "done"}


def test_undos_that_are_tried_again_are_waited_for_again() -> None:
    run = Recorded(undone())
    run.answer("work", 1)
    run.feed(lambda at: Answered(Key("rollback:work"), Err(Failure("OSError", "no route")), at=at))
    assert timeline(run.rows).ended is not None
    assert run.waits_for == []
    run.feed(lambda at: RollbackRetried(at=at))
    assert run.waits_for == ["rollback:work"]
    run.answer("rollback:work", None)
    assert run.states["rollback:work"] == "done"


def test_a_cancel_is_in_the_timeline_and_cuts_what_was_waited_for() -> None:
    run = Recorded(order())
    run.answer("work", 1)
    run.feed(lambda at: CancelRequested(reason="enough", at=at))
    assert run.states == {"work": "done", "__sleep": "cut", "cancel": "event"}
    assert run.entries["cancel"].label == "by cancel: enough"


@pytest.mark.parametrize("count", [0, 1, 4])
def test_any_prefix_of_a_history_can_be_read(count: int) -> None:
    run = Recorded(order())
    run.answer("work", 1)
    timeline(run.rows[:count])


# ── signals that were set aside ─────────────────────────────────────────────────────────────────
def test_a_signal_that_was_set_aside_ended_no_wait() -> None:
    """G6."""
    rows: list[Row] = [
        Started(id="x", run=UUID(int=1), at=BEGIN, input={}),
        Asked(Key("__wait_signal"), "wait_signal", "tick"),
        Signalled("tick", 1, at=BEGIN),
        SetAside(key=Key("__wait_signal"), name="tick", error="not a text"),
    ]
    line = timeline(rows)
    assert [(entry.kind, entry.label, entry.state) for entry in line.entries] == [
        ("wait_signal", "tick", "waiting"),
        ("set_aside", "signal tick: not a text", "event"),
    ]
    assert [entry.key for entry in line.open] == ["__wait_signal"]
    (entry,) = timeline([*rows, Signalled("tick", "tock", at=BEGIN)]).entries[:1]
    assert (entry.state, entry.value) == ("done", "tock")


@pytest.mark.parametrize("key", ["__wait_signal", "__race"])
def test_the_next_that_was_kept_ends_the_wait(key: str) -> None:
    rows: list[Row] = [
        Started(id="x", run=UUID(int=1), at=BEGIN, input={}),
        Signalled("tick", 1, at=BEGIN),
        Signalled("tick", "tock", at=BEGIN),
        TimerFired(Key("__sleep"), at=BEGIN),
    ]
    wait, aside = Asked(Key("__wait_signal"), "wait_signal", "tick"), SetAside(key=Key(key), name="tick", error="not a text")
    rows += [wait, aside] if key == wait.key else [aside, wait]
    entry = next(entry for entry in timeline(rows).entries if entry.kind == "wait_signal")
    assert (entry.state, entry.value) == ("done", "tock")
