"""The executions of a store that others work on, for those who only look."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import attrs

from redrive.ports.finding import EVERYTHING, StoredFilter
from redrive.ports.store import Json, Snapshot, Store
from redrive.status import LIVE
from redrive.stores.backends import backend_of, open_url

_PAGE = 500


@attrs.frozen(kw_only=True)
class Listed:
    """An execution in a store. *workflow* is that of its newest run, *runs* the number of that run; *place* is its reader's."""

    id: str
    workflow: str
    status: str
    runs: int = 1
    place: Any = attrs.field(default=None, repr=False, eq=False)


class LiveReader(Protocol):
    """Reads a store and changes nothing in it: claims nothing, writes nothing, migrates nothing, holds up nobody."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def living(self, limit: int | None = None) -> Sequence[Listed]:
        """The executions that have not ended, newest first, *limit* of them at most."""
        ...

    def ever(self, workflow: str) -> AsyncIterator[Sequence[Listed]]:
        """The executions that have, or had, a run of *workflow*, ended ones too, newest first, in pages.

        Each is given once. One with several runs may be given although none of them is of *workflow*: only the rows of its
        runs tell. A page is read when it is asked for, and nothing is kept open between two: the caller may stop after any page. What
        is started or purged meanwhile may be missing.
        """
        ...

    async def workflows(self) -> Sequence[str]:
        """The names of the workflows that executions have, sorted: of their newest runs, at least."""
        ...

    async def rows(self, execution: Listed, run: int = -1) -> Json:
        """The rows of a run as one JSON array: 1 is the first run, -1 the newest there was when it was listed.

        What is gone (purged since) is an empty array, or `ExecutionNotFound`.
        """
        ...


def reader_of(store: Store | str) -> LiveReader:
    """A reader of *store*, or of the one that a URL names. The store itself need not be open.

    A store of the user's own is read through its `Store.find` and `Store.history`, and opened the way it opens.
    """
    found = open_url(store) if isinstance(store, str) else store
    backend = backend_of(found)
    if backend is not None and backend.reader is not None:
        return backend.reader(found)
    return _AnyStore(found)


class _AnyStore:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    async def living(self, limit: int | None = None) -> Sequence[Listed]:
        most = sys.maxsize if limit is None else limit
        found: list[Listed] = []
        async for page in self._pages(StoredFilter(statuses=frozenset(LIVE)), most):
            found += page
        return found[:most]

    async def ever(self, workflow: str) -> AsyncIterator[Sequence[Listed]]:
        async for page in self._pages(EVERYTHING, sys.maxsize):
            yield [listed for listed in page if listed.workflow == workflow or listed.runs > 1]

    async def workflows(self) -> Sequence[str]:
        return sorted(await self._store.count(by="workflow", most=1))

    async def rows(self, execution: Listed, run: int = -1) -> Json:
        return await self._store.history(execution.id, execution.runs if run == -1 else run)

    async def _pages(self, filter: StoredFilter, most: int) -> AsyncIterator[list[Listed]]:
        """Pages of the executions that fit, newest first, until there are *most* or no more."""
        cursor: str | None = None
        while most > 0:
            found = await self._store.find(filter, after=cursor, limit=min(most, _PAGE))
            yield [_listed(snapshot) for snapshot in found.executions]
            cursor, most = found.cursor, most - len(found.executions)
            if cursor is None:
                return


def _listed(snapshot: Snapshot) -> Listed:
    return Listed(id=snapshot.id, workflow=snapshot.workflow, status=snapshot.status, runs=snapshot.number)
