"""The findings of a sweep, by workflow, and as JSON."""

from __future__ import annotations

from typing import Any

import attrs

from redrive.gate.check import Problem, Standing


@attrs.define
class Group:
    """Executions with the same problem. *problem* is that of the execution *example*; *ids* are all of them."""

    problem: Problem
    example: str
    ids: list[str] = attrs.field(factory=list[str])


@attrs.define
class WorkflowReport:
    """The live executions of one workflow. *groups* are keyed by the problem's sign, in the order found."""

    name: str
    safe: int = 0
    groups: dict[str, Group] = attrs.field(factory=dict[str, Group])

    def count(self, standing: Standing) -> int:
        if standing == "safe":
            return self.safe
        return sum(len(group.ids) for group in self.groups.values() if group.problem.standing == standing)


@attrs.define
class Report:
    """The report of a sweep. *rows* were replayed in *seconds*."""

    workflows: dict[str, WorkflowReport] = attrs.field(factory=dict[str, WorkflowReport])
    executions: int = 0
    rows: int = 0
    seconds: float = 0.0

    def add(self, workflow: str, id: str, rows: int, problem: Problem | None) -> None:
        self.executions += 1
        self.rows += rows
        entry = self.workflows.setdefault(workflow, WorkflowReport(workflow))
        if problem is None:
            entry.safe += 1
        else:
            entry.groups.setdefault(problem.sign, Group(problem, id)).ids.append(id)

    @property
    def safe(self) -> bool:
        return not any(entry.groups for entry in self.workflows.values())

    @property
    def rate(self) -> int:
        """Rows a second."""
        return round(self.rows / self.seconds) if self.seconds > 0 else 0

    def as_json(self) -> dict[str, Any]:
        return {
            "safe": self.safe,
            "executions": self.executions,
            "rows": self.rows,
            "seconds": round(self.seconds, 3),
            "workflows": {name: _entry(entry) for name, entry in sorted(self.workflows.items())},
        }


def _entry(entry: WorkflowReport) -> dict[str, Any]:
    counts = {standing: entry.count(standing) for standing in ("safe", "patch", "breaking")}
    return {**counts, "problems": [_group(group) for group in entry.groups.values()]}


def _group(group: Group) -> dict[str, Any]:
    problem = attrs.asdict(group.problem, filter=lambda field, _: field.name != "sign")
    return {**problem, "recorded": list(problem["recorded"]), "now": list(problem["now"]), "example": group.example, "ids": group.ids}
