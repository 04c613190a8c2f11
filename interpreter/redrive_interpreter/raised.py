"""Exceptions as data: the names they are stored under, and which declared class they are rebuilt as."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Sequence
from typing import Final

MAX_TRACEBACK: Final = 16_000
"""Characters of a traceback that are kept: the end, where the error is."""


def type_name(type: type) -> str:
    """The qualified name of *type*, without the module for builtins."""
    return type.__qualname__ if type.__module__ == "builtins" else f"{type.__module__}.{type.__qualname__}"


def declared_base(error: BaseException, raises: Sequence[type[BaseException]]) -> type[BaseException] | None:
    """The class of *raises* nearest to that of *error*, by its method resolution order; None if it has none."""
    return next((base for base in type(error).__mro__ if base in raises), None)


def message_of(error: BaseException) -> str:
    """``str(error)``, whatever its class does there."""
    try:
        return str(error)
    except Exception as broken:
        return f"<{type_name(type(error))}: its __str__ raised {type_name(type(broken))}>"


def shown(value: object) -> str:
    """``repr(value)``, whatever its class does there, cut to a line."""
    try:
        text = repr(value)
    except Exception as broken:
        return f"<{type_name(type(value))}: its __repr__ raised {type_name(type(broken))}>"
    return text if len(text) <= 300 else text[:299] + "…"


def note(error: BaseException, before: str, other: BaseException) -> None:
    """Add *other* to the notes of *error*, whatever their classes allow."""
    with contextlib.suppress(Exception):
        error.add_note(f"{before} {type(other).__name__}: {message_of(other)}")


def traceback_of(error: BaseException) -> str:
    """The formatted traceback of *error*, the last `MAX_TRACEBACK` characters of it."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:
        return ""
    return text if len(text) <= MAX_TRACEBACK else "…" + text[-MAX_TRACEBACK:]
