"""Crash everywhere: replay one run again and again, with a crash at another place each time.

1. The run is driven once, by its stubs. From then on its facts are fixed.
2.  For every prefix of its history: replay the prefix, from JSON, as a worker does after a crash; tell the rest of
    the facts; what is recorded must be the rest of the history. A prefix may end within a turn: stores write turns
    whole, so notes and attributes, which replay does not compare, are not looked at there.
3. Once more with the machine closed after every turn, so that each fact meets a machine that was just replayed.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from redrive.codec import JsonCodec, from_json, to_json
from redrive.converters import codec_for
from redrive.testing.call_checks import check_invocation
from redrive.testing.run import BEGIN, Run
from redrive.testing.trace import describe, trace
from redrive_interpreter import Asked, AttributeSet, HostError, Machine, Noted, Publish, dump_row, kinds, load_row, replay
from redrive_interpreter.history.rows import FACTS

if TYPE_CHECKING:
    from redrive_interpreter import Fact, Invocation, Request, Row, Workflow

R = TypeVar("R")


class CrashChanged(AssertionError):
    """After a crash *where*, the workflow does something else: *difference* is a diff, or the message of the replay."""

    where: str
    difference: str

    def __init__(self, where: str, difference: str) -> None:
        super().__init__(where, difference)
        self.where, self.difference = where, difference

    def __str__(self) -> str:
        return f"after a crash {self.where}, the run goes on differently\n{self.difference}"


def assert_survives_crashes(
    invocation: Invocation[R],
    answers: Mapping[Any, object] | None = None,
    signals: Mapping[Any, object] | None = None,
    *,
    id: str = "test",
    now: datetime = BEGIN,
    timeout: timedelta | None = None,
    converter: Any = None,
) -> Run[R]:
    """Run *invocation* by its stubs, as `play` does, then with a crash before and after every record of its history.

    What is recorded, asked, emitted and returned must be the same each time; gives back the run without a crash.
    Raises `CrashChanged` at the first difference.
    """
    check_invocation(invocation, "assert_survives_crashes")
    run = Run(invocation, answers=answers or {}, signals=signals or {}, id=id, now=now, timeout=timeout, converter=converter)
    codec = codec_for(invocation.workflow, converter)
    for workflow, rows in run.histories():
        Crashes(workflow, rows, codec).check()
    return run


@attrs.frozen
class _Turn:
    """One turn: the rows from *at* to *end*; *asking* is what was pending then, as text."""

    fact: Fact
    at: int
    end: int
    asking: list[str]


class Crashes:
    """All the crashes that one run can have."""

    def __init__(self, workflow: Workflow[..., Any], rows: Sequence[Row], codec: JsonCodec) -> None:
        self._workflow = workflow
        self._rows = list(rows)
        self._codec = codec
        self._text = [to_json(dump_row(row)) for row in rows]

    def check(self) -> None:
        turns = self._undisturbed()
        for end in range(1, len(self._rows) + 1):
            where = f"after row {end} of {len(self._rows)} ({describe(self._rows[end - 1]).strip()})"
            self._crash(end, turns, where)
        for before, turn in itertools.pairwise(turns):
            where = f"before row {turn.at + 1} ({describe(turn.fact)})"
            machine, _, _ = self._replay(turn.at, where)
            self._compare_asking(machine, before, where)
            self._tell(machine, turn.fact, where, [])
            self._compare(where, self._rows[: turn.at], machine.take(), self._rows[turn.at : turn.end])
            machine.close()

    def _undisturbed(self) -> list[_Turn]:
        """The turns of the run, driven again without a crash."""
        machine: Machine[Any] = Machine(self._workflow, self._codec)
        turns: list[_Turn] = []
        for at, fact in self._facts(0):
            self._tell(machine, fact, "(in fact without one: it was only run a second time)", [])
            rows = machine.take()
            self._compare("(in fact without one: it was only run a second time)", self._rows[:at], rows, self._rows[at : at + len(rows)])
            turns.append(_Turn(fact, at, at + len(rows), _asking(machine)))
        machine.close()
        return turns

    def _crash(self, end: int, turns: list[_Turn], where: str) -> None:
        machine, made, requests = self._replay(end, where)
        whole = next((turn for turn in turns if turn.end == end), None)
        if whole is not None:
            self._compare_asking(machine, whole, where)
        for _, fact in self._facts(end):
            self._tell(machine, fact, where, requests)
            made += machine.take()
        machine.close()
        self._compare(where, self._rows[:end], made, self._rows[end:], notes=whole is not None)
        emitted = [request.key for request in requests if isinstance(request, Publish)]
        expected = [row.key for row in self._rows[end:] if isinstance(row, Asked) and row.kind == kinds.EMIT]
        if emitted != expected:
            raise CrashChanged(where, _diff([f"emits {key}" for key in expected], [f"emits {key}" for key in emitted]))

    def _replay(self, end: int, where: str) -> tuple[Machine[Any], list[Row], list[Request]]:
        prefix = [load_row(from_json(text)) for text in self._text[:end]]
        try:
            replayed = replay(self._workflow, prefix, self._codec)
        except HostError as error:
            raise CrashChanged(where, str(error)) from error
        return replayed.machine, replayed.rows, list(replayed.requests)

    def _facts(self, start: int) -> Iterator[tuple[int, Fact]]:
        for at in range(start, len(self._rows)):
            if isinstance(self._rows[at], FACTS):
                yield at, load_row(from_json(self._text[at]))  # type: ignore[misc]

    def _tell(self, machine: Machine[Any], fact: Fact, where: str, requests: list[Request]) -> None:
        try:
            requests += machine.receive(fact)
        except HostError as error:
            raise CrashChanged(where, f"{describe(fact)}: {error}") from error

    def _compare_asking(self, machine: Machine[Any], turn: _Turn, where: str) -> None:
        asking = _asking(machine)
        if asking != turn.asking:
            raise CrashChanged(where, _diff(turn.asking, asking))

    def _compare(self, where: str, before: list[Row], made: list[Row], expected: list[Row], notes: bool = True) -> None:
        kept = [row for row in made if notes or not isinstance(row, (Noted, AttributeSet))]
        wanted = [row for row in expected if notes or not isinstance(row, (Noted, AttributeSet))]
        if [_data(row) for row in kept] != [_data(row) for row in wanted]:
            raise CrashChanged(where, _diff(trace([*before, *wanted]), trace([*before, *kept])))


def _asking(machine: Machine[Any]) -> list[str]:
    if machine.finished is not None:
        return []
    return [f"asks {key}: {wait.command!r}" for key, wait in machine.pending.items()] + [f"timer {key}" for key in machine.timers]


def _data(row: Row) -> dict[str, Any]:
    """*row* without the traceback, which may differ."""
    data = dump_row(row)
    return {**data, "err": {**data["err"], "traceback": ""}} if "err" in data else data


def _diff(before: list[str], after: list[str]) -> str:
    return "\n".join(difflib.unified_diff(before, after, "without a crash", "with one", lineterm=""))
