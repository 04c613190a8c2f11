"""What a kind of command is stands in one table (`redrive_interpreter.kinds`), and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import redrive
from redrive_interpreter import Command, kinds
from redrive_interpreter.machine.nouns import COMPARISONS

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "interpreter" / "redrive_interpreter" / "kinds.py"
SOURCES = [path for home in ("src", "interpreter") for path in sorted((ROOT / home).rglob("*.py")) if path != TABLE]
ASKING = {"ask", "plan", "_ask"}
SAID = {"kind", "command"}
"""What holds a kind: ``row.kind``, ``happening.command``, ``kind=``, ``kind:``."""


def commands(cls: type = Command) -> Iterator[type[Command[object]]]:
    for below in cls.__subclasses__():
        if below.kind:
            yield below
        yield from commands(below)


def tags(node: ast.AST | None) -> list[str]:
    """The tags that *node* says as literals, alone or in a tuple, set, list, or pattern."""
    if node is None:
        return []
    constants = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return [text for text in constants if text in kinds.KINDS]


def named(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The literals in *tree* that stand for kinds: where a kind is compared, asked, declared; a word that can be nothing else."""
    for node in ast.walk(tree):
        found: list[str] = []
        match node:
            case ast.Constant(value=str(text)) if "_" in text:
                found = tags(node)
            case ast.Compare(left=left, comparators=others) if {named(one) for one in (left, *others)} & SAID:
                found = tags(node)
            case ast.Match(subject=subject, cases=cases) if named(subject) in SAID:
                found = [tag for case in cases for tag in tags(case.pattern)]
            case ast.MatchClass(kwd_attrs=names, kwd_patterns=patterns):
                found = [tag for name, pattern in zip(names, patterns, strict=True) if name in SAID for tag in tags(pattern)]
            case ast.AnnAssign(target=target, value=value) if named(target) in SAID:
                found = tags(value)
            case ast.Call(func=func, args=args, keywords=words):
                found = [tag for word in words if word.arg in SAID for tag in tags(word.value)]
                found += [tag for one in args if named(func) in ASKING and isinstance(one, ast.Constant) for tag in tags(one)]
            case ast.Tuple(elts=elts) | ast.List(elts=elts) | ast.Set(elts=elts) if len(elts) > 1 and len(tags(node)) == len(elts):
                found = tags(node)
            case ast.Dict(keys=keys) if len(keys) > 1 and all(key is not None and tags(key) for key in keys):
                found = [tag for key in keys for tag in tags(key)]
            case _:
                pass
        for tag in found:
            yield getattr(node, "lineno", 0), tag


@pytest.mark.parametrize(
    "source",
    [
        "if row.kind == 'step': ...",
        "if row.kind in ('patch', 'undo'): ...",
        "if 'emit' != happening.command: ...",
        "machine.ask(key, 'emit', '')",
        "ON = frozenset({'all', 'race'})",
        "WORDS = {'sleep': 1, 'step': 2}",
        "word = 'wait_signal'",
        "class Sleep:\n    kind: ClassVar[str] = 'sleep'",
        "match row:\n    case Asked(kind='emit' | 'step'): ...",
        "match entry.kind:\n    case 'sleep': ...",
        "Entry(kind='note')",
    ],
)
def test_a_literal_that_stands_for_a_kind_is_found(source: str) -> None:
    assert list(literals(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["role = 'step'", "SQL['emit']", "options = ('undo', 'retry')", "log.info('now')", "{'patch': 'needs Patch', 'safe': ''}"]
)
def test_the_same_word_for_something_else_is_not(source: str) -> None:
    assert not list(literals(ast.parse(source)))


def test_a_kind_is_written_out_in_the_table_only() -> None:
    found = {str(path.relative_to(ROOT)): list(literals(ast.parse(path.read_text()))) for path in SOURCES}
    assert {path: where for path, where in found.items() if where} == {}


def test_every_command_has_its_row_and_every_row_its_command() -> None:
    classes = {cls.kind: cls.__name__ for cls in commands() if cls.__module__.startswith("redrive_interpreter.")}  # not those of tests
    assert classes == {kind.tag: kinds.class_name(kind.tag) for kind in kinds.KINDS.values() if not kind.own}
    assert set(classes.values()) <= set(redrive.__all__) | {"CancelChild"}


def test_every_way_of_comparing_is_known_to_replay() -> None:
    assert {kind.compared for kind in kinds.KINDS.values()} == set(COMPARISONS)


def test_a_kind_either_waits_or_holds_others_or_is_over_at_once() -> None:
    assert [kind.tag for kind in kinds.KINDS.values() if kind.waits and kind.group] == []


def test_a_kind_of_a_later_release_can_be_shown() -> None:
    assert kinds.kind_of("wait_moon").noun == "wait moon"
