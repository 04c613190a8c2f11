"""The linter: read files, find the workflows in them and the functions that these call, and check them all."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from redrive.lint.findings import Finding, is_silenced, silenced
from redrive.lint.names import FUNCTIONS, Files, Function, Module, Scope, parse, yields
from redrive.lint.purity import Purity, reachable
from redrive.lint.roles import Roles
from redrive.lint.rules import RULES, chosen
from redrive.lint.shapes import Shapes
from redrive.lint.yielding import Yielding

_ELSEWHERE: Final = frozenset(["__pycache__", "node_modules", "venv", "build", "dist", "site-packages"])


def lint(paths: Iterable[Path], codes: Collection[str] | None = None) -> list[Finding]:
    """The findings in the Python files at *paths* (folders are searched), by file and line.

    *codes* are the rules to look for, by default those that are on. Raises FileNotFoundError for a path that is not there.
    """
    sources = {str(file): file.read_bytes() for path in paths for file in python_files(path)}
    return lint_sources(sources, codes)


def lint_sources(sources: dict[str, bytes], codes: Collection[str] | None = None) -> list[Finding]:
    """As `lint`, for files that were read already."""
    wanted = chosen() if codes is None else codes
    found: list[Finding] = []
    modules: list[Module] = []
    for path, data in sources.items():
        try:
            modules.append(parse(path, _text(data)))
        except (SyntaxError, ValueError) as error:
            line, column = (error.lineno or 1, error.offset or 1) if isinstance(error, SyntaxError) else (1, 1)
            message = error.msg if isinstance(error, SyntaxError) else str(error)
            found.append(Finding(path, line, column, "RD001", f"{RULES['RD001'].problem}: {message}", line))
    for module, finding in _Linter(modules).findings():
        if not is_silenced(finding, silenced(module.source)):
            found.append(finding)
    return sorted(finding for finding in set(found) if finding.code in wanted)


def python_files(path: Path) -> Iterator[Path]:
    """*path* itself, or the Python files below it, without hidden, built and installed ones."""
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise FileNotFoundError(str(path))
    for entry in sorted(path.iterdir()):
        if entry.is_dir():
            if not entry.name.startswith(".") and entry.name not in _ELSEWHERE:
                yield from python_files(entry)
        elif entry.suffix == ".py":
            yield entry


def _text(data: bytes) -> str:
    """The text of a source as Python reads it: its encoding cookie counts, and so do line breaks of any kind."""
    import io
    import tokenize

    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return io.TextIOWrapper(io.BytesIO(data), encoding).read()


class _Linter:
    def __init__(self, modules: Iterable[Module]) -> None:
        self._modules = list(modules)
        self._files = Files({module.name: module for module in self._modules})
        self._roles = Roles(self._files)
        self._found: list[tuple[Module, Finding]] = []
        self._module: Module
        self._seen: set[Function] = set()

    def findings(self) -> list[tuple[Module, Finding]]:
        for module in self._modules:
            for scope in list(module.scopes.values()):
                for node in _functions(scope):
                    if self._roles.role(node, scope) in ("workflow", "flow"):
                        self._workflow(node, module.scopes[node])
        return self._found

    def _workflow(self, function: Function, scope: Scope) -> None:
        if function in self._seen:
            return
        self._seen.add(function)
        self._module = scope.module
        Shapes(self._files, self._roles, self._report).check(function, scope)
        Yielding(self._roles, self._report).check(function, scope)
        Purity(self._files, self._roles, self._report).check(function, scope)
        self._calls(function, scope, function.name)

    def _helper(self, function: Function, scope: Scope, caller: str) -> None:
        if function in self._seen:
            return
        self._seen.add(function)
        self._module = scope.module
        Purity(self._files, self._roles, self._report).check(function, scope, caller)
        self._calls(function, scope, caller)

    def _calls(self, function: Function, scope: Scope, caller: str) -> None:
        """Check the functions that a workflow calls: a generator under ``yield from`` is a part of it, a function must be as
        pure."""
        delegated = {node.value for node in ast.walk(function) if isinstance(node, ast.YieldFrom)}
        for node, inside in reachable(function, scope, self._roles):
            if isinstance(node, ast.Call) and (found := self._roles.called(node, inside)) is not None:
                target, home = found
                within = home.module.scopes[target]
                if _encloses(scope, home):
                    continue  # a function inside this one: it was checked with it
                if node in delegated and yields(target):
                    self._workflow(target, within)
                elif isinstance(target, ast.FunctionDef):
                    self._helper(target, within, caller)

    def _report(self, code: str, node: ast.expr | ast.stmt | ast.ExceptHandler, message: str) -> None:
        end = node.lineno if isinstance(node, (*FUNCTIONS, ast.ExceptHandler)) else node.end_lineno or node.lineno
        self._found.append((self._module, Finding(self._module.path, node.lineno, self._module.column(node), code, message, end)))


def _functions(scope: Scope) -> list[Function]:
    """The functions defined in *scope* itself, also where a later one has taken the name."""
    return [node for node, inner in scope.module.scopes.items() if inner.parent is scope and isinstance(node, FUNCTIONS)]


def _encloses(scope: Scope, home: Scope) -> bool:
    inner: Scope | None = home
    while inner is not None:
        if inner is scope:
            return True
        inner = inner.parent
    return False
