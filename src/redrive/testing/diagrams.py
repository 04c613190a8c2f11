"""A workflow as a Mermaid flowchart, drawn from what exploration finds: no way through it is left out, none is made up.

A box is what is asked at one time, wherever in the run that was: the repeats of a loop are one box. An arrow is what came of
it. Undos are boxes of their own look; so are the ends.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any, Final

from redrive.testing.explore import Explored, explore
from redrive.testing.samples import NoSample, samples
from redrive_interpreter import Command, Invocation, Key, RunChild, Sleep, Step, WaitChild, WaitSignal, Workflow
from redrive_interpreter.keys import ROLLBACK

_REPEAT: Final = re.compile(r"#\d+")
_LOOKS: Final = (
    "classDef undo stroke-dasharray: 4 3",
    "classDef good stroke-width: 3px",
    "classDef bad stroke-width: 3px, stroke-dasharray: 1 3",
)
MOST_STATES: Final = 20_000


def diagram(of: Invocation[Any] | Workflow[..., Any], **options: Any) -> str:
    """Mermaid text for a workflow or a call of it; *options* are those of `explore`, but nobody cancels unless they say so.

    Raises `NoSample` where a workflow's argument, or what a step gives, has a type that no sample can be made of.
    """
    invocation = of if isinstance(of, Invocation) else of(*_arguments(of))
    chosen: dict[str, Any] = {"cancels": 0, "budget": MOST_STATES, **options}
    return mermaid(explore(invocation, **chosen), invocation.workflow.name)


def svg(text: str) -> str:
    """Mermaid *text* as an SVG picture, drawn here and now. Raises `ImportError` without the extra ``redrive[diagram]``."""
    try:
        renderer: Any = importlib.import_module("mermaidx")  # Mermaid itself, in an engine of its own: no browser, no download
    except ImportError as error:
        raise ImportError("an SVG needs the extra: pip install 'redrive[diagram]'") from error
    return str(renderer.render(text).svg())


def mermaid(explored: Explored, title: str) -> str:
    """*explored* as a flowchart."""
    names: dict[tuple[str, str], str] = {}
    boxes: list[str] = []
    numbers: dict[int, str] = {}
    for state in range(explored.states):
        box = _box(explored.asking.get(state, {}), explored.marks.get(state))
        if box not in names:
            names[box] = f"s{len(names)}"
            boxes.append(_drawn(names[box], *box))
        numbers[state] = names[box]
    arrows: dict[tuple[str, str], list[str]] = {}
    for before, label, after in explored.edges:
        labels = arrows.setdefault((numbers[before], numbers[after]), [])
        if (text := _escaped(_REPEAT.sub("", label))) not in labels:
            labels.append(text)
    lines = [f"  {before} -->|{'<br/>'.join(labels)}| {after}" for (before, after), labels in arrows.items()]
    begin = [f'  begin(("{_escaped(title)}")) --> {numbers[0]}'] if explored.states else []
    end = [] if explored.complete else ["  more[/not all of it was explored/]"]
    return "\n".join(["flowchart TD", *begin, *boxes, *lines, *end, *(f"  {look}" for look in _LOOKS)]) + "\n"


def _box(asking: Mapping[Key, Command[Any]], mark: str | None) -> tuple[str, str]:
    """The text of a state and its look."""
    if mark is not None:
        return mark, "good" if mark == "completed" else "bad"
    lines = sorted({_said(key, command) for key, command in asking.items()})
    undoing = any(key.startswith(ROLLBACK) for key in asking)
    return "\n".join(lines) or "…", "undo" if undoing else "waits" if not any(isinstance(c, Step) for c in asking.values()) else "step"


def _said(key: Key, command: Command[Any]) -> str:
    where = _REPEAT.sub("", key.removeprefix(ROLLBACK))
    if key.startswith(ROLLBACK):
        return f"undo {where}: {command.default_id}"
    if isinstance(command, WaitSignal):
        return f"wait for {command.signal.name}"
    if isinstance(command, Sleep):
        return f"sleep {command.duration if command.until is None else command.until}"
    if isinstance(command, RunChild):
        return f"child {command.invocation.workflow.name}"
    if isinstance(command, WaitChild):
        return f"child {command.ref.workflow_name}"
    return where


def _drawn(name: str, text: str, look: str) -> str:
    shown = "<br/>".join(_escaped(line) for line in text.split("\n"))
    shapes = {"step": f'["{shown}"]', "waits": f'{{{{"{shown}"}}}}', "undo": f'["{shown}"]:::undo'}
    return f"  {name}" + shapes.get(look, f'(["{shown}"]):::{look}')


def _escaped(text: str) -> str:
    for char, code in (("#", "#35;"), ('"', "#quot;"), ("|", "#124;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(char, code)
    return re.sub(r"[\[\]{}()`]", lambda found: f"#{ord(found.group())};", text)


def _arguments(workflow: Workflow[..., Any]) -> list[Any]:
    signature = workflow.signature
    arguments: list[Any] = []
    for name in signature.parameters:
        try:
            arguments.append(samples(signature.parameter(name), name)[0])
        except NoSample as error:
            raise NoSample(f"{error}, the argument {name!r} of {workflow.name}: give diagram() a call of it") from error
    return arguments
