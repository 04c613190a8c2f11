"""Diagrams: every way through a workflow, its undos and its ends."""

from __future__ import annotations

import enum
import sys
from pathlib import Path

import pytest

from examples.saga import Trip, book_trip
from redrive.cli.program import main
from redrive.testing import diagram
from redrive_interpreter import Flow, Map, Note, Sleep, Step, Switch, Workflow, step, workflow


@step
def looks_good(n: int) -> bool: ...


@workflow("loops")
def loops(n: int) -> Flow[str]:
    for _ in range(n):
        if (yield from looks_good(n)):
            return 'it "was" [good]'
        yield from Sleep(60)
    return "never"


def test_a_saga_is_drawn_with_its_undos() -> None:
    drawn = diagram(book_trip(Trip("Ada", "Oslo")))
    assert drawn.startswith('flowchart TD\n  begin(("trips.book")) --> s0\n  s0["book_flight"]\n')
    assert '["undo book_hotel: cancel_booking"]:::undo' in drawn
    assert "|book_car fails: SoldOut|" in drawn
    assert '(["completed"]):::good' in drawn


def test_a_workflow_alone_gets_sample_arguments() -> None:
    assert diagram(book_trip) == diagram(book_trip(Trip("traveller", "city")))


def test_a_name_of_several_lines_does_not_break_a_line_of_the_drawing() -> None:
    @workflow("lines\nand\r\nlines")
    def lines() -> Flow[None]:
        yield from Step("first\nsecond", str)

    drawn = diagram(lines())
    assert "first second done" in drawn
    assert '(("lines and  lines")) -->' in drawn


def test_the_rounds_of_a_loop_are_one_box() -> None:
    drawn = diagram(loops(5))
    assert drawn.count('["looks_good"]') == 1
    assert drawn.count("looks_good = True") == drawn.count("-->|looks_good = True|") == 1
    assert "sleep is due" in drawn


class Risk(enum.Enum):
    LOW = 1
    HIGH = 2


@step
def assess(n: int) -> Risk: ...


@step
def look_closer(n: int) -> None: ...


@workflow("routes")
def routes(n: int) -> Flow[None]:
    risk = yield from assess(n)
    yield from (
        Switch("route", risk)
        .when(Risk.LOW, Note("fine"))
        .when(Risk.HIGH, look_closer(n))
        .when(lambda risk: risk is None, loops(n), label="unknown")
        .otherwise(looks_good(n))
    )


def test_the_cases_of_a_switch_are_drawn_those_too_that_nothing_takes() -> None:
    drawn = diagram(routes)
    assert "-->|assess = Risk.LOW, route: LOW|" in drawn
    assert "-->|assess = Risk.HIGH, route: HIGH|" in drawn
    assert '  u0["loops"]:::case\n  s0 -.->|route: unknown · never taken| u0\n' in drawn
    assert '  u1["looks_good"]:::case\n  s0 -.->|route: otherwise · never taken| u1\n' in drawn
    assert "LOW · never" not in drawn


def test_a_case_that_is_taken_at_once_stands_at_the_beginning() -> None:
    @workflow("early")
    def early(n: int) -> Flow[None]:
        yield from Switch("size", n).when(1, look_closer(n)).otherwise(Note("none"))

    drawn = diagram(early(1))
    assert '  begin(("early")) -->|size: 1| s0\n' in drawn
    assert "  begin -.->|size: otherwise · never taken| u0\n" in drawn


def test_the_items_of_a_map_are_one_box() -> None:
    @workflow("mapped")
    def mapped(n: int) -> Flow[None]:
        yield from Map(look_closer, [1, 2, 3])

    drawn = diagram(mapped)
    assert drawn.count("look_closer") == 3
    assert '  s0["map/look_closer<br/>stays after map/look_closer done"]\n' in drawn
    assert "  s0 -->|map/look_closer done| s1\n" in drawn


def test_cancels_are_drawn_when_asked_for() -> None:
    assert "cancelled" not in diagram(loops(2))
    assert "-->|cancel|" in diagram(loops(2), cancels=1)


def test_what_was_not_explored_is_said() -> None:
    assert "not all of it was explored" in diagram(loops(50), budget=5)


def test_the_command_line_prints_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    assert main(["diagram", "examples.saga:book_trip"]) == 0
    assert capsys.readouterr().out == diagram(book_trip)


def test_a_picture_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mermaidx", reason="needs the extra redrive[diagram]")
    monkeypatch.chdir(Path(__file__).parents[2])
    assert main(["diagram", "examples.saga:book_trip", "--svg", str(tmp_path / "saga.svg")]) == 0
    drawn = (tmp_path / "saga.svg").read_text()
    assert drawn.startswith("<svg")
    assert "book_flight" in drawn


def test_a_picture_needs_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.setitem(sys.modules, "mermaidx", None)
    assert main(["diagram", "examples.saga:book_trip", "--svg", str(tmp_path / "saga.svg")]) == 2
    assert "pip install 'redrive[diagram]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("examples.saga", "does not name a workflow"),
        ("examples.sagas:book_trip", "no module"),
        ("examples.saga:book_trips", "has no 'book_trips'"),
        ("examples.saga:Trip", "not a workflow"),
        ("tests.testing.test_diagrams:elsewhere", "known by name only"),
        ("tests.testing.test_diagrams:odd", "no sample"),
    ],
)
def test_what_cannot_be_drawn_is_said(name: str, problem: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    assert main(["diagram", name]) == 2
    assert problem in capsys.readouterr().err


class Odd:
    def __init__(self, needs: object) -> None: ...


@workflow("odd")
def odd(what: Odd) -> Flow[None]:
    yield from Step("nothing", lambda: None)


elsewhere = Workflow("elsewhere", returns=int)
