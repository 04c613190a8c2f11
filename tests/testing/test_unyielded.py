"""A forgotten ``yield from`` runs nothing; `play` and `explore` say so, with the line."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from redrive import All, ContinueAs, Flow, Map, Race, Settle, Signal, Sleep, Spawn, StartChild, Switch, WaitSignal, step, workflow
from redrive.testing import Unexpected, UnyieldedCommand, explore, play


@step
def release(hold: str) -> None: ...


@step
def reserve(sku: str) -> str:
    return "hold"


@step(undo=release)
def hold(sku: str) -> str:
    return "hold"


@workflow("unyielded.child")
def child() -> Flow[None]:
    yield from Sleep(1)


@workflow("unyielded.dropped")
def dropped() -> Flow[None]:
    reserve("a")
    yield from Sleep(1)


@workflow("unyielded.kept")
def kept() -> Flow[str]:
    held = reserve("a")
    yield from Sleep(1)
    return held.step_id


@workflow("unyielded.inline")
def inline() -> Flow[None]:
    child()
    yield from ()


@workflow("unyielded.option")
def option() -> Flow[None]:
    reserve("a").options(id="b")
    yield from ()


@pytest.mark.parametrize(("flow", "named"), [(dropped, "reserve"), (kept, "reserve"), (inline, "unyielded.child"), (option, "b")])
def test_a_run_that_ends_well_warns_of_what_it_built_and_never_yielded(flow: Callable[[], Any], named: str) -> None:
    with pytest.warns(UnyieldedCommand, match=f"{named}.*never yielded.*yield from") as caught:
        play(flow(), answers={})
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_explore_says_it_too() -> None:
    with pytest.warns(UnyieldedCommand, match="reserve"):
        explore(dropped())


def test_a_missed_expectation_names_what_was_built_and_not_yielded() -> None:
    run = play(dropped())
    with pytest.raises(Unexpected, match=r"built and not yielded[^:]*:\n  Step\('reserve', 'a'\)\n    at .*test_unyielded.py:\d+"):
        run.answer(reserve("a"), "hold")
    run.close()


ready = Signal("ready")


@workflow("unyielded.none")
def everything(again: bool = False) -> Flow[None]:
    first, second = reserve("a"), reserve("b").options(id="other")
    yield from All(first, second)
    yield from Race(reserve("c"), Sleep(100))
    yield from Map(reserve, ["d", "e"])
    yield from Map(lambda sku: reserve(sku), ["f"])
    yield from Settle(reserve("g"))
    yield from Spawn(reserve("h"))
    yield from Switch("which", 1).when(1, reserve("i")).when(2, reserve("j")).otherwise(reserve("k"))
    yield from reserve("l").options(undo=release("l"))
    yield from hold("m")
    yield from StartChild(child(), on_parent_close="abandon")
    yield from WaitSignal(ready, timeout=0, default=None)
    if not again:
        yield from ContinueAs(everything(True))


def test_what_a_combinator_holds_or_never_starts_is_no_mistake() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        play(everything(), answers={"reserve": "hold", "other": "hold", "hold": "x"}, id="u")


@workflow("unyielded.failed")
def failing() -> Flow[None]:
    later = reserve("a")
    yield from Sleep(1)
    if True:
        raise RuntimeError("no")
    yield from later


def test_a_run_that_fails_may_not_have_come_to_what_it_had_built() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert play(failing(), answers={}).error is not None
