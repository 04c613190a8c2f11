"""The types of the surface, as the type checkers see them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def mypy(file: Path) -> dict[int, str]:
    """The errors of mypy ``--strict`` in *file*, by line."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", "--no-pretty", str(file)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    found = re.findall(rf"{re.escape(file.name)}:(\d+): error: (.*)", run.stdout)
    assert run.returncode == 0 or found, run.stdout + run.stderr
    return {int(line): text for line, text in found}


def pyright(file: Path) -> dict[int, str]:
    """The errors of pyright in *file*, by line; strict, as the project's settings are."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(file)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    found = json.loads(run.stdout)["generalDiagnostics"]
    return {error["range"]["start"]["line"] + 1: error["message"] for error in found if error["severity"] == "error"}


def marked(file: Path) -> set[int]:
    return {number for number, line in enumerate(file.read_text().splitlines(), 1) if "# wrong" in line}


@pytest.fixture(params=[mypy, pyright], ids=["mypy", "pyright"])
def errors_in(request: pytest.FixtureRequest) -> Callable[[Path], dict[int, str]]:
    checker: Callable[[Path], dict[int, str]] = request.param
    pytest.importorskip(request.param.__name__)
    return checker


def test_every_answer_has_its_exact_type(errors_in: Callable[[Path], dict[int, str]]) -> None:
    assert errors_in(HERE / "accepted.py") == {}


def test_every_wrong_line_is_refused_on_that_very_line(errors_in: Callable[[Path], dict[int, str]]) -> None:
    errors = errors_in(HERE / "refused.py")
    wrong = marked(HERE / "refused.py")
    assert {line: text for line, text in errors.items() if line not in wrong} == {}
    assert sorted(wrong - errors.keys()) == [], "not reported"
