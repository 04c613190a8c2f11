"""The results of a search: executions with their handles, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from redrive.execution import AsyncExecution, Execution
from redrive.stored import Origin

if TYPE_CHECKING:
    from datetime import datetime

    from redrive.ports.finding import StoredFilter
    from redrive.ports.store import ExecutionStatus, Snapshot
    from redrive.service import AsyncDurableService
    from redrive_interpreter.commands.conditions import Attribute
    from redrive_interpreter.commands.workflows import Workflow

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

PAGE: int = 100
"""Executions on a page, unless a search says how many."""
_AT_ONCE: int = 500
"""The same for those who iterate."""


@attrs.frozen
class Page(Generic[T]):
    """A part of what there is, newest first; *cursor* is where the next page begins, None if there is none.

    A page may be short, or empty, and have a cursor: a store reads so many rows for one, and no more.
    """

    items: Sequence[T]
    cursor: str | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class Summary:
    """An execution as it was when it was found."""

    __slots__ = ("_service", "_snapshot")

    def __init__(self, service: AsyncDurableService, snapshot: Snapshot) -> None:
        self._service, self._snapshot = service, snapshot

    @property
    def id(self) -> str:
        return self._snapshot.id

    @property
    def workflow(self) -> str:
        """The name of its newest run's workflow."""
        return self._snapshot.workflow

    @property
    def status(self) -> ExecutionStatus:
        return self._snapshot.status

    @property
    def waiting_on(self) -> tuple[str, ...]:
        """The waits that have not ended, the oldest first: ``signal:orders.approved``, ``step:charge``, ``child:shop.pay``, ``timer``."""
        return tuple(self._snapshot.waits.split("\n")) if self._snapshot.waits and self._snapshot.outcome is None else ()

    @property
    def created_at(self) -> datetime:
        return self._snapshot.created_at

    @property
    def updated_at(self) -> datetime:
        return self._snapshot.updated_at

    @property
    def ended_at(self) -> datetime | None:
        return self._snapshot.ended_at

    @property
    def error_type(self) -> str | None:
        """The class of the error that it ended with."""
        return self._snapshot.error_type

    @property
    def parent(self) -> str | None:
        """The id of the execution that started it."""
        return None if self._snapshot.creator is None else self._snapshot.creator.id

    @property
    def attributes(self) -> Mapping[str, Any]:
        """By name. Raises `DamagedData`."""
        data = Origin.of(self.id, self._service.store).attributes(self._snapshot)
        return {name: self._service.codec.load_untyped(value) for name, value in data.items()}

    def __repr__(self) -> str:
        return f"<execution {self.id!r}: {self.workflow}, {self.status}>"


class AsyncFoundExecution(Summary, Generic[R_co]):
    """An execution that was found, as it was then, and its handle."""

    __slots__ = ("execution",)

    def __init__(self, service: AsyncDurableService, snapshot: Snapshot, execution: AsyncExecution[R_co]) -> None:
        super().__init__(service, snapshot)
        self.execution: AsyncExecution[R_co] = execution


class FoundExecution(Summary, Generic[R_co]):
    """An execution that was found, as it was then, and its handle."""

    __slots__ = ("execution",)

    def __init__(self, service: AsyncDurableService, snapshot: Snapshot, execution: Execution[R_co]) -> None:
        super().__init__(service, snapshot)
        self.execution: Execution[R_co] = execution


class AsyncFound(Generic[R_co]):
    """The executions that fit a filter: iterate over all of them, newest first, or ask for a `page`."""

    def __init__(
        self,
        service: AsyncDurableService,
        filter: StoredFilter,
        workflow: Workflow[..., R_co] | None,
        limit: int | None,
        attributes: Sequence[Attribute[Any]] = (),
    ) -> None:
        self._service, self._filter, self._workflow, self._limit = service, filter, workflow, limit
        self._attributes = attributes

    async def page(self, cursor: str | None = None) -> Page[AsyncFoundExecution[R_co]]:
        """A page of as many as the search's *limit* says, from *cursor* on, or the first one.

        Raises `InvalidDefinition` for a cursor of another filter.
        """
        return await self._page(cursor, self._limit or PAGE)

    async def _page(self, cursor: str | None, limit: int) -> Page[AsyncFoundExecution[R_co]]:
        found = await self._service._found(self._filter, cursor, limit, self._attributes)
        return Page([self._item(snapshot) for snapshot in found.executions], found.cursor)

    async def __aiter__(self) -> AsyncIterator[AsyncFoundExecution[R_co]]:
        cursor: str | None = None
        left = self._limit
        while left is None or left > 0:
            page = await self._page(cursor, _AT_ONCE if left is None else min(left, _AT_ONCE))
            for item in page:
                yield item
            cursor = page.cursor
            if cursor is None:
                return
            left = None if left is None else left - len(page)

    def _item(self, snapshot: Snapshot) -> AsyncFoundExecution[R_co]:
        execution = AsyncExecution(self._service, snapshot.id, self._workflow, checked=True)
        return AsyncFoundExecution(self._service, snapshot, execution)


class Found(Generic[R_co]):
    """The executions that fit a filter: iterate over all of them, newest first, or ask for a `page`."""

    def __init__(self, inner: AsyncFound[R_co], call: Callable[[Any], Any]) -> None:
        self._inner, self._call = inner, call

    def page(self, cursor: str | None = None) -> Page[FoundExecution[R_co]]:
        """A page of as many as the search's *limit* says, from *cursor* on, or the first one.

        Raises `InvalidDefinition` for a cursor of another filter.
        """
        page: Page[AsyncFoundExecution[R_co]] = self._call(self._inner.page(cursor))
        return Page([self._item(item) for item in page], page.cursor)

    def __iter__(self) -> Iterator[FoundExecution[R_co]]:
        found = self._inner.__aiter__()

        async def following() -> AsyncFoundExecution[R_co] | None:
            return await anext(found, None)

        while (item := self._call(following())) is not None:
            yield self._item(item)

    def _item(self, item: AsyncFoundExecution[R_co]) -> FoundExecution[R_co]:
        return FoundExecution(item._service, item._snapshot, Execution(item.execution, self._call))


class Node(Summary):
    """An execution of a family, and its *children*, oldest first. *more*: there are further ones, deeper or beyond what is read."""

    __slots__ = ("children", "more")

    def __init__(self, service: AsyncDurableService, snapshot: Snapshot, children: tuple[Node, ...], *, more: bool) -> None:
        super().__init__(service, snapshot)
        self.children, self.more = children, more

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Node]]:
        """Each execution of the tree with its depth, parents before their children."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)
