"""An archive of a store that keeps its data in tables: one implementation, over the tables of `archived_tables`.

A database gives what differs: how it is opened, locked and sealed, how a question is asked and rows are inserted, and the columns
of its own that are made of others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import groupby
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from redrive.ports.archive import Archived, ArchivedEvent, ArchivedHandler, ArchivedLeftOut, ArchivedQueues, ArchivedSchedule
from redrive.ports.aside_values import HeldEvent
from redrive.ports.rewrites import Audit
from redrive.stores.archived_tables import (
    AUDIT,
    EVENTS,
    EXECUTIONS,
    HANDLERS,
    HELD_EVENTS,
    LEFT_OUT,
    PARTS,
    QUEUE_TABLES,
    SCHEDULES,
    Row,
    Table,
    Texts,
)

T = TypeVar("T")
Own: TypeAlias = Mapping[str, Mapping[str, Callable[[Any], object]]]
"""By table: the columns that only one database has, and how each is made of a value."""
_PAGE: Final = 200
_FILL_LANES: Final = """
INSERT INTO {}lanes (queue, partition, state, level, tag, oldest_us)
SELECT t.queue, t.partition, CASE WHEN count(CASE WHEN held_us IS NULL THEN 1 END) > 0 THEN 'ready' ELSE 'idle' END,
    min(CASE WHEN held_us IS NULL THEN priority ELSE 2147483647 END), coalesce(max(q.floor), 0), min(since_us)
FROM {}tickets t LEFT JOIN {}queues q ON q.name = t.queue WHERE t.due_us IS NULL OR held_us IS NOT NULL GROUP BY t.queue, t.partition
"""
"""What waits is in its lanes again; who admits counts what they say."""


class TableArchive(ABC):
    """An `Archive` of a database with the tables of `archived_tables`."""

    texts: ClassVar[Texts]
    own: ClassVar[Own]
    prefix: ClassVar[str] = ""
    """Comes before the name of each table."""
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Columns of executions that this database keeps in another table, each with what reads it; it writes them itself."""

    def __init__(self) -> None:
        self._written = 0

    # ── what a database gives ───────────────────────────────────────────────────────────────────
    @abstractmethod
    async def _rows(self, sql: str, *values: object) -> Sequence[Row]:
        """The rows of a SELECT; *values* stand for ``$1``, ``$2``, …"""

    @abstractmethod
    async def _insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert *rows* into *table*."""

    @abstractmethod
    async def _fill_lanes(self, sql: str) -> None:
        """Run *sql*, which writes and gives nothing back."""

    @abstractmethod
    def _errors(self) -> AbstractAsyncContextManager[None]:
        """Raises the database's errors as those of the store port."""

    @abstractmethod
    def _transaction(self) -> AbstractAsyncContextManager[object]: ...

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    async def count(self) -> int:
        ((count,),) = await self._rows(f"SELECT count(*) FROM {self.prefix}{EXECUTIONS.name}")
        return int(count)

    async def executions(self) -> AsyncIterator[Sequence[Archived]]:
        after = 0
        while True:
            async with self._errors():
                rows = await self._rows(self._page(EXECUTIONS, "n", "n"), after, _PAGE)
                if not rows:
                    return
                parts = await self._parts(rows[0][0], rows[-1][0])
            yield [self._archived(n, row, parts) for n, *row in rows]
            after = rows[-1][0]

    async def events(self) -> AsyncIterator[Sequence[ArchivedEvent]]:
        async for page in self._pages(EVENTS, "seq", 0):
            yield page

    async def audits(self) -> AsyncIterator[Sequence[Audit]]:
        async for page in self._pages(AUDIT, "seq", 0):
            yield page

    async def schedules(self) -> AsyncIterator[Sequence[ArchivedSchedule]]:
        async for page in self._pages(SCHEDULES, "id", ""):
            yield page

    async def left_out(self) -> AsyncIterator[Sequence[ArchivedLeftOut]]:
        async for page in self._pages(LEFT_OUT, "seq", 0):
            yield page

    async def handlers(self) -> Sequence[ArchivedHandler]:
        async with self._errors():
            by_handler: dict[str, list[HeldEvent]] = {}
            for held in await self._all(HELD_EVENTS):
                by_handler.setdefault(held.handler, []).append(held)
            named = await self._rows(self._every(HANDLERS))
        found = [HANDLERS.value_of(row, self.texts) for row in named]
        return [ArchivedHandler(id=one.id, event=one.event, done=one.done, held=by_handler.get(one.id, [])) for one in found]

    async def queues(self) -> ArchivedQueues:
        async with self._errors():
            return ArchivedQueues(**{field: await self._all(table) for field, table in QUEUE_TABLES.items()})

    async def _pages(self, table: Table[T], key: str, after: int | str) -> AsyncIterator[Sequence[T]]:
        """All of *table* behind *after*, by *key*, which is its first column."""
        while True:
            async with self._errors():
                rows = await self._rows(self._page(table, key), after, _PAGE)
            if not rows:
                return
            yield [table.value_of(row, self.texts) for row in rows]
            after = rows[-1][0]

    async def _all(self, table: Table[T]) -> list[T]:
        return [table.value_of(row, self.texts) for row in await self._rows(self._every(table))]

    async def _parts(self, first: int, last: int) -> Mapping[str, Mapping[int, Sequence[Any]]]:
        """By field: the values of the executions from number *first* to *last*, by number."""
        found: dict[str, dict[int, Sequence[Any]]] = {}
        for part in PARTS:
            table = part.table
            columns, place = ", ".join(part.columns), f"{self.prefix}{table.name}"
            rows = await self._rows(f"SELECT {columns} FROM {place} WHERE n >= $1 AND n <= $2 ORDER BY n, {table.order}", first, last)
            found[part.field] = {
                n: [table.value_of(row[1:], self.texts) for row in of_one] for n, of_one in groupby(rows, key=lambda row: row[0])
            }
        return found

    def _archived(self, n: int, row: Sequence[Any], parts: Mapping[str, Mapping[int, Sequence[Any]]]) -> Archived:
        id = self.texts.read(row[0])
        others = {part.field: part.gather(parts[part.field].get(n, ()), id) for part in PARTS}
        return EXECUTIONS.value_of(row, self.texts, **others)

    def _page(self, table: Table[Any], key: str, *before: str) -> str:
        names = [self.elsewhere.get(name, name) if table is EXECUTIONS else name for name in table.names]
        columns = ", ".join([*before, *names])
        return f"SELECT {columns} FROM {self.prefix}{table.name} WHERE {key} > $1 ORDER BY {table.order} LIMIT $2"

    def _every(self, table: Table[Any]) -> str:
        return f"SELECT {', '.join(table.names)} FROM {self.prefix}{table.name} ORDER BY {table.order}"

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    async def write_executions(self, executions: Sequence[Archived]) -> None:
        numbered = list(enumerate(executions, self._written + 1))
        async with self._errors(), self._transaction():
            own = self.own.get(EXECUTIONS.name, {})
            here = [at for at, name in enumerate(EXECUTIONS.names) if name not in self.elsewhere]
            columns = ["n", *(EXECUTIONS.names[at] for at in here), *own]
            stored = ((n, one, EXECUTIONS.row_of(one, self.texts)) for n, one in numbered)
            rows = ((n, *(row[at] for at in here), *(made(one) for made in own.values())) for n, one, row in stored)
            await self._insert(EXECUTIONS.name, columns, rows)
            for part in PARTS:
                its = (row for n, one in numbered for row in part.rows_of(n, one, self.texts))
                await self._insert(part.table.name, part.columns, its)
        self._written += len(executions)

    async def write_events(self, events: Sequence[ArchivedEvent]) -> None:
        async with self._errors(), self._transaction():
            await self._write(EVENTS, events)

    async def write_handlers(self, handlers: Sequence[ArchivedHandler]) -> None:
        async with self._errors(), self._transaction():
            await self._write(HANDLERS, handlers)
            await self._write(HELD_EVENTS, [held for handler in handlers for held in handler.held])

    async def write_audits(self, audits: Sequence[Audit]) -> None:
        async with self._errors(), self._transaction():
            await self._write(AUDIT, audits)

    async def write_schedules(self, schedules: Sequence[ArchivedSchedule]) -> None:
        async with self._errors(), self._transaction():
            await self._write(SCHEDULES, schedules)

    async def write_left_out(self, slots: Sequence[ArchivedLeftOut]) -> None:
        async with self._errors(), self._transaction():
            await self._write(LEFT_OUT, slots)

    async def write_queues(self, queues: ArchivedQueues) -> None:
        async with self._errors(), self._transaction():
            for field, table in QUEUE_TABLES.items():
                await self._write(table, getattr(queues, field))
            await self._fill_lanes(_FILL_LANES.replace("{}", self.prefix))

    async def _write(self, table: Table[T], values: Iterable[T]) -> None:
        own = self.own.get(table.name, {})
        rows = ((*table.row_of(value, self.texts), *(made(value) for made in own.values())) for value in values)
        await self._insert(table.name, [*table.names, *own], rows)


def newest_message(it: Archived) -> int:
    """The seq of the last message in the inbox, 0 if it is empty."""
    return it.inbox[-1].seq if it.inbox else 0


def length(it: Archived) -> int:
    """The number of rows of the newest run."""
    return it.runs[-1].chunks[-1].end if it.runs and it.runs[-1].chunks else 0


def moved_key(event: ArchivedEvent) -> str:
    """A unique key for a moved event; the one that made it land once is not needed any more."""
    return f"moved {event.seq}"
