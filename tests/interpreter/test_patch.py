"""Patch: True for runs that reach it first with this code, False for those recorded before (D3)."""

from __future__ import annotations

from typing import Any

import pytest

from redrive_interpreter import All, Diverged, Flow, Patch, workflow
from tests.interpreter.kit import raises, start
from tests.interpreter.shop import ping


@workflow("w")
def before() -> Flow[Any]:
    yield from ping(1)
    yield from ping(2)
    return "old"


@workflow("w")
def after() -> Flow[Any]:
    yield from ping(1)
    if (yield from Patch("extra")):
        yield from ping(99)
    yield from ping(2)
    return "new"


@workflow("w")
def gone() -> Flow[Any]:
    yield from ping(1)
    yield from ping(99)
    yield from ping(2)
    return "newest"


def test_a_new_run_takes_the_new_way_and_stores_that() -> None:
    run = start(after()).ok("ping")
    assert run.history == ["ping", "__patch:extra", "ping#2"]
    assert run.ok("ping#2").ok("ping#3").result == "new"


def test_a_run_recorded_before_takes_the_old_way() -> None:
    run = start(before()).ok("ping").replay(after)
    assert run.asked == ["ping#2"]
    assert run.ok("ping#2").result == "new"
    assert "__patch:extra" not in run.history


def test_a_run_that_had_not_come_so_far_takes_the_new_way() -> None:
    run = start(before()).replay(after).ok("ping")
    assert run.history == ["ping", "__patch:extra", "ping#2"]
    assert run.replay().ok("ping#2").ok("ping#3").result == "new"


def test_the_first_answer_holds_for_the_run() -> None:
    def once(n: int) -> Flow[bool]:
        yield from ping(n)
        return (yield from Patch("p"))

    @workflow("w")
    def w() -> Flow[Any]:
        return [(yield from once(1)), (yield from once(2))]

    @workflow("w")
    def old() -> Flow[Any]:
        yield from ping(1)
        yield from ping(2)

    assert start(w()).ok("ping").ok("ping#2").result == [True, True]
    assert start(old()).ok("ping").replay(w).ok("ping#2").result == [False, False]


def test_a_stored_patch_that_code_no_longer_asks_is_skipped() -> None:
    run = start(after()).ok("ping").replay(gone)
    assert run.asked == ["ping#2"]
    assert run.ok("ping#2").ok("ping#3").result == "newest"


def test_old_runs_diverge_once_the_patch_is_gone() -> None:
    assert "arguments changed" in raises(Diverged, lambda: start(before()).ok("ping").replay(gone))


@pytest.mark.parametrize("branch", [0, 1])
def test_it_is_one_answer_for_all_branches(branch: int) -> None:
    def flow(n: int) -> Flow[Any]:
        yield from ping(n)
        return (yield from Patch("p"))

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from All(flow(0), flow(1)))

    run = start(w()).ok(f"__all/{branch}/ping").replay().ok(f"__all/{1 - branch}/ping")
    assert run.result == (True, True)
    assert run.history.count("__patch:p") == 1


def test_false_in_the_middle_of_a_turn_that_is_recorded() -> None:
    @workflow("w")
    def first() -> Flow[Any]:
        yield from ping(1)

    @workflow("w")
    def patched() -> Flow[Any]:
        if (yield from Patch("p")):
            yield from ping(2)
        yield from ping(1)

    run = start(first()).replay(patched)
    assert run.asked == ["ping"]
