"""The runtime and the test kit are hosts like any other: what they use of the kernel is in its README."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from redrive_interpreter import Machine
from redrive_interpreter.machine.waits import Wait

ROOT = Path(__file__).parents[2]
README = (ROOT / "interpreter" / "README.md").read_text()
HOSTS = [*sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "examples").rglob("*.py"))]
KERNEL = sorted((ROOT / "interpreter").rglob("*.py"))


def documented(heading: str) -> set[str]:
    """The names in backticks of what is said under *heading*, without what they are called with."""
    said = re.search(rf"^\*\*{heading}\.\*\*.*?(?=^\*\*\w|^## )", README, re.MULTILINE | re.DOTALL)
    assert said is not None
    return {re.sub(r"\(.*", "", name) for name in re.findall(r"`([\w]+(?:\([^`]*\))?)`", said.group(0))}


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def test_everything_that_a_machine_offers_is_documented() -> None:
    assert public(Machine) <= documented("Machine")
    assert not [name for name in public(Machine) | public(Wait) if name.endswith("_")]


# ── private names ────────────────────────────────────────────────────────────────────────────────
OF_TYPING = {"_name"}


def is_private(name: str) -> bool:
    return (name.startswith("_") and not name.startswith("__")) or (name.endswith("_") and not name.endswith("__"))


def members(tree: ast.AST) -> Iterator[str]:
    """The private members that the classes of *tree* have."""
    for cls in ast.walk(tree):
        if not isinstance(cls, ast.ClassDef):
            continue
        for node in ast.walk(cls):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                    yield name
                case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                    yield name
                case ast.Assign(targets=[ast.Name(id="__slots__")], value=value):
                    yield from (one.value for one in ast.walk(value) if isinstance(one, ast.Constant) and isinstance(one.value, str))
                case _:
                    pass


def reached(tree: ast.AST, private: set[str]) -> Iterator[tuple[int, str]]:
    """Where *tree* uses a member of that name of something other than itself, or imports one."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name, lineno=line) if name in private:
                yield line, name
            case ast.Call(func=ast.Name(id="getattr" | "hasattr"), args=[_, ast.Constant(value=str(name)), *_], lineno=line):
                yield from [(line, name)] if name in private else []
            case ast.ImportFrom(module=str(module), names=names, lineno=line) if module.startswith("redrive_interpreter"):
                yield from ((line, alias.name) for alias in names if is_private(alias.name))
            case _:
                pass


@pytest.mark.parametrize(
    "source",
    [
        "machine._run.root",
        "run.machine.verdict_",
        "getattr(frame, '_stage')",
        "from redrive_interpreter.machine.machine import _loop",
    ],
)
def test_a_reach_inside_is_found(source: str) -> None:
    assert list(reached(ast.parse(source), {"_run", "verdict_", "_stage"}))


def test_no_host_uses_a_private_member_of_the_kernel() -> None:
    own = {name for path in HOSTS for name in members(ast.parse(path.read_text()))}  # theirs to use; of a machine they are found below
    private = {name for path in KERNEL for name in members(ast.parse(path.read_text())) if is_private(name)} - own - OF_TYPING
    assert {"_settled", "_frozen_fields"} <= private
    found = {str(path.relative_to(ROOT)): list(reached(ast.parse(path.read_text()), private)) for path in HOSTS}
    assert {path: where for path, where in found.items() if where} == {}


# ── what a machine and a wait offer ──────────────────────────────────────────────────────────────
def named(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def used_of(tree: ast.AST, receivers: set[str]) -> Iterator[tuple[int, str]]:
    """The attributes that *tree* uses of what is called so: ``machine.pending``, ``live.machine.finished``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and named(node.value) in receivers:
            yield node.lineno, node.attr


def test_hosts_use_of_a_machine_what_is_documented() -> None:
    offered = documented("Machine")
    for path in HOSTS:
        tree = ast.parse(path.read_text())
        own = set(members(tree))  # of a subclass that looks on
        undocumented = [where for where in used_of(tree, {"machine", "_machine"}) if where[1] not in offered | own]
        assert undocumented == [], path


def test_hosts_use_of_a_wait_what_is_documented() -> None:
    offered = documented("Waits")
    for path in HOSTS:
        tree = ast.parse(path.read_text())
        if any(isinstance(node, ast.Attribute) and node.attr == "pending" and named(node.value) == "machine" for node in ast.walk(tree)):
            assert [where for where in used_of(tree, {"wait"}) if where[1] not in offered] == [], path


# ── what the machine's modules offer ─────────────────────────────────────────────────────────────
def test_hosts_import_of_the_machine_and_of_replay_what_is_documented() -> None:
    table = README[README.index("## The host's API") : README.index("**Machine.**")]
    offered = set(re.findall(r"`(\w+)(?:\([^`]*\))?`", table))
    inside = ("redrive_interpreter.machine.", "redrive_interpreter.replay.")
    for path in HOSTS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(inside):
                assert {alias.name for alias in node.names} <= offered, path
