"""What the test kit says to a test that is written wrong, and what it does for one that is written right."""

from __future__ import annotations

import datetime as dt
import enum
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import pytest

from redrive import Flow, Retry, Signal, Sleep, WaitSignal, current_step, step, workflow
from redrive.testing import (
    InvariantBroken,
    Play,
    UntestedInvariant,
    Violation,
    always_eventually,
    assert_survives_crashes,
    at_most_once,
    compensated,
    explore,
    never,
    play,
    step_context,
)


class Short(Exception):
    def __init__(self, sku: str, left: int) -> None:
        super().__init__(sku, left)
        self.sku, self.left = sku, left

    def __str__(self) -> str:
        return f"{self.left} left of {self.sku}"


class Colour(enum.Enum):
    RED = "r"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Line:
    sku: str
    colour: Colour = Colour.RED


class Size(NamedTuple):
    width: float
    height: float


@attrs.frozen
class Order:
    id: str
    lines: list[Line] = attrs.field(factory=lambda: [Line("a"), Line("b")])
    size: Size = attrs.field(factory=lambda: Size(1.0, 2.5))
    at: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    until: dt.timedelta | None = dt.timedelta(days=1)
    total: Decimal = Decimal("1.50")
    of: UUID = attrs.field(factory=lambda: UUID(int=7))
    tags: frozenset[str] = frozenset({"x", "y"})
    access: Access = Access.READ | Access.WRITE
    weights: dict[str, float] = attrs.field(factory=lambda: {"inf": float("inf")})


@step(raises=[Short], retry=Retry(attempts=2))
def take(order: Order) -> Order: ...


@step
def ship(order: Order) -> str: ...


@step
def wrap(order: Order) -> str: ...


packed = Signal("kit.packed", Order)


@workflow("kit.order", signals=[packed])
def process(order: Order, *, fast: bool = False) -> Flow[str]:
    try:
        taken = yield from take(order)
    except Short as short:
        return str(short)
    yield from WaitSignal(packed, timeout=5, default=None)
    return (yield from ship(taken))


process_by_another_name = process


# ── what is written wrong ───────────────────────────────────────────────────────────────────────
WRONG: list[tuple[Any, str]] = [
    (lambda: play(process), r"call it, play\(process\(…\)\)"),  # type: ignore[arg-type]
    (lambda: play(take(Order("o"))), "a workflow yields it"),  # type: ignore[arg-type]
    (lambda: play("kit.order"), "it got 'kit.order'"),  # type: ignore[arg-type]
    (lambda: play(process(Order("o")), "taken"), r"answers= takes a mapping.*it got 'taken'"),  # type: ignore[arg-type]
    (lambda: play(process(Order("o")), {}, packed), "signals= takes a mapping"),  # type: ignore[arg-type]
    (lambda: play(process(Order("o"))).answer(take, Order("o")), r"call it, run.answer\(take\(…\), …\)"),  # type: ignore[arg-type]
    (lambda: play(process(Order("o"))).answer(len, 1), "is a function"),  # type: ignore[arg-type]
    (lambda: play(process(Order("o"))).answer(Order("o"), 1), "takes the command that is asked now"),  # type: ignore[arg-type]
    (lambda: play(process(Order("o"))).answer(process(Order("o")), 1), "a child is answered as"),  # type: ignore[arg-type]
    (lambda: play(process(Order("o"))).fail(take, Short("a", 1)), r"run.fail\(take\(…\), …\)"),  # type: ignore[arg-type]
    (lambda: play(process(Order("o"))).fail("take", "no"), r"takes an exception.*it got 'no'"),  # type: ignore[arg-type]
    (lambda: play(process(Order("o"))).fail("take", Short), "cannot be made without arguments"),  # type: ignore[arg-type]
    (lambda: explore(process), r"call it, explore\(process\(…\)\)"),  # type: ignore[arg-type]
    (lambda: explore(process(Order("o")), never(ship)), "invariants as a list"),  # type: ignore[arg-type]
    (lambda: explore(process(Order("o")), ["ship"]), "neither an invariant nor a predicate"),  # type: ignore[list-item]
    (lambda: assert_survives_crashes(process), r"assert_survives_crashes\(process\(…\)\)"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_a_wrong_call_is_told_in_a_sentence(call: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        call()


def test_an_exception_class_without_arguments_may_stand_for_its_instance() -> None:
    run = play(process(Order("o")))
    run.fail("take", ConnectionError)  # type: ignore[arg-type]
    assert "ConnectionError" in str(run.error)


def test_a_missed_key_lists_those_there_are() -> None:
    run = play(process(Order("o")))
    with pytest.raises(AssertionError, match=r"expected  'tkae', a key\nthe keys asked now:\n  'take': Step\('take'"):
        run.answer("tkae", 1)


# ── samples ─────────────────────────────────────────────────────────────────────────────────────
def test_an_error_with_two_parameters_gets_a_sample() -> None:
    explored = explore(process(Order("o")), signals={})
    assert "completed" in explored.ends
    assert any("take fails: Short" in label for _, label, _ in explored.edges)


# ── bodies alone ────────────────────────────────────────────────────────────────────────────────
@step(retry=Retry(attempts=3))
def resume(order: str) -> str:
    here = current_step()
    done = here.last_heartbeat or 0
    here.heartbeat(done + 1)
    if here.attempt < 3:
        raise ConnectionError
    return f"{here.execution_id} {here.key} {here.attempt} {done} {here.idempotency_key != ''}"


@workflow("kit.resumes")
def resumes() -> Flow[str]:
    yield from Sleep(1)
    return (yield from resume("o"))


def test_a_body_that_asks_for_its_context_is_tested_alone() -> None:
    with pytest.raises(LookupError, match="step_context"):
        resume.body("o")
    with step_context(execution_id="o-1", key="resume", attempt=3, last_heartbeat=2) as context:
        assert resume.body("o") == "o-1 resume 3 2 True"
        assert context.told == 3
    with pytest.raises(LookupError):
        current_step()


def test_a_body_stands_as_a_stub_with_its_attempts_and_heartbeats(play: Play) -> None:
    run = play(resumes(), answers={resume: resume.body}, id="o-7")
    assert run.result == "o-7 resume 3 2 True"


# ── reproductions ───────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "invariant",
    [never(ship), never(ship, after=packed), always_eventually(ship), at_most_once(take), lambda view: view.done(ship) == 0],
    ids=["never", "after", "eventually", "once", "lambda"],
)
def test_a_pasted_reproduction_runs_and_fails_as_it_says(invariant: Any, tmp_path: Path) -> None:
    with pytest.raises(Violation) as found:
        explore(process(Order("o"), fast=True), [invariant], timeout=dt.timedelta(hours=1), id="pasted", undeclared=True)
    pasted: dict[str, Any] = {}
    exec(compile(found.value.test, str(tmp_path / "test_pasted.py"), "exec"), pasted)
    (test,) = [value for name, value in pasted.items() if name.startswith("test_")]
    with pytest.raises(InvariantBroken):
        test(play)


def test_a_reproduction_imports_a_script_by_the_name_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.fn, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "somewhere/shop.py", raising=False)
    with pytest.raises(Violation) as found:
        explore(process(Order("o")), [lambda view: view.done(ship) == 0], signals={})
    assert "from shop import" in found.value.test


# ── invariants that say nothing ─────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("invariant", "sentence"),
    [
        (never("shpi"), "'shpi' cannot occur"),
        (never(wrap), "wrap cannot occur"),
        (never(take, after="shpi"), "'shpi' occurred in none of the"),
        (never(take, after=wrap), "wrap occurred in none of the"),
        (at_most_once("tkae"), "'tkae' cannot occur"),
        (compensated(wrap), "wrap cannot occur"),
        (always_eventually(ship, after="tkae"), "'tkae' occurred in none of the"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_invariant_about_what_cannot_occur_is_told(invariant: Any, sentence: str) -> None:
    with pytest.warns(UntestedInvariant, match=f"was not tested: {sentence}.*what occurred: .*ship"):
        explore(process(Order("o")), [invariant])


def test_what_could_occur_and_never_does_is_what_never_is_for() -> None:
    @workflow("kit.refuses")
    def refuses(order: Order) -> Flow[None]:
        taken = yield from take(order)
        if taken.id == "never this":
            yield from ship(taken)

    assert explore(refuses(Order("o")), [never(ship), never(ship, after=take)]).complete


# ── tracebacks ──────────────────────────────────────────────────────────────────────────────────
def test_the_traceback_of_a_missed_expectation_shows_the_test_and_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(SHOP)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert "3 failed" in done.stdout
    assert "redrive/testing/" not in done.stdout
    assert "redrive_interpreter/" not in done.stdout
    assert "run.answer(charge" in done.stdout
    assert 'assert order == "other"' in done.stdout


SHOP = """
from redrive import Flow, step, workflow
from redrive.testing import explore

@step
def charge(order: str) -> str: ...

@workflow("w")
def w() -> Flow[str]:
    return (yield from charge("o-1"))

def test_missed(play):
    run = play(w())
    run.answer(charge("o-2"), "ch")

def test_stub(play):
    def body(order):
        assert order == "other"
    play(w(), answers={charge: body})

def test_found():
    explore(w(), [lambda view: view.done(charge) == 0])
"""
