"""Where an execution stands in its source at a row of its history: replayed here, with nothing changed.

1.  Rows are stored by turns, and code runs from turn to turn: after a row, an execution stands where it stood at the end of the
    row's turn.
2.  What ended the run is not replayed: it stands then where it stood before, for after its end it stands nowhere.
3.  Where the code here does not follow the history, it stands where it still did, and the difference is told.
"""

from __future__ import annotations

import itertools
import json
import linecache
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from redrive.status import PARKED
from redrive.walking import walk
from redrive_interpreter.errors import RedriveError
from redrive_interpreter.history.rows import FACTS, Asked, Ended, Started
from redrive_interpreter.kinds import kind_of
from redrive_interpreter.machine.machine import Machine
from redrive_interpreter.machine.source_frames import standing
from redrive_interpreter.replay.replay import replay

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.ports.store import Snapshot
    from redrive.worker.watchdog import Watch
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.requests import Request
    from redrive_interpreter.history.rows import Fact, Row
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.source_frames import StandingFiber, StandingFrame

R = TypeVar("R")
MOST_FIBERS: Final = 100
AROUND: Final = 3
"""Lines of source that are shown before and behind one."""
_FACTS: Final = frozenset(FACTS)


@attrs.frozen(kw_only=True)
class InspectedValue:
    """A local variable. *value* is plain data for JSON, made by walking over fields, never by the value's own code.

    *type* is the name of its class; *cut*: there is more of it than is shown; *withheld* is ``opaque`` where nothing but the class
    can be shown, else empty.
    """

    name: str
    type: str
    value: Any = None
    cut: bool = False
    withheld: str = ""

    def __str__(self) -> str:
        shown = f"<{self.type}>" if self.withheld else json.dumps(self.value, ensure_ascii=False)
        return f"{self.name} = {shown}"


@attrs.frozen(kw_only=True)
class InspectedFrame:
    """A generator that has not ended: it stands at *line* of *file*, whose text is *text*; *source* are the lines around it, by number.

    *scope* is what the keys of its commands begin with, *workflow* the name of the workflow whose body it is, if it is one.
    """

    file: str
    line: int
    function: str
    text: str
    scope: str = ""
    workflow: str = ""
    locals: tuple[InspectedValue, ...] = ()
    source: tuple[tuple[int, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}" + (f": {self.text}" if self.text else "")


@attrs.frozen(kw_only=True)
class InspectedFiber:
    """A line of execution that has not ended: the workflow itself, a branch of All, Race or Map, or a spawned task.

    *waits_for* says in words what it waits for, *key* is that command's. *frames* are its generators, the outermost first; none
    where the branch is a single command.
    """

    scope: str = ""
    key: Key | None = None
    waits_for: str = ""
    frames: tuple[InspectedFrame, ...] = ()


@attrs.frozen(kw_only=True)
class Inspection:
    """Where an execution stood after *row* of its run *number*, which has *rows* rows; *at* is the time of that row's turn.

    *fibers* are the lines of execution that had not ended, the workflow itself first; *more_fibers* is how many others there are.
    *problem* says in a sentence why the place is not known, or not that of the row that was asked for: the code is not here, it
    does not follow the history, the execution has not begun. *ended* is the status in which the run ended with the turn after *row*.
    """

    id: str
    workflow: str
    status: str
    number: int
    rows: int
    row: int
    at: datetime | None = None
    fibers: tuple[InspectedFiber, ...] = ()
    more_fibers: int = 0
    ended: str = ""
    problem: str = ""

    def __str__(self) -> str:
        lines = [f"execution {self.id!r} after row {self.row} of {self.rows}" + (f", before it ended: {self.ended}" if self.ended else "")]
        lines += [self.problem] if self.problem else []
        for fiber in self.fibers:
            lines += [str(frame) for frame in fiber.frames[-1:]] or [f"{fiber.scope}: {fiber.waits_for}"]
        return "\n".join(lines)


def inspected(
    snapshot: Snapshot,
    number: int,
    rows: Sequence[Row],
    row: int | None,
    workflow: Workflow[..., Any] | None,
    codec: JsonCodec,
    watch: Watch,
) -> Inspection:
    """Replay *rows*, the whole history of run *number*, up to *row* (None: the last one). Raises `ValueError` if there is no such row."""
    if row is not None and not 1 <= row <= len(rows):
        raise ValueError(f"execution {snapshot.id!r} has rows 1 to {len(rows)} in run {number}, not {row}")
    name = rows[0].workflow if isinstance(rows[0], Started) else snapshot.workflow
    end, ended = _end_of(rows, len(rows) if row is None else row)
    found = Inspection(
        id=snapshot.id, workflow=name, status=snapshot.status, number=number, rows=len(rows), row=end, ended=ended, at=_time_of(rows[:end])
    )
    if len(rows) == 1 and not ended and number == snapshot.number:
        return attrs.evolve(found, problem=_not_begun(snapshot))
    if end == 0:
        return attrs.evolve(found, problem=f"it ended in its first turn: {ended}")
    if workflow is None or workflow.fn is None:
        problem = f"the code of workflow {name!r} is not here: give the workflow with the handle, or a service that lists it"
        return attrs.evolve(found, problem=problem + _parked(snapshot))
    return _stand(found, rows, workflow, codec, watch, _parked(snapshot))


def _stand(found: Inspection, rows: Sequence[Row], workflow: Workflow[..., Any], codec: JsonCodec, watch: Watch, parked: str) -> Inspection:
    """*found* with the fibers at its row, or where the code does not follow any more."""
    made: list[_Counting] = []

    def make(workflow: Workflow[..., R], codec: Codec) -> Machine[R]:
        machine = watch.make(workflow, codec, _Counting)
        made.append(machine)  # type: ignore[arg-type]
        return machine

    def fibers(end: int) -> tuple[tuple[InspectedFiber, ...], int]:
        machine = replay(workflow, rows[:end], codec, make=make).machine
        try:
            all_fibers = standing(machine)
            first = list(itertools.islice(all_fibers, MOST_FIBERS))
            waits = _waits(rows[:end], {fiber.key for fiber in first})
            return tuple(_fiber(fiber, waits, codec) for fiber in first), sum(1 for _ in all_fibers)
        finally:
            machine.close()

    def stand(end: int) -> Inspection:
        shown, more = watch.during(found.id, None, fibers, end)
        return attrs.evolve(found, row=end, at=_time_of(rows[:end]), fibers=shown, more_fibers=more)

    try:
        return stand(found.row)
    except RedriveError as error:
        problem = f"the code here does not follow the history: {error}{parked}"
        fits = 0 if not made else _start_of_turn(rows, made[0].turns)
    if fits == 0:
        return attrs.evolve(found, problem=problem)
    try:
        return attrs.evolve(stand(fits), ended="", problem=problem)
    except RedriveError:  # it follows less than it seemed: what is told is what it stumbled over first
        return attrs.evolve(found, problem=problem)


class _Counting(Machine[Any]):
    """A machine that says at which turn a replay has come."""

    __slots__ = ("turns",)

    def __init__(self, workflow: Workflow[..., Any], codec: Codec) -> None:
        super().__init__(workflow, codec)
        self.turns = 0

    def receive(self, fact: Fact) -> list[Request]:
        self.turns += 1
        return super().receive(fact)

    def hold(self, started: Started) -> list[Request]:
        self.turns += 1
        return super().hold(started)


def _end_of(rows: Sequence[Row], row: int) -> tuple[int, str]:
    """How many rows there are up to the end of the turn that *row* is in; without that turn if it ended the run, and how."""
    end = row
    while end < len(rows) and type(rows[end]) not in _FACTS:
        end += 1
    begin = row - 1
    while begin > 0 and type(rows[begin]) not in _FACTS:
        begin -= 1
    ending = next((one for one in rows[begin:end] if isinstance(one, Ended)), None)
    return (end, "") if ending is None else (begin, ending.status)


def _start_of_turn(rows: Sequence[Row], turn: int) -> int:
    """How many rows there are before the turn of this number, the first being 1."""
    facts = (at for at, row in enumerate(rows) if type(row) in _FACTS)
    return next(itertools.islice(facts, turn - 1, None), 0) if turn else 0


def _time_of(rows: Sequence[Row]) -> datetime | None:
    return next((row.at for row in reversed(rows) if type(row) in _FACTS), None)  # type: ignore[union-attr]


def _waits(rows: Sequence[Row], keys: Container[Key | None]) -> dict[Key | None, str]:
    """The commands at *keys*, in words."""
    return {row.key: f"{kind_of(row.kind).noun} {row.label}".rstrip() for row in rows if type(row) is Asked and row.key in keys}


def _fiber(fiber: StandingFiber, waits: Mapping[Key | None, str], codec: JsonCodec) -> InspectedFiber:
    return InspectedFiber(
        scope=fiber.scope.removesuffix("/"),
        key=fiber.key,
        waits_for=waits.get(fiber.key, ""),
        frames=tuple(_frame(frame, codec) for frame in fiber.frames),
    )


def _frame(frame: StandingFrame, codec: JsonCodec) -> InspectedFrame:
    lines = range(max(1, frame.line - AROUND), frame.line + AROUND + 1)
    source = tuple((at, text.rstrip("\n")) for at in lines if (text := linecache.getline(frame.file, at)))
    return InspectedFrame(
        file=frame.file,
        line=frame.line,
        function=frame.function,
        text=linecache.getline(frame.file, frame.line).strip(),
        scope=frame.scope.removesuffix("/"),
        workflow=frame.workflow,
        locals=tuple(_value(name, value, codec) for name, value in frame.locals.items()),
        source=source,
    )


def _value(name: str, value: object, codec: JsonCodec) -> InspectedValue:
    walked = walk(value, codec)
    return InspectedValue(name=name, type=walked.type, value=walked.value, cut=walked.cut, withheld="opaque" if walked.opaque else "")


def _not_begun(snapshot: Snapshot) -> str:
    return "it has not begun: no code has run yet" + _parked(snapshot)


def _parked(snapshot: Snapshot) -> str:
    if snapshot.status != PARKED:
        return ""
    return "".join(f"\nparked by {park.build}: {park.reason}" for park in snapshot.parks)
