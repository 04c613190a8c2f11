"""Which functions are workflows, helpers of workflows and steps, and which expressions are commands."""

from __future__ import annotations

import ast
from typing import Final, Literal, TypeAlias

from redrive.lint.names import FUNCTIONS, Binding, Files, Function, Scope, own_nodes
from redrive_interpreter.kinds import KINDS, class_name

Role: TypeAlias = Literal["workflow", "flow", "step"]

COMMANDS: Final = frozenset(class_name(kind.tag) for kind in KINDS.values() if not kind.own)
_CHAINED: Final = frozenset(("options", "of", "when", "otherwise"))
_OURS: Final = ("redrive", "redrive_interpreter")


class Roles:
    """Answers from the decorators and annotations of all *files*."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known: dict[ast.AST, Role | None] = {}

    def api(self, node: ast.expr, scope: Scope) -> str | None:
        """The public name of redrive that *node* refers to, like ``workflow`` or ``Sleep``."""
        for dotted in self._files.aliases(node, scope):
            package, _, rest = dotted.partition(".")
            if package in _OURS and rest:
                return rest.rpartition(".")[2]
        return None

    def role(self, function: Function, scope: Scope) -> Role | None:
        """The role of *function*; *scope* is the one that it is defined in."""
        if function not in self._known:
            self._known[function] = self._role(function, scope)
        return self._known[function]

    def _role(self, function: Function, scope: Scope) -> Role | None:
        for decorator in function.decorator_list:
            name = self.api(decorator.func if isinstance(decorator, ast.Call) else decorator, scope)
            if name == "workflow":
                return "workflow"
            if name == "step":
                return "step"
        if function.returns is None and not function.decorator_list:
            return "flow" if self._yields_commands(function, scope) else None
        return "flow" if self._is_flow(function.returns, scope) else None

    def _yields_commands(self, function: Function, scope: Scope) -> bool:
        """Whether *function*, which has no return annotation, seems to yield a command."""
        self._known[function] = None  # yielding from itself tells nothing
        inside = scope.module.scopes[function]
        asked = [node.value for node in own_nodes(function) if isinstance(node, (ast.Yield, ast.YieldFrom))]
        return any(self.command(value, inside) is not None for value in asked)

    def _is_flow(self, returns: ast.expr | None, scope: Scope) -> bool:
        match returns:
            case ast.Constant(value=str(text)):
                try:
                    return self._is_flow(ast.parse(text, mode="eval").body, scope)
                except SyntaxError:
                    return False
            case ast.Subscript(value=base, slice=inner):
                if self.api(base, scope) == "Flow":
                    return True
                generator = (self._files.dotted(base, scope) or "").endswith((".Generator", ".Iterator"))
                first = inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else inner
                made = first.value if isinstance(first, ast.Subscript) else first
                return generator and self.api(made, scope) == "Command"
            case ast.Name() | ast.Attribute():
                return self.api(returns, scope) == "Flow"
            case _:
                return False

    def command(self, node: ast.expr | None, scope: Scope) -> str | None:
        """A name for the command that *node* builds; None if it builds none."""
        if not isinstance(node, ast.Call):
            return None
        made = node.func
        if isinstance(made, ast.Attribute) and made.attr in _CHAINED:
            if (inner := self.command(made.value, scope)) is not None:
                return inner
            if self.api(made.value, scope) in COMMANDS:
                return ast.unparse(made)
        name = self.api(made, scope)
        if name is not None:
            return name if name in COMMANDS else None
        found = self._files.binding(made, scope)
        return ast.unparse(made) if found is not None and self._makes_commands(found) else None

    def _makes_commands(self, found: Binding) -> bool:
        if found.node is not None:
            return self.role(found.node, found.scope) is not None
        match found.value:
            case ast.Call(func=ast.Call(func=maker)) | ast.Call(func=maker):  # charge = step("charge")(body)
                return self.api(maker, found.scope) in ("step", "workflow", "Workflow")
            case _:
                return False

    def called(self, node: ast.Call, scope: Scope) -> tuple[Function, Scope] | None:
        """The plain function (no workflow, no step, not decorated) that a call leads to, with the scope it is defined in."""
        found = self._files.binding(node.func, scope) if isinstance(node.func, (ast.Name, ast.Attribute)) else None
        if found is None or not isinstance(found.node, FUNCTIONS) or found.node.decorator_list:
            return None
        if isinstance(found.scope.owner, ast.ClassDef) or self.role(found.node, found.scope) is not None:
            return None
        return found.node, found.scope
