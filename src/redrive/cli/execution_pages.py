"""Executions as text: the pages that are read at three in the morning. The module formats only and never asks a store."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from redrive import SetAsideSignal
from redrive.cli.colors import Colors, visible
from redrive.cli.folding import Fold, folded
from redrive.cli.formatting import brief, span, when
from redrive.counting import counted
from redrive.ports.parks import EVERYBODY, Park
from redrive.ports.store import Snapshot
from redrive.status import CANCELLED, CANCELLING, COMPENSATION_FAILED, COMPLETED, FAILED, PARKED, PENDING
from redrive.stored import Origin
from redrive.timeline import Entry, Timeline, json_object
from redrive_interpreter import kinds
from redrive_interpreter.outcomes import Failure

STATUS_STYLE: Final = {
    COMPLETED: "green",
    FAILED: "red",
    COMPENSATION_FAILED: "red",
    PARKED: "red",
    CANCELLED: "yellow",
    CANCELLING: "yellow",
}
NOBODY: Final = ", no worker"
"""The mark behind the status of an execution that is due and on which no worker works."""
_STATE: Final = {
    "done": ("green", "✓"),
    "failed": ("red", "✗"),
    "waiting": ("yellow", "…"),
    "timed out": ("yellow", "⏱"),
    "cut": ("dim", "–"),
    "note": ("dim", "·"),
    "event": ("cyan", "·"),
}
_LABEL: Final = 12
_OURS: Final = ("/redrive_interpreter/", "/redrive/worker/")
_INDENT: Final = " " * 18


class View:
    """Formats with *colors*, for a reader whose time is *now*, in lines of *width* characters; None: however long they are."""

    colors: Colors
    now: datetime
    width: int | None

    def __init__(self, colors: Colors, now: datetime, width: int | None = None) -> None:
        self.colors, self.now, self.width = colors, now, width

    # ── one execution ───────────────────────────────────────────────────────────────────────────
    def execution(
        self,
        snapshot: Snapshot,
        line: Timeline,
        places: Sequence[str],
        code: str = "",
        unattended: str = "",
        aside: Sequence[SetAsideSignal] = (),
        origin: Origin | None = None,
    ) -> list[str]:
        """The head (identity, status, waits, place in the source, failure, signals set aside) and the timeline.

        *unattended* says why nobody works on it.
        """
        origin = origin or Origin(snapshot.id, "its store")
        return [*self._head(snapshot, line, places, code, unattended, aside, origin), "", *self.timeline(line)]

    def timeline(self, line: Timeline) -> list[str]:
        """One line for each command: the time since the start, its key, kind, outcome and duration."""
        began = line.started.at if line.started is not None else self.now
        keys = max([len(visible(_name(entry))) for entry in line.entries] + [8])
        keys = min(keys, 44 if self.width is None else max(12, self.width - 50))
        lines = [self._row(timedelta(0), "cyan", "·", "started".ljust(keys), "", brief(line.started.input) if line.started else "")]
        day = began
        for entry in folded(line.entries):
            if isinstance(entry, Fold):
                lines.append(_INDENT + self.colors("dim", str(entry)))
                continue
            if entry.asked_at.date() != day.date():
                day = entry.asked_at
                lines.append(f"{day:%Y-%m-%d}".rjust(14))
            lines += self._entry(entry, began, keys)
        if line.ended is not None and line.ended_at is not None:
            style = STATUS_STYLE.get(line.ended.status, "cyan")
            lines.append(
                self._row(
                    line.ended_at - began, style, "·", self.colors(style, line.ended.status.ljust(keys)), span(line.ended_at - began), ""
                )
            )
        return lines

    def _head(
        self,
        snapshot: Snapshot,
        line: Timeline,
        places: Sequence[str],
        code: str,
        unattended: str,
        aside: Sequence[SetAsideSignal],
        origin: Origin,
    ) -> list[str]:
        colors = self.colors
        style = "red" if unattended else STATUS_STYLE.get(snapshot.status, "cyan")
        status = f"{snapshot.status}{NOBODY}" if unattended else snapshot.status
        lines = [f"{colors('bold', visible(snapshot.id))}  {visible(snapshot.workflow)}  {colors(style, status)}"]
        lines.append(self._field("started", when(snapshot.created_at, self.now)))
        if snapshot.number > 1:
            lines.append(self._field("run", f"{snapshot.number} (the ones before: history --run N)"))
        if snapshot.creator is not None:
            lines.append(self._field("parent", visible(snapshot.creator.id)))
        if snapshot.deadline is not None and line.ended is None:
            lines.append(self._field("deadline", when(snapshot.deadline, self.now)))
        if line.ended_at is not None:
            lines.append(self._field("ended", when(line.ended_at, self.now)))
        if unattended:
            lines.append(self._field("worker", colors("red", visible(unattended))))
        elif snapshot.owner is not None and line.ended is None:
            lines.append(self._field("worker", visible(snapshot.owner)))
        lines += self._waits(snapshot, line)
        for index, place in enumerate(places):
            lines.append(self._field("stands at" if index == 0 else "", visible(place)))
        for reason in snapshot.parked.values():
            code = code.replace(reason, "see below") if reason else code
        if not places and code and line.ended is None:
            lines.append(self._field("stands at", colors("dim", self._hanging(visible(code, lines=True)))))
        for park in snapshot.parks:
            lines.append(self._field("parked", f"by {_build(park)}: " + colors("red", self._hanging(visible(park.reason, lines=True)))))
            lines.append(self._field("", colors("dim", self._tries(park))))
        if snapshot.cancel is not None:
            reason = visible(str(origin.cancel_reason(snapshot) or "no reason given"))
            waits = "; it waits for code that fits" if snapshot.status == PARKED else ""
            lines.append(self._field("cancel", f"asked for: {reason}{waits}"))
        attributes = origin.attributes(snapshot)
        if attributes:
            lines.append(self._field("attributes", visible(brief(attributes))))
        if snapshot.unread:
            names = f": {', '.join(map(visible, line.unread))}" if line.unread else ""
            lines.append(self._field("unread", counted(snapshot.unread, "signal") + names))
        for index, one in enumerate(aside):
            text = f"{one.seq}: {visible(one.name)} {visible(brief(one.payload))}: {self.colors('red', visible(one.error))}"
            lines.append(self._field("" if index else "set aside", text))
        if snapshot.recoveries:
            lines.append(self._field("recoveries", f"{snapshot.recoveries} in a row without progress"))
        lines += self._outcome(snapshot, origin)
        return lines

    def _tries(self, park: Park) -> str:
        """The kind of a park, the time of the last attempt, and the time of the next automatic one."""
        text = f"{park.kind.replace('_', ' ')} {when(park.at, self.now)}"
        text += f", {park.tries} tries" if park.tries > 1 else ""
        return text + (f", tried again {when(park.retry_at, self.now)}" if park.retry_at is not None else "")

    def _waits(self, snapshot: Snapshot, line: Timeline) -> list[str]:
        lines: list[str] = []
        for entry in line.open:
            text = "sleep" if entry.kind == kinds.SLEEP else f"{_what(entry)} {visible(_name(entry))}"
            if entry.retry_due is not None:
                text += f", attempt {entry.attempts} due {when(entry.retry_due, self.now)}"
            elif entry.attempts > 1:
                text += f", attempt {entry.attempts}"
            if entry.due is not None:
                text += f" until {when(entry.due, self.now)}"
            text += self.colors("dim", f", asked {span(self.now - entry.asked_at)} ago")
            lines.append(self._field("" if lines else "waits for", text))
            if entry.failure is not None:
                lines.append(self._field("", self.colors("red", f"last failed with {visible(_error(entry.failure))}")))
        if not lines and line.ended is None and snapshot.status == PENDING:
            later = snapshot.wake_at is not None and snapshot.wake_at > self.now
            begin = f", not before {when(snapshot.wake_at, self.now)}" if later and snapshot.wake_at is not None else ""
            lines.append(self._field("waits for", f"a worker that has its code{begin}"))
        return lines

    def _outcome(self, snapshot: Snapshot, origin: Origin) -> list[str]:
        if snapshot.outcome is None:
            return []
        outcome = origin.object(snapshot.outcome, "outcome")
        lines: list[str] = []
        if outcome.get("ok") is not None or "err" not in outcome:
            lines.append(self._field("result", visible(brief(outcome.get("ok"), 2000))))
        if (err := json_object(outcome.get("err"))) is not None:
            lines.append(
                self._field("error", self.colors("red", visible(f"{err.get('type', 'Error')}: {err.get('message', '')}", lines=True)))
            )
            if err.get("traceback"):
                lines += [self.colors("dim", f"    {part}") for part in _traceback(str(err["traceback"]))]
        return lines

    def _entry(self, entry: Entry, began: datetime, keys: int) -> list[str]:
        style, sign = _STATE[entry.state]
        since = entry.asked_at - began
        if entry.state in ("note", "event"):
            detail = "" if entry.value is None else visible(brief(entry.value))
            text = f"{entry.kind}: {visible(entry.label)}"
            name = text if self.width is None else _cut(text, keys)
            return [self._row(since, style, sign, name.ljust(keys), "", detail)]
        lasted = (self.now if entry.state == "waiting" else entry.ended_at or entry.asked_at) - entry.asked_at
        words = [_what(entry) + (f" ×{entry.attempts}" if entry.attempts > 1 else "")]
        if entry.state != "done":
            words.append(entry.state)
        detail = ", ".join(words)
        if entry.state == "done" and entry.value is not None:
            detail += f" → {visible(brief(entry.value, 80))}"
        name = _cut(visible(_name(entry)), keys).ljust(keys)
        lines = [self._row(since, style, sign, name, span(lasted) if lasted else "", detail)]
        if entry.failure is not None:
            lines.append(_INDENT + self.colors("red", visible(_error(entry.failure))))
            lines += [_INDENT + self.colors("dim", part) for part in _traceback(entry.failure.traceback)]
        if entry.retry_due is not None:
            lines.append(_INDENT + self.colors("yellow", f"attempt {entry.attempts} due {when(entry.retry_due, self.now)}"))
        return lines

    def _row(self, since: timedelta, style: str, sign: str, name: str, lasted: str, detail: str) -> str:
        if self.width is not None:
            detail = _cut(detail, max(12, self.width - 34 - len(name)))
        return f"{'+' + span(since):>14}  {self.colors(style, sign)} {name}  {lasted:>12}  {self.colors('dim', detail)}".rstrip()

    def _field(self, label: str, text: str) -> str:
        return f"  {self.colors('dim', label.ljust(_LABEL))} {self._wrapped(text)}"

    def _wrapped(self, text: str) -> str:
        """*text* in lines that fit, broken between words, those behind the first one set in. Colors take no room."""
        if self.width is None or self.colors.on:
            return text
        room = max(20, self.width - _LABEL - 3)
        lines = text.split("\n")
        if all(len(line) <= room for line in lines):
            return text
        fitting = partial(textwrap.wrap, width=room, break_long_words=False, break_on_hyphens=False)
        return ("\n" + " " * (_LABEL + 3)).join(part for line in lines for part in (fitting(line.strip()) or [""]))

    def _hanging(self, text: str) -> str:
        return text.replace("\n", "\n" + " " * (_LABEL + 3))


def told_of_a_cancel(before: Snapshot, now: Snapshot, reason: str) -> str:
    """The state of a cancel that was asked for with *reason*, in one line."""
    name = visible(before.id)
    if now.status == CANCELLED:
        return f"{name} is cancelled" + (": it never began" if now.length == 3 and before.status == PARKED else "")
    asked = None if now.cancel is None else json.loads(now.cancel).get("reason", "")
    earlier = before.cancel is not None or before.status == CANCELLING
    first = f", for the reason given first: {visible(asked)}" if earlier and asked and asked != reason else ""
    if now.status == PARKED:
        return f"{name} is parked: the first code that fits cancels it{first}"
    if now.status == CANCELLING:
        return f"{name} {'was being cancelled already' if earlier else 'is being cancelled'}{first}"
    return f"{name} was asked to cancel; it is {now.status}"


def _build(park: Park) -> str:
    return "all workers" if park.build == EVERYBODY else f"build {visible(park.build)}"


def _name(entry: Entry) -> str:
    """The key, in which a command without an id of its own stands as ``sleep``, not ``__sleep``; for a signal its name."""
    key = entry.key.removeprefix("__").replace("/__", "/")
    return key if entry.kind != kinds.WAIT_SIGNAL else key.rpartition("/")[0] + "/" * ("/" in key) + entry.label


def _what(entry: Entry) -> str:
    """The kind of command, and its subject where the name does not tell it."""
    match entry.kind:
        case kinds.WAIT_SIGNAL:
            return kinds.kind_of(entry.kind).noun
        case kinds.SLEEP:
            asked = None if entry.due is None else entry.due - entry.asked_at
            return "sleep" if asked is None else f"sleep of {span(asked)}"
        case kinds.WAIT_CHILD | kinds.RUN_CHILD | kinds.START_CHILD:
            return _child(entry)
        case _:
            pass
    word = kinds.kind_of(entry.kind).words
    last = entry.key.rpartition("/")[2].partition("#")[0]
    return word if not entry.label or entry.label == last else f"{word} {visible(entry.label)}"


def _child(entry: Entry) -> str:
    """The id of the child, and its workflow."""
    id = str((json_object(entry.input) or {}).get("id") or "")
    if entry.kind == kinds.WAIT_CHILD or not id:
        return f"child {visible(entry.label)}"
    return f"child {visible(id)}" + (f" ({visible(entry.label)})" if entry.label else "")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _traceback(text: str) -> list[str]:
    """The lines of a traceback without the frames of redrive itself, which is not where the error is."""
    lines: list[str] = []
    ours = False
    for line in visible(text, lines=True).rstrip().splitlines():
        if line.startswith('  File "'):
            ours = any(home in line for home in _OURS)
        elif not line.startswith("    "):
            ours = False
        if not ours:
            lines.append(line)
    return lines


def _error(failure: Failure) -> str:
    return f"{failure.type}: {failure.message}" if failure.message else failure.type
