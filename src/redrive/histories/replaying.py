"""A history file as a test: today's code must continue from it, or end as it ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from redrive.gate import Problem, explained
from redrive.gate.check import check
from redrive.histories.app import load_app
from redrive.histories.files import read


class DoesNotFit(AssertionError):
    """The code no longer does what the file recorded. The message has both, side by side."""

    path: Path
    problem: Problem

    def __init__(self, path: Path, problem: Problem) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return "\n".join([f"{self.path}: {self.problem.cause}", *explained(self.problem, str(self.path.name))])


def replay_file(path: Path, apps: Sequence[str]) -> None:
    """Replay the history in *path* on the workflow that its first row names, from *apps* (``module:name``).

    Raises `DoesNotFit`, `BrokenFile`, or ValueError for an app that has no workflows.
    """
    app = load_app(apps)
    problem = check(app.workflows, read(path), app.codec)
    if problem is not None:
        raise DoesNotFit(path, problem)
