"""Tables of executions, and of the rows of one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from redrive.attendance import unattended
from redrive.cli.colors import Colors, visible
from redrive.cli.execution_pages import NOBODY, STATUS_STYLE
from redrive.cli.formatting import brief, span
from redrive.ports.store import Snapshot
from redrive.ports.workers import KnownWorker
from redrive.status import PARKED
from redrive_interpreter import Row

_TITLES: Final = ("id", "workflow", "status", "started", "waits for, or why not")
_NARROWEST: Final = 8
_SAID: Final = frozenset({"key", "kind", "label", "name", "id", "at", "row"})


def listing(
    snapshots: Sequence[Snapshot], colors: Colors, now: datetime, workers: Sequence[KnownWorker] | None = None, width: int | None = None
) -> list[str]:
    """One line for each execution, no wider than *width*: its status, which tells if it is due and no worker works on it, and
    what it waits for, or why it does not go on."""
    rows = [
        (visible(s.id), visible(s.workflow), _status(s, workers, now), f"{span(now - s.created_at)} ago", visible(_why(s, workers, now)))
        for s in snapshots
    ]
    widths = [max(map(len, column)) for column in zip(_TITLES, *rows, strict=True)]
    if not any(row[4] for row in rows):
        rows, widths = [(*row[:4], "") for row in rows], [*widths[:4], 0]
    _narrow(widths, width)
    titles = [title if size else "" for title, size in zip(_TITLES, widths, strict=True)]
    lines = [colors("dim", "  ".join(map(_cut, titles, widths)).rstrip())]
    for row in rows:
        cells = list(map(_cut, row, widths))
        cells[2] = colors("red" if row[2].endswith(NOBODY) else STATUS_STYLE.get(row[2], "cyan"), cells[2])
        lines.append("  ".join(cells).rstrip())
    return lines


def _narrow(widths: list[int], width: int | None) -> None:
    """Take what is too much for *width* from the widest columns, the status and the age apart."""
    if width is None:
        return
    while sum(widths) + 2 * (len(widths) - 1) > width:
        widest = max((0, 1, 4), key=lambda at: widths[at])
        if widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1


def _cut(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else f"{text[: width - 1]}…"


def _why(snapshot: Snapshot, workers: Sequence[KnownWorker] | None, now: datetime) -> str:
    """The waits of an execution, the error that it ended with, or the reason why it does not go on; in one line."""
    if snapshot.error_type is not None:
        return snapshot.error_type
    if snapshot.ended_at is not None:
        return ""
    if snapshot.status == PARKED and snapshot.parks:
        return snapshot.parks[0].reason.partition("\n")[0]
    return unattended(snapshot, workers, now) or ", ".join(snapshot.waits.split("\n"))


def _status(snapshot: Snapshot, workers: Sequence[KnownWorker] | None, now: datetime) -> str:
    return f"{snapshot.status}{NOBODY}" if unattended(snapshot, workers, now) else snapshot.status


def history(stored: Sequence[tuple[Row, dict[str, Any]]], colors: Colors) -> list[str]:
    """Every row as it is stored: its number, the time if it began a turn, its name, its key, and the other fields."""
    lines: list[str] = []
    width = len(str(len(stored)))
    for number, (row, data) in enumerate(stored, 1):
        at: datetime | None = getattr(row, "at", None)
        clock = " " * 12 if at is None else f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"
        name = colors("dim" if at is None else "bold", str(data["row"]).ljust(14))
        subject = " ".join(str(part) for part in (getattr(row, field, "") for field in ("key", "kind", "label", "name", "id")) if part)
        rest = {field: value for field, value in data.items() if field not in _SAID}
        lines.append(
            f"{number:>{width}}  {clock}  {name} {visible(subject)}  {colors('dim', visible(brief(rest, 300)) if rest else '')}".rstrip()
        )
    return lines
