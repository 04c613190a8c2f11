"""What a run did, as text: the trace for snapshot tests, and the story that a missed expectation prints."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from redrive.codec import to_json
from redrive_interpreter import (
    Answered,
    Asked,
    AttemptStarted,
    AttributeSet,
    CancelRequested,
    ChildFinished,
    DeadlinePassed,
    Ended,
    HostError,
    Key,
    Machine,
    Noted,
    Ok,
    Retrying,
    RollbackRetried,
    Signalled,
    Started,
    Step,
    TimerFired,
)
from redrive_interpreter.places import fibers, place_of
from redrive_interpreter.rows import FACTS

if TYPE_CHECKING:
    from redrive.testing.host import Host
    from redrive_interpreter import Command, Row


class Unexpected(AssertionError):
    """The workflow does something else than the test says. *story*: done so far, asking now."""

    def __init__(self, problem: str, story: str) -> None:
        super().__init__(problem, story)
        self.problem, self.story = problem, story

    def __str__(self) -> str:
        return f"{self.problem}\n{self.story}"


def trace(rows: Sequence[Row]) -> list[str]:
    """One line a row, without clocks or paths: the same text for the same run, wherever it is made."""
    return [line for _, line in _lines(rows)]


def _lines(rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    now: datetime | None = None
    for row in rows:
        at: datetime | None = getattr(row, "at", None)
        passed = ""
        if at is not None:
            passed = f"after {_span(at - now)}: " if now is not None and at > now else ""
            now = at
        yield row, passed + describe(row, now)


def describe(row: Row, now: datetime | None = None) -> str:
    """*row* in words; *now* is the time of the turn it is in."""
    match row:
        case Started():
            return f"{row.workflow} starts with {_shown(row.input)}"
        case Asked(key, "child_attempt"):
            due = row.input["due"]
            if due is None:
                return f"  {row.label} is not started again"
            attempt = f"  starts {row.label} again, attempt {key.rpartition('#')[2]}"
            return attempt + ("" if now is None else f", after {_span(datetime.fromisoformat(due) - now)}")
        case Asked():
            about = f" {row.label}" if row.label else ""
            asks = f"  asks {row.key}: {row.kind.replace('_', ' ')}{about}"
            undo = f", undone by {row.undo}" if row.undo else ""
            return asks + ("" if row.input is None else f" {_shown(row.input)}") + undo
        case Answered():
            return f"{row.key} {_ended(row.outcome)}{', in doubt' if row.in_doubt else ''}"
        case AttemptStarted():
            return f"{row.key} begins attempt {row.attempt}"
        case Retrying():
            failed = f"{row.key} failed, attempt {row.attempt}: {row.failure.type}: {row.failure.message}"
            return f"{failed}; again after {_span(row.due - row.at)}"
        case TimerFired():
            return f"{row.key} is due"
        case Signalled():
            return f"signal {row.name} {_shown(row.payload)}"
        case CancelRequested():
            return f"cancelled by {row.by}" + (f": {row.reason}" if row.reason else "")
        case DeadlinePassed():
            return "the deadline has passed"
        case ChildFinished():
            return f"child {row.id} ended {row.status} {_ended(row.outcome).removeprefix('failed: ')}"
        case RollbackRetried():
            return "the undos are tried again"
        case Noted():
            return f"  notes {row.text}" + (f" {_shown(dict(row.data))}" if row.data else "")
        case AttributeSet():
            return f"  sets {row.name} = {_shown(row.value)}"
        case Ended():
            return f"ends {row.status} {_ended(row.outcome).removeprefix('failed: ')}"


def _ended(outcome: Any) -> str:
    if isinstance(outcome, Ok):
        value: Any = outcome.value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return f"= {_shown(value)}"
    return f"failed: {outcome.error.type}: {outcome.error.message}"


def _shown(data: Any) -> str:
    return to_json(data) if data is not None else "none"


def _span(span: timedelta) -> str:
    return str(span)


def story_of(host: Host) -> str:
    """Done so far and asking now, with the lines of source at which each was asked."""
    places = _places(host)
    done: list[str] = []
    for row, line in _lines(host.rows):
        if isinstance(row, (*FACTS, Ended)):
            key = getattr(row, "key", Key(""))
            done.append(f"  {line}" + (f"    {places[key]}" if key in places else ""))
    lines = ["done so far:", *done, "asking now:"]
    for key, command in host.pending.items():
        lines += [f"  {command!r}"] + ([f"    at {places[key]}"] if key in places else [])
    if not host.pending:
        lines.append("  nothing: it has ended" if host.verdict is not None else "  nothing")
    return "\n".join(lines)


def _places(host: Host) -> dict[Key, str]:
    """Where in the source each command was asked: found by driving the history once more, for a text is rarely wanted."""
    found: dict[Key, str] = {}
    machine = Machine(host.machine.workflow, host.codec)
    with contextlib.suppress(HostError, LookupError):
        for row in host.rows:
            if isinstance(row, FACTS):
                machine.receive(row)  # type: ignore[arg-type]
                for fiber in fibers(machine):
                    key = getattr(fiber.wait, "key", None)
                    frame = next((frame for frame in reversed(fiber.frames) if frame.gen is not None), None)
                    if key is not None and frame is not None:
                        found.setdefault(key, place_of(frame))
    machine.close()
    return found


def near_miss(expected: Command[Any], asked: Sequence[Command[Any]]) -> str:
    """What differs between *expected* and the one pending command of its kind and name; nothing if there is none."""
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
    return {name: getattr(command, name) for name in command._compared}
