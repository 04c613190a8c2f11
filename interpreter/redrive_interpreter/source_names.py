"""The stored texts of signals and events, of which no two that differ have the same (N7).

A name without a colon is its own text. ``Signal("a").of("b:c")``, ``Signal("a:b").of("c")`` and ``Signal("a:b:c")`` are all
called ``a:b:c``, so their texts say how the name is put together: a mark that no name may begin with, then its parts, escaped.

A text without the mark that holds a colon says only what the signal is called: somebody sent it by name, or an older release
did. Such a signal is for the oldest wait for one that is called so.
"""

from __future__ import annotations

from typing import Final

MARK: Final = "__of:"
"""What the text of a name begins with that is put together, or holds a colon."""
_ESCAPES: Final = {"%": "%25", ":": "%3A"}


def path_of(name: str) -> tuple[str, ...] | None:
    """The parts of *name* as it was declared; None where the name says all."""
    return (name,) if ":" in name else None


def stored_name(name: str, path: tuple[str, ...] | None) -> str:
    """The text under which what is called *name* is stored, where it is put together as *path* says."""
    return name if path is None else MARK + ":".join("".join(_ESCAPES.get(char, char) for char in part) for part in path)


def read_name(text: str) -> tuple[str, tuple[str, ...] | None]:
    """The name and its parts (None: they are not known, or the name says all); the inverse of `stored_name`."""
    if not text.startswith(MARK):
        return text, None
    path = tuple(part.replace("%3A", ":").replace("%25", "%") for part in text[len(MARK) :].split(":"))
    return ":".join(path), path
