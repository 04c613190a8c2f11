"""The view of invariants: a run so far, read-only, in terms of its steps, signals and events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from redrive.status import COMPLETED
from redrive.testing.stubs import name_of
from redrive_interpreter import (
    Answered,
    Asked,
    CancelRequested,
    ChildFinished,
    DeadlinePassed,
    Ended,
    Err,
    Key,
    Noted,
    Ok,
    Retrying,
    Signalled,
    SignalTimeout,
    TimerFired,
    kinds,
)
from redrive_interpreter.errors import Cancelled
from redrive_interpreter.keys import ROLLBACK

if TYPE_CHECKING:
    from redrive_interpreter import Failure, Row, Status, Workflow

What: TypeAlias = Any
"""A thing that an invariant names: a step, a workflow, a signal, an event or its id; `Cancelled` or `SignalTimeout` itself."""
Kind: TypeAlias = Literal["asked", "done", "failed", "retried", "undone", "signal", "timeout", "cancelled", "commit", "child"]


@attrs.frozen
class Happening:
    """One event of the command at *key* of run number *run*, whose subject is *name*."""

    kind: Kind
    run: int
    key: Key
    name: str
    command: str = ""
    undo: str | None = None
    outcome: Any = None
    input: Any = None
    in_doubt: bool = False


@attrs.frozen
class View:
    """A run so far. *final*: nothing more happens without an event from outside. *on_cancel* is that of its workflow."""

    runs: Sequence[Sequence[Row]]
    final: bool
    happenings: Sequence[Happening]
    on_cancel: str | None = None

    @classmethod
    def of(cls, runs: Sequence[Sequence[Row]], final: bool, workflow: Workflow[..., Any]) -> View:
        return cls(runs, final, list(_happenings(runs)), workflow.on_cancel)

    @property
    def status(self) -> Status | None:
        """The status with which it ended; None if it has not."""
        last = self.runs[-1][-1]
        return last.status if isinstance(last, Ended) and last.status != "continued" else None

    @property
    def result(self) -> Any:
        """The value that it returned, as stored; None if it has not."""
        last = self.runs[-1][-1]
        return last.outcome.value if isinstance(last, Ended) and isinstance(last.outcome, Ok) else None

    @property
    def failure(self) -> Failure | None:
        """The error it ended with."""
        last = self.runs[-1][-1]
        return last.outcome.error if isinstance(last, Ended) and isinstance(last.outcome, Err) else None

    @property
    def notes(self) -> list[str]:
        return [row.text for run in self.runs for row in run if isinstance(row, Noted)]

    def asked(self, what: What) -> int:
        """The number of times that a step, event, wait or child was asked for."""
        return sum(1 for happening in self.happenings if happening.kind == "asked" and about(what, happening))

    def done(self, what: What) -> int:
        """The number of times that it happened: a step completed, an event was emitted, a signal came, a child ended well."""
        return sum(1 for happening in self.happenings if happened(what, happening))

    def failed(self, what: What) -> int:
        """The number of times that a step failed for good."""
        return sum(1 for happening in self.happenings if happening.kind == "failed" and about(what, happening))

    def undone(self, what: What) -> int:
        """The number of times that a step was undone."""
        return sum(1 for happening in self.happenings if happening.kind == "undone" and about(what, happening))

    def inputs(self, what: What) -> list[Any]:
        """The arguments of each time that a step (or undo) was asked: by name, as stored, oldest first."""
        return [h.input for h in self.happenings if h.kind == "asked" and about(what, h)]

    def results(self, what: What) -> list[Any]:
        """The results of the completed steps, as stored, oldest first."""
        return [h.outcome for h in self.happenings if h.kind == "done" and about(what, h)]


def about(what: What, happening: Happening) -> bool:
    return happening.name == (what if isinstance(what, str) else name_of(what))


def happened(what: What, happening: Happening) -> bool:
    """Whether *happening* is that *what* took place."""
    if what is Cancelled:
        return happening.kind == "cancelled"
    if what is SignalTimeout:
        return happening.kind == "timeout"
    if happening.kind == "asked":
        return happening.command == kinds.EMIT and about(what, happening)
    return happening.kind in ("done", "signal", "child") and about(what, happening)


def occurs(what: What, view: View) -> bool:
    """Whether *view* has anything of *what*: asked for or happened."""
    return any(about(what, happening) or happened(what, happening) for happening in view.happenings)


def _happenings(runs: Sequence[Sequence[Row]]) -> Iterator[Happening]:
    for run, rows in enumerate(runs):
        known: dict[Key, Asked] = {}
        children: dict[str, Asked] = {}
        for row in rows:
            if isinstance(row, Asked):
                if row.kind == kinds.CHILD_ATTEMPT:
                    continue  # no command of the workflow
                known[row.key] = row
                if row.kind in kinds.CHILD_STARTS:
                    children[row.input["id"]] = row
                kind: Kind = kinds.COMMIT if row.kind == kinds.COMMIT else "asked"
                yield Happening(kind, run, row.key, row.label, row.kind, row.undo, input=row.input)
            elif isinstance(row, Answered):
                yield from _answer(run, row, known)
            elif isinstance(row, Retrying):
                yield Happening("retried", run, row.key, known[row.key].label, kinds.STEP, None, row.failure, row.in_doubt)
            elif isinstance(row, Signalled):
                yield Happening("signal", run, Key(""), row.name, outcome=row.payload)
            elif isinstance(row, TimerFired):
                asked = known[row.key]
                if asked.kind == kinds.WAIT_SIGNAL:
                    yield Happening("timeout", run, row.key, asked.label)
            elif isinstance(row, ChildFinished):
                if row.id in children and row.status == COMPLETED:
                    asked = children[row.id]
                    yield Happening("child", run, asked.key, asked.label, outcome=row.outcome)
            elif isinstance(row, (CancelRequested, DeadlinePassed)):
                yield Happening("cancelled", run, Key(""), "")


def _answer(run: int, row: Answered, known: dict[Key, Asked]) -> Iterator[Happening]:
    asked = known[row.key]
    if asked.kind not in kinds.BODIES:
        return
    if isinstance(row.outcome, Err):
        yield Happening("failed", run, row.key, asked.label, asked.kind, asked.undo, row.outcome.error, row.in_doubt)
        return
    yield Happening("done", run, row.key, asked.label, asked.kind, asked.undo, row.outcome.value)
    if asked.kind == kinds.UNDO:
        of = Key(row.key.removeprefix(ROLLBACK))
        yield Happening("undone", run, of, known[of].label if of in known else "", undo=asked.label)
