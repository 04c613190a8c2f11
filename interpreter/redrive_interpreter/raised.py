"""Exceptions as data: the names they are stored under, and which declared class they are rebuilt as."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Final

MAX_TRACEBACK: Final = 16_000
"""Characters kept of a traceback: its end, where the error is."""
_OWN: Final = frozenset({"redrive", "redrive_interpreter", "redrive_pytest"})
_USERS: Final = "redrive.cli.demo"
"""The demo's program counts as user code, although it ships with redrive."""


class RecordedTraceback(Exception):
    """The text of a traceback from elsewhere (the body of a step, another execution), as the cause of the error made from it.

    Python, logging and pytest print it above that error, as they print the tracebacks of a process pool.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def recorded_traceback(text: str) -> RecordedTraceback | None:
    """The cause to give to an error whose traceback was *text*; None if no frame is in it."""
    return RecordedTraceback(text) if "  File " in text else None


def type_name(type: type) -> str:
    """The qualified name of *type*, without the module for builtins."""
    return type.__qualname__ if type.__module__ == "builtins" else f"{type.__module__}.{type.__qualname__}"


def declared_base(error: BaseException, raises: Sequence[type[BaseException]]) -> type[BaseException] | None:
    """The class of *raises* nearest to that of *error*, by its method resolution order; None if it has none."""
    return next((base for base in type(error).__mro__ if base in raises), None)


def message_of(error: BaseException) -> str:
    """``str(error)``; a placeholder if the class fails at it."""
    try:
        return str(error)
    except Exception as broken:
        return f"<{type_name(type(error))}: its __str__ raised {type_name(type(broken))}>"


def shown(value: object) -> str:
    """``repr(value)``, cut to a line; a placeholder if the class fails at it."""
    try:
        text = repr(value)
    except Exception as broken:
        return f"<{type_name(type(value))}: its __repr__ raised {type_name(type(broken))}>"
    return text if len(text) <= 300 else text[:299] + "…"


def note(error: BaseException, before: str, other: BaseException) -> None:
    """Add *other* to the notes of *error*, as far as their classes allow it."""
    with contextlib.suppress(Exception):
        error.add_note(f"{before} {type(other).__name__}: {message_of(other)}")


def traceback_of(error: BaseException) -> str:
    """The formatted traceback of *error* without frames of redrive's own, the last `MAX_TRACEBACK` characters of it."""
    try:
        formatted = traceback.TracebackException.from_exception(error)
        _hide(formatted, error)
        text = "".join(formatted.format())
        for recorded in _recorded(error):
            text = text.replace(f"{type_name(RecordedTraceback)}: {recorded}\n", recorded.text)
    except Exception:
        return ""
    return text if len(text) <= MAX_TRACEBACK else "…" + text[-MAX_TRACEBACK:]


def users_traceback(error: BaseException) -> TracebackType | None:
    """The traceback of *error* with the user's frames only; with all of them, if none is the user's."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not any(_is_users(frame) for frame, _ in frames):
        return error.__traceback__
    entries: list[TracebackType] = []
    at = error.__traceback__
    while at is not None:
        if _is_users(at.tb_frame):
            entries.append(at)
        at = at.tb_next
    shown: TracebackType | None = None
    for entry in reversed(entries):
        shown = TracebackType(shown, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return shown


def _hide(formatted: traceback.TracebackException, error: BaseException) -> None:
    """Take our own frames out of *formatted*, which was made from *error*, and out of those that it shows as its causes."""
    todo: list[tuple[traceback.TracebackException | None, BaseException | None]] = [(formatted, error)]
    while todo:
        shown, raised = todo.pop()
        if shown is None or raised is None:
            continue
        frames = list(traceback.walk_tb(raised.__traceback__))
        if len(frames) == len(shown.stack) and any(_is_users(frame) for frame, _ in frames):
            shown.stack[:] = [line for line, (frame, _) in zip(shown.stack, frames, strict=True) if _is_users(frame)]
        todo += [(shown.__cause__, raised.__cause__), (shown.__context__, raised.__context__)]
        todo += zip(shown.exceptions or (), _members(raised), strict=False)


def _recorded(error: BaseException) -> list[RecordedTraceback]:
    """The recorded tracebacks that *error* shows: they are text already, and nested quotes would hide where they begin."""
    found: list[RecordedTraceback] = []
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        at = todo.pop()
        if at is None or id(at) in seen:
            continue
        seen.add(id(at))
        if isinstance(at, RecordedTraceback):
            found.append(at)
        todo += [at.__cause__, at.__context__]
        todo += _members(at)
    return found


def _members(error: BaseException) -> Sequence[BaseException]:
    """The errors in *error*, if it is a group."""
    members: Sequence[BaseException] = getattr(error, "exceptions", ())
    return members if isinstance(error, BaseExceptionGroup) else ()


def _is_users(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] not in _OWN or module.startswith(_USERS)
