"""The tables that an archive carries, and what stands in their columns: the same in every database.

A new column of users' data is a line here, a field of its class in `redrive.ports.archive`, and a migration for each database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, cast

import attrs

from redrive.ports.archive import (
    Archived,
    ArchivedBegun,
    ArchivedDeclaration,
    ArchivedDedup,
    ArchivedEvent,
    ArchivedHandler,
    ArchivedLeftOut,
    ArchivedQueue,
    ArchivedRun,
    ArchivedSchedule,
    ArchivedTicket,
    ArchivedWorkflowQueue,
    Chunk,
)
from redrive.ports.aside_values import Aside, HeldEvent
from redrive.ports.parks import Park
from redrive.ports.rewrites import Audit
from redrive.ports.store import Creator, Event, Message
from redrive.stores.times import from_us, to_us

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]
Kind: TypeAlias = Literal["plain", "text", "time", "flag"]


@attrs.frozen
class Column:
    """A column and the *field* that it holds: of the value, or of one in it (``creator.id``). A *text* may have any characters, a
    *time* is stored in microseconds, a *flag* as a number by some."""

    name: str
    field: str
    kind: Kind


def plain(name: str, field: str = "") -> Column:
    return Column(name, field or name, "plain")


def text(name: str, field: str = "") -> Column:
    return Column(name, field or name, "text")


def time(name: str, field: str) -> Column:
    return Column(name, field, "time")


@attrs.frozen
class Texts:
    """How a database keeps texts: *stored* makes one of a text, *read* the text of one."""

    stored: Callable[[str], str]
    read: Callable[[str], str]


@attrs.frozen(kw_only=True)
class Table(Generic[T]):
    """A table: *make* makes a value of the fields of a row. Rows are read in *order*."""

    name: str
    columns: Sequence[Column]
    make: Callable[..., T]
    order: str

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def row_of(self, value: T, texts: Texts) -> Row:
        return tuple(_stored(column.kind, _field(value, column.field), texts) for column in self.columns)

    def value_of(self, row: Sequence[Any], texts: Texts, **others: Any) -> T:
        """The value of *row*; *others* are fields that stand in other tables."""
        fields: dict[str, Any] = others
        for column, stored in zip(self.columns, row, strict=True):
            fields[column.field] = _read(column.kind, stored, texts)
        return self.make(**fields)


def _field(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = None if value is None else getattr(value, name)
    return value


def _stored(kind: Kind, value: Any, texts: Texts) -> Any:
    if value is None or kind in ("plain", "flag"):
        return value
    return texts.stored(value) if kind == "text" else to_us(value)


def _read(kind: Kind, stored: Any, texts: Texts) -> Any:
    if stored is None or kind == "plain":
        return stored
    if kind == "flag":
        return bool(stored)
    return texts.read(stored) if kind == "text" else from_us(stored)


# ── executions ──────────────────────────────────────────────────────────────────────────────────
def _nested(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the fields of *fields* that belong to its field *name*."""
    return {path.partition(".")[2]: fields.pop(path) for path in tuple(fields) if path.startswith(f"{name}.")}


def _archived(**fields: Any) -> Archived:
    creator = _nested(fields, "creator")
    return Archived(**fields, creator=None if creator["id"] is None else Creator(**creator))


EXECUTIONS: Final = Table(
    name="executions",
    columns=(
        text("id"),
        text("workflow"),
        text("run"),
        plain("number"),
        plain("first_run"),
        plain("oldest_run"),
        plain("status"),
        plain("fence"),
        plain("recoveries"),
        plain("unread"),
        plain("cancelled_run"),
        time("wake_us", "wake_at"),
        time("created_us", "created_at"),
        time("updated_us", "updated_at"),
        time("stored_us", "stored_at"),
        time("deadline_us", "deadline"),
        text("creator_id", "creator.id"),
        text("creator_run", "creator.run"),
        text("creator_key", "creator.key"),
        plain("attributes"),
        plain("outcome"),
        text("root_id", "root"),
        text("waits"),
        text("queue"),
        text("partition"),
        plain("queued"),
        plain("host"),
        plain("awaits"),
    ),
    make=_archived,
    order="n",
)


# ── what belongs to an execution: these tables begin with its number, n ─────────────────────────
@attrs.frozen(kw_only=True)
class _ChunkRow:
    number: int
    chunk: Chunk
    input: str | None


def _chunk_row(**fields: Any) -> _ChunkRow:
    return _ChunkRow(chunk=Chunk(**_nested(fields, "chunk")), **fields)


@attrs.frozen
class _Landed:
    dedup: str


class Part(Generic[T]):
    """A table with rows that belong to executions, and stand in the *field* of an `Archived`."""

    def __init__(self, table: Table[T], field: str) -> None:
        self.table, self.field = table, field

    @property
    def columns(self) -> list[str]:
        return ["n", *self.table.names]

    def rows_of(self, n: int, it: Archived, texts: Texts) -> Iterator[Row]:
        for value in self.scatter(it):
            yield (n, *self.table.row_of(value, texts))

    def scatter(self, it: Archived) -> Iterable[T]:
        """The values of the rows that make the field."""
        return cast("Iterable[T]", getattr(it, self.field))

    def gather(self, rows: Sequence[T], id: str) -> Sequence[Any]:
        """The field, of the values of the rows of the execution *id*."""
        return list(rows)


HISTORY: Final = Table(
    name="history",
    columns=(plain("number"), plain("upto", "chunk.end"), time("at_us", "chunk.at"), plain("rows", "chunk.rows"), plain("input")),
    make=_chunk_row,
    order="number, upto",
)
INBOX: Final = Table(
    name="inbox",
    columns=(plain("seq"), plain("kind"), text("name"), plain("data"), time("stored_us", "stored_at")),
    make=Message,
    order="seq",
)
LANDED: Final = Table(name="landed", columns=(text("dedup"),), make=_Landed, order="dedup")
PARKED: Final = Table(
    name="parked",
    columns=(
        text("build"),
        plain("kind"),
        text("reason"),
        time("parked_us", "at"),
        plain("tries"),
        time("retry_us", "retry_at"),
    ),
    make=Park,
    order="build",
)


def _aside(**fields: Any) -> Aside:
    return Aside(execution="", **fields)


ASIDE: Final = Table(
    name="aside",
    columns=(plain("seq"), text("name"), plain("data"), time("sent_us", "sent_at"), text("error"), time("at_us", "at")),
    make=_aside,
    order="seq",
)


@attrs.frozen
class _Text:
    name: str
    value: str


ATTRIBUTES: Final = Table(name="attributes", columns=(text("name"), plain("value")), make=_Text, order="name, value")
TICKETS: Final = Table(
    name="tickets",
    columns=(
        plain("seq"),
        text("queue"),
        text("partition"),
        plain("priority"),
        time("since_us", "since"),
        time("due_us", "due"),
        time("held_us", "held"),
        Column("idle", "idle", "flag"),
        Column("again", "again", "flag"),
        plain("borrowed"),
        plain("lender"),
        plain("lent_to"),
    ),
    make=ArchivedTicket,
    order="seq",
)
DEDUPS: Final = Table(name="dedups", columns=(text("queue"), text("dedup")), make=ArchivedDedup, order="queue, dedup")


class _Runs(Part[_ChunkRow]):
    def scatter(self, it: Archived) -> Iterator[_ChunkRow]:
        for run in it.runs:
            for at, chunk in enumerate(run.chunks):
                yield _ChunkRow(number=run.number, chunk=chunk, input=None if at else run.input)

    def gather(self, rows: Sequence[_ChunkRow], id: str) -> Sequence[ArchivedRun]:
        runs: list[ArchivedRun] = []
        for number, of_run in groupby(rows, key=lambda row: row.number):
            found = list(of_run)
            runs.append(ArchivedRun(number=number, input=found[0].input, chunks=[row.chunk for row in found]))
        return runs


class _DedupKeys(Part[_Landed]):
    def scatter(self, it: Archived) -> Iterable[_Landed]:
        return map(_Landed, it.dedup_keys)

    def gather(self, rows: Sequence[_Landed], id: str) -> Sequence[str]:
        return sorted(row.dedup for row in rows)


class _Parks(Part[Park]):
    def gather(self, rows: Sequence[Park], id: str) -> Sequence[Park]:
        return tuple(sorted(rows, key=lambda park: park.build))


class _Aside(Part[Aside]):
    def gather(self, rows: Sequence[Aside], id: str) -> Sequence[Aside]:
        return [attrs.evolve(one, execution=id) for one in rows]


class _Searched(Part[_Text]):
    def scatter(self, it: Archived) -> Iterable[_Text]:
        return (_Text(name, value) for name, value in it.searched)

    def gather(self, rows: Sequence[_Text], id: str) -> Sequence[tuple[str, str]]:
        return sorted((row.name, row.value) for row in rows)


PARTS: Final[Sequence[Part[Any]]] = (
    _Runs(HISTORY, "runs"),
    Part(INBOX, "inbox"),
    _DedupKeys(LANDED, "dedup_keys"),
    _Parks(PARKED, "parks"),
    _Aside(ASIDE, "aside"),
    _Searched(ATTRIBUTES, "searched"),
    Part(TICKETS, "tickets"),
    Part(DEDUPS, "dedups"),
)

# ── the rest ────────────────────────────────────────────────────────────────────────────────────
EVENTS: Final = Table(
    name="events",
    columns=(plain("seq"), text("name"), plain("payload"), text("execution"), time("at_us", "at")),
    make=ArchivedEvent,
    order="seq",
)
HANDLERS: Final = Table(name="handlers", columns=(text("id"), text("event"), plain("done")), make=ArchivedHandler, order="id")


def _held_event(**fields: Any) -> HeldEvent:
    return HeldEvent(event=Event(**_nested(fields, "event")), **fields)


HELD_EVENTS: Final = Table(
    name="held_events",
    columns=(
        text("handler"),
        plain("seq", "event.seq"),
        text("event", "event.name"),
        plain("payload", "event.payload"),
        text("execution", "event.execution"),
        time("at_us", "event.at"),
        Column("dead", "dead", "flag"),
        plain("attempts"),
        time("first_us", "first_at"),
        time("due_us", "due"),
        text("error"),
    ),
    make=_held_event,
    order="handler, seq",
)
AUDIT: Final = Table(
    name="audit",
    columns=(
        plain("seq"),
        text("execution"),
        time("at_us", "at"),
        text("operator", "by"),
        text("verb"),
        text("reason"),
        text("detail"),
        text("key"),
    ),
    make=Audit,
    order="seq",
)
SCHEDULES: Final = Table(
    name="schedules",
    columns=(text("id"), text("workflow"), time("due_us", "due"), plain("record")),
    make=ArchivedSchedule,
    order="id",
)
LEFT_OUT: Final = Table(
    name="left_out",
    columns=(plain("seq"), text("schedule"), time("at_us", "at"), plain("record")),
    make=ArchivedLeftOut,
    order="seq",
)
QUEUES: Final = Table(
    name="queues",
    columns=(text("name"), plain("limits"), plain("override"), text("paused"), plain("floor"), plain("turn"), plain("due_us")),
    make=ArchivedQueue,
    order="name",
)
DECLARATIONS: Final = Table(
    name="declarations",
    columns=(text("queue"), text("build"), plain("limits"), time("first_us", "first"), time("seen_us", "seen")),
    make=ArchivedDeclaration,
    order="queue, build",
)
WORKFLOW_QUEUES: Final = Table(
    name="workflow_queues",
    columns=(text("workflow"), text("queue"), Column("partitioned", "partitioned", "flag")),
    make=ArchivedWorkflowQueue,
    order="workflow",
)
BEGUN: Final = Table(
    name="begun",
    columns=(text("queue"), plain("scope"), text("partition"), time("since_us", "since"), time("at_us", "at"), plain("count")),
    make=ArchivedBegun,
    order="queue, scope, partition, since_us",
)
QUEUE_TABLES: Final[Mapping[str, Table[Any]]] = {
    "queues": QUEUES,
    "declarations": DECLARATIONS,
    "workflows": WORKFLOW_QUEUES,
    "begun": BEGUN,
}
"""By the field of an `ArchivedQueues`."""
_OTHERS: Final[Sequence[Table[Any]]] = (EVENTS, HANDLERS, HELD_EVENTS, AUDIT, SCHEDULES, LEFT_OUT, *QUEUE_TABLES.values())
TABLES: Final[Sequence[Table[Any]]] = (EXECUTIONS, *(part.table for part in PARTS), *_OTHERS)
"""Every table that is carried."""
