"""Stubs for `play`, and what a missed expectation prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from redrive_interpreter import Answered, Asked, Err, Ok, RunChild, Signalled, Step, TimerFired, WaitChild

if TYPE_CHECKING:
    from redrive_interpreter import Command, Row, Source
    from redrive_interpreter.places import Place


class Unexpected(AssertionError):
    """The workflow does something else than the test says. *story*: done so far, asking now."""

    def __init__(self, problem: str, story: str) -> None:
        super().__init__(problem, story)
        self.problem, self.story = problem, story

    def __str__(self) -> str:
        return f"{self.problem}\n{self.story}"


class Script:
    """The stubs of a run: what answers which step, and which signals come."""

    def __init__(self, answers: Mapping[Any, object], signals: Mapping[Any, object]) -> None:
        self._answers = {_name(key): value for key, value in answers.items()}
        self._signals: dict[str, list[Any]] = {}
        for key, value in signals.items():
            payloads: Any = value
            self._signals[_name(key)] = list(payloads) if isinstance(value, list) else [payloads]

    def outcome(self, command: Command[Any]) -> Ok[Any] | Err | None:
        """What *command* comes to, if a stub says."""
        name = _subject(command)
        if name not in self._answers:
            return None
        answer = self._answers[name]
        if callable(answer) and not isinstance(answer, BaseException):
            args, kwargs = _call(command)
            try:
                answer = answer(*args, **kwargs)
            except Exception as error:
                return Err(error)
        return Err(answer) if isinstance(answer, BaseException) else Ok(answer)

    def stub(self, command: Command[Any]) -> str:
        return f"{_subject(command)!r}: …"

    def has(self, signal: Source[Any]) -> bool:
        return bool(self._signals.get(signal.name))

    def take(self, signal: Source[Any]) -> Any:
        return self._signals[signal.name].pop(0)

    def story(self, rows: Sequence[Row], asking: Sequence[Command[Any]], places: Sequence[Place]) -> str:
        """Done so far and asking now, in words."""
        names = {row.key: f"{row.kind.replace('_', ' ')} {row.label}".rstrip() for row in rows if isinstance(row, Asked)}
        done: list[str] = []
        for row in rows:
            if isinstance(row, Answered):
                outcome = row.outcome
                shown = f"= {outcome.value!r}" if isinstance(outcome, Ok) else f"failed: {outcome.error.type}: {outcome.error.message}"
                done.append(f"  {names.get(row.key, row.key)} {shown}")
            elif isinstance(row, Signalled):
                done.append(f"  signal {row.name} = {row.payload!r}")
            elif isinstance(row, TimerFired):
                done.append(f"  {names.get(row.key, row.key)} passed")
        lines = ["done so far:", *(done or ["  nothing"]), "asking now:"]
        lines += [f"  {command!r}" for command in asking] or ["  nothing: it has ended"]
        lines += [f"  at {place}" for place in places]
        return "\n".join(lines)


def _name(key: Any) -> str:
    if isinstance(key, str):
        return key
    for attribute in ("step_id", "name"):
        if isinstance(name := getattr(key, attribute, None), str):
            return name
    raise TypeError(f"{key!r} is no step, workflow, signal or id")


def _subject(command: Any) -> str:
    if isinstance(command, Step):
        return command.step_id
    if isinstance(command, RunChild):
        return str(command.invocation.workflow.name)
    if isinstance(command, WaitChild):
        return str(command.ref.workflow_name)
    return str(command.default_id)


def _call(command: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(command, Step):
        return command.args, command.kwargs
    if isinstance(command, RunChild):
        return command.invocation.args, command.invocation.kwargs
    return (), {}
