"""RD3xx: Python that does something else in a workflow than it seems to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from redrive.lint.names import Files, Function, Scope, own_nodes
from redrive.lint.purity import Report, is_container
from redrive.lint.roles import Roles
from redrive.lint.rules import RULES

_SETS: Final = frozenset(["set", "frozenset", "Set", "AbstractSet", "MutableSet", "FrozenSet"])
_SET_METHODS: Final = frozenset(["union", "intersection", "difference", "symmetric_difference", "copy"])
_KEEPS_ORDER: Final = frozenset(["list", "tuple", "iter", "enumerate", "reversed"])
_ASYNC: Final = (ast.Await, ast.AsyncFor, ast.AsyncWith)


class Shapes:
    """Checks one workflow."""

    def __init__(self, files: Files, roles: Roles, report: Report) -> None:
        self._files, self._roles, self._report = files, roles, report

    def check(self, function: Function, scope: Scope) -> None:
        self._defaults(function)
        if isinstance(function, ast.AsyncFunctionDef):
            self._report("RD306", function, f"async def {function.name} {RULES['RD306'].problem}")
        for node in own_nodes(function):
            match node:
                case ast.Try() | ast.TryStar():
                    self._try(node)
                case ast.With() | ast.AsyncWith():
                    self._with(node, scope)
                case ast.For(iter=source):
                    if self._is_unordered(source, scope) and (_yield_in(node.body) or self._builds(node, scope)):
                        self._say("RD304", source, f"{ast.unparse(source)}, iterated into commands,")
                case ast.ListComp() | ast.GeneratorExp() | ast.DictComp():
                    source = node.generators[0].iter
                    if self._is_unordered(source, scope) and self._builds(node, scope):
                        self._say("RD304", source, f"{ast.unparse(source)}, iterated into commands,")
                case ast.Call() if self._roles.command(node, scope) is not None:
                    self._arguments(node, scope)
                case _:
                    pass
            if isinstance(node, _ASYNC) and isinstance(function, ast.FunctionDef):
                self._say("RD306", node, _WORDS[type(node)])

    def _say(self, code: str, node: ast.expr | ast.stmt | ast.ExceptHandler, what: str) -> None:
        self._report(code, node, f"{what} {RULES[code].problem}")

    def _defaults(self, function: Function) -> None:
        for default in [*function.args.defaults, *function.args.kw_defaults]:
            if is_container(default) and default is not None:
                self._say("RD305", default, f"the default {ast.unparse(default)}")

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        if found := _yield_in(node.finalbody):
            self._say("RD301", found, "a yield in finally")
        if _yield_in(node.body) is None:
            return  # errors are thrown only where code yields
        for handler in node.handlers:
            caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            names = [None if kind is None else ast.unparse(kind).rpartition(".")[2] for kind in caught]
            if None in names:
                self._say("RD303", handler, "except:")
            for name in ("BaseException", "GeneratorExit"):
                if name in names:
                    self._say("RD303", handler, f"except {name}")

    def _with(self, node: ast.With | ast.AsyncWith, scope: Scope) -> None:
        """Check a ``with`` block. One that holds no resource may be left at any time; `suppress` catches, and must not catch all."""
        found = _yield_in(node.body)
        if found is None:
            return
        for item in node.items:
            made = item.context_expr
            name = self._files.dotted(made.func, scope) if isinstance(made, ast.Call) else None
            if name == "contextlib.suppress" and isinstance(made, ast.Call):
                if any(ast.unparse(given) in ("BaseException", "GeneratorExit") for given in made.args):
                    self._say("RD303", made, ast.unparse(made))
            elif name != "contextlib.nullcontext":
                self._say("RD302", found, "a yield in with")
                return

    def _arguments(self, call: ast.Call, scope: Scope) -> None:
        """Check the arguments of *call*: a set is stored sorted, but a list made from one has any order, and so have the branches
        of All and Map."""
        name = self._roles.api(call.func, scope) or ast.unparse(call.func).rpartition(".")[0]
        for given in [*call.args, *(word.value for word in call.keywords)]:
            fans_out = name in ("Map", "All") and self._is_unordered(given, scope)
            if fans_out or (isinstance(given, ast.Call) and self._is_unordered(given, scope) and not self._is_set(given, scope)):
                self._say("RD304", given, f"{ast.unparse(given)}, given to a command,")

    def _builds(self, node: ast.AST, scope: Scope) -> bool:
        return any(isinstance(inner, ast.Call) and self._roles.command(inner, scope) is not None for inner in own_nodes(node))

    def _is_unordered(self, node: ast.expr, scope: Scope) -> bool:
        if isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Name) and node.func.id in _KEEPS_ORDER:
            return self._files.dotted(node.func, scope) == f"builtins.{node.func.id}" and self._is_unordered(node.args[0], scope)
        if isinstance(node, ast.Name) and (found := scope.find(node.id)) is not None and found.value is not None:
            return self._is_set(node, scope) or (isinstance(found.value, ast.Call) and self._is_unordered(found.value, found.scope))
        return self._is_set(node, scope)

    def _is_set(self, node: ast.expr | None, scope: Scope) -> bool:
        match node:
            case ast.Set(elts=elements):
                return len(elements) > 1
            case ast.SetComp():
                return True
            case ast.Call(func=ast.Name(id="set" | "frozenset")):
                return bool(node.args)
            case ast.Call(func=ast.Attribute(value=base, attr=method)) if method in _SET_METHODS:
                return self._is_set(base, scope)
            case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), left=left):
                return self._is_set(left, scope)
            case ast.Name(id=name):
                found = scope.find(name)
                if found is None or found.dotted is not None:
                    return False
                if found.value is not None:
                    return found.value is not node and self._is_set(found.value, found.scope)
                return _says_set(found.annotation)
            case _:
                return False


_WORDS: Final = {ast.Await: "await", ast.AsyncFor: "async for", ast.AsyncWith: "async with"}


def _says_set(annotation: ast.expr | None) -> bool:
    match annotation:
        case ast.Subscript(value=base):
            return _says_set(base)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in _SETS
        case ast.Constant(value=str(text)):
            return text.partition("[")[0].rpartition(".")[2] in _SETS
        case _:
            return False


def _yield_in(body: list[ast.stmt]) -> ast.expr | None:
    for statement in body:
        for node in _with_itself(statement):
            if isinstance(node, (ast.Yield, ast.YieldFrom)):
                return node
    return None


def _with_itself(statement: ast.stmt) -> Iterator[ast.AST]:
    yield statement
    if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield from own_nodes(statement)
