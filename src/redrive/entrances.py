"""Checks of the arguments that callers give to a service and its handles: a sentence for each mistake, before the store is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from redrive_interpreter.commands.messages import Event, Source
from redrive_interpreter.commands.workflows import Workflow
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.keys import check_name

T = TypeVar("T")


def check_options(verb: str, given: Mapping[str, object], known: Iterable[str]) -> None:
    """Raises `InvalidDefinition` for a keyword that *verb* does not know."""
    from difflib import get_close_matches

    options = list(known)
    for name in given:
        if name not in options:
            close = get_close_matches(name, options, 1)
            hint = f"did you mean {close[0]}=?" if close else f"its options are {', '.join(f'{option}=' for option in options)}"
            raise InvalidDefinition(f"{verb}() takes no {name}=: {hint}")


def checked_restart(restart: object, known: Iterable[str]) -> frozenset[str]:
    """The statuses of ``restart=``. Raises `InvalidDefinition`."""
    names = ", ".join(map(repr, sorted(known)))
    if isinstance(restart, str) or not isinstance(restart, Iterable):
        raise InvalidDefinition(f"restart= takes a tuple of statuses, of {names}, not {restart!r}")
    statuses: list[Any] = list(restart)  # pyright: ignore[reportUnknownArgumentType]
    if wrong := [each for each in statuses if each not in known]:
        raise InvalidDefinition(f"restart= takes statuses, of {names}, not {', '.join(map(repr, wrong))}")
    return frozenset(statuses)


def checked_event(verb: str, event: Source[T]) -> Source[T]:
    """Raises `InvalidDefinition` for what is no event."""
    if not isinstance(event, Event):
        raise InvalidDefinition(f"{verb} takes an event, like Event('orders.processed', Order), not {event!r}")
    return event


def checked_workflow(verb: str, workflow: Any) -> Any:
    """Raises `InvalidDefinition` for what is neither a workflow nor None."""
    if workflow is not None and not isinstance(workflow, Workflow):
        raise InvalidDefinition(f"{verb} takes a workflow, like process_order, not {workflow!r}")
    return workflow  # pyright: ignore[reportUnknownVariableType]


def checked_reason(verb: str, reason: str) -> str:
    """Raises `InvalidDefinition` unless *reason* is text."""
    if not isinstance(reason, str):
        raise InvalidDefinition(f"{verb} takes its reason as text, not {reason!r}")
    return reason


def is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def checked_run(run: int) -> int:
    """Raises `InvalidDefinition` unless *run* is a number."""
    if not is_number(run):
        raise InvalidDefinition(f"run= takes a number, 1 for the first run and -1 for the newest, not {run!r}")
    return run


def checked_seqs(seqs: Sequence[int]) -> Sequence[int]:
    """Raises `InvalidDefinition` unless *seqs* are numbers."""
    for seq in seqs:
        if not is_number(seq):
            raise InvalidDefinition(f"the numbers that the list shows are meant (seq), not {seq!r}")
    return seqs


def maybe_name(name: Any, what: str) -> str | None:
    """*name* if it can be the name of *what*, or is None. Raises `InvalidId`."""
    return None if name is None else check_name(name, what)
