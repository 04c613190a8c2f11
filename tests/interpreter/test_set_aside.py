"""Signals that a wait cannot read are set aside, and the wait goes on with the next (G6)."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from redrive.codec import JsonCodec
from redrive_interpreter import (
    All,
    Asked,
    ContinueAs,
    Diverged,
    Flow,
    KeepAside,
    Key,
    Ok,
    Race,
    SetAside,
    Signal,
    Signalled,
    SignalTimeout,
    UndecodableValue,
    WaitSignal,
    dump_row,
    load_row,
    replay,
    workflow,
)
from tests.interpreter.kit import T0, Run, raises, start
from tests.interpreter.shop import ping

CODEC = JsonCodec()


@attrs.frozen
class Approval:
    by: str
    level: int


approved = Signal("approved", Approval)
tick = Signal("tick")
GOOD = {"by": "Ada", "level": 1}


def run_of(invocation: Any) -> Run:
    return start(invocation, codec=CODEC)


def aside(run: Run) -> list[tuple[str, str]]:
    return [(str(row.key), row.name) for row in run.rows if isinstance(row, SetAside)]


@workflow("w")
def w() -> Flow[str]:
    return (yield from WaitSignal(approved)).by


def test_a_signal_of_another_type_is_set_aside_and_the_wait_goes_on_with_the_next() -> None:
    """G6."""
    run = run_of(w()).signal("approved", 5, sent=0)
    assert run.asked == ["__wait_signal"]
    (kept,) = run.of(KeepAside)
    assert (kept.signal, kept.payload, kept.sent_at) == ("approved", 5, T0)
    assert "Approval" in kept.error
    assert aside(run) == [("__wait_signal", "approved")]
    assert run.machine.unread == 0
    assert run.signal("approved", {"by": "Bob"}).signal("approved", GOOD).result == "Ada"
    assert len(aside(run)) == 2


def test_a_kept_signal_that_cannot_be_read_is_set_aside_when_it_is_waited_for() -> None:
    @workflow("w")
    def late() -> Flow[str]:
        yield from ping(1)
        return (yield from WaitSignal(approved)).by

    run = run_of(late()).signal("approved", "Ada").signal("approved", GOOD).signal("approved", 7)
    assert aside(run) == []
    run.ok("ping", 1)
    assert run.result == "Ada"
    assert aside(run) == [("__wait_signal", "approved")]
    assert run.machine.unread == 1


def test_what_was_set_aside_leaves_the_timeout_as_it_was() -> None:
    """G2, O3."""

    @workflow("w")
    def w() -> Flow[str]:
        try:
            return (yield from WaitSignal(approved, timeout=5)).by
        except SignalTimeout:
            return "nobody"

    run = run_of(w()).at(1).signal("approved", 5, sent=1)
    assert run.fire("__wait_signal").result == "nobody"


def test_a_wait_without_patience_takes_the_first_that_it_can_read() -> None:
    @workflow("w")
    def w() -> Flow[list[Approval | None]]:
        yield from ping(1)
        first = yield from WaitSignal(approved, timeout=0, default=None)
        return [first, (yield from WaitSignal(approved, timeout=0, default=None))]

    run = run_of(w()).signal("approved", 1).signal("approved", GOOD).signal("approved", 2).ok("ping", 1)
    assert run.fire("__wait_signal#2").result == [GOOD, None]
    assert aside(run) == [("__wait_signal", "approved"), ("__wait_signal#2", "approved")]


def test_the_oldest_wait_is_offered_a_signal_and_no_other_one_then() -> None:
    """G1."""

    @workflow("w")
    def w() -> Flow[list[Approval]]:
        return list((yield from All(WaitSignal(approved), WaitSignal(approved))))

    run = run_of(w()).signal("approved", 5)
    assert aside(run) == [("__all/0/__wait_signal", "approved")]
    run.signal("approved", GOOD).signal("approved", {"by": "Bob", "level": 2})
    assert [got["by"] for got in run.result] == ["Ada", "Bob"]


def test_a_race_is_not_held_up_by_a_signal_that_none_of_its_branches_can_read() -> None:
    """P1: the branch that could not finish is started, and the one that can wins."""

    @workflow("w")
    def w() -> Flow[list[Any]]:
        yield from ping(1)
        won = yield from Race(WaitSignal(approved), WaitSignal(tick))
        return [won.index, (yield from WaitSignal(approved)).by]

    run = run_of(w()).signal("approved", 5).signal("tick").ok("ping", 1)
    assert aside(run) == [("__race", "approved")]
    assert run.signal("approved", GOOD).result == [1, "Ada"]


def test_replay_sets_aside_what_was_set_aside_whatever_todays_types_can_read() -> None:
    run = run_of(w()).signal("approved", 5)

    @workflow("w")
    def wider() -> Flow[Any]:
        return (yield from WaitSignal(Signal("approved", int)))

    again = run.replay(wider)
    assert again.asked == ["__wait_signal"]
    assert again.signal("approved", 6).result == 6


def test_what_was_read_then_and_cannot_be_now_is_the_codes_matter() -> None:
    """N6: it is UndecodableValue, which parks; it is never set aside behind the workflow's back."""

    @workflow("w")
    def w() -> Flow[Any]:
        got = yield from WaitSignal(Signal("approved", int))
        yield from ping(1)
        return got

    run = run_of(w()).signal("approved", 5)

    @workflow("w")
    def narrower() -> Flow[Any]:
        got = yield from WaitSignal(approved)
        yield from ping(1)
        return got

    assert "signal approved" in raises(UndecodableValue, lambda: replay(narrower, run.rows, CODEC))


def test_a_history_that_set_aside_what_the_code_no_longer_waits_for_diverges() -> None:
    """D1."""
    run = run_of(w()).signal("approved", 5)
    rows = [attrs.evolve(row, key=Key("elsewhere")) if isinstance(row, SetAside) else row for row in run.rows]
    rows = [attrs.evolve(row, payload=GOOD) if isinstance(row, Signalled) else row for row in rows]
    with pytest.raises(Diverged, match="set aside then"):
        replay(w, rows, CODEC)


def test_a_crash_before_the_decision_was_stored_comes_to_the_same() -> None:
    run = run_of(w()).signal("approved", 5)
    cut = [row for row in run.rows if not isinstance(row, SetAside)]
    replayed = replay(w, cut, CODEC)
    assert [type(row) for row in replayed.rows] == [SetAside]
    assert [type(request) for request in replayed.requests] == [KeepAside]
    assert list(replayed.machine.verdict.pending) == ["__wait_signal"]  # type: ignore[union-attr]


def test_a_signal_carried_into_the_next_run_is_set_aside_there() -> None:
    """E9."""

    @workflow("w")
    def w(again: bool) -> Flow[str]:
        if again:
            yield from ping(1)
            return (yield from ContinueAs(w(False)))
        return (yield from WaitSignal(approved)).by

    run = run_of(w(True)).signal("approved", 5, sent=0).ok("ping", 1)
    started = run.machine.next_run(run=run.machine.info.run, at=T0)
    replayed = replay(w, [started], CODEC)
    assert [type(row) for row in replayed.rows] == [Asked, SetAside]
    assert replayed.machine.receive(Signalled("approved", GOOD, at=T0)) == []
    assert replayed.machine.finished is not None
    assert replayed.machine.finished.outcome == Ok("Ada")


def test_the_row_is_stored_and_read() -> None:
    (row,) = [row for row in run_of(w()).signal("approved", 5).rows if isinstance(row, SetAside)]
    data = dump_row(row)
    assert data == {"row": "set_aside", "key": "__wait_signal", "name": "approved", "error": row.error}
    assert load_row(data) == row
