"""What a status is, and what moves an execution from one to another, stands in one table (`redrive.status`), and in SQL."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from redrive import status
from redrive.starting import Restartable

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "src" / "redrive"
TABLE = RUNTIME / "status.py"
CONTRACTS = RUNTIME / "testing" / "contracts"
"""Tests that other stores run: what they expect is written out."""
SOURCES = [path for path in sorted(RUNTIME.rglob("*.py")) if path != TABLE and CONTRACTS not in path.parents]
NAMES = sorted(status.STATUSES)
SAID = {"status", "statuses", "restart"}
"""What holds a status: ``snapshot.status``, ``status=``, ``held.status = …``."""
TAKES = {"child_result"}
"""Functions whose first argument is one."""
GUIDE = ROOT / "docs" / "guide" / "operations.md"


def words(node: ast.AST | None) -> list[str]:
    if node is None:
        return []
    constants = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return [text for text in constants if text in status.STATUSES]


def named(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def assigned(target: ast.expr, value: ast.expr | None) -> list[str]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return [word for one, what in zip(target.elts, value.elts, strict=True) for word in assigned(one, what)]
    return words(value) if named(target) in SAID else []


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The literals in *tree* that stand for statuses: where one is compared, assigned, passed, or listed with others."""
    for node in ast.walk(tree):
        found: list[str] = []
        match node:
            case ast.Constant(value=str("compensation_failed")):
                found = words(node)
            case ast.Compare(left=left, comparators=others) if {named(one) for one in (left, *others)} & SAID:
                found = words(node)
            case ast.Match(subject=subject, cases=cases) if named(subject) in SAID:
                found = [word for case in cases for word in words(case.pattern)]
            case ast.MatchClass(kwd_attrs=names, kwd_patterns=patterns):
                found = [word for name, pattern in zip(names, patterns, strict=True) if name in SAID for word in words(pattern)]
            case ast.AnnAssign(target=target, value=value) if value is not None:
                found = assigned(target, value)
            case ast.Assign(targets=targets, value=value):
                found = [word for target in targets for word in assigned(target, value)]
            case ast.Call(func=func, args=args, keywords=options):
                found = [word for option in options if option.arg in SAID for word in words(option.value)]
                found += words(args[0]) if args and named(func) in TAKES else []
            case ast.Tuple(elts=elts) | ast.List(elts=elts) | ast.Set(elts=elts) if len(elts) > 1 and len(words(node)) == len(elts):
                found = words(node)
            case ast.Dict(keys=keys) if len(keys) > 1 and all(key is not None and words(key) for key in keys):
                found = [word for key in keys for word in words(key)]
            case _:
                pass
        for word in found:
            yield getattr(node, "lineno", 0), word


@pytest.mark.parametrize(
    "source",
    [
        "if snapshot.status == 'parked': ...",
        "if status in ('running', 'pending'): ...",
        "held.status = 'cancelling'",
        "held.status, held.outcome = 'running', None",
        "record.status = 'cancelling' if waiting else turn.status",
        "class Turn:\n    status: str = 'running'",
        "Turn(expects=1, status='completed')",
        "child_result('failed', answer)",
        "COLOURS = {'completed': 1, 'failed': 2}",
        "LIVE = frozenset({'pending', 'running'})",
        "word = 'compensation_failed'",
        "match snapshot.status:\n    case 'parked': ...",
    ],
)
def test_a_literal_that_stands_for_a_status_is_found(source: str) -> None:
    assert list(literals(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["log.info('failed')", "kind = 'failed'", "SQL['cancelled']", "shown['parked'] = 1", "held.outcome = 'failed'"]
)
def test_the_same_word_for_something_else_is_not(source: str) -> None:
    assert not list(literals(ast.parse(source)))


OTHERS = {"src/redrive/stuck.py": {"compensation_failed"}}
"""Words that name something else there: a reason of `stuck`."""


def test_a_status_is_written_out_in_the_table_only() -> None:
    found = {str(path.relative_to(ROOT)): list(literals(ast.parse(path.read_text()))) for path in SOURCES}
    left = {path: [(line, word) for line, word in where if word not in OTHERS.get(path, ())] for path, where in found.items()}
    assert {path: where for path, where in left.items() if where} == {}


def test_the_table_has_every_status_of_the_type() -> None:
    assert list(status.STATUSES) == list(get_args(status.ExecutionStatus))
    assert set(get_args(Restartable)) == status.RESTARTABLE


def test_a_status_is_of_one_sort() -> None:
    """What has ended is neither at work nor held back."""
    for row in status.STATUSES.values():
        assert row.final + row.at_work + row.held_back <= 1, row.name


def test_every_status_can_be_left_and_reached() -> None:
    reached = {after for _, after in status.ALLOWED}
    left = {before for before, _ in status.ALLOWED}
    assert reached == set(status.STATUSES)
    assert left == set(status.STATUSES) | {None}


@pytest.mark.parametrize("path", sorted(RUNTIME.rglob("*.sql")), ids=lambda path: "/".join(path.parts[-2:]))
def test_sql_names_statuses_of_the_table(path: Path) -> None:
    """A list of statuses that begins with completed is the list of the final ones."""
    text = path.read_text()
    for compared in re.findall(r"\bstatus (?:=|<>|IN|NOT IN) (\([^)]*\)|'[^']*')", text):
        listed = set(re.findall(r"'([^']*)'", compared))
        assert listed <= set(status.STATUSES), compared
        if "completed" in listed and len(listed) > 1:
            assert listed == status.FINAL, compared


def drawn() -> set[tuple[str | None, str, str]]:
    """The arrows of the guide's drawing, those from and to a box resolved to what is in it."""
    (chart,) = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    boxes: dict[str, list[str]] = {}
    open_: list[str] = []
    for line in map(str.strip, chart.splitlines()):
        begins = re.fullmatch(r"state (\w+) \{", line)
        if open_ and (begins or re.fullmatch(r"\w+", line)):
            boxes[open_[-1]].append(begins[1] if begins else line)
        if begins:
            open_.append(begins[1])
            boxes[begins[1]] = []
        elif line == "}":
            open_.pop()

    def inside(name: str) -> list[str | None]:
        if name == "[*]":
            return [None]
        return [one for part in boxes[name] for one in inside(part)] if name in boxes else [name]

    arrows = re.findall(r"^ *(\S+) --> (\w+): (.+)$", chart, re.MULTILINE)
    return {(before, str(after), cause.strip()) for one, other, cause in arrows for before in inside(one) for after in inside(other)}


def test_the_drawing_of_the_guide_is_the_table() -> None:
    assert drawn() == {(before, after, row.cause) for row in status.TRANSITIONS for before, after in row.pairs()}


def test_the_guide_says_what_each_status_means() -> None:
    text = GUIDE.read_text()
    for row in status.STATUSES.values():
        assert f"| `{row.name}` | {row.meaning} |" in text
    for transition in status.TRANSITIONS:
        assert f"| {transition.cause} | {transition.when} |" in text
