"""The report of a failed expectation: rows done so far, commands asked now, and their lines of source."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from redrive.testing.trace import told
from redrive.testing.unyielded import unyielded
from redrive_interpreter import Ended, HostError, Key, Machine, Step
from redrive_interpreter.frozen import compared_fields_of
from redrive_interpreter.history.rows import FACTS

if TYPE_CHECKING:
    from redrive.testing.host import Host
    from redrive_interpreter import Command


class Unexpected(AssertionError):
    """The workflow does something else than the test expects. *report* lists what it has done so far and asks now."""

    problem: str
    report: str

    def __init__(self, problem: str, report: str) -> None:
        super().__init__(problem, report)
        self.problem, self.report = problem, report

    def __str__(self) -> str:
        return f"{self.problem}\n{self.report}"


def failure_report(host: Host) -> str:
    """Done so far and asking now, with the lines of source at which each was asked."""
    places = _places(host)
    done: list[str] = []
    for row, line in told(host.rows):
        if isinstance(row, (*FACTS, Ended)):
            key = getattr(row, "key", Key(""))
            done.append(f"  {line}" + (f"    {places[key]}" if key in places else ""))
    lines = ["done so far:", *done, "asking now:"]
    for key, command in host.pending.items():
        lines += [f"  {command!r}"] + ([f"    at {places[key]}"] if key in places else [])
    if not host.pending:
        lines.append("  nothing: it has ended" if host.verdict is not None else "  nothing")
    if forgotten := unyielded(host.machine):
        lines.append("built and not yielded (a forgotten `yield from`?):")
        lines += [f"  {command!r}\n    at {place}" for command, place in forgotten]
    return "\n".join(lines)


def _places(host: Host) -> dict[Key, str]:
    """The line of source that asked each command, found by driving the history again, since a report is rarely needed."""
    found: dict[Key, str] = {}
    machine = Machine(host.machine.workflow, host.codec)
    with contextlib.suppress(HostError, LookupError):
        for row in host.rows:
            if isinstance(row, FACTS):
                machine.receive(row)  # type: ignore[arg-type]
                for fiber in machine.fibers():
                    if fiber.key is not None and fiber.place is not None:
                        found.setdefault(fiber.key, str(fiber.place))
    machine.close()
    return found


def near_miss(expected: Command[Any], asked: Sequence[Command[Any]]) -> str:
    """The differences between *expected* and the one pending command of its kind and name; empty if there is none."""
    alike = [command for command in asked if command.kind == expected.kind and command.default_id == expected.default_id]
    if not alike:
        return ""
    before, now = _fields(expected), _fields(alike[0])
    lines = [f"the same {expected.kind.replace('_', ' ')} is asked, with other arguments:"]
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) != now.get(name):
            lines.append(f"  {name}: expected {before.get(name)!r}, asked {now.get(name)!r}")
    return "\n".join(lines)


def _fields(command: Any) -> dict[str, Any]:
    if isinstance(command, Step):
        return dict(command.spec.signature.bind(command.args, command.kwargs))
    return {name: getattr(command, name) for name in compared_fields_of(command)}
