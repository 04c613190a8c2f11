"""An edited history replayed on the code here, before anything is stored (F3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from redrive_interpreter import kinds
from redrive_interpreter.errors import RedriveError
from redrive_interpreter.history.requests import StartExecution
from redrive_interpreter.history.rows import Asked
from redrive_interpreter.replay.replay import replay

if TYPE_CHECKING:
    from redrive.operating.subjects import Subject
    from redrive_interpreter.commands.steps import StepSpec
    from redrive_interpreter.history.rows import Row
    from redrive_interpreter.history.verdicts import Finished
    from redrive_interpreter.keys import Key


@attrs.frozen(kw_only=True)
class Asking:
    """A command that the workflow would ask for next: its key, what it is, its encoded arguments, and the line that asks for it."""

    key: Key
    kind: str
    label: str
    input: Any = None
    place: str = ""
    new: bool = True
    """False: it was asked for before, and waits."""

    def __str__(self) -> str:
        return f"{kinds.kind_of(self.kind).words} {self.label or self.key}" + (
            f" at {self.key}" if self.label and self.label != self.key else ""
        )


@attrs.frozen(kw_only=True)
class Rehearsed:
    """Where the code stands behind an edited history: what it asks for, or how it ends."""

    asks: tuple[Asking, ...]
    finished: Finished | None
    new_rows: tuple[Row, ...]
    starts: tuple[str, ...] = ()
    """Ids of the children that it starts next."""


def rehearse(subject: Subject, rows: Sequence[Row]) -> Rehearsed:
    """Replay *rows*. Raises `Diverged`, `Unreadable` and the other errors of a replay."""
    replayed = replay(subject.workflow, rows, subject.codec, **_make(subject))
    machine = replayed.machine
    try:
        places = {view.key: str(view.place) for view in machine.fibers() if view.key is not None and view.place is not None}
        new = {row.key: row for row in replayed.rows if type(row) is Asked}
        waiting = [key for key in machine.pending if key not in new]
        known = {row.key: row for row in rows if type(row) is Asked and row.key in machine.pending}
        asks = [_asking(row, places, new=True) for row in new.values()]
        asks += [_asking(known[key], places, new=False) for key in waiting if key in known]
        starts = tuple(request.id for request in replayed.requests if isinstance(request, StartExecution))
        return Rehearsed(asks=tuple(asks), finished=machine.finished, new_rows=tuple(replayed.rows), starts=starts)
    finally:
        machine.close()


def fits(subject: Subject, rows: Sequence[Row]) -> bool:
    """Whether the code follows *rows* to their end."""
    try:
        rehearse(subject, rows)
    except RedriveError:
        return False
    return True


def spec_at(subject: Subject, key: str, before: int | None) -> StepSpec | None:
    """The specification in the code of the step at *key*, which it waits for behind the first *before* rows."""
    rows = subject.rows if before is None else subject.rows[:before]
    machine = replay(subject.workflow, rows, subject.codec, **_make(subject)).machine
    try:
        wait = machine.pending.get(key)  # type: ignore[call-overload]
        return None if wait is None else getattr(wait.command, "spec", None)
    finally:
        machine.close()


def _make(subject: Subject) -> dict[str, Any]:
    return {} if subject.make is None else {"make": subject.make}


def _asking(row: Asked, places: dict[Key, str], *, new: bool) -> Asking:
    return Asking(key=row.key, kind=row.kind, label=row.label, input=row.input, place=places.get(row.key, ""), new=new)
