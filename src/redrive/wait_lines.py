"""The waits of an execution, as a store keeps them beside its status: lines like ``signal:orders.approved``, the oldest first.

They serve to find executions. How long one waits, until when and why is for `redrive.info` to say, from the history.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter import kinds
from redrive_interpreter.commands.child_workflows import RunChild, WaitChild
from redrive_interpreter.commands.messaging import WaitSignal
from redrive_interpreter.commands.steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_BYTES: Final = 255
"""Of all lines together."""
_LONGEST: Final = 120
_SHORT: Final = 25
"""Characters up to which a step's id is as it is in a line, whatever they are."""
_MOST: Final = 64
"""Waits that are looked at. Of ten thousand steps in parallel, most are the same one."""
TIMER: Final = "timer"
NOUNS: Final = (*dict.fromkeys(kind.noun for kind in kinds.KINDS.values() if kind.waits and kind.tag != kinds.SLEEP),)
"""What can stand before a line's colon."""


def line(kind: str, label: str) -> str:
    """The line for a command of *kind* with *label*: a step's id, a signal's name, a child's workflow or id."""
    if kind == kinds.SLEEP:
        return TIMER
    text = f"{kinds.kind_of(kind).noun}:{label}"
    if len(text) * 3 > _LONGEST and len(text.encode("utf-8", "surrogatepass")) > _LONGEST:
        text = f"{kinds.kind_of(kind).noun}:sha256:{sha256(label.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return text.replace("\n", " ") if "\n" in text else text


def lines_of(waits: Iterable[tuple[str, str]]) -> str:
    """The lines for the oldest of *waits*, kinds and labels, as far as `MOST_BYTES` has room for them."""
    found: dict[str, None] = {}
    left = MOST_BYTES
    for kind, label in islice(waits, _MOST):
        text = line(kind, label)
        if text not in found:
            left -= len(text.encode("utf-8", "surrogatepass")) + 1
            if left < -1:
                break
            found[text] = None
    return "\n".join(found)


def waits_of(pending: Mapping[Any, Any]) -> str:
    """The lines for what a machine waits for."""
    if len(pending) == 1:  # nearly always, and of a step
        for wait in pending.values():
            command = wait.command
            if type(command) is Step and len(command.step_id) < _SHORT and "\n" not in command.step_id:
                return f"step:{command.step_id}"
            return line(command.kind, _label(command))
    return lines_of((wait.command.kind, _label(wait.command)) for wait in pending.values())


def oldest(waits: str) -> str:
    """The first line."""
    return waits.partition("\n")[0]


def alternatives(words: str) -> tuple[str, ...]:
    """The lines that *words* may mean: a whole line, or a label of any kind."""
    if words == TIMER:
        return (TIMER,)
    found = [f"{noun}:{words}" for noun in NOUNS]
    if words.partition(":")[0] in NOUNS:
        found.insert(0, words)
    return tuple(found)


def _label(command: Any) -> str:
    if isinstance(command, Step):
        return str(command.step_id)
    if isinstance(command, WaitSignal):
        return str(command.signal.name)
    if isinstance(command, RunChild):
        return str(command.invocation.workflow.name)
    if isinstance(command, WaitChild):
        return str(command.ref.id)
    return ""
