"""How an execution stands, told from what is stored: for people, dashboards and the text of a `TimeoutError`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs

from redrive.aside import SetAsideSignal, set_aside_signal
from redrive.status import HELD_BACK, PARKED, PENDING
from redrive.timeline import Timeline, timeline
from redrive_interpreter import kinds
from redrive_interpreter.errors import RedriveError
from redrive_interpreter.history.rows import Answered, Asked, Retrying
from redrive_interpreter.keys import ROLLBACK, Key
from redrive_interpreter.outcomes import Failure, Ok
from redrive_interpreter.replay.replay import replay

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.ports.aside_values import Aside
    from redrive.ports.parks import Park
    from redrive.ports.store import ExecutionStatus, Snapshot
    from redrive.stored import Origin
    from redrive.worker.watchdog import Watch
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.rows import Row


@attrs.frozen(kw_only=True)
class Pending:
    """Something an execution waits for. *until* is when a timer, a timeout or the next attempt is due.

    *failure* is that of the last attempt, where the next one is waited for. *reason* says what stands in the way where the
    worker of this service has not begun it: ``waits for a thread: 32 of 32 busy with …``.
    """

    key: Key
    kind: str
    label: str = ""
    since: datetime
    until: datetime | None = None
    attempt: int = 1
    failure: Failure | None = None
    reason: str = ""

    def __str__(self) -> str:
        what = f"{kinds.kind_of(self.kind).noun} {self.label or self.key!s}"
        if self.failure is not None:
            what += f", attempt {self.attempt} after {self.failure.type}: {self.failure.message}"
        if self.reason:
            what += f", which {self.reason}"
        return what + (f", until {self.until.isoformat(timespec='milliseconds')}" if self.until is not None else "")


@attrs.frozen(kw_only=True)
class ExecutionInfo:
    """An execution as it is stored.

    *run* and *number* are those of the newest run, *rows* the length of its history. *waiting_on* is what it waits for,
    oldest first. *undone* and *in_doubt* are keys of steps: those undone, and those that may have taken effect and that
    nothing will undo. *reason* says why it is not taken up, where it is due and the worker of this service has no room for it.
    *result* is the value it returned, *failure* the error it ended with; *parked* says for each build
    why it could not go on, *parks* also of what kind that was, when, and when it is tried again. *cancel_requested* is the
    reason of a cancel that was accepted and not carried out yet. *set_aside* are signals that it could not read, the oldest
    first, a hundred at most. *unread* counts signals that came and that no wait has got, *unread_signals* are the names of those
    that were taken up: a name that nothing waits for may be mistyped.
    """

    id: str
    workflow: str
    status: ExecutionStatus
    run: UUID
    number: int
    rows: int
    created_at: datetime
    updated_at: datetime
    deadline: datetime | None
    wake_at: datetime | None
    waiting_on: tuple[Pending, ...] = ()
    unread: int = 0
    undone: tuple[Key, ...] = ()
    in_doubt: tuple[Key, ...] = ()
    attributes: Mapping[str, Any] = attrs.Factory(dict[str, Any])
    result: Any = None
    failure: Failure | None = None
    parked: Mapping[str, str] = attrs.Factory(dict[str, str])
    parks: tuple[Park, ...] = ()
    cancel_requested: str | None = None
    parent: str | None = None
    worker: str | None = None
    recoveries: int = 0
    set_aside: tuple[SetAsideSignal, ...] = ()
    reason: str = ""
    unread_signals: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"execution {self.id!r} is {self.status}"
        if self.parked and self.status == PARKED:
            asked = "" if self.cancel_requested is None else " (a cancel waits for code that fits)"
            return f"{text}{asked}: {next(iter(self.parked.values()))}"
        if self.waiting_on:
            text += ": it waits for " + "; ".join(map(str, self.waiting_on[:3]))
            text += f" and {len(self.waiting_on) - 3} more" if len(self.waiting_on) > 3 else ""
        if self.reason:
            text += f"; it {self.reason}"
        waited = {pending.label for pending in self.waiting_on if pending.kind == kinds.WAIT_SIGNAL}
        if waited and (others := [name for name in self.unread_signals if name not in waited]):
            text += f"; it has unread signals, for which nothing waits: {', '.join(map(repr, others[:3]))}"
        if self.set_aside:
            last = self.set_aside[-1]
            text += f"; signals that it could not read were set aside: {len(self.set_aside)}, the last one {last.name} ({last.error})"
        return text


@attrs.frozen
class Standing:
    """How a run stands by its machine: the keys of what it waits for, when timers are due, and the steps in doubt."""

    pending: tuple[Key, ...]
    timers: Mapping[Key, datetime]
    in_doubt: tuple[Key, ...]


def needs_replay(snapshot: Snapshot, rows: Sequence[Row], workflow: Workflow[..., Any] | None) -> bool:
    """Whether only the code can tell how the run stands.

    A run that was never computed to where it waits is not tried here either: it may never come to that (D7).
    """
    if workflow is None or workflow.fn is None or len(rows) < 2 or snapshot.status in (PENDING, *HELD_BACK):
        return False
    return snapshot.outcome is None or bool(_doubtful(rows)) or _was_cut(rows)


def replayed(id: str, workflow: Workflow[..., Any], rows: Sequence[Row], codec: JsonCodec, watch: Watch) -> Standing | None:
    """How the run stands after *rows*; None where the code does not fit them, or does not come to an end."""

    def stand() -> Standing:
        machine = replay(workflow, rows, codec, make=watch.make).machine
        try:
            return Standing(tuple(machine.pending), dict(machine.timers), machine.in_doubt)
        finally:
            machine.close()

    try:
        return watch.during(id, None, stand)
    except RedriveError:  # parked, or other code: the rows must do
        return None


def info_of(
    snapshot: Snapshot,
    rows: Sequence[Row],
    workflow: Workflow[..., Any] | None,
    codec: JsonCodec,
    standing: Standing | None,
    reasons: Mapping[str, str],
    reason: str,
    origin: Origin,
    aside: Sequence[Aside] = (),
) -> ExecutionInfo:
    """Put together what the snapshot and the rows of the newest run say, and *standing*, where it is known, exactly.

    *reasons* says why bodies have not begun, by key, *reason* why nobody has taken it up; *aside* is what it has aside.
    """
    result, failure = None, None
    if snapshot.outcome is not None:
        outcome = origin.outcome(snapshot.outcome)
        if isinstance(outcome, Ok):
            if workflow is None:
                result = codec.load_untyped(outcome.value)
            else:
                result = codec.load(outcome.value, workflow.result_type, f"the result of {snapshot.workflow}", "result")
        else:
            failure = outcome.error
    line = timeline(rows) if snapshot.outcome is None or snapshot.unread else Timeline()
    waiting = () if snapshot.outcome is not None else _waiting(line, standing)
    doubtful = _doubtful(rows) if standing is None else standing.in_doubt
    return ExecutionInfo(
        id=snapshot.id,
        workflow=snapshot.workflow,
        status=snapshot.status,
        run=UUID(snapshot.run),
        number=snapshot.number,
        rows=len(rows),
        created_at=snapshot.created_at,
        updated_at=snapshot.updated_at,
        deadline=snapshot.deadline,
        wake_at=snapshot.wake_at,
        waiting_on=tuple(attrs.evolve(p, reason=reasons[p.key]) if p.key in reasons else p for p in waiting),
        unread=snapshot.unread,
        undone=undone(rows),
        in_doubt=doubtful,
        attributes=loaded_attributes(snapshot, codec, origin),
        result=result,
        failure=failure,
        parked=snapshot.parked,
        parks=snapshot.parks,
        cancel_requested=origin.cancel_reason(snapshot),
        parent=None if snapshot.creator is None else snapshot.creator.id,
        worker=snapshot.owner,
        recoveries=snapshot.recoveries,
        set_aside=tuple(map(set_aside_signal, aside)),
        reason=reason,
        unread_signals=line.unread,
    )


def waits_in_queue(info: ExecutionInfo, place: str) -> ExecutionInfo:
    """*info* of an execution that waits to be admitted; *place* says where it stands in its queue."""
    waits = Pending(key=Key("__queue"), kind="queue", label=place, since=info.created_at)
    return attrs.evolve(info, waiting_on=(waits, *info.waiting_on))


def loaded_attributes(snapshot: Snapshot, codec: JsonCodec, origin: Origin) -> dict[str, Any]:
    return {name: codec.load_untyped(data) for name, data in origin.attributes(snapshot).items()}


def undone(rows: Sequence[Row]) -> tuple[Key, ...]:
    """The keys of the steps whose undo succeeded, in the order of undoing."""
    done = (row.key for row in rows if type(row) is Answered and isinstance(row.outcome, Ok))
    return tuple(Key(key.removeprefix(ROLLBACK)) for key in done if key.startswith(ROLLBACK))


def _doubtful(rows: Sequence[Row]) -> tuple[Key, ...]:
    """Steps that may have taken effect, as far as the rows say it."""
    return tuple(dict.fromkeys(row.key for row in rows if isinstance(row, (Answered, Retrying)) and row.in_doubt))


def _was_cut(rows: Sequence[Row]) -> bool:
    """Whether a step was asked for and never answered: then it is in doubt if it had begun."""
    steps = {row.key for row in rows if type(row) is Asked and row.kind in kinds.BODIES}
    return not steps <= {row.key for row in rows if type(row) is Answered}


def _waiting(line: Timeline, standing: Standing | None) -> tuple[Pending, ...]:
    """The waits of the run: by its machine, else as far as the rows say it."""
    open_ = {pending.key: pending for pending in _open(line)}
    if standing is None:
        return tuple(open_.values())
    timers = standing.timers
    exact = (open_[key] for key in standing.pending if key in open_)
    return tuple(attrs.evolve(p, until=timers[p.key]) if p.key in timers else p for p in exact)


def _open(line: Timeline) -> list[Pending]:
    """The waits that no row has ended."""
    return [
        Pending(
            key=Key(entry.key),
            kind=entry.kind,
            label=entry.label,
            since=entry.asked_at,
            until=entry.retry_due or entry.due,
            attempt=entry.attempts,
            failure=entry.failure,
        )
        for entry in line.open
    ]
