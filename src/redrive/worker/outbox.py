"""Turns the requests of a turn into the values that the store carries out in the turn's own transaction."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from redrive.codec import to_json
from redrive.codec.searchable import searchable
from redrive.ports.aside_values import NewAside
from redrive.ports.store import Creator, NewChild, NewEvent, NewExecution, NewMessage, Outgoing, Turn
from redrive.status import CANCELLED, FAILED
from redrive_interpreter.commands.child_workflows import NO_QUEUE, PlaceInQueue
from redrive_interpreter.errors import Cancelled
from redrive_interpreter.history.row_json import dump_outcome, dump_row
from redrive_interpreter.history.rows import THE_RUN, CancelRequested, Ended, Parent, Started
from redrive_interpreter.outcomes import Err, Failure
from redrive_interpreter.source_names import stored_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redrive.codec import JsonCodec
    from redrive.ports.finding import Searchable
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.history.requests import CancelExecution, DeliverSignal, KeepAside, Publish, StartExecution
    from redrive_interpreter.history.rows import Row

_FAILED: Final = frozenset({FAILED})


def event(request: Publish) -> NewEvent:
    return NewEvent(name=stored_name(request.event, request.path), payload=to_json(request.payload), key=request.key)


def signal(request: DeliverSignal, run: str) -> Outgoing:
    name = stored_name(request.signal, request.path)
    message = NewMessage(kind="signal", name=name, data=to_json(request.payload), dedup=f"sent:{run}:{request.key}")
    return Outgoing(target=request.target, message=message, answer_to=request.key)


def aside(request: KeepAside) -> NewAside:
    name = stored_name(request.signal, request.path)
    return NewAside(name=name, data=to_json(request.payload), sent_at=request.sent_at, error=request.error)


def cancel(request: CancelExecution, now: datetime) -> Outgoing:
    return Outgoing(target=request.id, message=cancel_message(request.reason, "parent", now))


def cancel_message(reason: str, by: CancelledBy, now: datetime) -> NewMessage:
    """A cancel, with the turn that ends what never began, should no worker have its code."""
    return NewMessage(kind="cancel", data=to_json({"reason": reason, "by": by}), unbegun=_unbegun(reason, by, now))


def _unbegun(reason: str, by: CancelledBy, now: datetime) -> Turn:
    error = Cancelled(reason, by)
    failure = Failure(f"{Cancelled.__module__}.{Cancelled.__qualname__}", str(error))
    rows: list[Row] = [CancelRequested(reason=reason, by=by, at=now, unbegun=(THE_RUN,)), Ended(status=CANCELLED, outcome=Err(failure))]
    outcome = to_json(dump_outcome(Err(failure)))
    return Turn(expects=1, rows=[to_json(dump_row(row)) for row in rows], status=CANCELLED, outcome=outcome)


def child(request: StartExecution, parent: str, run: str, now: datetime, codec: JsonCodec) -> NewChild:
    command, again = request.command, request.again
    workflow = command.invocation.workflow
    new = new_execution(
        request.id,
        workflow,
        request.input,
        now,
        run=None if again is None else again.run,
        not_before=not_before(now if again is None else again.first_at, command.delay, command.start_at),
        due=None if again is None else again.due,
        timeout=command.timeout if command.timeout is not None else workflow.timeout,
        attributes=attributes_of(command.attributes, codec),
        texts=searchable(command.attributes),
        parent=Parent(id=parent, run=request.run or UUID(run), key=request.key if again is None else again.of),
        restart=frozenset() if again is None else _FAILED,
        place=PlaceInQueue(command.queue, command.partition, command.priority),
    )
    return NewChild(execution=new, answer_to=request.key if again is None else None)


def new_execution(
    id: str,
    workflow: Workflow[..., Any],
    input: Any,
    now: datetime,
    *,
    run: UUID | None = None,
    not_before: datetime | None = None,
    due: datetime | None = None,
    timeout: Any = None,
    attributes: Mapping[str, Any] | None = None,
    texts: Searchable = (),
    parent: Parent | None = None,
    creator: Creator | None = None,
    scheduled_for: datetime | None = None,
    restart: frozenset[str] = frozenset(),
    first_message: NewMessage | None = None,
    place: PlaceInQueue = NO_QUEUE,
    dedup: str | None = None,
) -> NewExecution:
    """An execution of *workflow* with a run of its own; its *timeout* counts from when it may begin.

    *due* is when it begins where that is not when it was meant to: of another attempt.
    """
    run = run or uuid4()
    begins = due or not_before or now
    deadline = None if timeout is None else begins + timeout
    if parent is not None:
        creator = Creator(id=parent.id, run=str(parent.run), key=parent.key)
    started = Started(
        id=id,
        run=run,
        at=begins,
        input=input,
        workflow=workflow.name,
        parent=parent,
        scheduled_for=scheduled_for or not_before,
        deadline=deadline,
    )
    return NewExecution(
        id=id,
        workflow=workflow.name,
        run=str(run),
        input=to_json(input),
        started=to_json(dump_row(started)),
        not_before=due or not_before,
        deadline=deadline,
        attributes=to_json(dict(attributes or {})),
        searchable=texts,
        creator=creator,
        restart=restart,
        first_message=first_message,
        queue=place.queue,
        partition=place.partition,
        priority=place.priority,
        dedup=dedup,
    )


def not_before(now: datetime, delay: Any, start_at: datetime | None) -> datetime | None:
    return now + delay if delay is not None else start_at


def attributes_of(attributes: Mapping[Any, Any] | None, codec: JsonCodec) -> dict[str, Any]:
    """Attributes by name, encoded by the type that each was declared with."""
    found: dict[str, Any] = {}
    for attribute, value in (attributes or {}).items():
        name = attribute if isinstance(attribute, str) else attribute.name
        found[name] = codec.dump(value, Any if isinstance(attribute, str) else attribute.type, f"attribute {name}")
    return found
