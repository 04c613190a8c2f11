"""RD2xx: calling a command builds it, yielding it performs it; so a command that is not yielded does nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from redrive.lint.names import Function, Scope, own_nodes, yields
from redrive.lint.purity import Report
from redrive.lint.roles import Roles
from redrive.lint.rules import RULES

_OF_COMMANDS: Final = frozenset(
    [
        "options",
        "of",
        "when",
        "otherwise",
        "kind",
        "command_id",
        "default_id",
        "step_id",
        "args",
        "kwargs",
        "spec",
        "fn",
        "invocation",
        "signal",
    ]
)
"""Attributes that a command has: its own fields."""
_OF_BRANCHES: Final = frozenset(
    ["All", "All.of", "ContinueAs", "Map", "Race", "Race.of", "RunChild", "Settle", "Spawn", "StartChild", "Switch"]
)
"""The commands that take others as arguments."""
_OF_VALUES: Final = frozenset(
    ["bool", "float", "int", "len", "list", "max", "min", "print", "range", "round", "set", "sorted", "str", "sum"]
)
"""Built-in functions that have no use for a command."""


class Yielding:
    """Checks one workflow."""

    def __init__(self, roles: Roles, report: Report) -> None:
        self._roles, self._report = roles, report
        self._parents_of: tuple[Function | None, dict[ast.AST, ast.AST]] = None, {}

    def check(self, function: Function, scope: Scope) -> None:
        is_generator = yields(function) or self._roles.role(function, scope.parent or scope) == "workflow"
        dropped = {node.value for node in own_nodes(function) if isinstance(node, ast.Expr)}
        for node in own_nodes(function):
            match node:
                case ast.Expr(value=value):
                    for made, inside in _values(value, scope):
                        self._say("RD201", made, self._roles.command(made, inside))
                case ast.Return(value=ast.Call() as value) if is_generator:
                    self._say("RD204", value, self._roles.command(value, scope))
                case ast.Yield(value=ast.Call() as value) if node not in dropped:  # a value that is not used needs no type
                    if (name := self._roles.command(value, scope)) is not None:
                        self._say("RD203", node, f"yield {name}", call=False)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    built = self._roles.command(value, scope)
                    if built is not None and self._is_kept(name, function, scope):
                        self._report("RD202", node, f"{name} = {built}(…) is never yielded: {name} {RULES['RD202'].problem}")
                case ast.Call():
                    if (name := self._roles.command(node, scope)) is not None and self._as_value(node, function, scope):
                        self._say("RD202", node, name)
                case _:
                    pass

    def _as_value(self, node: ast.expr, function: Function, scope: Scope) -> bool:
        """Whether *node*, a command or a name that holds one, stands where only a result makes sense."""
        parent = self._parents(function).get(node)
        match parent:
            case ast.If(test=test) | ast.While(test=test) | ast.Assert(test=test) | ast.IfExp(test=test):
                return node is test
            case ast.For(iter=iterated) | ast.comprehension(iter=iterated):
                return node is iterated
            case ast.BoolOp(values=values):
                return node is not values[-1] or self._as_value(parent, function, scope)
            case ast.UnaryOp() | ast.BinOp() | ast.AugAssign() | ast.FormattedValue():
                return True
            case ast.Compare(ops=ops):
                return not all(isinstance(op, (ast.Is, ast.IsNot)) for op in ops)
            case ast.Subscript(value=value):
                return node is value
            case ast.Attribute(attr=field):
                return field not in _OF_COMMANDS
            case ast.Call() if node is not parent.func:
                return self._takes_values(parent, scope)
            case _:
                return False

    def _takes_values(self, call: ast.Call, scope: Scope) -> bool:
        """Whether *call* calls something that takes no command as an argument: a step, an event, ``str``."""
        if isinstance(call.func, ast.Name) and call.func.id in _OF_VALUES and scope.find(call.func.id) is None:
            return True
        made = call.func
        if isinstance(made, ast.Attribute) and made.attr in _OF_COMMANDS:
            return False
        name = self._roles.command(call, scope)
        return name is not None and name not in _OF_BRANCHES

    def _parents(self, function: Function) -> dict[ast.AST, ast.AST]:
        if function is not self._parents_of[0]:
            self._parents_of = function, {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
        return self._parents_of[1]

    def _is_kept(self, name: str, function: Function, scope: Scope) -> bool:
        """Whether *name*, bound once, is only ever used as if it were the result of its command, or not at all."""
        stores = 0
        for node in ast.walk(function):
            match node:
                case ast.Name(id=found, ctx=ast.Load()) if found == name:
                    if not self._as_value(node, function, scope):
                        return False
                case ast.Name(id=found) if found == name:
                    stores += 1
                case ast.Global(names=names) | ast.Nonlocal(names=names) if name in names:
                    return False
                case _:
                    pass
        return stores == 1

    def _say(self, code: str, node: ast.expr, name: str | None, *, call: bool = True) -> None:
        if name is not None:
            self._report(code, node, f"{name}(…) {RULES[code].problem}" if call else f"{name}(…) without from {RULES[code].problem}")


def _values(node: ast.expr, scope: Scope) -> Iterator[tuple[ast.expr, Scope]]:
    """The values that an expression statement computes and drops."""
    match node:
        case ast.IfExp(body=first, orelse=second):
            yield from _values(first, scope)
            yield from _values(second, scope)
        case ast.BoolOp(values=values):
            yield from _values(values[-1], scope)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            for element in elements:
                yield from _values(element, scope)
        case ast.ListComp(elt=element) | ast.SetComp(elt=element) | ast.GeneratorExp(elt=element) | ast.Await(value=element):
            yield from _values(element, scope)
        case _:
            yield node, scope
