"""Small words: durations, colours, arguments."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest

from redrive.cli.arguments import parse_input
from redrive.cli.cli_errors import CommandError, did_you_mean
from redrive.cli.colors import colors_for, visible
from redrive.cli.formatting import brief, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 ms"), (0.85, "850 ms"), (12.34, "12.3 s"), (60, "1 min"), (125, "2 min 5 s"), (7500, "2 h 5 min"),
        (86400 * 3 + 3600 * 4, "3 d 4 h"), (86400 * 36500, "36500 d"), (-5, "-5.0 s"),
    ],
)  # fmt: skip
def test_a_duration_is_said_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert span(timedelta(seconds=seconds)) == words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals(stream: io.StringIO, environ: dict[str, str], coloured: bool) -> None:
    assert ("\x1b[" in colors_for(stream, environ)("red", "x")) is coloured


def test_stored_text_cannot_drive_the_terminal() -> None:
    assert visible("a\x1b[2Jb\nc") == "a\\x1b[2Jb\\nc"
    assert visible("a\nb\x07", lines=True) == "a\nb\\x07"
    assert visible("\ud800") == "\\ud800"


def test_a_long_value_is_cut() -> None:
    assert brief(["x" * 200], 20) == '["' + "x" * 17 + "…"


@pytest.mark.parametrize(
    ("text", "pairs", "arguments"),
    [
        (None, [], {}),
        ('{"order": {"id": "o-1"}}', [], {"order": {"id": "o-1"}}),
        (None, ["n=3", "name=Ada", 'who="3"', "on=true"], {"n": 3, "name": "Ada", "who": "3", "on": True}),
        (None, ["order.id=o-1", "order.total=900"], {"order": {"id": "o-1", "total": 900}}),
        ('{"order": {"id": "o-1", "total": 1}}', ["order.total=2"], {"order": {"id": "o-1", "total": 2}}),
        (None, ["url=a=b"], {"url": "a=b"}),
    ],
)
def test_arguments_are_json_by_name(text: str | None, pairs: list[str], arguments: dict[str, Any]) -> None:
    assert parse_input(text, pairs) == arguments


@pytest.mark.parametrize(("text", "pairs"), [("{", []), ("[1]", []), (None, ["nonsense"]), (None, ["a=1", "a.b=2"])])
def test_what_are_not_arguments_is_said(text: str | None, pairs: list[str]) -> None:
    with pytest.raises(CommandError):
        parse_input(text, pairs)


def test_the_closest_names_are_offered() -> None:
    assert did_you_mean("ordr-1", ["order-1", "order-2", "invoice"]) == "did you mean order-1 or order-2?"
    assert did_you_mean("x", ["order-1"], "look it up") == "look it up"
