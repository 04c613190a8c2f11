"""What earlier releases stored still replays, on the workflows that stored it, for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import redrive_interpreter
from redrive import Workflow
from redrive.codec import JsonCodec, from_json, to_json
from redrive.gate import check
from redrive.histories import read, schema
from redrive_interpreter import Command, dump_row, load_row, replay
from tests.golden import program, record

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.jsonl"))
WORKFLOWS = {value.name: value for value in vars(program).values() if isinstance(value, Workflow)}
UNRECORDED = {"note", "info", "now", "new_id", "random", "set_attribute", "settle"}
"""Commands that write no `asked` row."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_replays(path: Path) -> None:
    assert check(WORKFLOWS, read(path), JsonCodec()) is None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_part_of_a_golden_file_replays_to_what_follows(path: Path) -> None:
    rows = [load_row(row) for row in read(path)]
    for length in range(1, len(rows)):
        if isinstance(rows[length], redrive_interpreter.history.rows.FACTS):
            replay(WORKFLOWS[read(path)[0]["workflow"]], rows[:length], JsonCodec()).machine.close()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_is_written_again_as_it_is(path: Path) -> None:
    assert [dump_row(load_row(row)) for row in read(path)] == read(path)


def test_every_recording_has_its_file_and_every_file_its_recording() -> None:
    assert {path.stem for path in FILES} == set(record.RECORDINGS)


def test_every_kind_of_command_has_been_recorded() -> None:
    kinds = {value.kind for value in vars(redrive_interpreter).values() if isinstance(value, type) and issubclass(value, Command)}
    recorded = {row.get("kind") for path in FILES for row in read(path)}
    assert kinds - {""} <= recorded | UNRECORDED


def test_every_kind_of_row_has_been_recorded() -> None:
    tags = {option.get("properties", schema()["$defs"]["signalled"]["properties"])["row"]["const"] for option in schema()["oneOf"]}
    assert {row["row"] for path in FILES for row in read(path)} == tags == set(redrive_interpreter.history.row_json._LOAD)


def valid(row: dict[str, Any]) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema")
    return [error.message for error in jsonschema.Draft202012Validator(schema()).iter_errors(row)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_row_is_as_the_schema_says(path: Path) -> None:
    for row in read(path):
        assert valid(row) == []
        assert valid(from_json(to_json(row))) == []


@pytest.mark.parametrize(
    "row",
    [
        {"row": "fired", "key": "a"},
        {"row": "fired", "key": "a", "at": "now"},
        {"row": "fired", "key": "a", "at": 1, "more": 2},
        {"row": "answered", "key": "a", "at": 1},
        {"row": "nothing"},
        {},
    ],
    ids=json.dumps,
)
def test_the_schema_refuses_what_is_no_row(row: dict[str, Any]) -> None:
    assert valid(row)


def test_the_schema_itself_is_one() -> None:
    pytest.importorskip("jsonschema").Draft202012Validator.check_schema(schema())
