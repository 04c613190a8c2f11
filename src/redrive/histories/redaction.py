"""Redaction: remove private text from a history so that it still replays.

A payload is rarely stored once: an address is in the input, in the arguments of a step, in a note, in an error's
text. So redaction has two passes: the hook says which *fields* are private, and then each text that was found in one
is replaced wherever else it stands, inside other texts too, by the same stand-in. What the code derives from it
by copying, joining and comparing comes out alike on replay; what it computes from its letters may not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeGuard

Hook: TypeAlias = Callable[[str, Any], Any]
"""Given a field's name and its JSON value; gives back the value to store instead, or the same one."""

_STRUCTURE: Final = frozenset("row format key kind label run of workflow undo name status by on_parent_close type declared".split())  # noqa: SIM905
"""Fields of rows that never hold payload; all others may."""
_SHORTEST: Final = 3
"""Characters of the shortest text that is replaced inside other texts; a shorter one is replaced only as a whole value."""


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def redact(rows: Iterable[Mapping[str, Any]], hook: Hook) -> list[dict[str, Any]]:
    """*rows* (JSON objects, as `dump_row` gives) with the private fields of their payloads replaced.

    *hook* is called for each field of each payload with its name and value; `named` makes one of field names. A text
    that it replaces is then replaced everywhere, in ids too. Numbers are replaced in their fields only.
    """
    given = [dict(row) for row in rows]
    texts: dict[str, str] = {}
    redacted = [{name: _fields(name, value, hook, texts, top=name in _STRUCTURE) for name, value in row.items()} for row in given]
    if not texts:
        return redacted
    long = sorted((text for text in texts if len(text) >= _SHORTEST), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, long))) if long else None
    return [{name: value if name in _STRUCTURE else _everywhere(value, texts, pattern) for name, value in row.items()} for row in redacted]


def named(names: Sequence[str]) -> Hook:
    """A hook for the fields with these *names*: texts become ``redacted-1``, ``redacted-2``, …, the same text the same one;
    numbers 0; lists and objects are redacted within; true, false and null stay."""
    private = frozenset(names)
    known: dict[str, str] = {}

    def stand_in(value: Any) -> Any:
        if isinstance(value, str):
            return known.setdefault(value, f"redacted-{len(known) + 1}")
        if _is_list(value):
            return [stand_in(item) for item in value]
        if _is_object(value):
            return {key: stand_in(item) for key, item in value.items()}
        return type(value)(0) if type(value) in (int, float) else value

    return lambda name, value: stand_in(value) if name in private else value


def _fields(name: str, value: Any, hook: Hook, texts: dict[str, str], *, top: bool = False) -> Any:
    if top:
        return value
    replaced = hook(name, value)
    if replaced is not value and replaced != value:
        for old, new in _pairs(value, replaced):
            if old and isinstance(new, str):
                texts[old] = new
        return replaced
    if _is_object(value):
        return {key: _fields(key, item, hook, texts) for key, item in value.items()}
    if _is_list(value):
        return [_fields("", item, hook, texts) for item in value]
    return value


def _pairs(old: Any, new: Any) -> Iterator[tuple[str, Any]]:
    """The texts in *old*, each with what stands in its place in *new*."""
    if isinstance(old, str):
        yield old, new
    elif _is_object(old) and _is_object(new):
        for key, item in old.items():
            yield from _pairs(item, new.get(key))
    elif _is_list(old) and _is_list(new):
        for item, other in zip(old, new, strict=False):
            yield from _pairs(item, other)


def _everywhere(value: Any, texts: Mapping[str, str], pattern: re.Pattern[str] | None) -> Any:
    if isinstance(value, str):
        if value in texts:
            return texts[value]
        return value if pattern is None else pattern.sub(lambda found: texts[found[0]], value)
    if _is_object(value):
        return {key: _everywhere(item, texts, pattern) for key, item in value.items()}
    if _is_list(value):
        return [_everywhere(item, texts, pattern) for item in value]
    return value
