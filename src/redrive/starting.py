"""Starting an execution: its options, its first row, and whether one that exists is the one asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, TypeVar
from uuid import uuid4

import attrs

from redrive.codec import from_json
from redrive.codec.searchable import searchable
from redrive.entrances import check_options, checked_restart
from redrive.patience import patiently
from redrive.ports.inside import StartsInside
from redrive.status import FINAL, RESTARTABLE, Restartable
from redrive.stored import Origin
from redrive.worker import outbox
from redrive_interpreter.commands.child_workflows import PlaceInQueue, place_of
from redrive_interpreter.commands.conditions import given_attributes
from redrive_interpreter.commands.durations import duration, moment, positive_duration
from redrive_interpreter.commands.workflows import Invocation, Workflow
from redrive_interpreter.errors import ExecutionConflict, InvalidDefinition
from redrive_interpreter.keys import check_name

if TYPE_CHECKING:
    from redrive.attendance import Listing
    from redrive.codec import JsonCodec
    from redrive.ports.inside import AsyncCursor, Standing
    from redrive.ports.store import NewExecution, NewMessage, Snapshot, StartResult, Store
    from redrive_interpreter.commands.conditions import Equals
    from redrive_interpreter.commands.queue_values import Queue

R = TypeVar("R")
T = TypeVar("T")

Restart: TypeAlias = Iterable[Restartable]


class StartOptions(TypedDict, total=False):
    """How an execution is started.

    *timeout* is its deadline over all its runs, from when it may begin; *delay* (seconds) or *start_at* (aware) say when
    that is. *attributes* are its first ones. *restart* names statuses in which a finished execution is started anew.

    *queue* is where it waits to be admitted, *partition* its part of that, by default those of the workflow; of a lower *priority*
    number it is sooner. *dedup* names it in its queue until it has ended: another start with the same gives it back.
    """

    timeout: float | timedelta | None
    attributes: Mapping[Any, Any] | Iterable[Equals[Any]] | None
    delay: float | timedelta | None
    start_at: datetime | None
    restart: Restart
    queue: Queue | str | None
    partition: str | None
    priority: int
    dedup: str | None


def new_execution(
    invocation: Invocation[Any],
    workflow: Workflow[..., Any],
    id: str | None,
    now: datetime,
    codec: JsonCodec,
    first_message: NewMessage | None = None,
    *,
    timeout: float | timedelta | None = None,
    attributes: Mapping[Any, Any] | Iterable[Equals[Any]] | None = None,
    delay: float | timedelta | None = None,
    start_at: datetime | None = None,
    restart: Restart = (),
    queue: Queue | str | None = None,
    partition: str | None = None,
    priority: int = 0,
    dedup: str | None = None,
    **unknown: object,
) -> NewExecution:
    """The execution that *invocation* asks for. Raises `DefinitionError` and `CodecError`."""
    if unknown:
        check_options("start", unknown, StartOptions.__annotations__)
    if delay is not None and start_at is not None:
        raise InvalidDefinition("give delay= or start_at=, not both")
    statuses = checked_restart(restart, RESTARTABLE)
    after = None if delay is None else duration(delay, "delay")
    limit = positive_duration(timeout, "timeout")
    given = given_attributes(attributes)
    by_name = workflow.fn is None and workflow.queue is None and queue is None
    place = PlaceInQueue(None, partition or "", priority) if by_name else place_of(invocation, queue, partition, priority, "start")
    if dedup is not None and place.queue is None and not by_name:
        raise InvalidDefinition(f"dedup= names an execution in a queue, and {workflow.name} is in none: give queue=")
    return outbox.new_execution(
        uuid4().hex if id is None else check_name(id, "execution id"),
        workflow,
        codec.dump_call(workflow.signature, invocation.args, invocation.kwargs, f"workflow {workflow.name}"),
        now,
        not_before=outbox.not_before(now, after, None if start_at is None else moment(start_at, "start_at")),
        timeout=workflow.timeout if limit is None else limit,
        attributes=outbox.attributes_of(given, codec),
        texts=searchable(given),
        restart=statuses,
        first_message=first_message,
        place=place,
        dedup=None if dedup is None else check_name(dedup, "dedup"),
    )


def digest_of(workflows: Mapping[str, Workflow[..., Any]]) -> str:
    """The name of a build: a digest of the code of *workflows*."""
    from redrive.build import digest

    return digest(workflows.values())


def checked(invocation: Invocation[R]) -> Invocation[R]:
    """Raises `InvalidDefinition` for what is none."""
    if not isinstance(invocation, Invocation):
        raise InvalidDefinition(f"start takes an invocation, like process_order(order), not {invocation!r}")
    return invocation


def is_async(cursor: object) -> bool:
    """Whether *cursor* is one whose calls are awaited."""
    return inspect.iscoroutinefunction(getattr(cursor, "execute", None))


def start_in(
    store: Store,
    cursor: Any,
    invocation: Invocation[Any],
    workflow: Workflow[..., Any],
    id: str | None,
    now: datetime,
    codec: JsonCodec,
    options: StartOptions,
    begun: Callable[[str], T],
) -> T | Coroutine[Any, Any, T]:
    """Start an execution by *cursor*, and give back what *begun* makes of its id; a coroutine that does so for an async cursor."""
    if not isinstance(store, StartsInside):
        raise InvalidDefinition("start_in needs a postgresql:// store, on the database that the cursor is of")
    if "restart" in options:
        raise InvalidDefinition("start_in starts what is new; start takes restart=")
    if "dedup" in options:
        raise InvalidDefinition("start_in cannot look who holds a dedup key; start takes dedup=")
    _check_cursor(cursor)
    new = new_execution(invocation, workflow, id, now, codec, **options)

    def ended(standing: Standing | None) -> T:
        if standing is not None:
            _compare(standing.workflow, Origin.of(new.id, store).object(standing.input, "input"), new, workflow, codec)
        return begun(new.id)

    async def awaited(cursor: AsyncCursor) -> T:
        return ended(await store.start_in_async(cursor, new))

    return awaited(cursor) if is_async(cursor) else ended(store.start_in(cursor, new))


def _check_cursor(cursor: object) -> None:
    """Raises `InvalidDefinition` for what is no cursor, or not one of PostgreSQL's: before anything is written."""
    if not all(callable(getattr(cursor, name, None)) for name in ("execute", "fetchone")):
        hint = "give its raw cursor" if hasattr(cursor, "execute") else "like connection.cursor()"
        raise InvalidDefinition(f"start_in takes a cursor, not {type(cursor).__name__}: {hint}")
    if type(cursor).__module__.partition(".")[0] in ("sqlite3", "_sqlite3", "aiosqlite"):
        raise InvalidDefinition("start_in: this is a cursor of SQLite, and the store is in a PostgreSQL database")


async def compare(snapshot: Snapshot, new: NewExecution, workflow: Workflow[..., Any], codec: JsonCodec, store: Store) -> None:
    """Raises `ExecutionConflict` unless *snapshot* was started by the call of *new*, by the rule of replay (N2)."""
    id, first = snapshot.id, snapshot.workflow
    if first != new.workflow and snapshot.number > 1:  # it may have continued as another workflow
        first = str(Origin.of(id, store).objects(await store.history(id, 1))[0].get("workflow"))
    _compare(first, Origin.of(id, store).object(snapshot.input, "input"), attrs.evolve(new, id=id), workflow, codec)


async def check_message(
    new: NewExecution, workflow: Workflow[..., Any], codec: JsonCodec, store: Store, known: Snapshot | None = None
) -> None:
    """Refuse a start that comes with a message where an execution has the id and cannot take it, before anything is stored.

    *known* is that execution, if it was read already. Raises `ExecutionConflict`, and `ExecutionFinished` unless the message's
    key landed before.
    """
    message = new.first_message
    if message is None:
        return
    if known is None:
        known = await store.read(new.id)
        if known is None or known.status in new.restart:
            return
        await compare(known, new, workflow, codec, store)
    if known.status in FINAL:
        await patiently(lambda: store.send(new.id, message))


async def check_begun(
    begun: StartResult, new: NewExecution, workflow: Workflow[..., Any], codec: JsonCodec, store: Store, listing: Listing | None
) -> None:
    """Raises what `compare` and `check_message` raise where *new* existed; *listing* warns where nobody will begin it."""
    if not begun.created:
        await compare(begun.snapshot, new, workflow, codec, store)
        await check_message(new, workflow, codec, store, begun.snapshot)
    elif listing is not None and not listing.knows(new.workflow):
        await listing.check(new.id, new.workflow)


def _compare(first: str, recorded: dict[str, Any], new: NewExecution, workflow: Workflow[..., Any], codec: JsonCodec) -> None:
    if first != new.workflow:
        raise ExecutionConflict(new.id, f"it runs workflow {first!r}, not {new.workflow!r}")
    asked = from_json(new.input)
    if codec.same(recorded, asked) or codec.same_call(workflow.signature, recorded, asked, f"workflow {workflow.name}"):
        return
    # Without the function's parameters a call by name is compared with what is stored as well as can be.
    from redrive.codec.by_name import same_by_name

    if workflow.fn is not None or not same_by_name(recorded, asked):
        raise ExecutionConflict(new.id, "it was started with another input")


def build_of(workflows: Mapping[str, Workflow[..., Any]]) -> str:
    """The name of the code of *workflows*: a digest of it."""
    from redrive.build import digest

    return digest(workflows.values())
