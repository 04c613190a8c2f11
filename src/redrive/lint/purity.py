"""RD1xx: values that differ when the history is replayed, so that a workflow must not use them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from redrive.lint.impure import ALWAYS_METHODS, LOGGERS, MUTATORS, PATH_METHODS, READS, WITHOUT_ARGUMENTS, called
from redrive.lint.names import FUNCTIONS, Binding, Files, Function, Scope
from redrive.lint.roles import Roles
from redrive.lint.rules import RULES

Report: TypeAlias = Callable[[str, ast.expr | ast.stmt | ast.ExceptHandler, str], None]
_CONTAINERS: Final = frozenset(["list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter", "OrderedDict"])


def reachable(function: Function, scope: Scope, roles: Roles) -> Iterator[tuple[ast.AST, Scope]]:
    """The nodes that run in the workflow: its own, and those of inner lambdas and functions that are no step's body."""
    bodies = _step_bodies(function, scope, roles)
    waiting: list[tuple[ast.AST, Scope]] = [(node, scope) for node in reversed(function.body)]
    while waiting:
        node, inside = waiting.pop()
        yield node, inside
        if isinstance(node, FUNCTIONS):
            if roles.role(node, inside) is None and node.name not in bodies:
                within = scope.module.scopes[node]
                waiting += [(child, within) for child in reversed(node.body)]
        elif isinstance(node, ast.Lambda):
            if node not in bodies:
                waiting.append((node.body, scope.module.scopes[node]))
        elif isinstance(node, ast.AnnAssign):
            waiting += [(child, inside) for child in (node.value, node.target) if child is not None]
        elif not isinstance(node, ast.ClassDef):
            waiting += [(child, inside) for child in reversed(list(ast.iter_child_nodes(node)))]


def _step_bodies(function: Function, scope: Scope, roles: Roles) -> set[object]:
    """Lambdas, and names of functions, that are passed to a Step as its body or undo: these may be impure."""
    found: set[object] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and (roles.api(node.func, scope) == "Step" or any(word.arg == "undo" for word in node.keywords)):
            for given in [*node.args, *(word.value for word in node.keywords)]:
                if isinstance(given, ast.Lambda):
                    found.add(given)
                elif isinstance(given, ast.Name):
                    found.add(given.id)
    return found


class Purity:
    """Checks one workflow, or one function that a workflow calls (*caller*)."""

    def __init__(self, files: Files, roles: Roles, report: Report) -> None:
        self._files, self._roles, self._report = files, roles, report
        self._where = ""

    def check(self, function: Function, scope: Scope, caller: str = "") -> None:
        self._where = f" in {function.name}(), which workflow {caller} calls," if caller else ""
        for node, inside in reachable(function, scope, self._roles):
            match node:
                case ast.Call():
                    self._call(node, inside)
                case ast.Attribute(ctx=ast.Load()):
                    self._read(node, inside)
                case ast.Name(ctx=ast.Load()):
                    self._read(node, inside)
                    self._global(node, inside)
                case ast.Global():
                    self._say("RD109", node, f"global {', '.join(node.names)}")
                case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                    for target in targets:
                        self._written(target, inside)
                case ast.AugAssign(target=target):
                    self._written(target, inside)
                case _:
                    pass

    def _say(self, code: str, node: ast.expr | ast.stmt, what: str) -> None:
        self._report(code, node, f"{what}{self._where} {RULES[code].problem}")

    def _call(self, node: ast.Call, scope: Scope) -> None:
        text = f"{ast.unparse(node.func)}()"
        for dotted in self._files.aliases(node.func, scope):
            code = called(dotted)
            if code is not None:
                given = len(node.args) + len(node.keywords)
                if given < WITHOUT_ARGUMENTS.get(dotted, 1_000):
                    self._say(code, node, text)
                return
        if not isinstance(node.func, ast.Attribute):
            return
        base, method = node.func.value, node.func.attr
        made = isinstance(base, ast.Call) and self._files.dotted(base.func, scope) == "pathlib.Path"
        if method in ALWAYS_METHODS or (made and method in PATH_METHODS):
            self._say("RD104", node, text)
        found = self._files.binding(base, scope) if isinstance(base, (ast.Name, ast.Attribute)) else None
        if found is None or not found.scope.is_module:
            return
        if isinstance(found.value, ast.Call) and self._files.dotted(found.value.func, found.scope) in LOGGERS:
            self._say("RD105", node, text)
        if method in MUTATORS and is_container(found.value) and not _is_changed(found, base):
            self._say("RD109", node, text)

    def _read(self, node: ast.Name | ast.Attribute, scope: Scope) -> None:
        code = READS.get(self._files.dotted(node, scope) or "")
        if code is not None:
            self._say(code, node, ast.unparse(node))

    def _global(self, node: ast.Name, scope: Scope) -> None:
        found = scope.find(node.id)
        if found is not None and found.node is None and found.dotted is None and _is_changed(found, node):
            self._say("RD109", node, node.id)

    def _written(self, target: ast.expr, scope: Scope) -> None:
        """The name that an assignment to an attribute or an item changes: the one before the dot or the bracket."""
        if not isinstance(target, (ast.Attribute, ast.Subscript)):
            return
        root: ast.expr = target
        while isinstance(root, (ast.Attribute, ast.Subscript)):
            root = root.value
        found = scope.find(root.id) if isinstance(root, ast.Name) else None
        if found is not None and found.scope.is_module and not (isinstance(root, ast.Name) and _is_changed(found, root)):
            self._say("RD109", target, f"{ast.unparse(target)} = …")


def is_container(value: ast.expr | None) -> bool:
    """Whether *value* makes an object that can be changed in place."""
    match value:
        case ast.List() | ast.Dict() | ast.Set() | ast.ListComp() | ast.DictComp() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=maker)) | ast.Call(func=ast.Attribute(attr=maker)):
            return maker in _CONTAINERS
        case _:
            return False


def _is_changed(found: Binding, node: ast.expr) -> bool:
    """Whether a module's own name is changed by some function of the module: bound anew, or in place."""
    if not found.scope.is_module or not isinstance(node, ast.Name):
        return False
    return node.id in _changed(found.scope)


def _changed(scope: Scope) -> frozenset[str]:
    module = scope.module
    if module.changed is None:
        names: set[str] = set()
        for owner, inner in module.scopes.items():
            if isinstance(owner, FUNCTIONS):
                for node in ast.walk(owner):
                    names |= {name for name in _changes(node, scope) if inner.find(name) is scope.names.get(name)}
        module.changed = frozenset(names)
    return module.changed


def _changes(node: ast.AST, top: Scope) -> Iterator[str]:
    match node:
        case ast.Global(names=names):
            yield from names
        case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
            yield name
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in MUTATORS:
            if (found := top.names.get(name)) is not None and is_container(found.value):
                yield name
        case _:
            pass
