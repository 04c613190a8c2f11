"""Signals: first in, first out, kept until waited for, decided by stored times (G1, G2, O3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from redrive_interpreter import All, Flow, Now, Race, SetTimer, SignalTimeout, Sleep, WaitSignal, workflow
from tests.interpreter.kit import T0, start
from tests.interpreter.shop import approved, ping, tick


def test_a_signal_before_its_wait_is_kept() -> None:
    """G1."""

    @workflow("w")
    def w() -> Flow[list[str]]:
        yield from ping(1)
        return [(yield from WaitSignal(approved)), (yield from WaitSignal(approved))]

    run = start(w()).signal("approved", "Ada").signal("other").signal("approved", "Ada")
    assert run.machine.unread == 3
    run.ok("ping")
    assert run.result == ["Ada", "Ada"]
    assert (run.machine.unread, run.rows[-1].unread) == (1, 1)  # type: ignore[union-attr]


def test_waits_on_one_name_are_served_oldest_first() -> None:
    """G1."""

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from All(WaitSignal(approved), WaitSignal(tick), WaitSignal(approved)))

    run = start(w()).signal("approved", "first").signal("approved", "second").signal("tick")
    assert run.result == ("first", None, "second")


def test_a_cut_wait_takes_nothing() -> None:
    """G1."""

    @workflow("w")
    def w() -> Flow[str]:
        yield from Race(WaitSignal(approved), Sleep(5))
        return (yield from WaitSignal(approved))

    assert start(w()).fire("__race/1/__sleep").signal("approved", "Ada").result == "Ada"


def test_names_with_a_suffix_are_names_of_their_own() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        return (yield from WaitSignal(approved.of("d-17")))

    run = start(w()).signal("approved", "no").signal("approved:d-17", "yes")
    assert run.result == "yes"


def test_no_signal_in_time_is_signal_timeout() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        try:
            return (yield from WaitSignal(approved, timeout=60))
        except SignalTimeout as error:
            return [error.signal, (yield from Now()).isoformat()]

    run = start(w())
    assert [(timer.key, timer.due) for timer in run.of(SetTimer)] == [("__wait_signal", T0 + timedelta(seconds=60))]
    assert run.fire("__wait_signal").result == ["approved", "2027-01-01T00:01:00+00:00"]


def test_or_the_default() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from WaitSignal(approved, timeout=60, default=None))

    assert start(w()).fire("__wait_signal").result is None


def test_a_signal_clears_the_timer() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        return (yield from WaitSignal(approved, until=T0 + timedelta(days=1)))

    run = start(w()).signal("approved", "Ada")
    assert (run.result, run.machine.timers) == ("Ada", {})


def test_what_was_stored_up_to_the_due_time_ends_the_wait_however_late_it_is_taken_up() -> None:
    """O3, G2."""

    @workflow("w")
    def w() -> Flow[str]:
        return (yield from WaitSignal(approved, timeout=60, default="nobody"))

    assert start(w()).at(3600).signal("approved", "Ada", sent=60).result == "Ada"


def test_what_was_stored_later_stays_for_the_next_wait() -> None:
    """O3."""

    @workflow("w")
    def w() -> Flow[list[str]]:
        first = yield from WaitSignal(approved, timeout=60, default="nobody")
        return [first, (yield from WaitSignal(approved, timeout=60, default="nobody"))]

    run = start(w()).at(100).signal("approved", "Ada", sent=61)
    assert run.asked == ["__wait_signal"]
    assert run.fire("__wait_signal").result == ["nobody", "Ada"]


def test_a_timeout_of_zero_takes_what_is_there() -> None:
    @workflow("w")
    def w() -> Flow[list[str]]:
        yield from ping(1)
        first = yield from WaitSignal(approved, timeout=0, default="nothing")
        return [first, (yield from WaitSignal(approved, timeout=0, default="nothing"))]

    run = start(w()).signal("approved", "Ada").ok("ping")
    assert run.fire("__wait_signal#2").result == ["Ada", "nothing"]


def test_a_signal_after_the_end_is_dropped() -> None:
    @workflow("w")
    def w() -> Flow[None]:
        yield from ping(1)

    run = start(w()).ok("ping")
    before = list(run.rows)
    assert run.signal("approved", "late").rows == before
