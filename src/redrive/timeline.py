"""A run's rows as one line for each command: when it was asked, its result, how long it took.

Works on the rows alone, so it can be read where the workflow's code is not at hand. The rows do not say when
a combinator or an abandoned wait was over; that is read off the next command of the same scope.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, cast

import attrs

from redrive_interpreter import Key, kinds
from redrive_interpreter.history import rows as r
from redrive_interpreter.keys import ROLLBACK
from redrive_interpreter.kinds import kind_of
from redrive_interpreter.outcomes import Err, Failure, Ok

State: TypeAlias = Literal["waiting", "done", "failed", "timed out", "cut", "note", "event"]


@attrs.define(kw_only=True)
class Entry:
    """One command of the run, or (*kind* ``cancel``, ``deadline``, ``end``, …) something that happened to it."""

    key: str
    kind: str
    label: str = ""
    input: Any = None
    asked_at: datetime
    ended_at: datetime | None = None
    state: State = "waiting"
    value: Any = None
    failure: Failure | None = None
    attempts: int = 1
    retry_due: datetime | None = None

    @property
    def due(self) -> datetime | None:
        """When a sleep, or the patience of a wait, is over; None: never, or not a matter of time."""
        limit = json_object(self.input) or {}
        if until := limit.get("until"):
            return datetime.fromisoformat(until)
        seconds = limit.get("seconds")
        return self.asked_at + timedelta(seconds=seconds) if isinstance(seconds, (int, float)) else None


@attrs.define
class Timeline:
    """All entries, in the order in which they were asked, and how the run began and ended.

    *unread* are the names of signals that were taken up and that no wait has got, each once, in the order in which they came.
    """

    started: r.Started | None = None
    entries: list[Entry] = attrs.field(factory=list[Entry])
    ended: r.Ended | None = None
    ended_at: datetime | None = None
    unread: tuple[str, ...] = ()

    @property
    def open(self) -> list[Entry]:
        """The entries that the run waits for."""
        return [] if self.ended else [entry for entry in self.entries if entry.state == "waiting" and kind_of(entry.kind).waits]


def json_object(value: Any) -> dict[str, Any] | None:
    """*value* if it is a JSON object, the very one; None if it is something else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def timeline(rows: Sequence[r.Row]) -> Timeline:
    """Fold *rows*, oldest first."""
    reader = _Reader()
    for row in rows:
        reader.take(row)
    reader.finish()
    return reader.line


class _Waiting(dict[str, Entry]):
    """The entries that nothing has ended, by key; those inside a scope are found without a look at all the others."""

    def __init__(self) -> None:
        super().__init__()
        self._scopes: dict[str, dict[str, Entry]] = {}

    def add(self, entry: Entry) -> None:
        self[entry.key] = entry
        for prefix in _scopes(entry.key):
            self._scopes.setdefault(prefix, {})[entry.key] = entry

    def end(self, entry: Entry) -> None:
        if self.pop(entry.key, None) is not None:
            for prefix in _scopes(entry.key):
                self._scopes[prefix].pop(entry.key, None)

    def inside(self, prefix: str) -> list[Entry]:
        """The entries whose keys begin with *prefix*, which ends with a slash or is empty."""
        return list(self._scopes.get(prefix, {}).values() if prefix else self.values())


def _scopes(key: str) -> list[str]:
    """The prefixes of the scopes that *key* lies in, the root apart."""
    return [key[: at + 1] for at, letter in enumerate(key) if letter == "/"]


class _Reader:
    def __init__(self) -> None:
        self.line = Timeline()
        self.now: datetime | None = None
        self._commands: dict[str, Entry] = {}
        self._waiting = _Waiting()
        self._unread: dict[str, deque[r.Signalled]] = {}
        self._waited_for_child: list[Entry] = []

    def take(self, row: r.Row) -> None:
        at = getattr(row, "at", None)
        if at is not None:
            self.now = at
        match row:
            case r.Started():
                self.line.started = row
                for signal in row.unread:
                    self._keep(signal)
            case r.Asked():
                self._asked(row)
            case r.Answered(key, outcome):
                self._settle(key, outcome)
            case r.AttemptStarted(key, attempt):
                if (entry := self._waiting.get(key)) is not None:
                    entry.attempts = attempt
            case r.Retrying(key, attempt, failure, due):
                if (entry := self._waiting.get(key)) is not None:
                    entry.attempts, entry.failure, entry.retry_due = attempt + 1, failure, due
            case r.TimerFired(key):
                if (entry := self._waiting.get(key)) is not None:
                    self._end(entry, "done" if entry.kind == kinds.SLEEP else "timed out")
            case r.Signalled():
                self._signalled(row)
            case r.ChildFinished():
                self._child(row)
            case r.CancelRequested():
                self._happened("cancel", f"by {row.by}" + (f": {row.reason}" if row.reason else ""))
            case r.DeadlinePassed():
                self._happened("deadline", "the deadline passed")
            case r.RollbackRetried():
                self._happened("retry_rollback", "the failed undos are tried again")
                self._reopen()
            case r.Noted():
                self._add(
                    Entry(key=row.key, kind=kinds.NOTE, label=row.text, value=dict(row.data) or None, asked_at=self._at, state="note")
                )
            case r.SetAside(key=key, name=name, error=error):
                self._set_aside(key, name)
                self._happened("set_aside", f"signal {name}: {error}")
            case r.Forked():
                self._happened("forked", f"goes on as run {row.run}")
            case r.AttributeSet():
                self._happened("attribute", row.name, row.value)
            case r.Ended():
                self.line.ended, self.line.ended_at = row, self._at

    def _reopen(self) -> None:
        """The run tries the failed undos again."""
        self.line.ended = self.line.ended_at = None
        for entry in self._commands.values():
            if entry.kind == kinds.UNDO and entry.state == "failed":
                entry.state, entry.ended_at = "waiting", None
                self._waiting.add(entry)

    def finish(self) -> None:
        """End the entries that have no end of their own, if the run has ended."""
        self.line.unread = tuple(name for name, signals in self._unread.items() if signals)
        if self.line.ended is not None:
            for entry in list(self._waiting.values()):
                self._end(entry, "done" if kind_of(entry.kind).group else "cut")

    @property
    def _at(self) -> datetime:
        assert self.now is not None, "a history begins with a fact"
        return self.now

    def _add(self, entry: Entry) -> None:
        self.line.entries.append(entry)

    def _happened(self, kind: str, label: str, value: Any = None) -> None:
        self._add(Entry(key="", kind=kind, label=label, value=value, asked_at=self._at, ended_at=self._at, state="event"))

    def _asked(self, row: r.Asked) -> None:
        if row.kind == kinds.CHILD_ATTEMPT:
            self._child_again(row)
            return
        self._close_what_this_follows(row.key)
        entry = Entry(key=row.key, kind=row.kind, label=row.label, input=row.input, asked_at=self._at)
        self._commands[row.key] = entry
        self._add(entry)
        kind = kind_of(row.kind)
        if not kind.waits and not kind.group:
            entry.state, entry.ended_at = "done", self._at
            return
        self._waiting.add(entry)
        if row.kind == kinds.SLEEP and entry.due is not None and entry.due <= self._at:
            self._end(entry, "done")
        if row.kind == kinds.WAIT_SIGNAL and (kept := self._oldest_for(entry)) is not None:
            self._end(entry, "done", kept.payload)

    def _close_what_this_follows(self, key: Key) -> None:
        """A scope asks one thing after the other: what it asked before *key* is over, and all inside that."""
        if key.startswith(ROLLBACK):
            return
        parent, _, _ = key.rpartition("/")
        prefix = f"{parent}/" if parent else ""
        for other in self._waiting.inside(prefix):
            if not other.key.startswith(ROLLBACK):
                first = prefix + other.key[len(prefix) :].partition("/")[0]
                asked_by = self._commands.get(first)
                if asked_by is None or asked_by.kind != kinds.SPAWN:
                    self._end(other, "done" if kind_of(other.kind).group else "cut")

    def _end(self, entry: Entry, state: State, value: Any = None, failure: Failure | None = None) -> None:
        self._waiting.end(entry)
        entry.state, entry.ended_at, entry.value, entry.retry_due = state, self._at, value, None
        entry.failure = failure

    def _settle(self, key: str, outcome: Ok[Any] | Err) -> None:
        entry = self._waiting.get(key)
        if entry is None:
            return
        if isinstance(outcome, Ok):
            if entry.kind != kinds.RUN_CHILD:  # its answer only says that the child was started
                self._end(entry, "done", outcome.value)
        else:
            failure = outcome.error if isinstance(outcome.error, Failure) else Failure(type(outcome.error).__name__, str(outcome.error))
            entry.attempts = max(entry.attempts, failure.attempts)
            self._end(entry, "failed", failure=failure)

    def _signalled(self, signal: r.Signalled) -> None:
        for entry in self._waiting.values():
            if entry.kind == kinds.WAIT_SIGNAL and _is_for(signal, entry):
                self._end(entry, "done", signal.payload)
                return
        self._keep(signal)

    def _keep(self, signal: r.Signalled) -> None:
        self._unread.setdefault(signal.name, deque()).append(signal)

    def _oldest_for(self, entry: Entry) -> r.Signalled | None:
        """The oldest kept signal that *entry*, a wait, is for; it is kept no longer."""
        unread = self._unread.get(entry.label) or deque()
        signal = next((signal for signal in unread if _is_for(signal, entry)), None)
        if signal is not None:
            unread.remove(signal)
        return signal

    def _set_aside(self, key: str, name: str) -> None:
        """The signal that seemed to end the wait at *key* did not: it waits on, or took the next one that was kept."""
        entry = self._commands.get(key)
        if entry is None or entry.kind != kinds.WAIT_SIGNAL:  # a Race, before it began its branches
            if unread := self._unread.get(name):
                unread.popleft()
            return
        entry.state, entry.ended_at, entry.value = "waiting", None, None
        self._waiting.add(entry)
        if (kept := self._oldest_for(entry)) is not None:
            self._end(entry, "done", kept.payload)

    def _child(self, row: r.ChildFinished) -> None:
        self._waited_for_child = []
        for entry in list(self._waiting.values()):
            if entry.kind in kinds.CHILD_WAITS and row.id in _ids(entry):
                self._settle_child(entry, row.outcome)

    def _settle_child(self, entry: Entry, outcome: Ok[Any] | Err) -> None:
        if isinstance(outcome, Ok):
            self._end(entry, "done", outcome.value)
        else:
            failure = outcome.error if isinstance(outcome.error, Failure) else None
            self._end(entry, "failed", failure=failure)
            self._waited_for_child.append(entry)

    def _child_again(self, row: r.Asked) -> None:
        """The child that has just failed is started again: its waiters keep waiting."""
        due = (json_object(row.input) or {}).get("due")
        if due is None:
            return
        attempt = int(row.key.rpartition("#")[2])
        self._add(Entry(key=row.key, kind=row.kind, label=row.label, attempts=attempt, asked_at=self._at, ended_at=self._at, state="done"))
        for entry in self._waited_for_child:
            entry.state, entry.ended_at, entry.attempts, entry.retry_due = "waiting", None, attempt, datetime.fromisoformat(due)
            self._waiting.add(entry)


def _is_for(signal: r.Signalled, entry: Entry) -> bool:
    """Whether *entry*, a wait, is for *signal*; where a release did not store how either name is put together, names alone tell."""
    if signal.name != entry.label:
        return False
    path = (json_object(entry.input) or {}).get("signal")
    return signal.path is None or path is None or tuple(path) == signal.path


def _ids(entry: Entry) -> set[str]:
    """The child ids that a command about a child may mean."""
    named = json_object(entry.input) or {}
    return {entry.label, *(str(value) for value in named.values())}
