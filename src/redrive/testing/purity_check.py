"""Purity check: drive a run again from its facts in perturbed worlds; it must do the same in each."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from redrive.testing.perturbation import FACETS, WORLDS, Facet, Reordering, perturbed, used
from redrive.testing.trace import trace
from redrive_interpreter import Ended, Err, HostError, Machine, Row
from redrive_interpreter.history.rows import FACTS

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive_interpreter import Workflow

_FACTS: Final = frozenset(FACTS)
_INSTEAD: Final[dict[Facet, str]] = {
    "the clock": "yield from Now() is the time that a replay sees too",
    "random numbers": "yield from Random() and NewId() are the same on every replay",
    "the environment": "read it in a step, or pass it in",
    "the order of a set": "sort it before it becomes commands",
}


class Impure(AssertionError):
    """A workflow does something else when *causes* change, which histories do not record."""

    workflow: str
    causes: Sequence[Facet]
    difference: str

    def __init__(self, workflow: str, causes: Sequence[Facet], difference: str) -> None:
        super().__init__(workflow, causes, difference)
        self.workflow, self.causes, self.difference = workflow, causes, difference

    def __str__(self) -> str:
        why = " and ".join(self.causes) or "something outside of it"
        hints = [f"  {cause}: {_INSTEAD[cause]}" for cause in self.causes]
        return "\n".join([f"workflow {self.workflow!r} depends on {why}", *hints, self.difference])


def assert_pure(workflow: Workflow[..., Any], rows: Sequence[Row], codec: JsonCodec) -> None:
    """Drive *workflow* again from the facts of *rows* with another clock, luck, environment and order of sets.

    Raises `Impure` if it asks, notes or returns anything else. What it asks by way of ``uuid4`` or an address in memory
    differs in any second drive, and is found too.
    """
    used.forget()
    for n in range(WORLDS):
        if n and not used.luck:
            return  # one other world is enough for the rest
        made, problem = _drive(workflow, rows, codec, n, FACETS, n)
        if problem or not _alike(made, rows):
            diff = difflib.unified_diff(trace(rows), trace(made), "as it was", "elsewhere", lineterm="")
            raise Impure(workflow.name, _causes(workflow, rows, codec), "\n".join([*diff, problem]).rstrip())


def _causes(workflow: Workflow[..., Any], rows: Sequence[Row], codec: JsonCodec) -> list[Facet]:
    """The facets that make a difference alone; empty if a second drive in the same world differs already."""

    def told(n: int, facets: tuple[Facet, ...], luck: int = 0) -> list[str]:
        made, problem = _drive(workflow, rows, codec, n, facets, luck)
        return [*trace(made), problem]

    here = told(0, ())
    if told(0, ()) != here:
        return []
    return [facet for facet in FACETS if any(told(n, (facet,), n if facet == "random numbers" else 0) != here for n in range(WORLDS))]


def _drive(
    workflow: Workflow[..., Any], rows: Sequence[Row], codec: JsonCodec, n: int, facets: tuple[Facet, ...], luck: int
) -> tuple[list[Row], str]:
    """The rows that the workflow makes from the facts of *rows* in another world, and its error there."""
    other: Any = Reordering(codec) if "the order of a set" in facets else codec
    machine: Machine[Any] = Machine(workflow, other)
    problem = ""
    receive = machine.receive
    with perturbed(workflow, n, facets, luck):
        try:
            for row in rows:
                if type(row) in _FACTS:
                    receive(row)  # type: ignore[arg-type]
        except HostError as error:
            problem = str(error)
        finally:
            machine.close()
    return machine.take(), problem


def _alike(made: list[Row], rows: Sequence[Row]) -> bool:
    """Whether both runs made the same rows. Facts are the same objects in both lists, which makes the comparison fast."""
    return made == rows or (len(made) == len(rows) and all(map(_same, made, rows)))


def _same(one: Row, other: Row) -> bool:
    if isinstance(one, Ended) and isinstance(other, Ended) and isinstance(one.outcome, Err) and isinstance(other.outcome, Err):
        then, now = one.outcome.error, other.outcome.error
        return one.status == other.status and (then.type, then.message) == (now.type, now.message)
    return one == other
