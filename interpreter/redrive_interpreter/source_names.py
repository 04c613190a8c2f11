"""The stored names of signals and events, which are unique (N7).

A name without a colon is its own text. ``Signal("a").of("b:c")``, ``Signal("a:b").of("c")`` and ``Signal("a:b:c")`` are all
called ``a:b:c``, so their texts say how the name is put together: a mark that no name may begin with, then its parts, escaped.

A text that holds a colon but no mark was sent by name alone, or by an older release. The oldest wait for a signal of that name
takes it.
"""

from __future__ import annotations

from typing import Final

MARK: Final = "__of:"
"""The first characters of a stored name that is put together, or holds a colon."""
_ESCAPES: Final = {"%": "%25", ":": "%3A"}


def path_of(name: str) -> tuple[str, ...] | None:
    """The parts of *name* as it was declared; None where the name says all."""
    return (name,) if ":" in name else None


def stored_name(name: str, path: tuple[str, ...] | None) -> str:
    """The stored text of *name*, put together as *path* says."""
    return name if path is None else MARK + ":".join("".join(_ESCAPES.get(char, char) for char in part) for part in path)


def read_name(text: str) -> tuple[str, tuple[str, ...] | None]:
    """The name and its parts (None: they are not known, or the name says all); the inverse of `stored_name`."""
    if not text.startswith(MARK):
        return text, None
    path = tuple(part.replace("%3A", ":").replace("%25", "%") for part in text[len(MARK) :].split(":"))
    return ":".join(path), path
