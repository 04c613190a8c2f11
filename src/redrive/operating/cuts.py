"""Cutting a history at a row: what stays, what goes back into the inbox, and what was done in the rows that go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

import attrs

from redrive_interpreter import kinds
from redrive_interpreter.history.rows import (
    Answered,
    Asked,
    AttemptStarted,
    CancelRequested,
    ChildFinished,
    Forked,
    Retrying,
    Signalled,
    Started,
)
from redrive_interpreter.keys import ROLLBACK, Key
from redrive_interpreter.outcomes import Ok

if TYPE_CHECKING:
    from redrive_interpreter.history.rows import Fact, Row

_OF_A_KEY: Final = (Answered, Retrying, AttemptStarted)


def run_of(rows: Sequence[Row]) -> UUID:
    """The run that is in force behind *rows*."""
    for row in reversed(rows):
        if isinstance(row, (Forked, Started)):
            return row.run
    raise ValueError("a history begins with a started row")


def runs_of(rows: Sequence[Row]) -> tuple[UUID, ...]:
    """All runs that *rows* belong to, the first one first."""
    return tuple(row.run for row in rows if isinstance(row, (Forked, Started)))


def asked_at(rows: Sequence[Row], key: str) -> int | None:
    """The index of the row with which the command at *key* was asked."""
    return next((at for at, row in enumerate(rows) if type(row) is Asked and row.key == key), None)


def answered_at(rows: Sequence[Row], key: str) -> int | None:
    return next((at for at, row in enumerate(rows) if type(row) is Answered and row.key == key), None)


@attrs.frozen
class Start:
    """A child that the run started: *explicit* says that the workflow chose its id, so that another run would ask for the same."""

    id: str
    key: Key
    explicit: bool


def children_of(rows: Sequence[Row]) -> list[Start]:
    """The children that *rows* start."""
    starts = (row for row in rows if type(row) is Asked and row.kind in kinds.CHILD_STARTS)
    return [Start(row.input["id"], row.key, not _is_derived(row.input["id"])) for row in starts]


def _is_derived(id: str) -> bool:
    """Whether *id* derives from the run, as the ids do which nobody chose, and those that NewId gives."""
    try:
        return UUID(id).version == 5
    except ValueError:
        return False


def finished_children(rows: Sequence[Row]) -> set[str]:
    return {row.id for row in rows if type(row) is ChildFinished}


def known_children(rows: Sequence[Row]) -> set[str]:
    """The children that *rows* have started, those of earlier runs included."""
    started = rows[0]
    carried = {child.id for child in started.children} if isinstance(started, Started) else set[str]()
    return carried | {child.id for child in children_of(rows)}


@attrs.frozen(kw_only=True)
class Cut:
    """A history without its rows from index *at* on. *back* are the facts that what stays still waits for (F13)."""

    kept: list[Row]
    removed: list[Row]
    at: int
    back: list[Fact]


def cut(rows: Sequence[Row], at: int, *, dropping: Key | str | None = None, signals: bool = True, cancels: bool = False) -> Cut:
    """Cut *rows* at *at*. Facts about *dropping*, the step whose answer is the point, are not put back; *signals* and *cancels*
    that were taken behind the point are, if these say so."""
    kept, removed = list(rows[:at]), list(rows[at:])
    asked = {row.key for row in kept if type(row) is Asked} - {row.key for row in kept if type(row) is Answered} - {dropping}
    children = known_children(kept) - finished_children(kept)
    back = [row for row in removed if _goes_back(row, asked, children, signals, cancels)]
    return Cut(kept=kept, removed=removed, at=at, back=back)  # type: ignore[arg-type]


def _goes_back(row: Row, asked: set[Key], children: set[str], signals: bool, cancels: bool) -> bool:
    if isinstance(row, _OF_A_KEY):
        return row.key in asked
    if isinstance(row, ChildFinished):
        return row.id in children
    return (signals and isinstance(row, Signalled)) or (cancels and isinstance(row, CancelRequested))


# ── what was done in rows that go ───────────────────────────────────────────────────────────────
_SAYS_SO: Final = frozenset({kinds.STEP, kinds.UNDO, kinds.SEND_SIGNAL, kinds.START_CHILD, kinds.RUN_CHILD})
"""Kinds of commands that have taken effect if their answer is a success."""


def succeeded(rows: Sequence[Row]) -> set[Key]:
    return {row.key for row in rows if type(row) is Answered and isinstance(row.outcome, Ok)}


def effects(rows: Sequence[Row], at: int) -> list[Key]:
    """The keys of what *rows* asked for from *at* on and was done: steps, undos, events, signals to others and child starts (F5)."""
    done = succeeded(rows[at:])
    asked = (row for row in rows[at:] if type(row) is Asked)
    return [row.key for row in asked if row.kind == kinds.EMIT or (row.kind in _SAYS_SO and row.key in done)]


def undone(rows: Sequence[Row], at: int = 0) -> list[Key]:
    """The keys of the steps whose undo succeeded in *rows* from *at* on."""
    return [Key(key.removeprefix(ROLLBACK)) for key in succeeded(rows[at:]) if key.startswith(ROLLBACK)]


def earliest(rows: Sequence[Row], keys: Sequence[Key]) -> Key | None:
    """The one of *keys* that was asked first."""
    wanted = set(keys)
    return next((row.key for row in rows if type(row) is Asked and row.key in wanted), None)


def anew(rows: Sequence[Row], at: int) -> Key | None:
    """From where on a run is to begin anew, so that nothing which was done or undone behind *at* is taken for the contrary."""
    done = [Key(key.removeprefix(ROLLBACK)) for key in effects(rows, at)]
    return earliest(rows, done)


def in_flight(rows: Sequence[Row]) -> Iterator[Key]:
    """The steps that *rows* have asked for and not answered, and that wait for no attempt: their bodies may be running."""
    state: dict[Key, bool] = {}
    for row in rows:
        if type(row) is Asked and row.kind in kinds.BODIES:
            state[row.key] = True
        elif type(row) is Answered:
            state.pop(row.key, None)
        elif type(row) is Retrying and row.key in state:
            state[row.key] = row.in_doubt
        elif type(row) is AttemptStarted and row.key in state:
            state[row.key] = True
    return (key for key, running in state.items() if running)


def doubtful(rows: Sequence[Row], at: int) -> list[Key]:
    """The steps asked from *at* on that may have taken effect without a result: in flight, or in doubt."""
    asked = {row.key for row in rows[at:] if type(row) is Asked and row.kind in kinds.BODIES}
    maybe = [row.key for row in rows if isinstance(row, (Answered, Retrying)) and row.in_doubt]
    return [key for key in dict.fromkeys([*maybe, *in_flight(rows)]) if key in asked]
