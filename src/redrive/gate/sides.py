"""The two sides of a difference, each in a line short enough to stand beside the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, cast

from redrive_interpreter import Asked, Ended

_WIDEST: Final = 56
_NOTHING: Final = object()


def said(row: Asked | Ended | None) -> str:
    """A row in one line: its kind, subject, undo and arguments."""
    if not isinstance(row, Asked):
        return subject(row)
    given = "" if row.input is None else _text(row.input)
    return _short(" ".join(part for part in (subject(row), f"undo={row.undo}" if row.undo else "", given) if part))


def subject(row: Asked | Ended | None) -> str:
    """The kind of a row, and its subject."""
    match row:
        case None:
            return "—"
        case Ended(status=status):
            return f"ends {status}"
        case Asked(kind=kind, label=label):
            return f"{kind.replace('_', ' ')} {label}".strip()


def pair(recorded: Asked | Ended | None, asked: Asked | Ended | None) -> tuple[str, str]:
    """The lines of a pair that differs; where both have the same subject, only the parts that differ."""
    if not isinstance(recorded, Asked) or not isinstance(asked, Asked) or subject(recorded) != subject(asked):
        return said(recorded), said(asked)
    then, now = [subject(recorded)], [subject(asked)]
    if recorded.undo != asked.undo:
        then.append(f"undo={recorded.undo or 'none'}")
        now.append(f"undo={asked.undo or 'none'}")
    for path, old, new in _differences("", recorded.input, asked.input):
        then.append(f"{path}{_text(old)}")
        now.append(f"{path}{_text(new)}")
    return _short(" ".join(then)), _short(" ".join(now))


def _differences(path: str, then: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(then, dict) and isinstance(now, dict):
        old, new = cast("dict[str, Any]", then), cast("dict[str, Any]", now)
        for name in {**old, **new}:
            yield from _differences(
                f"{path.removesuffix('=')}{'.' if path else ''}{name}=", old.get(name, _NOTHING), new.get(name, _NOTHING)
            )
    elif then is _NOTHING or now is _NOTHING or _text(then) != _text(now):
        yield path, then, now


def _text(data: Any) -> str:
    if data is _NOTHING:
        return "—"
    try:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError):
        return repr(data)


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
