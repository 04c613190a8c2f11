"""Finding executions: what a store is asked, and what every store must promise of it.

1.  What a commit wrote is found by everybody who asks after it: attributes, status, waits and ends are no index that lags.
2.  Executions come newest first: by when they were started, or by their end where the filter is about that. Those that come or go
    while somebody pages change nothing about the others: each that fits all the time is given once.
3.  A page reads 10,000 rows at most, whatever there is. So it may be short, or empty, with a cursor to go on from.
4.  A count reads 10,000 rows at most for each number that it gives back; of more it says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

import attrs

if TYPE_CHECKING:
    from redrive.ports.store import ExecutionStatus, Json, Snapshot

Searchable: TypeAlias = Sequence[tuple[str, tuple[str, ...]]]
"""Attributes by name, each with the texts by which it is searched (`redrive.codec.searchable`); with none, it is not searched."""

MOST_COUNTED: Final = 10_000


@attrs.frozen
class StoredCondition:
    """A condition on the texts of *attribute*: it has one of each of *each*, or one from *low* up to, not including, *below*."""

    attribute: str
    each: tuple[tuple[str, ...], ...] = ()
    low: str | None = None
    below: str | None = None

    def fits(self, texts: Collection[str]) -> bool:
        """Whether an execution with these *texts* fits."""
        if self.low is not None and self.below is not None:
            return any(self.low <= text < self.below for text in texts)
        return all(any(text in texts for text in alternatives) for alternatives in self.each)


@attrs.frozen(kw_only=True)
class StoredFilter:
    """Which executions to find: those for which all that is given holds. Of a time, *after* is included and *before* is not.

    *root* is the execution at the top of a family, which it belongs to. *waiting_on* are lines of `Turn.waits`, of which one is there.
    *error_type* is the class of an error, with or without what stands before its last dot.
    """

    workflow: str | None = None
    statuses: frozenset[ExecutionStatus] | None = None
    id_prefix: str | None = None
    parent: str | None = None
    root: str | None = None
    queue: str | None = None
    partition: str | None = None
    build: str | None = None
    waiting_on: tuple[str, ...] | None = None
    conditions: tuple[StoredCondition, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    ended_after: datetime | None = None
    ended_before: datetime | None = None
    error_type: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything fits."""
        return self == EVERYTHING


EVERYTHING: Final = StoredFilter()


@attrs.frozen
class FoundPage:
    """Executions, newest first; *cursor* is where the next page begins, None if there is none."""

    executions: Sequence[Snapshot]
    cursor: str | None = None


class Count(NamedTuple):
    """*n* executions; with *more*, at least so many: they were not all counted."""

    n: int
    more: bool = False

    def __str__(self) -> str:
        return f"{self.n:,}+" if self.more else f"{self.n:,}"


@attrs.frozen
class Behind:
    """An execution whose last turn was stored by a release that wrote no waits, or an attribute that was: *attribute* and its *data*."""

    id: str
    place: int
    attribute: str | None = None
    data: Json = "null"


class FindsExecutions(Protocol):
    """The part of a store that finds executions."""

    async def find(self, filter: StoredFilter = EVERYTHING, *, after: str | None = None, limit: int = 100) -> FoundPage:
        """A page of *limit* executions at most that fit *filter*, from the cursor *after* on.

        Raises `InvalidDefinition` for a cursor that no page of such a filter gave.
        """
        ...

    async def count(self, filter: StoredFilter = EVERYTHING, by: str | None = None, most: int = MOST_COUNTED) -> Mapping[str, Count]:
        """How many executions fit *filter*: under ``""``, or *by* their ``status``, ``workflow``, ``waiting_on``, ``error_type``,
        ``queue``, ``build``, or the text of an attribute (``attribute:<name>``). Counts *most* at most for each."""
        ...

    async def behind(self, attribute: str | None, limit: int) -> Sequence[Behind]:
        """Executions that an earlier release left without their waits (None), or with *attribute* not made searchable."""
        ...

    async def catch_up(self, found: Sequence[tuple[Behind, tuple[str, ...]]]) -> None:
        """Store the waits (one text), or the texts of the attribute, of what is `behind`, unless it is so no more."""
        ...
