"""Labels of a drawing: the same words for exploration and for production."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs

from redrive_interpreter import Command, Key, RunChild, Sleep, Source, Step, WaitChild, WaitSignal
from redrive_interpreter.keys import ROLLBACK, unescape

Look: TypeAlias = Literal["begin", "step", "waits", "undo", "good", "bad", "case"]
NEXT_ATTEMPT: Final = "the next attempt of "
_REPEAT: Final = re.compile(r"#\d+")
_WITHOUT_TYPE: Final = {"StepTimeout": "times out", "StepInterrupted": "is interrupted", "Cancelled": "cancelled"}


@attrs.frozen
class Box:
    """The commands asked at one time, a line each; or an end. *loosely*: the same without parts that differ from run to run."""

    lines: tuple[str, ...]
    look: Look
    loosely: tuple[str, ...] = attrs.field(default=(), eq=False)

    @property
    def loose(self) -> Box:
        return Box(self.loosely or self.lines, self.look)


BEGIN: Final = Box(("",), "begin")


def box_of(asking: Mapping[Key, Command[Any]], mark: str | None = None) -> Box:
    """The box of a state in which *asking* is pending, or which ended as *mark* says."""
    if mark is not None:
        return Box((mark,), "good" if mark == "completed" else "bad")
    said = sorted({_said(key, command) for key, command in asking.items()})
    lines = tuple(exactly for exactly, _ in said) or ("its children end",)
    loosely = tuple(sorted({loose for _, loose in said}))
    if any(key.startswith(ROLLBACK) for key in asking):
        return Box(lines, "undo", loosely)
    return Box(lines, "step" if any(isinstance(command, Step) for command in asking.values()) else "waits", loosely)


def mark_of(status: str, failure: str | None) -> str:
    """The label of an end: the status, and the type of the failure."""
    return status if failure is None else f"{status}: {failure.rpartition('.')[2]}"


def place(key: str) -> str:
    """The place in a workflow that asks for a command: its key without the round of a loop or the item of a Map."""
    parts = [part for part in _REPEAT.sub("", key.removeprefix(ROLLBACK)).split("/") if not part.isdigit()]
    return "/".join(unescape(part).removeprefix("__") for part in parts)


def signal_name(signal: Source[Any]) -> str:
    """The label of a signal, as declared: ``of`` is shown without its suffix."""
    return signal.name if signal.name == signal.base else f"{signal.base}:…"


def case_of(key: str, label: str) -> str:
    """The label of the case *label* of the Switch at *key*."""
    return f"{place(key)}: {label or 'no case'}"


def given(value: object) -> str:
    """The label of a value, if workflows branch on its kind."""
    if isinstance(value, enum.Enum):
        return f"= {type(value).__name__}.{value.name}"
    return f"= {value!r}" if isinstance(value, bool) else "done"


def failed(type: str) -> str:
    """The label of an error, by its stored type."""
    name = type.rpartition(".")[2]
    return _WITHOUT_TYPE.get(name, f"fails: {name}")


def attempt(key: str, came_to: str) -> str:
    """The label of an attempt's outcome, of the step or undo at *key*."""
    if key.startswith(ROLLBACK):
        return "undone" if came_to == "done" or came_to.startswith("= ") else "cannot be undone"
    return f"{place(key)} {came_to}"


def due(key: str, command: Command[Any] | None) -> str:
    """The label of a due timer at *key*, or of the next attempt of a step."""
    if isinstance(command, Step):
        return f"{NEXT_ATTEMPT}{place(key)} is due"
    if isinstance(command, WaitSignal):
        return f"the timeout of {signal_name(command.signal)} is due"
    return "the deadline is due" if command is None else f"{place(key)} is due"


def joined(label: str, cases: Iterable[str]) -> str:
    """The text of an arrow: the event, then the cases chosen because of it."""
    return ", ".join(part for part in (label, *dict.fromkeys(cases)) if part)


def _said(key: str, command: Command[Any]) -> tuple[str, str]:
    """The label of a pending command, exactly and loosely."""
    where = place(key)
    if key.startswith(ROLLBACK):
        text = f"undo {where}: {command.default_id}"
    elif isinstance(command, WaitSignal):
        text = f"wait for {signal_name(command.signal)}"
    elif isinstance(command, Sleep):
        return ("sleep until a time" if command.until is not None else f"sleep {command.duration}"), "sleep"
    elif isinstance(command, RunChild):
        text = f"child {command.invocation.workflow.name}"
    elif isinstance(command, WaitChild):
        text = f"child {command.ref.workflow_name}"
    else:
        text = where
    return text, text
