"""Violations: the schedule, the report, and a `play` test that reproduces it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from redrive.testing.run import BEGIN
from redrive.testing.sources import homes_of, imports, invocation_source
from redrive_interpreter import Err

if TYPE_CHECKING:
    from redrive.testing.moves import Move
    from redrive_interpreter import Invocation

_OWN: Final = ("never", "at_most_once", "always_eventually", "compensated")
CRASH: Final = "it survives a crash"
BUG: Final = "it ends in no fault of its own code"


class Violation(AssertionError):
    """*invariant* is broken after *schedule*; *test* is a `play` test that fails as long as it is."""

    invariant: str
    breach: str
    schedule: Sequence[str]
    test: str
    report: str

    def __init__(self, invariant: str, breach: str, schedule: Sequence[str], test: str, report: str) -> None:
        super().__init__(invariant, breach, schedule, test, report)
        self.invariant, self.breach, self.schedule, self.test, self.report = invariant, breach, schedule, test, report

    def __str__(self) -> str:
        steps = [f"  {n}. {label}" for n, label in enumerate(self.schedule, 1)] or ["  (at its very start)"]
        return "\n".join(
            [
                f"{self.invariant}: {self.breach}",
                "schedule:",
                *steps,
                self.report,
                "",
                "this test fails as long as it is so:",
                "",
                self.test,
            ]
        )

    @classmethod
    def found(
        cls,
        invocation: Invocation[Any],
        invariant: str,
        breach: str,
        moves: Sequence[Move],
        lines: Sequence[str],
        report: str,
        setup: dict[str, Any],
        things: Sequence[Any] = (),
    ) -> Violation:
        test = _test(invocation, invariant, moves, lines, setup, things)
        return cls(invariant, breach, [move.label for move in moves], test, report)


def _test(
    invocation: Invocation[Any], invariant: str, moves: Sequence[Move], lines: Sequence[str], setup: dict[str, Any], things: Sequence[Any]
) -> str:
    name = re.sub(r"\W+", "_", f"{invocation.workflow.name} {invariant}").strip("_").lower()[:80]
    usual = {"timeout": None, "id": "test", "now": BEGIN}
    options = "".join(f", {key}={value!r}" for key, value in setup.items() if value != usual[key])
    body = [f"run = play({invocation_source(invocation)}{options})", *lines]
    if invariant == CRASH:
        body += ["run.restart()"]
    elif invariant == BUG:
        body += ["assert not run.verdict.bug"]
    else:
        body += [f"run.check({invariant})"]
    values: list[Any] = [*invocation.args, *invocation.kwargs.values()]
    for move in moves:
        outcome = getattr(move, "outcome", None)
        values.append(getattr(move, "payload", None) if outcome is None else outcome.error if isinstance(outcome, Err) else outcome.value)
    text = "\n".join([f"def test_{name}(play):", *(f"    {line}" for line in body)])
    needed = imports("\n".join(body), invocation, values, _OWN, homes_of(things))
    return "\n".join([*needed, "", "", text] if needed else [text]) + "\n"
