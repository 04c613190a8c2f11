"""The trace of a run: its rows in words, a line each. The same run gives the same text on every machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from redrive.codec import to_json
from redrive_interpreter import (
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
    Ok,
    Retrying,
    RollbackRetried,
    SetAside,
    Signalled,
    Started,
    TimerFired,
    kinds,
)

if TYPE_CHECKING:
    from redrive_interpreter import Row

_UNNAMED: Final = re.compile(r"(^|/|rollback:)__")


def trace(rows: Sequence[Row]) -> list[str]:
    """One line a row, without clocks or paths."""
    return [line for _, line in told(rows)]


def told(rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    """Each row with its line."""
    teller = _Teller()
    for row in rows:
        yield row, teller.line(row)


def describe(row: Row) -> str:
    """*row* by itself."""
    return _Teller().say(row)


class _Teller:
    """The state of a trace: the time, and the command asked under each key."""

    def __init__(self) -> None:
        self._now: datetime | None = None
        self._asked: dict[str, Asked] = {}
        self._children: dict[str, str] = {}

    def line(self, row: Row) -> str:
        at: datetime | None = getattr(row, "at", None)
        passed = ""
        if at is not None:
            passed = f"after {_span(at - self._now)}: " if self._now is not None and at > self._now else ""
            self._now = at
        return passed + self.say(row)

    def say(self, row: Row) -> str:
        match row:
            case Started():
                return f"{row.workflow} starts with {_shown(row.input)}"
            case Asked(kind=kinds.CHILD_ATTEMPT):
                return self._attempt(row)
            case Asked():
                return self._asks(row)
            case Answered():
                return self._answer(row)
            case AttemptStarted():
                return f"{name_of_key(row.key)} begins attempt {row.attempt}"
            case Retrying():
                failed = f"{name_of_key(row.key)} failed, attempt {row.attempt}: {row.failure.type}: {row.failure.message}"
                return f"{failed}; again after {_span(row.due - row.at)}"
            case TimerFired():
                asked = self._asked.get(row.key)
                timeout = asked is not None and (asked.kind == kinds.WAIT_SIGNAL or asked.kind in kinds.CHILD_WAITS)
                return f"the timeout of {asked.label} is due" if timeout and asked is not None else f"{name_of_key(row.key)} is due"
            case Signalled():
                return f"signal {row.name} {_shown(row.payload)}"
            case CancelRequested():
                return f"cancelled by {row.by}" + (f": {row.reason}" if row.reason else "")
            case DeadlinePassed():
                return "the deadline has passed"
            case ChildFinished():
                return f"{self._child(row.id)} ended {row.status} {_ended(row.outcome).removeprefix('failed: ')}"
            case RollbackRetried():
                return "the undos are tried again"
            case SetAside():
                return f"  sets aside signal {row.name}, which {name_of_key(row.key)} cannot read"
            case Forked():
                return f"  goes on as run {row.run}"
            case Noted():
                return f"  notes {row.text}" + (f" {_shown(dict(row.data))}" if row.data else "")
            case AttributeSet():
                return f"  sets {row.name} = {_shown(row.value)}"
            case Ended():
                return f"ends {row.status} {_ended(row.outcome).removeprefix('failed: ')}"

    def _asks(self, row: Asked) -> str:
        self._asked[row.key] = row
        if row.kind in kinds.CHILD_STARTS:
            self._children[row.input["id"]] = row.label
        scope, _, own = row.key.rpartition("/")
        kind = kinds.kind_of(row.kind).words
        if own.startswith("__"):  # it has no id of its own, so its kind is its name
            kind = (f"{name_of_key(scope)}/" if scope else "") + kind + (f"#{own.rpartition('#')[2]}" if "#" in own else "")
        else:
            kind = f"{name_of_key(row.key)}: {kind}"
        given: Any = row.input
        if isinstance(given, dict) and not kinds.kind_of(row.kind).input_is_users:
            options = cast("dict[str, Any]", given)
            given = {name: value for name, value in options.items() if value is not None} or None
        undo = f", undone by {row.undo}" if row.undo else ""
        return " ".join(["  asks", kind, *([row.label] if row.label else []), *([] if given is None else [_shown(given)])]) + undo

    def _attempt(self, row: Asked) -> str:
        """The line of a further attempt of a child."""
        due = row.input["due"]
        if due is None:
            return f"  {row.label} is not started again"
        attempt = f"  starts {row.label} again, attempt {row.key.rpartition('#')[2]}"
        return attempt + ("" if self._now is None else f", after {_span(datetime.fromisoformat(due) - self._now)}")

    def _answer(self, row: Answered) -> str:
        asked = self._asked.get(row.key)
        match asked:
            case Asked(kind=kinds.START_CHILD | kinds.RUN_CHILD):
                what, done = self._child(asked.input["id"]), "is started"
            case Asked(kind=kinds.SEND_SIGNAL):
                what, done = f"signal {asked.label}", f"is sent to {asked.input['to']}"
            case Asked(kind=kinds.CANCEL_CHILD):
                what, done = self._child(asked.label), "is told to cancel"
            case _:
                return f"{name_of_key(row.key)} {_ended(row.outcome)}{', in doubt' if row.in_doubt else ''}"
        return f"{what} {done if isinstance(row.outcome, Ok) else _ended(row.outcome)}"

    def _child(self, id: str) -> str:
        workflow = self._children.get(id)
        return f"child {id}" if workflow is None else f"child {workflow} {id}"


def name_of_key(key: str) -> str:
    """*key*, without the underscores of commands that have no id of their own."""
    return _UNNAMED.sub(r"\1", key)


def _ended(outcome: Any) -> str:
    if isinstance(outcome, Ok):
        value: Any = outcome.value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return f"= {_shown(value)}"
    return f"failed: {outcome.error.type}: {outcome.error.message}"


def _shown(data: Any) -> str:
    return to_json(data) if data is not None else "none"


def _span(span: timedelta) -> str:
    return str(span)
