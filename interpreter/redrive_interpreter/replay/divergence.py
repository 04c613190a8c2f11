"""Divergence: the error for code that no longer asks what its history says it asked, with its likeliest cause."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive_interpreter.errors import HostError
from redrive_interpreter.history.rows import Asked, Ended
from redrive_interpreter.keys import scope_of
from redrive_interpreter.machine.places import fibers, place_of_fiber, place_of_function, places
from redrive_interpreter.replay.causes import Cause, Side, cause_of
from redrive_interpreter.replay.escapes import Escape, Raised, escape_of, escape_of_end

if TYPE_CHECKING:
    from redrive_interpreter.history.rows import Row
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.run_state import RunState

_ADVICE: Final = (
    "Nothing is lost: put the old code back and the execution goes on. To deploy the new code beside running executions, "
    'ask for the change under a patch: `if (yield from Patch("what-changed")): <new> else: <old>`.'
)
_SHOWN: Final = 300


class Diverged(HostError):
    """The code no longer asks what its history says it asked; *recorded* and *asked* are the two sides.

    *cause* is the nearest explanation, *place* the line of source where the workflow stands. *escape* is the error of the
    code that kept it from asking what is recorded, if there was one. Raised to the host, never into the workflow.
    """

    workflow: str
    key: str
    recorded: Asked | Ended | None
    asked: Asked | Ended | None
    place: str
    detail: str
    escape: Escape | None

    def __init__(
        self,
        workflow: str,
        key: str,
        recorded: Asked | Ended | None,
        asked: Asked | Ended | None,
        cause: Cause,
        place: str = "",
        detail: str = "",
        escape: Escape | None = None,
    ) -> None:
        super().__init__(workflow, key, recorded, asked, cause, place, detail, escape)
        self.workflow, self.key, self.recorded, self.asked = workflow, key, recorded, asked
        self.cause, self.place, self.detail, self.escape = cause, place, detail, escape

    def __str__(self) -> str:
        follows = f"no longer follows its history at {self.key or 'its end'}: {self.cause}"
        if self.detail:
            follows += f" ({self.detail})"
        if self.escape is None:
            lines = [f"workflow {self.workflow!r} {follows}"]
        else:
            verb = "handles" if self.escape.handled else "raises"
            lines = [f"workflow {self.workflow!r} {verb} {self.escape}"]
            lines += [f"  {line}" for line in self.escape.traceback.splitlines()]
            lines.append(f"so it {follows}")
        lines += _diff(self.recorded, self.asked)
        if self.place:
            lines.append(f"  at {self.place}")
        lines.append(_ADVICE)
        return "\n".join(lines)


@attrs.define
class Watched:
    """The history that is being replayed, kept for error messages. *at* is the index of the turn's fact."""

    history: Sequence[Row]
    at: int = 0


def describe(
    watched: Watched,
    run: RunState,
    recorded: Asked | None,
    asked: Asked | None,
    fn: Any = None,
    left: Sequence[Asked] = (),
    raised: Sequence[Raised] = (),
) -> Diverged:
    """The error for the first command that differs, with its likeliest cause.

    *fn* is the body of the step asked for, *left* are the recorded rows of the turn that were not asked for, *raised* the
    errors with which generators ended in it.
    """
    cause, detail = cause_of(watched.history[watched.at :], run, recorded, asked, fn)
    row = asked or recorded
    key = "" if row is None else row.key
    place = _standing(run, key)
    escape = escape_of(run, raised, left, key)  # last: it closes the generators
    return Diverged(run.workflow.name, key, recorded, asked, cause, place, detail, escape)


def _standing(run: RunState, key: str) -> str:
    """The line of source that asks for *key*, or the nearest known one; the function itself where it has ended."""
    if run.finished is not None:
        return place_of_function(run.workflow.fn)
    prefix = scope_of(key)
    at_work = [fiber for fiber in fibers(run) if fiber.wait is None and fiber.frames]
    at_work.sort(key=lambda fiber: fiber.scope.prefix != prefix)
    for fiber in at_work:
        if text := place_of_fiber(fiber):
            return text
    standing = places(run)
    return str(standing[0]) if standing else place_of_function(run.workflow.fn)


def _diff(recorded: Asked | Ended | None, asked: Asked | Ended | None) -> list[str]:
    return [f"  - history has  {_line(recorded)}", f"  + code asks now {_line(asked)}"]


def _line(row: Asked | Ended | None) -> str:
    if row is None:
        return "nothing"
    if isinstance(row, Ended):
        return f"the end, {row.status}: {_shown(getattr(row.outcome, 'value', None) if row.status == 'completed' else row.outcome)}"
    undo = f" undo={row.undo}" if row.undo else ""
    return f"{Side(row.kind, row.label, row)} at {row.key} {_shown(row.input)}{undo}"


def _shown(data: Any) -> str:
    try:
        text = json.dumps(data, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(data)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def diverged_at_end(run: RunState, recorded: Ended | None, asked: Ended | None) -> Diverged:
    """The error for a run that ended in the history and not in the code, or the other way round, or otherwise."""
    cause: Cause = "returned early" if recorded is None else "result changed"
    raised = () if run.recorded is None else run.recorded.raised
    return Diverged(run.workflow.name, "", recorded, asked, cause, _standing(run, ""), "", escape_of_end(run, raised))


def does_not_fit(run: RunState, key: Key | str, problem: str) -> Diverged:
    return Diverged(run.workflow.name, key, None, None, "history does not fit", _standing(run, key), problem)
