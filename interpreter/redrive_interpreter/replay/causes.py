"""The likeliest change of code behind a difference: judged by both sides, the rest of the history, and the source."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import attrs

from redrive_interpreter import kinds
from redrive_interpreter.history.rows import Asked
from redrive_interpreter.keys import scope_of
from redrive_interpreter.machine.places import fibers

if TYPE_CHECKING:
    from redrive_interpreter.history.rows import Row
    from redrive_interpreter.machine.fibers import Fiber
    from redrive_interpreter.machine.run_state import RunState

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

_INLINE: Final = "workflow run inline"
_MOST_INSIDE: Final = 3


@attrs.frozen
class Side:
    """One side of a difference, seen from the scope that holds both: a command, or a workflow run inline.

    *inside* holds its commands, as far as they are known: a group has no name of its own.
    """

    kind: str
    name: str
    row: Asked
    inside: tuple[str, ...] = ()

    def __str__(self) -> str:
        kind = kinds.kind_of(self.kind).words
        if self.name:
            return f"{kind} {self.name!r}"
        if not self.inside:
            return kind
        more = f" and {len(self.inside) - _MOST_INSIDE} more" if len(self.inside) > _MOST_INSIDE else ""
        return f"{kind} with {', '.join(self.inside[:_MOST_INSIDE])}{more} in it"


def inside(history: Sequence[Row], row: Asked) -> tuple[str, ...]:
    """The commands that *history* has inside of *row*, outermost first: the branches of a group, say."""
    within = [other for other in history if isinstance(other, Asked) and other.key.startswith(f"{row.key}/")]
    return tuple(str(Side(other.kind, other.label, other)) for other in within)


def sides(history: Sequence[Row], recorded: Asked, asked: Asked) -> tuple[Side, Side] | None:
    """Both sides, seen from the innermost scope that holds both; None if they have nothing to do with each other."""
    left, right = recorded.key.split("/"), asked.key.split("/")
    at = next((i for i, (mine, other) in enumerate(zip(left, right, strict=False)) if mine != other), min(len(left), len(right)) - 1)
    commands = {row.key for row in history if isinstance(row, Asked) and row is not recorded}
    found: list[Side] = []
    for row, parts in ((recorded, left), (asked, right)):
        if at == len(parts) - 1:
            found.append(Side(row.kind, row.label, row, inside(history, row) if row is recorded and not row.label else ()))
        elif parts[at].startswith("__") or "/".join(parts[: at + 1]) in commands or "/".join(parts[:at]) in commands:
            return None  # a branch of a command that asks for itself
        else:
            found.append(Side(_INLINE, parts[at].partition("#")[0], row))
    return found[0], found[1]


def cause_of(history: Sequence[Row], run: RunState, recorded: Asked | None, asked: Asked | None, fn: Any) -> tuple[Cause, str]:
    """The cause and what it is about. *history* begins with the turn's fact; *fn* is the body of the step asked for."""
    if recorded is None or asked is None:
        return _one_sided(history, run, recorded, asked)
    pair = sides(history, recorded, asked)
    if pair is None:
        return _one_sided(history, run, None, asked)
    then, now = pair
    if recorded.key == asked.key:
        if recorded.kind != asked.kind:
            return "type changed", f"{then} is now {now}"
        if recorded.label != asked.label:
            return "arguments changed", f"{then} is now {now}"
        if recorded.undo is not None and recorded.undo != asked.undo:
            return "undo changed", f"{recorded.undo} is now {asked.undo or 'none'}"
        return "arguments changed", _arguments(recorded.input, asked.input)
    if then.kind != now.kind and _INLINE in (then.kind, now.kind) and then.name == now.name:
        return "type changed", f"{then} is now {now}"
    words = _words(run, now)
    if _comes_later(history, run, now, recorded):
        if is_named(words, then):
            return "reordered", f"{now} comes before {then}"
        return "removed", f"{then} is not asked for any more"
    if then.kind == now.kind and (then.name == getattr(fn, "__name__", None) or (then.name == now.name and then.kind != kinds.STEP)):
        return "renamed", f"{then} at {recorded.key} is now {now} at {asked.key}"
    if is_named(words, then):
        return "inserted", f"the history has no {now} here"
    if then.kind == now.kind:
        return "renamed", f"{then} is now {now}"
    return "type changed", f"{then} is now {now}"


def _one_sided(history: Sequence[Row], run: RunState, recorded: Asked | None, asked: Asked | None) -> tuple[Cause, str]:
    if recorded is None:
        assert asked is not None
        return "inserted", f"the history has no {Side(asked.kind, asked.label, asked)} here"
    then = Side(recorded.kind, recorded.label, recorded, () if recorded.label else inside(history, recorded))
    if run.finished is not None or _is_over(run, recorded.key):
        return "returned early", f"it ended without asking for {then}"
    return "removed", f"{then} is not asked for at this point"


def _is_over(run: RunState, key: str) -> bool:
    prefix = scope_of(key)
    return not any(frame.scope.prefix == prefix for fiber in fibers(run) for frame in fiber.frames)


def _comes_later(history: Sequence[Row], run: RunState, now: Side, recorded: Asked) -> bool:
    """Whether the history has, further on in the same scope, what is asked now."""
    depth = now.row.key.count("/")
    if now.kind == _INLINE:
        depth = min(depth, recorded.key.count("/"))
    prefix = "/".join(now.row.key.split("/")[:depth])
    prefix = prefix + "/" if prefix else ""
    for row in history:
        if not isinstance(row, Asked) or row is recorded or not row.key.startswith(prefix):
            continue
        if now.kind == _INLINE:
            first, slash, _ = row.key[len(prefix) :].partition("/")
            if slash and first.partition("#")[0] == now.name:
                return True
        elif "/" not in row.key[len(prefix) :] and _alike(row, now.row) and run.codec.same(row.input, now.row.input):
            return True
    return False


def _alike(row: Asked, now: Asked) -> bool:
    return row.kind == now.kind and row.label == now.label and _base(row.key) == _base(now.key)


def _base(key: str) -> str:
    return key.rpartition("/")[2].partition("#")[0]


def _words(run: RunState, now: Side) -> set[str]:
    """Words that the running code names. Where *now* is a workflow, its own code is left out: the scope around it does not name
    its commands.
    """
    inside = scope_of(now.row.key) if now.kind == _INLINE else None
    return words_of(code for fiber in fibers(run) for code in _codes(fiber, inside))


def words_of(codes: Iterable[tuple[Any, dict[str, Any]]]) -> set[str]:
    """Words that *codes* name: words and texts of their source, and the ids of steps, signals and workflows in it.

    Each code object comes with the names that it can see, its globals and locals.
    """
    words: set[str] = set()
    for code, known in codes:
        names = {*code.co_names, *code.co_freevars, *code.co_varnames}
        words |= names | {const for const in code.co_consts if isinstance(const, str)}
        for name in names:
            thing = known.get(name)
            for attribute in ("step_id", "name"):
                with contextlib.suppress(Exception):  # the user's objects may raise anything
                    value = getattr(thing, attribute, None)
                    if isinstance(value, str):
                        words.add(value)
            if isinstance(getattr(thing, "step_id", None), str) and getattr(thing, "step_id", None) != name:
                words.discard(name)  # the function's name is not its step's
    return words


def _codes(fiber: Fiber, inside: str | None) -> Iterator[tuple[Any, dict[str, Any]]]:
    for frame in fiber.frames:
        gen: Any = None if frame.scope.prefix == inside else frame.gen
        while gen is not None and getattr(gen, "gi_code", None) is not None:
            standing = gen.gi_frame
            yield gen.gi_code, {} if standing is None else {**standing.f_globals, **standing.f_locals}
            gen = gen.gi_yieldfrom


def is_named(words: set[str], side: Side) -> bool:
    """Whether the running code still names this side: by its id, or by the command's class."""
    if side.name and not kinds.kind_of(side.kind).label_is_argument:
        return side.name in words
    return kinds.class_name(side.kind) in words


def _arguments(recorded: Any, asked: Any) -> str:
    if isinstance(recorded, dict) and isinstance(asked, dict):
        recorded, asked = cast("dict[str, Any]", recorded), cast("dict[str, Any]", asked)
        changed = [
            str(name) for name in {**recorded, **asked} if name not in recorded or name not in asked or recorded[name] != asked[name]
        ]
        return ", ".join(changed)
    return ""
