"""Causes of ends: the fact whose error went through the workflow to its end, found by replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from redrive_interpreter.history.rows import Answered, ChildFinished, DeadlinePassed, Ended
from redrive_interpreter.machine.machine import Machine
from redrive_interpreter.machine.observing import Observer
from redrive_interpreter.replay.replay import replay

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.requests import Request
    from redrive_interpreter.history.rows import Fact, Row

How: TypeAlias = Literal["step", "child", "deadline", "code", "other"]
"""``step``, ``child``: its failure ended the run. ``deadline``: the time was up. ``code``: the code was at fault, or an operator ended
the run: nothing failed. ``other``: the workflow made an error of its own."""

Make: TypeAlias = "Callable[..., Machine[Any]]"


@attrs.frozen
class EndCause:
    """*key* is that of the step, or the id of the child; *at* the index of the row that brought its failure."""

    how: How
    key: str = ""
    at: int = 0


class _Trace(Observer):
    """Remembers which fact each error from outside came with, and the last error that was judged."""

    def __init__(self) -> None:
        self.fact: Fact | None = None
        self.came: list[tuple[BaseException, Fact]] = []
        self.ended_with: BaseException | None = None

    def threw(self, error: BaseException) -> None:
        if self.fact is not None:
            self.came.append((error, self.fact))

    def ending(self, error: BaseException) -> None:
        self.ended_with = error


class _TracingMachine(Machine[Any]):
    __slots__ = ("trace",)

    def __init__(self, workflow: Workflow[..., Any], codec: Codec) -> None:
        self.trace = _Trace()
        super().__init__(workflow, codec, self.trace)

    def receive(self, fact: Fact) -> list[Request]:
        self.trace.fact = fact
        return super().receive(fact)


def cause_of_end(workflow: Workflow[..., Any], rows: Sequence[Row], codec: Codec, make: Make | None = None) -> EndCause:
    """Why the run of *rows*, which end with an `Ended` row, ended. Raises what `replay` raises."""
    ended = rows[-1]
    assert isinstance(ended, Ended)
    if ended.bug or ended.forced:
        return EndCause("code", at=len(rows) - 1)
    replayed = replay(workflow, rows, codec, make=_tracing(make))
    machine = replayed.machine
    assert isinstance(machine, _TracingMachine)
    machine.close()
    deadline = next((at for at, row in enumerate(rows) if type(row) is DeadlinePassed), None)
    if deadline is not None:
        return EndCause("deadline", at=deadline)
    trace = machine.trace
    fact = next((fact for error, fact in trace.came if error is trace.ended_with), None)
    if isinstance(fact, Answered):
        return EndCause("step", fact.key, _index(rows, fact))
    if isinstance(fact, ChildFinished):
        return EndCause("child", fact.id, _index(rows, fact))
    return EndCause("other", at=len(rows) - 1)


def _tracing(make: Make | None) -> Callable[[Workflow[..., Any], Codec], Machine[Any]]:
    def made(workflow: Workflow[..., Any], codec: Codec) -> Machine[Any]:
        return _TracingMachine(workflow, codec) if make is None else make(workflow, codec, _TracingMachine)

    return made


def _index(rows: Sequence[Row], fact: Fact) -> int:
    return next(at for at, row in enumerate(rows) if row is fact)
