"""Finding and counting executions, for services: filters become what a store is asked, and older releases' data is caught up with."""

from __future__ import annotations

import asyncio
import enum
import inspect
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar, Unpack, cast, get_args, overload

from redrive.codec.searchable import texts_of, value_of
from redrive.filters import conditions_of, stored_filter
from redrive.found import AsyncFound, Found, Node
from redrive.patience import patiently
from redrive.ports.finding import Behind, Count, FoundPage, StoredFilter
from redrive.stored import Origin
from redrive.timeline import timeline
from redrive.wait_lines import lines_of
from redrive_interpreter.commands.conditions import Attribute
from redrive_interpreter.commands.workflows import Workflow
from redrive_interpreter.errors import CodecError, ExecutionNotFound, InvalidDefinition

if TYPE_CHECKING:
    from redrive.filters import Criteria, Filter
    from redrive.ports.store import ExecutionStatus, Snapshot
    from redrive.service import AsyncDurableService

R = TypeVar("R")
K = TypeVar("K")

By: TypeAlias = Literal["workflow", "waiting_on", "queue", "error_type", "build"]
_BY: Final = ("status", *get_args(By))
_CAUGHT_UP_AT_ONCE: Final = 500
MOST_OF_A_FAMILY: Final = 10_000
"""Executions of a tree."""


class AsyncFinds:
    """The part of an `AsyncDurableService` that finds executions."""

    @overload
    def find(self, *, workflow: Workflow[..., R], limit: int | None = None, **filter: Unpack[Criteria]) -> AsyncFound[R]: ...
    @overload
    def find(self, *, limit: int | None = None, **filter: Unpack[Filter]) -> AsyncFound[Any]: ...
    def find(self, *, limit: int | None = None, **filter: Any) -> AsyncFound[Any]:
        """The executions that fit a `Filter`, newest first: ``async for one in service.find(status="failed")``, or `AsyncFound.page`.

        Whatever a commit has changed is found from then on. *limit* is how many are given, and how many a page has at most.
        Raises `InvalidDefinition` for what cannot be asked.
        """
        if limit is not None and limit < 1:
            raise InvalidDefinition(f"limit={limit} leaves nothing to find")
        workflow = filter.get("workflow")
        service = cast("AsyncDurableService", self)
        typed = cast("Workflow[..., Any]", workflow) if isinstance(workflow, Workflow) else None
        return AsyncFound(service, stored_filter(filter), typed, limit, _attributes(filter))

    @overload
    async def count(self, *, by: Literal["status"], **filter: Unpack[Filter]) -> Mapping[ExecutionStatus, Count]: ...
    @overload
    async def count(self, *, by: By, **filter: Unpack[Filter]) -> Mapping[str, Count]: ...
    @overload
    async def count(self, *, by: Attribute[K], **filter: Unpack[Filter]) -> Mapping[K, Count]: ...
    @overload
    async def count(self, *, by: None = None, **filter: Unpack[Filter]) -> Count: ...
    async def count(self, *, by: Any = None, **filter: Any) -> Any:
        """How many executions fit a `Filter`, all in all or *by* something. Counts 10,000 at most for each, and says if there are more.

        *by* is ``"status"``, ``"workflow"``, ``"waiting_on"`` (the oldest wait), ``"error_type"``, ``"queue"``, ``"build"``, or an
        `Attribute`. Raises `InvalidDefinition` for what cannot be asked.
        """
        service, asked = cast("AsyncDurableService", self), stored_filter(filter)
        service._check_open()
        wanted: Any = by
        attribute: Attribute[Any] | None = wanted if isinstance(by, Attribute) else None
        if attribute is None and by is not None and by not in _BY:
            raise InvalidDefinition(f"by= is one of {', '.join(_BY)}, or an Attribute, not {by!r}")
        attributes = (*_attributes(filter), *(() if attribute is None else (attribute,)))
        await catch_up(service, attributes, waits=asked.waiting_on is not None or by == "waiting_on")
        grouped: str | None = wanted if attribute is None else f"attribute:{attribute.name}"
        counts = await patiently(lambda: service.store.count(asked, grouped))
        if by is None:
            return counts[""]
        if attribute is None:
            return counts
        return {key: count for key, count in ((_value(text, attribute.type), count) for text, count in counts.items()) if key is not _SIZE}

    async def tree(self, id: str, *, depth: int = 10) -> Node:
        """The execution and its children, to a *depth*: with their statuses and what they wait for. Raises `ExecutionNotFound`."""
        service = cast("AsyncDurableService", self)
        top = await service._read(id)
        return _node(service, top, await _family(service, top), depth)

    async def _found(self, filter: StoredFilter, cursor: str | None, limit: int, attributes: Sequence[Attribute[Any]] = ()) -> FoundPage:
        service = cast("AsyncDurableService", self)
        service._check_open()
        await catch_up(service, attributes, waits=filter.waiting_on is not None)
        return await patiently(lambda: service.store.find(filter, after=cursor, limit=limit))


class Finds:
    """The part of a `DurableService` that finds executions."""

    aio: AsyncDurableService
    _call: Callable[[Any], Any]

    @overload
    def find(self, *, workflow: Workflow[..., R], limit: int | None = None, **filter: Unpack[Criteria]) -> Found[R]: ...
    @overload
    def find(self, *, limit: int | None = None, **filter: Unpack[Filter]) -> Found[Any]: ...
    def find(self, *, limit: int | None = None, **filter: Any) -> Found[Any]:
        """The executions that fit a `Filter`, newest first: ``for one in service.find(status="failed")``, or `Found.page`.

        Whatever a commit has changed is found from then on. *limit* is how many are given, and how many a page has at most.
        Raises `InvalidDefinition` for what cannot be asked.
        """
        return Found(self.aio.find(limit=limit, **filter), self._call)

    @overload
    def count(self, *, by: Literal["status"], **filter: Unpack[Filter]) -> Mapping[ExecutionStatus, Count]: ...
    @overload
    def count(self, *, by: By, **filter: Unpack[Filter]) -> Mapping[str, Count]: ...
    @overload
    def count(self, *, by: Attribute[K], **filter: Unpack[Filter]) -> Mapping[K, Count]: ...
    @overload
    def count(self, *, by: None = None, **filter: Unpack[Filter]) -> Count: ...
    def count(self, *, by: Any = None, **filter: Any) -> Any:
        """How many executions fit a `Filter`, all in all or *by* something. Counts 10,000 at most for each, and says if there are more.

        *by* is ``"status"``, ``"workflow"``, ``"waiting_on"`` (the oldest wait), ``"error_type"``, ``"queue"``, ``"build"``, or an
        `Attribute`. Raises `InvalidDefinition` for what cannot be asked.
        """
        return self._call(self.aio.count(by=by, **filter))

    def tree(self, id: str, *, depth: int = 10) -> Node:
        """The execution and its children, to a *depth*: with their statuses and what they wait for. Raises `ExecutionNotFound`."""
        return self._call(self.aio.tree(id, depth=depth))  # type: ignore[no-any-return]


# ── what an older release stored ────────────────────────────────────────────────────────────────
async def catch_up(service: AsyncDurableService, attributes: Sequence[Attribute[Any]], *, waits: bool) -> None:
    """Make searchable what a release before searches stored: once, when somebody searches for it and says of what type it is."""
    for attribute in attributes:
        await _catch_up(service, attribute)
    if waits:
        await _catch_up(service, None)


async def _catch_up(service: AsyncDurableService, attribute: Attribute[Any] | None) -> None:
    store, name = service.store, None if attribute is None else attribute.name
    while behind := await patiently(partial(store.behind, name, _CAUGHT_UP_AT_ONCE)):
        found = [(one, await _waits(service, one) if attribute is None else _texts(service, one, attribute)) for one in behind]
        await patiently(partial(store.catch_up, found))
        await asyncio.sleep(0)


async def _waits(service: AsyncDurableService, one: Behind) -> tuple[str]:
    if not one.id:
        return ("",)
    try:
        rows = Origin.of(one.id, service.store).rows(await patiently(lambda: service.store.history(one.id)))
    except (ExecutionNotFound, ValueError):  # gone meanwhile, or damaged: nobody can say
        return ("",)
    return (lines_of((entry.kind, entry.label) for entry in timeline(rows).open),)


def _texts(service: AsyncDurableService, one: Behind, attribute: Attribute[Any]) -> tuple[str, ...]:
    try:
        data = Origin.of(one.id, service.store).object(one.data, "attributes").get(attribute.name)
        return texts_of(service.codec.load(data, attribute.type, f"attribute {attribute.name}"))
    except (CodecError, ValueError):  # of another type than it has today, or damaged: it is stored only
        return ()


# ── values of counts ────────────────────────────────────────────────────────────────────────────
_SIZE: Final = object()


def _value(text: str, type: Any) -> Any:
    """The value of *text* for an attribute of *type*; `_SIZE` for what is none."""
    if text[0] == "#":
        return _SIZE
    value = value_of(text)
    for wanted in get_args(type) or (type,):
        if inspect.isclass(wanted):
            if issubclass(wanted, enum.Enum) and text[0] == "e":
                return wanted(int(str(value))) if issubclass(wanted, enum.Flag) else wanted[str(value)]
            if isinstance(value, Decimal) and issubclass(wanted, (int, float)) and wanted is not bool and wanted(value) == value:
                return wanted(value)
    return value


def _attributes(filter: Mapping[str, Any]) -> tuple[Attribute[Any], ...]:
    given = filter.get("attributes")
    return () if given is None else tuple(dict.fromkeys(condition.attribute for condition in conditions_of(given)))


# ── families ────────────────────────────────────────────────────────────────────────────────────
async def _top_of(service: AsyncDurableService, snapshot: Snapshot) -> str:
    """The id at the top of the family, also if that is gone."""
    seen = {snapshot.id}
    while snapshot.creator is not None:
        above, id = snapshot.creator.id, snapshot.creator.id
        found: Snapshot | None = await patiently(partial(service.store.read, above))
        if found is None or id in seen:
            return id
        seen.add(id)
        snapshot = found
    return snapshot.id


async def _family(service: AsyncDurableService, member: Snapshot) -> dict[str, list[Snapshot]]:
    """The children of each execution of a family, oldest first."""
    children: dict[str, list[Snapshot]] = {}
    family = StoredFilter(root=await _top_of(service, member))
    cursor: str | None = None
    read = 0
    while read < MOST_OF_A_FAMILY:
        page = await patiently(partial(service.store.find, family, after=cursor, limit=500))
        for snapshot in page.executions:
            if snapshot.creator is not None:
                children.setdefault(snapshot.creator.id, []).insert(0, snapshot)
        read, cursor = read + len(page.executions), page.cursor
        if cursor is None:
            break
    return children


def _node(service: AsyncDurableService, snapshot: Snapshot, children: Mapping[str, Sequence[Snapshot]], depth: int) -> Node:
    below = children.get(snapshot.id, ())
    if depth <= 0:
        return Node(service, snapshot, (), more=bool(below))
    return Node(service, snapshot, tuple(_node(service, child, children, depth - 1) for child in below), more=False)
