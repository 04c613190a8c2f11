"""The plans of a function's parameters."""

from __future__ import annotations

from typing import Any

from redrive.codec.planner import Planner
from redrive.codec.plans import Plan
from redrive_interpreter.commands.signatures import Signature


class CallPlan:
    """Plans by parameter name, made when a name is first needed; kept on the signature, for one codec."""

    __slots__ = ("_names", "_signature", "count", "endless", "owner", "parameters")

    def __init__(self, owner: object, signature: Signature) -> None:
        self.owner: object = owner
        self.parameters: dict[str, Plan] = {}
        self.endless: bool = False
        self._signature = signature
        self._names = frozenset(signature.parameters)
        self.count: int = len(self._names - signature.injected)

    def find(self, planner: Planner, name: str) -> Plan:
        """The plan of the parameter *name*. Raises `CodecError` or `Wrong` for annotations that cannot be resolved."""
        declared: Any = self._signature.parameter(name)
        plan = planner.plan(tuple[declared, ...] if name.startswith("*") else declared)
        self.endless = self.endless or plan.endless
        self.parameters[name] = plan
        return plan

    def takes(self, name: str) -> bool:
        """Whether today's function still has a parameter that `bind` calls *name*."""
        return name.removeprefix("*") in self._names or self._signature.takes_any_keyword
