"""A history in a file: JSON Lines, one row object a line, the run's ``started`` row first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from redrive_interpreter import RedriveError, UndecodableValue, load_row


class BrokenFile(RedriveError):
    """A file that holds no history."""

    path: Path
    problem: str
    line: int

    def __init__(self, path: Path, problem: str, line: int = 0) -> None:
        super().__init__(path, problem, line)
        self.path, self.problem, self.line = path, problem, line

    def __str__(self) -> str:
        return f"{self.path}{f':{self.line}' if self.line else ''}: {self.problem}"


def read(path: Path) -> list[dict[str, Any]]:
    """The rows in *path*. Raises `BrokenFile`, naming the line, for what is not a history that this release can read."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BrokenFile(path, f"not JSON: {error}", number) from None
        if not isinstance(row, dict):
            raise BrokenFile(path, "not the object of a row", number)
        rows.append(cast("dict[str, Any]", row))
        try:
            load_row(rows[-1])
        except UndecodableValue as error:
            raise BrokenFile(path, str(error), number) from None
    if not rows or rows[0].get("row") != "started":
        raise BrokenFile(path, "a history begins with its started row, as `redrive history ID --json` prints it", 1)
    return rows


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write *rows* (JSON objects, as `dump_row` gives) as `read` reads them."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def schema() -> dict[str, Any]:
    """The JSON Schema of one row."""
    loaded: dict[str, Any] = json.loads(Path(__file__).with_name("history.schema.json").read_text(encoding="utf-8"))
    return loaded
