"""Resolve names in a file: its imports, scopes and definitions, and where they lead in other files."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import attrs

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_OPEN_SCOPES: Final = (*FUNCTIONS, ast.Lambda, ast.ClassDef)
_BUILTINS: Final = frozenset(dir(builtins))
_HOPS: Final = 10


@attrs.frozen(eq=False)
class Binding:
    """The meaning of a name: an import (*dotted*), a function (*node*), or a value (*value*, if it was assigned once)."""

    scope: Scope
    dotted: str | None = None
    node: Function | None = None
    value: ast.expr | None = None
    annotation: ast.expr | None = None


@attrs.define(eq=False)
class Scope:
    """The names of a module, a function or a class."""

    module: Module
    owner: ast.AST
    parent: Scope | None = None
    names: dict[str, Binding] = attrs.field(factory=dict[str, Binding])
    outer: set[str] = attrs.field(factory=set[str])
    """Names that a ``global`` or ``nonlocal`` statement gives away."""

    @property
    def is_module(self) -> bool:
        return self.parent is None

    def find(self, name: str) -> Binding | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names and name not in scope.outer and (scope is self or not isinstance(scope.owner, ast.ClassDef)):
                return scope.names[name]
            scope = scope.parent
        return None


@attrs.define(eq=False)
class Module:
    """One parsed file. *scopes* has the scope of each function, lambda and class in it."""

    path: str
    name: str
    source: str
    tree: ast.Module
    scopes: dict[ast.AST, Scope] = attrs.field(factory=dict[ast.AST, Scope])
    changed: frozenset[str] | None = None
    """The module's own names that its functions change; found when first needed."""

    @property
    def top(self) -> Scope:
        return self.scopes[self.tree]

    def column(self, node: ast.expr | ast.stmt | ast.ExceptHandler) -> int:
        """The column of *node* in characters, from 1; `ast` counts bytes."""
        line = self.source.splitlines()[node.lineno - 1] if not self.source.isascii() else ""
        return (len(line.encode()[: node.col_offset].decode(errors="ignore")) if line else node.col_offset) + 1


def parse(path: str, source: str) -> Module:
    """Parse the source *text*. Raises SyntaxError."""
    module = Module(path, module_name(Path(path)), source, ast.parse(source))
    module.scopes[module.tree] = Scope(module, module.tree)
    _fill(module, module.top, module.tree.body)
    return module


def module_name(path: Path) -> str:
    """The dotted name under which *path* is imported, as far as its packages' ``__init__.py`` tell."""
    path = path.absolute()
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts) or path.parent.name


def own_nodes(root: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when *root* (a function, or a part of one) does: not those of functions and classes within."""
    waiting: list[ast.AST] = list(root.body if isinstance(root, FUNCTIONS) else ast.iter_child_nodes(root))
    waiting.reverse()
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _OPEN_SCOPES):
            waiting += reversed(list(ast.iter_child_nodes(node)))


def yields(root: ast.AST) -> bool:
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in own_nodes(root))


def _fill(module: Module, scope: Scope, nodes: list[ast.stmt]) -> None:
    """Enter the names that *nodes* bind into *scope*, and make the scopes inside."""
    waiting: list[ast.AST] = list(reversed(nodes))
    while waiting:
        node = waiting.pop()
        match node:
            case ast.Import():
                for alias in node.names:
                    dotted = alias.name if alias.asname else alias.name.partition(".")[0]
                    scope.names[alias.asname or dotted] = Binding(scope, dotted=dotted)
            case ast.ImportFrom():
                home = _home(module, node)
                for alias in node.names:
                    scope.names[alias.asname or alias.name] = Binding(scope, dotted=f"{home}.{alias.name}")
            case ast.Global() | ast.Nonlocal():
                scope.outer.update(node.names)
            case ast.Assign(targets=[ast.Name(id=name)]) if name not in scope.names:
                scope.names[name] = Binding(scope, value=node.value)
            case ast.AnnAssign(target=ast.Name(id=name)) if name not in scope.names:
                scope.names[name] = Binding(scope, value=node.value, annotation=node.annotation)
            case ast.Name(ctx=ast.Store(), id=name):
                known = scope.names.get(name)
                if known is None or (known.value is not None and not _is_target(known, node)):
                    scope.names[name] = Binding(scope)
            case ast.ExceptHandler(name=str(name)):
                scope.names[name] = Binding(scope)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                scope.names[node.name] = Binding(scope, node=node)
                _enter(module, scope, node)
            case ast.ClassDef():
                scope.names[node.name] = Binding(scope)
                _enter(module, scope, node)
            case ast.Lambda():
                _enter(module, scope, node)
            case _:
                pass
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            waiting += node.decorator_list
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
        elif not isinstance(node, ast.ClassDef):
            waiting += reversed(list(ast.iter_child_nodes(node)))


def _is_target(known: Binding, node: ast.Name) -> bool:
    """Whether *node* is the target of the very assignment that made the binding: it comes right before its value."""
    value = known.value
    return value is not None and (node.lineno, node.col_offset) <= (value.lineno, value.col_offset) and node.lineno >= value.lineno - 1


def _enter(module: Module, parent: Scope, node: Function | ast.Lambda | ast.ClassDef) -> None:
    scope = module.scopes[node] = Scope(module, node, parent)
    if not isinstance(node, ast.ClassDef):
        given = node.args
        for argument in [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]:
            if argument is not None:
                scope.names[argument.arg] = Binding(scope, annotation=argument.annotation)
    _fill(module, scope, [ast.Expr(node.body)] if isinstance(node, ast.Lambda) else node.body)


def _home(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    if not module.path.endswith("__init__.py"):
        parts = parts[:-1]
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


@attrs.define(eq=False)
class Files:
    """All files of one run of the linter, by module name."""

    modules: dict[str, Module] = attrs.field(factory=dict[str, Module])

    def dotted(self, node: ast.expr, scope: Scope) -> str | None:
        """The full name of the object that *node* names, like ``datetime.datetime.now``; None if it has none."""
        match node:
            case ast.Name(id=name):
                found = scope.find(name)
                if found is None:
                    star = scope.module.top.names.get("*")  # the name may come from a star import
                    home = None if star is None or star.dotted is None else star.dotted.removesuffix(".*")
                    return f"builtins.{name}" if name in _BUILTINS else f"{home}.{name}" if home else None
                if found.dotted is not None:
                    return found.dotted
                return f"{scope.module.name}.{name}" if found.scope.is_module else None
            case ast.Attribute(value=base, attr=attribute):
                before = self.dotted(base, scope)
                return None if before is None else f"{before}.{attribute}"
            case _:
                return None

    def binding(self, node: ast.expr, scope: Scope) -> Binding | None:
        """The binding of *node*, followed through the imports of all files."""
        found = scope.find(node.id) if isinstance(node, ast.Name) else None
        if found is not None and found.dotted is None:
            return found
        dotted = self.dotted(node, scope)
        for _ in range(_HOPS):
            if dotted is None:
                return None
            home, _, name = dotted.rpartition(".")
            module = self.modules.get(home)
            found = None if module is None else module.top.names.get(name)
            if found is None or found.dotted is None:
                return found
            dotted = found.dotted
        return None

    def aliases(self, node: ast.expr, scope: Scope) -> Iterator[str]:
        """The full name of *node*, then the names that imports in other files say it is."""
        dotted = self.dotted(node, scope)
        for _ in range(_HOPS):
            if dotted is None:
                return
            yield dotted
            home, _, name = dotted.rpartition(".")
            module = self.modules.get(home)
            found = None if module is None else module.top.names.get(name)
            dotted = None if found is None else found.dotted
