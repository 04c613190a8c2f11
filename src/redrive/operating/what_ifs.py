"""Hypothetical answers: the history replayed in memory with other answers, and nothing stored.

1.  The run is replayed up to the first answer that is another. From there on, what it asks is answered by the *answers* given, by what
    is recorded for the same question (same step, same arguments), or by a stub; time passes by itself.
2.  Signals and ends of children that are recorded behind that point come in their order, when the run waits for nothing else.
3.  Commands without an answer are those that the workflow would ask next.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive.errors import OperationRefused
from redrive.operating import cuts
from redrive.operating.rehearsals import Asking
from redrive.operating.step_keys import check_means_step, key_of
from redrive_interpreter.codec import Codec
from redrive_interpreter.errors import CodecError
from redrive_interpreter.history.row_json import dump_row
from redrive_interpreter.history.rows import (
    Answered,
    Asked,
    AttributeSet,
    ChildFinished,
    DeadlinePassed,
    Ended,
    Noted,
    SetAside,
    Signalled,
    TimerFired,
)
from redrive_interpreter.keys import DEADLINE, Key
from redrive_interpreter.outcomes import Err, Ok
from redrive_interpreter.replay.replay import replay

if TYPE_CHECKING:
    from redrive.operating.subjects import Subject
    from redrive_interpreter.history.rows import Fact, Row
    from redrive_interpreter.history.verdicts import Finished
    from redrive_interpreter.machine.machine import Machine

MOST_TURNS: Final = 10_000
_TIMELESS: Final = (Asked, Noted, AttributeSet, SetAside, Ended)


@attrs.frozen(kw_only=True)
class WhatIf:
    """The hypothetical end of a run. *asks* are the commands that it would ask next; *status* how it would have ended, None if
    it would not, with *result* or *error* (its type and message). *rows* is the history that it would have."""

    id: str
    workflow: str
    asks: tuple[Asking, ...]
    status: str | None
    result: Any
    error: str
    rows: tuple[Row, ...]

    def save(self, path: str | Path) -> None:
        """Write the history to a file that tests replay, as `redrive history ID --json` does."""
        Path(path).write_text("".join(json.dumps(dump_row(row)) + "\n" for row in self.rows), encoding="utf-8")

    def __str__(self) -> str:
        lines = [f"execution {self.id!r}, if that were so:"]
        lines += [f"  > asks {one}" + (f"\n      at {one.place}" if one.place else "") for one in self.asks]
        if self.status is not None:
            lines.append(f"  > ends {self.status}: {self.error or self.result!r}")
        return "\n".join(lines)


def what_if(subject: Subject, answers: Mapping[Any, object], stubs: Mapping[Any, object]) -> WhatIf:
    """Raises `OperationRefused` for a step that was never asked, and where a value is not of the declared type."""
    given: dict[Key, object] = {}
    for step, value in answers.items():
        check_means_step("what_if", step)
        given[Key(key_of(subject, "what_if", step))] = value
    for key in given:
        if cuts.asked_at(subject.rows, key) is None:
            raise subject.refuse("what_if", f"it has asked for nothing under the key {str(key)!r}", "history() shows the keys")
    points = [at for key in given if (at := cuts.answered_at(subject.rows, key)) is not None]
    at = min(points, default=len(subject.rows))
    kept = list(subject.rows[:at])
    if kept and not points and subject.ended is not None:
        kept.pop()
    return _Imagined(subject, kept, given, stubs).told()


class _Imagined:
    def __init__(self, subject: Subject, kept: list[Row], given: Mapping[Key, object], stubs: Mapping[Any, object]) -> None:
        make = {} if subject.make is None else {"make": subject.make}
        replayed = replay(subject.workflow, kept, subject.codec, **make)
        self._subject, self._given = subject, given
        self._stubs = {getattr(name, "step_id", name): stub for name, stub in stubs.items()}
        self._machine: Machine[Any] = replayed.machine
        self._rows = [*kept, *replayed.rows]
        self._now: datetime = max((row.at for row in kept if not isinstance(row, _TIMELESS)), default=subject.now)
        later = subject.rows[len(kept) :]
        asked = {row.key: row for row in subject.rows if type(row) is Asked}
        self._recorded = {row.key: (asked[row.key], row) for row in later if type(row) is Answered and row.key in asked}
        self._later = [row for row in later if isinstance(row, (Signalled, ChildFinished))]

    def told(self) -> WhatIf:
        try:
            for _ in range(MOST_TURNS):
                if self._machine.finished is not None or not self._move():
                    break
            return self._what()
        finally:
            self._machine.close()

    def _what(self) -> WhatIf:
        subject, finished = self._subject, self._machine.finished
        rows = {row.key: row for row in self._rows if type(row) is Asked}
        places = {view.key: str(view.place) for view in self._machine.fibers() if view.key is not None and view.place is not None}
        asks = [
            Asking(key=key, kind=rows[key].kind, label=rows[key].label, input=rows[key].input, place=places.get(key, ""))
            for key in self._machine.pending
            if key in rows and finished is None
        ]
        return WhatIf(
            id=subject.id,
            workflow=subject.workflow.name,
            asks=tuple(asks),
            status=None if finished is None else finished.status,
            result=_result(finished, subject),
            error=_error(finished),
            rows=tuple(self._rows),
        )

    def _move(self) -> bool:
        """Take the next fact; False if there is none."""
        for key, wait in list(self._machine.pending.items()):
            if wait.ended_by == "store":
                return self._tell(Answered(key, Ok(None), at=self._now))
            fact = self._answer(key, wait.command)
            if fact is not None:
                return self._tell(fact)
        if self._later:
            fact = self._later.pop(0)
            return self._tell(attrs.evolve(fact, at=max(self._now, fact.at))) or True
        due = [(moment, key) for key, moment in self._machine.timers.items()]
        if not due or any(wait.ended_by == "body" for wait in self._machine.pending.values()):
            return False
        moment, key = min(due)
        self._now = max(self._now, moment)
        return self._tell(DeadlinePassed(at=self._now) if key == DEADLINE else TimerFired(key, at=self._now))

    def _answer(self, key: Key, command: Any) -> Fact | None:
        spec = getattr(command, "spec", None)
        if spec is None:
            return None
        if key in self._given:
            return self._fact(key, self._given[key], spec)
        if key in self._recorded:
            asked, answered = self._recorded[key]
            now = next(row for row in reversed(self._rows) if type(row) is Asked and row.key == key)
            if (asked.label, asked.undo) == (now.label, now.undo) and self._subject.codec.same(asked.input, now.input):
                return attrs.evolve(answered, at=max(self._now, answered.at))
        for name in (str(key), spec.id):
            if name in self._stubs:
                stub = self._stubs[name]
                value = stub(*command.args, **command.kwargs) if callable(stub) and not isinstance(stub, type) else stub
                return self._fact(key, value, spec)
        return None

    def _fact(self, key: Key, value: object, spec: Any) -> Answered:
        codec: Codec = self._subject.codec
        if isinstance(value, BaseException):
            return Answered(key, Err(codec.dump_error(value, spec.raises)), at=self._now)
        try:
            return Answered(key, Ok(codec.dump(value, spec.result_type, f"step {spec.id}")), at=self._now)
        except CodecError as error:
            raise OperationRefused(self._subject.id, "what_if", str(error), "give a value of the declared type") from error

    def _tell(self, fact: Fact) -> bool:
        self._now = max(self._now, fact.at)
        self._machine.receive(fact)
        self._rows += self._machine.take()
        return True


def _result(finished: Finished | None, subject: Subject) -> Any:
    if finished is None or not isinstance(finished.outcome, Ok):
        return None
    return subject.codec.load(finished.outcome.value, subject.workflow.result_type, f"the result of {subject.workflow.name}")


def _error(finished: Finished | None) -> str:
    if finished is None or not isinstance(finished.outcome, Err):
        return ""
    return f"{finished.outcome.error.type}: {finished.outcome.error.message}"
