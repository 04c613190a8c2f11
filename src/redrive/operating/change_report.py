"""Reports of the changes that an operator makes, shown before they are stored and kept with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import attrs

from redrive.codec import to_json
from redrive_interpreter import kinds
from redrive_interpreter.history.row_json import dump_outcome
from redrive_interpreter.history.rows import (
    Answered,
    Asked,
    AttemptStarted,
    AttributeSet,
    CancelRequested,
    ChildFinished,
    DeadlinePassed,
    Ended,
    Forked,
    Noted,
    Retrying,
    RollbackRetried,
    SetAside,
    Signalled,
    Started,
    TimerFired,
)
from redrive_interpreter.outcomes import Err, Ok

if TYPE_CHECKING:
    from redrive.operating.rehearsals import Asking, Rehearsed
    from redrive.operating.subjects import Edited
    from redrive.ports.store import ExecutionStatus
    from redrive_interpreter.history.rows import Row
    from redrive_interpreter.keys import Key

_SHOWN: Final = 200
_MOST_LINES: Final = 200


@attrs.frozen(kw_only=True)
class Change:
    """The changes of an operator's act, stored or planned: a dry run gives the same, with *stored* False.

    *number* is the number of the run whose history the act makes, or has made; *run* its id. *asks* is what the workflow asks for
    next, by a replay on the code here; *ends* the status in which it would end at once. *in_doubt* are the steps that may have taken
    effect without a result, *again* those that had succeeded and are performed again where the workflow asks for them, under new
    idempotency keys; *undone* those whose undo is part of what is taken back. *put_back* is what was taken from the inbox and goes
    there again. *elsewhere* says in sentences what is kept by others: parents, children and copies. *diff* is all of it as text.
    """

    id: str
    verb: str
    status: ExecutionStatus
    number: int
    run: UUID
    copy: str | None = None
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    put_back: tuple[str, ...] = ()
    asks: tuple[Asking, ...] = ()
    ends: str = ""
    in_doubt: tuple[Key, ...] = ()
    again: tuple[Key, ...] = ()
    undone: tuple[Key, ...] = ()
    children: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    reason: str = ""
    by: str = ""
    stored: bool = False

    @property
    def diff(self) -> str:
        return "\n".join(_lines(self))

    def __str__(self) -> str:
        what = f"{self.verb} of execution {self.id!r}"
        return f"{what}{'' if self.stored else ' (nothing is stored yet)'}\n{self.diff}"

    def plain(self) -> dict[str, Any]:
        """The change as JSON data, for the audit and for programs."""
        data = {
            "id": self.id,
            "verb": self.verb,
            "status": self.status,
            "number": self.number,
            "run": str(self.run),
            "copy": self.copy,
            "removed": list(self.removed),
            "added": list(self.added),
            "put_back": list(self.put_back),
            "asks": [{"key": str(one.key), "kind": one.kind, "label": one.label, "place": one.place, "new": one.new} for one in self.asks],
            "ends": self.ends,
            "in_doubt": list(map(str, self.in_doubt)),
            "again": list(map(str, self.again)),
            "undone": list(map(str, self.undone)),
            "children": list(self.children),
            "elsewhere": list(self.elsewhere),
            "reason": self.reason,
            "by": self.by,
            "stored": self.stored,
        }
        return {name: value for name, value in data.items() if value not in (None, "", [])}


def told(edited: Edited, rehearsed: Rehearsed | None, **fields: Any) -> Change:
    """The change that *edited* makes, with where the code would stand."""
    finished = None if rehearsed is None else rehearsed.finished
    return Change(
        verb=edited.verb,
        run=edited.run,
        removed=_shown_rows(edited.removed),
        added=_shown_rows(edited.added),
        put_back=_shown_rows(edited.back),
        asks=() if rehearsed is None else rehearsed.asks,
        ends="" if finished is None else f"{finished.status}: {_outcome(finished.outcome)}",
        in_doubt=edited.in_doubt,
        again=edited.again,
        undone=edited.undone,
        **fields,
    )


def _lines(change: Change) -> Iterator[str]:
    yield from (f"  - {line}" for line in _few(change.removed))
    yield from (f"  + {line}" for line in _few(change.added))
    yield from (f"  ^ back into the inbox: {line}" for line in _few(change.put_back))
    for asking in change.asks[:_MOST_LINES]:
        yield f"  {'> asks' if asking.new else '. waits for'} {asking}{_input(asking.input) if asking.new else ''}"
        if asking.place:
            yield f"      at {asking.place}"
    if change.ends:
        yield f"  > ends {change.ends}"
    for name, keys in (("in doubt", change.in_doubt), ("performed again", change.again), ("its undo is taken back", change.undone)):
        yield from (f"  ! {name}: {key}" for key in keys)
    yield from (f"  ! {line}" for line in change.elsewhere)


def _few(lines: Sequence[str]) -> list[str]:
    return list(lines) if len(lines) <= _MOST_LINES else [*lines[:_MOST_LINES], f"… and {len(lines) - _MOST_LINES} more"]


def _shown_rows(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(map(line_of, rows))


def line_of(row: Row) -> str:
    """A row as one line for people."""
    match row:
        case Asked():
            label = f" {row.label}" if row.label and row.label != row.key else ""
            return f"{row.key}: {kinds.kind_of(row.kind).words}{label} asked{_input(row.input)}"
        case Answered():
            doubt, by = " (in doubt)" if row.in_doubt else "", f" by the {row.by}" if row.by else ""
            return f"{row.key}: answered{by}{doubt} {_outcome(row.outcome)}"
        case Retrying():
            return f"{row.key}: attempt {row.attempt} failed, next one at {row.due.isoformat()} ({row.failure.type}: {row.failure.message})"
        case AttemptStarted():
            return f"{row.key}: attempt {row.attempt} began"
        case TimerFired():
            return f"{row.key}: its time came"
        case Signalled():
            return f"signal {row.name}{_input(row.payload)}"
        case CancelRequested():
            return f"cancel by {row.by}" + (f": {row.reason}" if row.reason else "")
        case DeadlinePassed():
            return "the deadline passed"
        case ChildFinished():
            return f"child {row.id} ended {row.status} {_outcome(row.outcome)}"
        case RollbackRetried():
            return "the undos were tried again"
        case Noted():
            return f"note {row.text}"
        case AttributeSet():
            return f"attribute {row.name} = {_shown(row.value)}"
        case SetAside():
            return f"signal {row.name} set aside"
        case Forked():
            return f"goes on as run {row.run}" + (f" of execution {row.id!r}" if row.id else "")
        case Ended():
            return f"ended {row.status}{' by an operator' if row.forced else ''} {_outcome(row.outcome)}"
        case Started():
            return f"started {row.workflow}{_input(row.input)}"


def _outcome(outcome: Ok[Any] | Err) -> str:
    return _shown(outcome.value) if isinstance(outcome, Ok) else f"{outcome.error.type}: {outcome.error.message}"


def _input(data: Any) -> str:
    return "" if data is None else f" {_shown(data)}"


def _shown(data: Any) -> str:
    try:
        text = json.dumps(data, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(data)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def outcome_text(outcome: Ok[Any] | Err) -> str:
    return to_json(dump_outcome(outcome))
