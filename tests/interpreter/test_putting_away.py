"""Putting a run away at any yield leaves no trace; a `finally` that yields is refused, and told once (D4, D5, D6)."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from redrive_interpreter import All, Flow, Machine, Sleep, UnexpectedFact, workflow
from tests.interpreter.kit import start
from tests.interpreter.shop import ping


@workflow("plain")
def plain() -> Flow[Any]:
    try:
        return (yield from All(ping(1), Sleep(60)))
    except Exception:
        return "swallowed"


def test_closing_asks_nothing_and_says_nothing() -> None:
    """D5."""
    run = start(plain())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.machine.close()
        run.machine.close()
    assert run.machine.take() == []


def test_a_closed_machine_takes_no_more_facts() -> None:
    run = start(plain())
    run.machine.close()
    with pytest.raises(UnexpectedFact, match="closed"):
        run.ok("__all/0/ping")


def test_a_finally_that_yields_is_refused_with_one_warning() -> None:
    """D6."""

    @workflow("tidies")
    def tidies() -> Flow[None]:
        try:
            yield from Sleep(60)
        finally:
            yield from ping(1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            start(tidies(), checked=False).machine.close()
    [warning] = caught
    assert "tidies" in str(warning.message)
    assert "test_putting_away.py" in str(warning.message)
    assert "undo=" in str(warning.message)


def test_one_that_ignores_being_closed_is_told_and_does_no_harm() -> None:
    """D6."""

    @workflow("stubborn")
    def stubborn() -> Flow[None]:
        for _ in range(5):
            try:
                yield from Sleep(60)
            except BaseException:
                continue

    run = start(stubborn(), checked=False)
    with pytest.warns(RuntimeWarning, match="stubborn"):
        run.machine.close()
    assert run.machine.take() == []


def test_a_finally_that_raises_is_told_and_does_no_harm() -> None:
    @workflow("raises")
    def raising() -> Flow[None]:
        try:
            yield from Sleep(60)
        finally:
            raise ValueError("in finally")

    run = start(raising(), checked=False)
    with pytest.warns(RuntimeWarning, match="in finally"):
        run.machine.close()


def test_a_finally_that_exits_is_told_and_does_no_harm() -> None:
    """D5: who puts a run away does not end with it."""

    @workflow("exits")
    def exits() -> Flow[None]:
        try:
            yield from Sleep(60)
        finally:
            raise SystemExit("in finally")

    run = start(exits(), checked=False)
    with pytest.warns(RuntimeWarning, match="in finally"):
        run.machine.close()


def test_suspension_is_nothing_that_user_code_can_see() -> None:
    """D4."""
    seen: list[str] = []

    @workflow("nosy")
    def nosy() -> Flow[Any]:
        try:
            yield from ping(1)
            yield from ping(2)
        except BaseException as error:
            seen.append(type(error).__name__)
            raise
        return "done"

    run = start(nosy(), checked=False).ok("ping")
    assert seen == []
    assert run.ok("ping#2").result == "done"
    assert seen == []


def test_a_machine_that_never_began_can_be_closed() -> None:
    Machine(plain).close()
