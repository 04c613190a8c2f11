"""A report as text: a line for each workflow, then one example of each problem, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from redrive.counting import counted
from redrive.gate.check import Problem, Standing
from redrive.gate.report import Group, Report, WorkflowReport

Styled: TypeAlias = list[tuple[str, str]]
"""One line, as pairs of a style (or nothing) and a text."""

_IDS: Final = 5
_NAMES: Final[dict[Standing, str]] = {"safe": "safe", "patch": "needs Patch", "breaking": "breaking"}
_STYLES: Final[dict[Standing, str]] = {"safe": "green", "patch": "yellow", "breaking": "red"}


def pages(report: Report) -> Iterator[Styled]:
    entries = [report.workflows[name] for name in sorted(report.workflows)]
    if not entries:
        yield [("", "no live executions: any code is safe")]
        return
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        yield [("", f"{entry.name:<{width}}"), *_counts(entry)]
    for entry in entries:
        for group in entry.groups.values():
            yield [("", "")]
            yield from _group(entry, group)
    yield [("", "")]
    verdict = ("green", "safe to deploy") if report.safe else ("red", "not safe to deploy")
    yield [verdict, ("dim", f"  {counted(report.executions, 'execution')}, {counted(report.rows, 'row')} in {report.seconds:.1f} s")]


def text(report: Report) -> str:
    """The lines without styles."""
    return "\n".join("".join(part for _, part in line).rstrip() for line in pages(report))


def _counts(entry: WorkflowReport) -> Iterator[tuple[str, str]]:
    for standing, name in _NAMES.items():
        count = entry.count(standing)
        yield (_STYLES[standing] if count else "dim", f"  {count:>6,} {name}")


def _group(entry: WorkflowReport, group: Group) -> Iterator[Styled]:
    problem = group.problem
    count = len(group.ids)
    head = f"{entry.name}: {_NAMES[problem.standing]}, {count:,} execution{'' if count == 1 else 's'}: {problem.cause}"
    yield [(_STYLES[problem.standing], head), ("", f" ({problem.detail})" if problem.detail else "")]
    more = f" and {count - _IDS:,} more" if count > _IDS else ""
    yield [("", f"  ids: {', '.join(group.ids[:_IDS])}{more}")]
    yield from _problem(problem, f"execution {group.example}")


def explained(problem: Problem, where: str) -> list[str]:
    """The lines that explain *problem*, met in *where*, without styles."""
    head = [f"  {problem.detail}"] if problem.detail else []
    return head + ["".join(part for _, part in line).rstrip() for line in _problem(problem, where)]


def _problem(problem: Problem, where: str) -> Iterator[Styled]:
    if problem.recorded:
        width = max(len("recorded"), *map(len, problem.recorded))
        yield [("dim", f"    {'recorded':<{width}} │ now   ({where})")]
        last = len(problem.recorded) - 1
        for index, (then, now) in enumerate(zip(problem.recorded, problem.now, strict=True)):
            yield [("bold" if index == last else "", f"  {'>' if index == last else ' '} {then:<{width}} │ {now}")]
    if problem.place:
        yield [("", f"  at {problem.place}")]
    word = "patch:" if problem.standing == "patch" else "do:"
    for index, line in enumerate(problem.suggestion.splitlines()):
        yield [("", f"  {word if not index else '':<6} {line}")]
