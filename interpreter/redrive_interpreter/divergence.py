"""Divergence: the code no longer asks what its history says it asked, told so that a person can act on it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import attrs

from redrive_interpreter.errors import HostError
from redrive_interpreter.places import places
from redrive_interpreter.rows import Asked, Ended
from redrive_interpreter.scopes import scope_of

if TYPE_CHECKING:
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine import Machine
    from redrive_interpreter.rows import Row

Cause: TypeAlias = Literal[
    "renamed",
    "removed",
    "inserted",
    "reordered",
    "arguments changed",
    "undo changed",
    "type changed",
    "returned early",
    "result changed",
    "history does not fit",
]

_ADVICE: Final = (
    "Nothing is lost: put the old code back and the execution goes on. To deploy the new code beside running executions, "
    'ask for the change under a patch: `if (yield from Patch("what-changed")): <new> else: <old>`.'
)
_SHOWN: Final = 300


class Diverged(HostError):
    """The code no longer asks what its history says it asked; *recorded* and *asked* are the two sides.

    *cause* is the nearest explanation, *place* the line of source where the workflow stands. Raised to the
    host, never into the workflow.
    """

    def __init__(
        self,
        workflow: str,
        key: str,
        recorded: Asked | Ended | None,
        asked: Asked | Ended | None,
        cause: Cause,
        place: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(workflow, key, recorded, asked, cause, place, detail)
        self.workflow, self.key, self.recorded, self.asked = workflow, key, recorded, asked
        self.cause, self.place, self.detail = cause, place, detail

    def __str__(self) -> str:
        lines = [f"workflow {self.workflow!r} no longer follows its history at {self.key or 'its end'}: {self.cause}"]
        if self.detail:
            lines[0] += f" ({self.detail})"
        lines += _diff(self.recorded, self.asked)
        if self.place:
            lines.append(f"  at {self.place}")
        lines.append(_ADVICE)
        return "\n".join(lines)


@attrs.define
class Watched:
    """The history that a replay is in: for saying what else it holds. *at* is the index of the turn's fact."""

    history: Sequence[Row]
    at: int = 0

    def later(self, key: str, kind: str, scope: str) -> Asked | None:
        """A row further on, in the same scope, for the same thing as *key*."""
        name = key.rpartition("/")[2].partition("#")[0]
        for row in self.history[self.at :]:
            alike = isinstance(row, Asked) and row.kind == kind and scope_of(row.key) == scope
            if alike and isinstance(row, Asked) and row.key.rpartition("/")[2].partition("#")[0] == name:
                return row
        return None


def describe(watched: Watched, machine: Machine[Any], recorded: Asked | None, asked: Asked | None) -> Diverged:
    """The error for the first command that differs, with its likeliest cause."""
    cause, detail = _cause(watched, machine, recorded, asked)
    row = asked or recorded
    standing = places(machine)
    place = ""
    if standing and machine.verdict_ is None:
        place = str(_deepest(machine, row, standing))
    return Diverged(machine.workflow.name, "" if row is None else row.key, recorded, asked, cause, place, detail)


def _deepest(machine: Machine[Any], row: Asked | None, standing: Sequence[Any]) -> Any:
    from redrive_interpreter.places import fibers, place_of

    if row is not None:
        scope = scope_of(row.key)
        for fiber in fibers(machine):
            if fiber.wait is None and fiber.frames and fiber.scope.prefix == scope:
                for frame in reversed(fiber.frames):
                    if text := place_of(frame):
                        return text
    return standing[0]


def _cause(watched: Watched, machine: Machine[Any], recorded: Asked | None, asked: Asked | None) -> tuple[Cause, str]:
    if asked is None:
        assert recorded is not None
        if machine.verdict_ is not None or _scope_is_over(machine, recorded.key):
            return "returned early", f"it ended without asking for {_name(recorded)}"
        return "removed", f"{_name(recorded)} is not asked for at this point"
    if recorded is None:
        return "inserted", f"the history has no {_name(asked)} here"
    if recorded.kind == asked.kind and recorded.label == asked.label and recorded.key == asked.key:
        if recorded.undo is not None and recorded.undo != asked.undo:
            return "undo changed", f"{recorded.undo} is now {asked.undo or 'none'}"
        return "arguments changed", _arguments(recorded.input, asked.input)
    scope = scope_of(asked.key)
    known_later = watched.later(asked.key, asked.kind, scope)
    if known_later is not None and known_later is not recorded:
        return _removed_or_reordered(machine, recorded, asked)
    if recorded.kind != asked.kind:
        if recorded.key == asked.key:
            return "type changed", f"{recorded.kind} is now {asked.kind}"
        return "inserted", f"the history has no {_name(asked)}"
    if machine.codec.same(recorded.input, asked.input) and not _is_named(machine, recorded):
        return "renamed", f"{_name(recorded)} is now {_name(asked)}"
    return "inserted", f"the history has no {_name(asked)}"


def _removed_or_reordered(machine: Machine[Any], recorded: Asked, asked: Asked) -> tuple[Cause, str]:
    # Both are in the history, in the other order. Whether the code still asks for the recorded one later is
    # written in its source: the name of a step, signal or event that stands there no more was removed.
    if _is_named(machine, recorded):
        return "reordered", f"{_name(asked)} comes before {_name(recorded)}"
    return "removed", f"{_name(recorded)} is not asked for any more"


def _is_named(machine: Machine[Any], row: Asked) -> bool:
    """Whether the source of the workflow still names what *row* asked for; a step by its id, whatever its function is called."""
    fn: Any = machine.workflow.fn
    while getattr(fn, "__wrapped__", None) is not None:
        fn = fn.__wrapped__
    code = getattr(fn, "__code__", None)
    if code is None:
        return False
    name = row.label or row.kind
    if any(name == const for const in code.co_consts if isinstance(const, str)):
        return True
    known = {**fn.__globals__, **_closed_over(fn)}
    words = (*code.co_names, *code.co_freevars)
    if row.kind == "step":
        return any(getattr(known.get(word), "step_id", None) == name for word in words) or (name in words and name not in known)
    return name in words


def _closed_over(fn: Any) -> dict[str, Any]:
    """The values that a function closes over, as far as they are set."""
    found: dict[str, Any] = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def _scope_is_over(machine: Machine[Any], key: str) -> bool:
    from redrive_interpreter.places import fibers

    scope = scope_of(key)
    return not any(fiber.scope.prefix == scope for fiber in fibers(machine))


def _name(row: Asked) -> str:
    kind = row.kind.replace("_", " ")
    return f"{kind} {row.label!r}" if row.label else kind


def _arguments(recorded: Any, asked: Any) -> str:
    if isinstance(recorded, dict) and isinstance(asked, dict):
        recorded, asked = cast("dict[str, Any]", recorded), cast("dict[str, Any]", asked)
        changed = [
            str(name) for name in {**recorded, **asked} if name not in recorded or name not in asked or recorded[name] != asked[name]
        ]
        return ", ".join(changed)
    return ""


def _diff(recorded: Asked | Ended | None, asked: Asked | Ended | None) -> list[str]:
    return [f"  - history has  {_line(recorded)}", f"  + code asks now {_line(asked)}"]


def _line(row: Asked | Ended | None) -> str:
    if row is None:
        return "nothing"
    if isinstance(row, Ended):
        return f"the end, {row.status}: {_shown(getattr(row.outcome, 'value', None) if row.status == 'completed' else row.outcome)}"
    undo = f" undo={row.undo}" if row.undo else ""
    return f"{_name(row)} at {row.key} {_shown(row.input)}{undo}"


def _shown(data: Any) -> str:
    try:
        text = json.dumps(data, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(data)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def diverged_at_end(machine: Machine[Any], recorded: Ended | None, asked: Ended | None) -> Diverged:
    """The history says that the run ended, and the code that it did not, or otherwise."""
    cause: Cause = "returned early" if recorded is None else "result changed"
    standing = places(machine)
    return Diverged(machine.workflow.name, "", recorded, asked, cause, str(standing[0]) if standing else "")


def does_not_fit(machine: Machine[Any], key: Key | str, problem: str) -> Diverged:
    standing = places(machine)
    return Diverged(machine.workflow.name, key, None, None, "history does not fit", str(standing[0]) if standing else "", problem)
