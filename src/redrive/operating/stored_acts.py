"""Has an edited history stored: read, edit and rehearse apart from the event loop, compare and set; again if it has gone on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from uuid import uuid4

import attrs

from redrive.codec import to_json
from redrive.errors import OperationRefused
from redrive.operating import cuts
from redrive.operating.change_report import Change, outcome_text, told
from redrive.operating.edits import with_deadline
from redrive.operating.rehearsals import Asking, Rehearsed, rehearse
from redrive.operating.subjects import Edited, Subject
from redrive.patience import patiently
from redrive.ports.ends import ends_of
from redrive.ports.rewrites import Hold, NewAudit, Rewrite
from redrive.ports.store import NewExecution, NewMessage, Outgoing, Stale
from redrive.status import CANCELLING, COMPENSATION_FAILED, FAILED, FINAL, PARKED, PAUSED, PENDING, RUNNING, ExecutionStatus
from redrive.stored import Origin
from redrive.worker.life.inbox_facts import put_back
from redrive.worker.outbox import cancel_message
from redrive_interpreter import kinds
from redrive_interpreter.errors import CodecError, ExecutionConflict, ExecutionFinished, ExecutionNotFound, RedriveError
from redrive_interpreter.history.row_json import dump_row
from redrive_interpreter.history.rows import Answered, Asked, AttemptStarted, AttributeSet, CancelRequested, DeadlinePassed, Ended, Started
from redrive_interpreter.keys import ROLLBACK
from redrive_interpreter.outcomes import Err

if TYPE_CHECKING:
    from redrive.operating.what_ifs import WhatIf
    from redrive.ports.store import Json, Snapshot
    from redrive.service import AsyncDurableService
    from redrive.worker.watchdog import Watch
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.rows import Row
    from redrive_interpreter.outcomes import Ok

TRIES: Final = 5
"""How often an act looks again at an execution that goes on meanwhile."""
Children: TypeAlias = Literal["cancel", "keep"]
Edit: TypeAlias = Callable[[Subject], Edited]


@attrs.frozen(kw_only=True)
class Wish:
    """An act that an operator asks for on execution *id*, with the reason; *key* makes it land once."""

    id: str
    verb: str
    reason: str = ""
    by: str = ""
    dry_run: bool = False
    key: str = attrs.Factory(lambda: str(uuid4()))


@attrs.frozen
class Read:
    """An execution as it is, and the code that can replay it."""

    snapshot: Snapshot
    rows: list[Row]
    workflow: Workflow[..., Any] | None
    now: datetime
    ends: Mapping[str, tuple[str, Ok[Any] | Err]]
    running: frozenset[str]
    """Children that have not ended."""


async def read(service: AsyncDurableService, id: str) -> Read:
    """Raises `ExecutionNotFound`, `DamagedData`."""
    store = service.store
    while True:
        snapshot = await patiently(lambda: store.read(id))
        if snapshot is None:
            raise ExecutionNotFound(id)
        number = snapshot.number
        rows = await service._inspection.rows(id, number)
        if len(rows) >= snapshot.length:
            rows = rows[: snapshot.length]
            break
    children = sorted(cuts.known_children(rows))
    found = await patiently(lambda: ends_of(store, children)) if children else ()
    ends = {child: (status, Origin.of(child, store).outcome(outcome)) for child, status, outcome in found if outcome is not None}
    workflow = service.workflows.get(snapshot.workflow)
    now = await patiently(store.now)
    here = workflow if workflow is not None and workflow.fn is not None else None
    return Read(snapshot, rows, here, now, ends, frozenset(children) - ends.keys())


def subject_of(found: Read, wish: Wish, codec: Any, watch: Watch) -> Subject:
    """Raises `OperationRefused` where the code is not here."""
    snapshot = found.snapshot
    if found.workflow is None:
        problem = f"the code of workflow {snapshot.workflow!r} is not here to replay its history"
        raise OperationRefused(wish.id, wish.verb, problem, "do it where a worker has it: --app, or a service that lists it")
    return Subject(
        id=wish.id,
        status=snapshot.status,
        rows=found.rows,
        workflow=found.workflow,
        codec=codec,
        now=found.now,
        run=uuid4(),
        make=watch.make,
        ends=found.ends,
    )


async def act(
    service: AsyncDurableService, wish: Wish, edit: Edit, *, timeout: timedelta | None = None, children: Children | None = None
) -> Change:
    """Have what *edit* makes of the execution's history stored. *timeout*: its new deadline, from now. *children*: what is done to
    those that removed rows had started and that still run.

    Raises `OperationRefused`, `ExecutionNotFound`, and `Stale` if the execution goes on faster than it can be looked at.
    """
    for tried in range(TRIES):
        found = await read(service, wish.id)

        def work(watch: Watch, found: Read = found) -> tuple[Edited, Rehearsed]:
            return _worked_out(subject_of(found, wish, service.codec, watch), wish, edit, found, timeout, watch)

        edited, rehearsed = await service._inspection.work(wish.id, work)
        deadline = _deadline(found, wish, edited, timeout)
        interrupted = _interrupted(found, wish, edited)
        outgoing, concerned = _children(found, wish, edited, children)
        change = told(
            edited,
            rehearsed,
            id=wish.id,
            status=_status(found.snapshot, edited),
            number=found.snapshot.number + 1,
            children=concerned,
            elsewhere=(*_elsewhere(found.snapshot, edited), *interrupted),
            reason=wish.reason,
            by=wish.by,
        )
        if wish.dry_run:
            return change
        rewrite = _rewrite(found, wish, edited, deadline, outgoing, change)
        try:
            await patiently(lambda rewrite=rewrite: service.store.rewrite(wish.id, rewrite))  # type: ignore[misc]
        except Stale:
            if tried == TRIES - 1:
                raise
            continue
        await service._operated()
        return attrs.evolve(change, stored=True)
    raise AssertionError("unreachable")


def _worked_out(subject: Subject, wish: Wish, edit: Edit, found: Read, timeout: timedelta | None, watch: Watch) -> tuple[Edited, Rehearsed]:
    def replayed() -> tuple[Edited, Rehearsed]:
        edited = edit(subject)
        if timeout is not None:
            edited = attrs.evolve(edited, rows=with_deadline(edited.rows, found.now + timeout))
        return edited, rehearse(subject, edited.rows)

    try:
        edited, rehearsed = watch.during(wish.id, None, replayed)
    except OperationRefused:
        raise
    except CodecError as error:
        raise OperationRefused(wish.id, wish.verb, str(error), "give a value of the declared type") from error
    except RedriveError as error:
        problem = f"the code here does not follow the edited history: {error}"
        raise OperationRefused(
            wish.id, wish.verb, problem, "give since= to begin anew earlier, or put code here that follows it"
        ) from error
    finished = rehearsed.finished
    if edited.reopens and finished is not None and finished.status == FAILED and not edited.back:
        assert isinstance(finished.outcome, Err)
        problem = f"the code here would end it again: {finished.outcome.error.type}: {finished.outcome.error.message}"
        raise OperationRefused(wish.id, wish.verb, problem, "mend the code first, or edit_step the answer that it does not like")
    return edited, rehearsed


def _deadline(found: Read, wish: Wish, edited: Edited, timeout: timedelta | None) -> datetime | None:
    if timeout is not None:
        return found.now + timeout
    deadline = found.snapshot.deadline
    if edited.reopens and deadline is not None and deadline <= found.now:
        raise OperationRefused(wish.id, wish.verb, f"its deadline passed at {deadline.isoformat()}", "give timeout=, which counts from now")
    return deadline


def _children(found: Read, wish: Wish, edited: Edited, children: Children | None) -> tuple[list[Outgoing], tuple[str, ...]]:
    """The cancels to send, and sentences on the children that are concerned."""
    kept = cuts.known_children(edited.rows)
    gone = [child for child in cuts.children_of(edited.removed) if child.id not in kept and child.id in found.running]
    if not gone:
        return [], ()
    if children is None:
        names = ", ".join(repr(child.id) for child in gone[:5])
        problem = f"children whose start would be taken back still run: {names}"
        raise OperationRefused(wish.id, wish.verb, problem, 'give children="cancel" or children="keep"')
    told_ = tuple(f"{child.id} is {'cancelled' if children == 'cancel' else 'left to itself'}" for child in gone)
    if children == "keep":
        return [], told_
    cancels = [Outgoing(target=child.id, message=cancel_message(wish.reason or wish.verb, "parent", found.now)) for child in gone]
    return cancels, told_


def _interrupted(found: Read, wish: Wish, edited: Edited) -> tuple[str, ...]:
    """Sentences on the bodies that may run now, of steps that stay asked: their worker loses the execution, and stops them (F4).

    One that must run once at most cannot begin again: it is refused, for a pause lets it come to its end.
    """
    if found.snapshot.owner is None:
        return ()
    asked = {row.key for row in edited.rows if isinstance(row, Asked)}
    given = {row.key for row in edited.rows if isinstance(row, Answered)} | {fact.key for fact in edited.back if isinstance(fact, Answered)}
    running = [key for key in cuts.in_flight(found.rows) if key in asked - given]
    started = {row.key for row in edited.rows if isinstance(row, AttemptStarted)}
    once = [key for key in running if key in started]
    if once and not edited.reopens:
        problem = f"the body of {str(once[0])!r}, which must run once at most, would be interrupted"
        raise OperationRefused(wish.id, wish.verb, problem, "pause it first: a body that runs then comes to its end")
    return tuple(f"{key} is told to stop, and performed again under the same idempotency key" for key in running)


def _elsewhere(snapshot: Snapshot, edited: Edited) -> tuple[str, ...]:
    if edited.reopens and snapshot.status in FINAL and snapshot.creator is not None:
        return (f"its parent {snapshot.creator.id!r} keeps the outcome that it was told",)
    return ()


def _status(snapshot: Snapshot, edited: Edited) -> Any:
    if snapshot.status == PAUSED:
        return PAUSED
    return CANCELLING if any(isinstance(row, (CancelRequested, DeadlinePassed)) for row in edited.rows) else RUNNING


def texts(rows: Sequence[Row]) -> list[Json]:
    return [to_json(dump_row(row)) for row in rows]


def attributes_of(attributes: Json, edited: Edited) -> Json | None:
    """The execution's attributes behind the edited history: one that was set in a removed row is what a kept row says, or stays."""
    kept = {row.name: row.value for row in edited.rows if isinstance(row, AttributeSet)}
    gone = {row.name for row in edited.removed if isinstance(row, AttributeSet)} & kept.keys()
    return to_json({**json.loads(attributes), **{name: kept[name] for name in gone}}) if gone else None


def audit_of(wish: Wish, change: Change) -> NewAudit:
    detail = {name: value for name, value in change.plain().items() if name not in ("id", "verb", "reason", "by", "stored")}
    return NewAudit(verb=wish.verb, by=wish.by, reason=wish.reason, detail=to_json(detail), key=wish.key)


def _rewrite(found: Read, wish: Wish, edited: Edited, deadline: datetime | None, outgoing: Sequence[Outgoing], change: Change) -> Rewrite:
    snapshot = found.snapshot
    return Rewrite(
        number=snapshot.number,
        length=snapshot.length,
        before=snapshot.status,
        rows=texts(edited.rows),
        run=str(edited.run),
        status=RUNNING if change.status == PAUSED else change.status,
        deadline=deadline,
        attributes=attributes_of(snapshot.attributes, edited),
        back=[put_back(fact) for fact in edited.back],
        asked=frozenset(row.key for row in edited.rows if isinstance(row, Asked)),
        children=frozenset(cuts.known_children(edited.rows)),
        cancelled=any(isinstance(row, CancelRequested) for row in edited.rows),
        outgoing=outgoing,
        audit=audit_of(wish, change),
    )


# ── pauses ──────────────────────────────────────────────────────────────────────────────────────
async def hold(service: AsyncDurableService, wish: Wish, *, paused: bool) -> Change:
    """Pause the execution, or end its pause; its code need not be here."""
    found = await read(service, wish.id)
    snapshot = found.snapshot
    if snapshot.status in FINAL:
        raise OperationRefused(wish.id, wish.verb, f"it has ended: it is {snapshot.status}", "retry or fork go on from an earlier point")
    if snapshot.status == CANCELLING:
        raise OperationRefused(wish.id, wish.verb, "it is being cancelled", "force_fail ends it at once")
    if paused == (snapshot.status == PAUSED):
        problem = "it is paused already" if paused else f"it is not paused but {snapshot.status}"
        raise OperationRefused(wish.id, wish.verb, problem, "resume ends a pause" if paused else "pause holds it back")
    started = found.rows[0]
    assert isinstance(started, Started)
    status: ExecutionStatus = PAUSED if paused else RUNNING
    if not paused and snapshot.parks:
        status = PARKED
    elif not paused and len(found.rows) == 1:
        status = PENDING
    running = tuple(f"{key} goes on" for key in cuts.in_flight(found.rows)) if paused else ()
    run = cuts.run_of(found.rows)
    change = Change(
        id=wish.id, verb=wish.verb, status=status, number=snapshot.number, run=run, elsewhere=running, reason=wish.reason, by=wish.by
    )
    if wish.dry_run:
        return change
    held = Hold(paused=paused, status=RUNNING if paused else status, wake_at=started.at, audit=audit_of(wish, change))
    try:
        done = await patiently(lambda: service.store.hold(wish.id, held))
    except ExecutionFinished:
        done = False
    if not done:
        return await hold(service, wish, paused=paused)  # it has changed since: that is refused, or held up as it is now
    await service._operated()
    return attrs.evolve(change, stored=True)


# ── a copy ──────────────────────────────────────────────────────────────────────────────────────
async def copy(
    service: AsyncDurableService, wish: Wish, id: str, edit: Callable[[Subject, datetime | None], Edited], timeout: Any
) -> Change:
    """Start execution *id* with the history that *edit* makes, given its deadline. Raises `ExecutionConflict` if the id is taken."""
    found = await read(service, wish.id)
    limit = timeout if timeout is not None or found.workflow is None else found.workflow.timeout
    deadline = None if limit is None else found.now + limit

    def work(watch: Watch) -> tuple[Edited, Rehearsed]:
        subject = subject_of(found, wish, service.codec, watch)
        return _worked_out(subject, wish, lambda subject: edit(subject, deadline), found, None, watch)

    edited, rehearsed = await service._inspection.work(wish.id, work)
    taken = await patiently(lambda: service.store.read(id))
    if taken is not None:
        raise ExecutionConflict(id, "it exists already: give the copy another id")
    change = told(edited, rehearsed, id=wish.id, status=PENDING, number=1, copy=id, reason=wish.reason, by=wish.by)
    if wish.dry_run:
        return change
    started = edited.rows[0]
    assert isinstance(started, Started)
    rows = texts(edited.rows)
    new = NewExecution(
        id=id,
        workflow=found.snapshot.workflow,
        run=str(edited.run),
        input=to_json(started.input),
        started=rows[0],
        history=rows[1:],
        deadline=deadline,
        attributes=attributes_of(found.snapshot.attributes, edited) or found.snapshot.attributes,
        back=[put_back(fact) for fact in edited.back],
        copy_of=wish.id,
        audit=audit_of(wish, change),
    )
    begun = await patiently(lambda: service.store.start(new))
    if not begun.created:
        raise ExecutionConflict(id, "it exists already: give the copy another id")
    service._look()
    return attrs.evolve(change, stored=True)


# ── the end, whatever the code says ─────────────────────────────────────────────────────────────
async def force_fail(service: AsyncDurableService, wish: Wish, outcome: Err) -> Change:
    """End the execution ``failed`` with *outcome*, wherever it stands; its code need not be here."""
    for tried in range(TRIES):
        found = await read(service, wish.id)
        snapshot, rows = found.snapshot, found.rows
        if snapshot.status in FINAL:
            raise OperationRefused(
                wish.id, wish.verb, f"it has ended: it is {snapshot.status}", "retry or fork go on from an earlier point"
            )
        ended = Ended(status=FAILED, outcome=outcome, forced=True)
        edited = Edited(verb=wish.verb, rows=[*rows, ended], added=[ended], in_doubt=tuple(cuts.in_flight(rows)), run=cuts.run_of(rows))
        children = sorted(id for id in found.running if _policy(rows, id) == "cancel")
        change = told(
            edited,
            None,
            id=wish.id,
            status=FAILED,
            number=snapshot.number + 1,
            children=tuple(f"{id} is cancelled" for id in children),
            reason=wish.reason,
            by=wish.by,
        )
        if wish.dry_run:
            return change
        cancels = [Outgoing(target=id, message=cancel_message("the parent has ended", "parent", found.now)) for id in children]
        rewrite = attrs.evolve(
            _rewrite(found, wish, edited, snapshot.deadline, cancels, change), status=FAILED, outcome=outcome_text(outcome)
        )
        try:
            await patiently(lambda rewrite=rewrite: service.store.rewrite(wish.id, rewrite))  # type: ignore[misc]
        except Stale:
            if tried == TRIES - 1:
                raise
            continue
        await service._operated()
        return attrs.evolve(change, stored=True)
    raise AssertionError("unreachable")


def _policy(rows: Sequence[Row], id: str) -> str:
    started = rows[0]
    assert isinstance(started, Started)
    for row in rows:
        if isinstance(row, Asked) and row.kind in kinds.CHILD_STARTS and row.input["id"] == id:
            return str(row.input["on_parent_close"])
    return next((child.on_parent_close for child in started.children if child.id == id), "cancel")


# ── nothing stored ──────────────────────────────────────────────────────────────────────────────
async def imagine(service: AsyncDurableService, id: str, answers: Mapping[Any, object], stubs: Mapping[Any, object]) -> WhatIf:
    """See `AsyncExecution.what_if`."""
    from redrive.operating.what_ifs import what_if

    service._check_open()
    wish = Wish(id=id, verb="what_if")
    found = await read(service, id)

    def work(watch: Watch) -> WhatIf:
        subject = subject_of(found, wish, service.codec, watch)
        return watch.during(id, None, what_if, subject, answers, stubs)

    return await service._inspection.work(id, work)


# ── undos that failed ───────────────────────────────────────────────────────────────────────────
async def retry_rollback(service: AsyncDurableService, wish: Wish) -> Change:
    """Have the undos tried again: a message, which the machine that knows them takes. Its code need not be here."""
    found = await read(service, wish.id)
    snapshot, rows = found.snapshot, found.rows
    if snapshot.status in FINAL and snapshot.status != COMPENSATION_FAILED:
        raise ExecutionFinished(wish.id, f"it is {snapshot.status}")
    failed = {row.key for row in rows if isinstance(row, Answered) and row.key.startswith(ROLLBACK) and isinstance(row.outcome, Err)}
    asks = [
        Asking(key=row.key, kind=row.kind, label=row.label, input=row.input) for row in rows if isinstance(row, Asked) and row.key in failed
    ]
    change = Change(
        id=wish.id,
        verb=wish.verb,
        status=RUNNING,
        number=snapshot.number,
        run=cuts.run_of(rows),
        asks=tuple(asks),
        reason=wish.reason,
        by=wish.by,
    )
    if wish.dry_run:
        return change
    message = NewMessage(kind="retry_rollback", audit=audit_of(wish, change))
    stored = await patiently(lambda: service.store.send(wish.id, message))
    service._look()
    return attrs.evolve(change, stored=stored)
