"""Check one history against today's code: it can continue, it needs a `Patch`, or it breaks."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import attrs

from redrive.gate.sides import pair, said, subject
from redrive_interpreter import (
    Asked,
    Codec,
    CodecError,
    Diverged,
    Ended,
    Machine,
    RedriveError,
    Row,
    Started,
    UndecodableValue,
    Workflow,
    kinds,
    load_row,
    replay,
)
from redrive_interpreter.history.rows import FACTS
from redrive_interpreter.machine.places import place_of_function

Standing: TypeAlias = Literal["safe", "patch", "breaking"]
_CONTEXT: Final = 3


@attrs.frozen(kw_only=True)
class Problem:
    """Why a history and the code do not fit.

    *recorded* and *now* are the lines of a side-by-side diff, of equal number; the last pair differs. *place* is the line of
    source where the code stands, *suggestion* the lines to write. *sign* is equal for equal changes.
    """

    standing: Standing
    cause: str
    detail: str
    recorded: tuple[str, ...] = ()
    now: tuple[str, ...] = ()
    place: str = ""
    suggestion: str = ""
    sign: str = attrs.field(default="", eq=False)


def check(workflows: Mapping[str, Workflow[..., Any]], stored: Sequence[Mapping[str, Any]], codec: Codec) -> Problem | None:
    """The problem of the run whose rows are *stored* (JSON objects, as `dump_row` gives) on *workflows*; None if it fits."""
    try:
        rows = [load_row(row) for row in stored]
    except RedriveError as error:
        return _breaking("unreadable history", str(error))
    if not rows or not isinstance(rows[0], Started):
        return _breaking("unreadable history", "it does not begin with a started row")
    name = rows[0].workflow
    workflow = workflows.get(name)
    if workflow is None or workflow.fn is None:
        return _unknown(name, workflows)
    try:
        machine = replay(workflow, rows, codec).machine
    except Diverged as error:
        return _returned_early(workflow, error, rows, codec) or _diverged(workflow, error, rows)
    except (UndecodableValue, CodecError) as error:
        suggestion = "give new fields a default, keep old names readable, or add a hook to the service's converter="
        return _breaking("unreadable value", str(error), suggestion=suggestion)
    except RedriveError as error:
        return _breaking(type(error).__name__, str(error))
    try:
        return None if any(isinstance(row, Ended) for row in rows) else _bug(machine)
    finally:
        machine.close()


def _bug(machine: Machine[Any]) -> Problem | None:
    """The problem of code that ends the run with a bug of its own."""
    verdict = machine.finished
    if verdict is None or not verdict.bug:
        return None
    failure = getattr(verdict.outcome, "error", None)
    said = f"{getattr(failure, 'type', '')}: {getattr(failure, 'message', '')}"
    return _breaking("ends as a bug", said, suggestion="correct the code: as it is, the next turn fails the execution")


def _returned_early(workflow: Workflow[..., Any], error: Diverged, rows: Sequence[Row], codec: Codec) -> Problem | None:
    """Find out whether code that returns early fails or means to: run it without the rest of the record."""
    if error.cause != "returned early":
        return None
    at = next((index for index, row in enumerate(rows) if row is error.recorded), len(rows))
    while at > 0 and not isinstance(rows[at - 1], FACTS):
        at -= 1
    try:
        machine = replay(workflow, rows[:at], codec).machine
    except RedriveError:
        return None
    try:
        return _bug(machine)
    finally:
        machine.close()


def _breaking(cause: str, detail: str, *, suggestion: str = "") -> Problem:
    return Problem(standing="breaking", cause=cause, detail=detail, suggestion=suggestion, sign=f"{cause} {_without_values(detail)}")


def _without_values(detail: str) -> str:
    """*detail* without the values that differ from one execution to the next."""
    return re.sub(r"'[^']*'|\d+", "…", detail)[:200]


def _unknown(name: str, workflows: Mapping[str, Workflow[..., Any]]) -> Problem:
    close = difflib.get_close_matches(name, workflows, n=1)
    hint = f" (there is {close[0]!r})" if close else ""
    return Problem(
        standing="breaking",
        cause="unknown workflow",
        detail=f"the code has no workflow {name!r}{hint}",
        suggestion=f'keep the name, @workflow("{name}"), until the last of them has ended',
        sign="unknown workflow",
    )


def _diverged(workflow: Workflow[..., Any], error: Diverged, rows: Sequence[Row]) -> Problem:
    recorded, asked = error.recorded, error.asked
    fits, escape = error.cause != "history does not fit", error.escape
    before = _before(recorded, rows) if fits else []
    last = pair(recorded, asked)
    return Problem(
        standing="patch" if fits else "breaking",
        cause=error.cause,
        detail=error.detail if escape is None else f"{escape.error}; {error.detail}".removesuffix("; "),
        recorded=(*before, last[0]) if fits else (),
        now=(*before, last[1]) if fits else (),
        place=(escape.place if escape is not None else "") or error.place or place_of_function(workflow.fn),
        suggestion=suggested(error) if fits else "put the code back that wrote it: this history is not one of this workflow as it is",
        sign=f"{error.cause} {subject(recorded)} {subject(asked)}" if fits else f"{error.cause} {_without_values(error.detail)}",
    )


def _before(recorded: Asked | Ended | None, rows: Sequence[Row]) -> list[str]:
    """The row before the difference, which both sides have."""
    until = next((index for index, row in enumerate(rows) if row is recorded), len(rows))
    return [said(row) for row in rows[:until] if isinstance(row, Asked)][-_CONTEXT:]


def suggested(error: Diverged) -> str:
    """The lines to write so that running executions continue as they began."""
    recorded, asked = error.recorded, error.asked
    old, new = _code(recorded), _code(asked)
    match error.cause:
        case "renamed" if isinstance(recorded, Asked) and recorded.kind == kinds.STEP:
            return f'keep the id: @step("{recorded.label}")'
        case "inserted":
            return f'if (yield from Patch("{_patch("add", asked)}")):\n    {new}'
        case "removed":
            return f'if not (yield from Patch("{_patch("drop", recorded)}")):\n    {old}'
        case "undo changed" if isinstance(recorded, Asked):
            return f"keep undo={recorded.undo} for what is running:\n" + _either(_patch("undo", recorded), new, old)
        case "returned early":
            return f'if not (yield from Patch("{_patch("end-before", recorded)}")):\n    {old}'
        case _:
            return _either(_patch("change", recorded or asked), new, old)


def _either(id: str, new: str, old: str) -> str:
    return f'if (yield from Patch("{id}")):\n    {new}  # as it is now\nelse:\n    {old}  # as it was'


def _patch(verb: str, row: Asked | Ended | None) -> str:
    name = "end" if row is None or isinstance(row, Ended) else row.label or row.kind
    return f"{verb}-{re.sub(r'[^a-zA-Z0-9]+', '-', name).strip('-').lower() or 'it'}"


def _code(row: Asked | Ended | None) -> str:
    if row is None or isinstance(row, Ended):
        return "..."
    if row.kind == kinds.STEP:
        return f"yield from {row.label}(…)"
    return f"yield from {kinds.class_name(row.kind)}(…)"
