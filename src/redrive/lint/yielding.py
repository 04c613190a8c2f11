"""RD2xx: calling constructs, yielding performs; so what is called and not yielded does nothing."""

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
"""What a command may be asked for: its own fields."""


class Yielding:
    """Looks at one workflow."""

    def __init__(self, roles: Roles, report: Report) -> None:
        self._roles, self._report = roles, report

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
                case ast.Yield(value=ast.Call() as value) if node not in dropped:  # a value that nobody takes needs no type
                    if (name := self._roles.command(value, scope)) is not None:
                        self._say("RD203", node, f"yield {name}", call=False)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    built = self._roles.command(value, scope)
                    if built is not None and _is_kept(name, function):
                        self._report("RD202", node, f"{name} = {built}(…) is never yielded: {name} {RULES['RD202'].problem}")
                case _:
                    pass

    def _say(self, code: str, node: ast.expr, name: str | None, *, call: bool = True) -> None:
        if name is not None:
            self._report(code, node, f"{name}(…) {RULES[code].problem}" if call else f"{name}(…) without from {RULES[code].problem}")


def _values(node: ast.expr, scope: Scope) -> Iterator[tuple[ast.expr, Scope]]:
    """The values that an expression statement comes to and drops."""
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


def _is_kept(name: str, function: Function) -> bool:
    """Whether *name*, bound once, is only ever asked for fields that its command does not have."""
    loads, stores = 0, 0
    fields: list[str] = []
    for node in ast.walk(function):
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=field) if owner == name:
                fields.append(field)
            case ast.Name(id=found, ctx=ast.Load()) if found == name:
                loads += 1
            case ast.Name(id=found) if found == name:
                stores += 1
            case ast.Global(names=names) | ast.Nonlocal(names=names) if name in names:
                return False
            case _:
                pass
    return stores == 1 and loads == len(fields) and not _OF_COMMANDS & set(fields)
