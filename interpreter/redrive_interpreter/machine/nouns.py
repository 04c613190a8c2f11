"""The nouns of the machine, and the tables that they make together.

A noun's module has the handlers of its commands, the facts that end its waits, and its ways of comparing inputs; here they meet.
A new module of that shape is added to `NOUNS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from redrive_interpreter.errors import WorkflowMisuse
from redrive_interpreter.machine import (
    answer_waits,
    branches,
    cancelling,
    child_waits,
    comparing,
    continuing,
    derived_values,
    nesting,
    notices,
    run_start,
    saga,
    signal_waits,
    step_waits,
    switching,
    task_waits,
    timer_waits,
)
from redrive_interpreter.raised import shown

if TYPE_CHECKING:
    from redrive_interpreter.machine.comparing import Comparison
    from redrive_interpreter.machine.fibers import Fiber, Reply
    from redrive_interpreter.machine.run_state import RunState

Handler: TypeAlias = "Callable[[RunState, Fiber, Any], Reply]"
NOUNS: Final[tuple[Any, ...]] = (
    run_start, step_waits, answer_waits, timer_waits, signal_waits, notices, derived_values, switching, nesting, branches, task_waits,
    child_waits, continuing, saga, cancelling, comparing,
)  # fmt: skip


def _together(name: str) -> dict[Any, Any]:
    entries = [entry for noun in NOUNS for entry in getattr(noun, name, {}).items()]
    table = dict(entries)
    assert len(table) == len(entries), f"two nouns have the same {name}"
    return table


HANDLERS: Final[Mapping[type, Handler]] = _together("HANDLERS")
"""By class of command: the handler that runs when a fiber yields it."""
FACTS: Final[Mapping[type, Callable[[RunState, Any], None]]] = _together("FACTS")
"""By class of fact: the function that takes it. A fact about a settled key changes nothing and leaves no row; one about a key
that was never asked raises `UnexpectedFact` before anything has changed."""
COMPARISONS: Final[Mapping[str, Comparison]] = _together("COMPARISONS")
"""By the name in `kinds`: the function with which replay compares inputs."""


def handler_of(thing: Any) -> Handler:
    """The handler of something whose very type is not in the table. Raises `WorkflowMisuse` if it is no command."""
    for cls, handler in HANDLERS.items():
        if isinstance(thing, cls):
            return handler
    raise WorkflowMisuse(f"the workflow yielded {shown(thing)}, which is not a command{_hint(thing)}")


def _hint(thing: Any) -> str:
    if hasattr(thing, "__await__"):
        return "; workflows do not await: yield a Step instead"
    if isinstance(thing, (list, tuple)):
        return "; to run several at once, yield All(…)"
    if callable(thing):
        return "; call it to build the command"
    return ""
