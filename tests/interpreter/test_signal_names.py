"""Signals that are called alike are several (N7), and what older releases stored by the bare name goes on."""

from __future__ import annotations

from typing import Any

import pytest

from redrive_interpreter import All, Asked, Diverged, Race, SendSignal, SetAside, Signal, Signalled, WaitSignal, replay, workflow
from redrive_interpreter.history.row_json import dump_row, load_row
from tests.interpreter.kit import T0, Run, start

ONE, TWO, THREE = Signal("a", str).of("b:c"), Signal("a:b", str).of("c"), Signal("a:b:c", str)
SOURCES = {"one": ONE, "two": TWO, "three": THREE}


def come(run: Run, signal: Signal[Any], payload: Any) -> Run:
    return run.tell(Signalled(signal.name, payload, at=run.now, path=signal.path))


@workflow("all")
def wait_for_all() -> Any:
    return (yield from All(**{name: WaitSignal(source) for name, source in SOURCES.items()}))


@workflow("in turn")
def wait_in_turn() -> Any:
    first = yield from WaitSignal(ONE, timeout=9, default="-")
    return first, (yield from WaitSignal(TWO)), (yield from WaitSignal(THREE))


def test_each_of_three_that_are_called_alike_ends_its_own_wait() -> None:
    run = start(wait_for_all())
    for name in ("three", "one", "two"):
        come(run, SOURCES[name], name)
    assert run.result == {name: name for name in SOURCES}


def test_a_kept_signal_is_not_taken_by_a_wait_for_one_that_is_called_alike() -> None:
    run = start(wait_in_turn())
    come(come(run, THREE, "three"), TWO, "two")
    assert run.fire(run.asked[0]).result == ("-", "two", "three")


def test_a_race_goes_by_the_signal_that_came_first() -> None:
    @workflow("w")
    def w() -> Any:
        yield from WaitSignal("go")
        won = yield from Race(one=WaitSignal(ONE), three=WaitSignal(THREE))
        return won.name

    run = start(w())
    come(run, THREE, "x")
    come(run, ONE, "x")
    assert run.signal("go").result == "three"


@pytest.mark.parametrize("name", list(SOURCES))
def test_a_signal_by_name_is_for_the_oldest_wait_that_is_called_so(name: str) -> None:
    @workflow("w")
    def w() -> Any:
        return (yield from WaitSignal(SOURCES[name]))

    assert start(w()).signal("a:b:c", "by name").result == "by name"


def test_signals_by_name_and_by_themselves_are_taken_in_the_order_in_which_they_came() -> None:
    @workflow("w")
    def w() -> Any:
        yield from WaitSignal("go")
        first = yield from WaitSignal(ONE)
        return first, (yield from WaitSignal(ONE)), (yield from WaitSignal(ONE))

    run = start(w())
    come(run, ONE, "1")
    run.signal("a:b:c", "2")
    come(run, TWO, "not it")
    come(run, ONE, "3")
    assert run.signal("go").result == ("1", "2", "3")


def test_waits_that_an_older_release_recorded_go_on() -> None:
    """It stored the bare name of waits and of signals, and took them by it."""
    run = start(wait_for_all())
    run.signal("a:b:c", "first")
    rows = [load_row(older(dump_row(row))) for row in run.rows]
    assert all("signal" not in (row.input or {}) for row in rows if isinstance(row, Asked))
    replayed = replay(wait_for_all, rows)
    assert replayed.rows == []
    machine = replayed.machine
    machine.receive(Signalled(THREE.name, "three", at=T0, path=THREE.path))
    machine.receive(Signalled("a:b:c", "second", at=T0))
    assert machine.verdict.outcome.value == {"one": "first", "two": "second", "three": "three"}  # type: ignore[union-attr]
    assert replay(wait_for_all, [*rows, *machine.take()]).rows == []


def older(row: dict[str, Any]) -> dict[str, Any]:
    if isinstance(row.get("input"), dict):
        row["input"].pop("signal", None)
    row.pop("path", None)
    return row


def test_a_send_that_an_older_release_recorded_goes_on() -> None:
    @workflow("w")
    def w() -> Any:
        yield from SendSignal("other", ONE, "x")
        return (yield from WaitSignal("go"))

    run = start(w()).ok("__send_signal")
    rows = [load_row(older(dump_row(row))) for row in run.rows]
    assert replay(w, rows).rows == []


@pytest.mark.parametrize("changed", ["two", "three"])
def test_a_wait_for_another_signal_that_is_called_alike_is_a_divergence(changed: str) -> None:
    """D1."""
    now = ["one"]

    @workflow("w")
    def w() -> Any:
        return (yield from WaitSignal(SOURCES[now[0]]))

    run = start(w())
    now[0] = changed
    with pytest.raises(Diverged, match="a:b:c"):
        replay(w, run.rows)


def test_how_a_name_is_put_together_is_kept_in_the_history() -> None:
    run = come(start(wait_for_all()), TWO, "x")
    signalled = run.rows[-1]
    assert dump_row(signalled)["name"] == "a:b:c"
    assert load_row(dump_row(signalled)) == signalled
    plain = Signalled("approved", "x", at=T0)
    assert set(dump_row(plain)) == {"row", "name", "payload", "at"}


def test_what_cannot_be_read_is_set_aside_under_its_own_name() -> None:
    @workflow("w")
    def w() -> Any:
        return (yield from WaitSignal(Signal("a", int).of("b")))

    from redrive.codec import JsonCodec

    run = start(w(), codec=JsonCodec())
    come(run, Signal("a", str).of("b"), "no number")
    assert any(isinstance(row, SetAside) and row.name == "a:b" for row in run.rows)
    (kept,) = [request for request in run.requests if hasattr(request, "sent_at")]
    assert (kept.signal, kept.path) == ("a:b", ("a", "b"))  # type: ignore[union-attr]
