"""The executions of a store that others work on, for those who only look."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import attrs

from redrive.ports.store import Json, Snapshot, Store
from redrive.status import LIVE
from redrive.stores.backends import backend_of, open_url


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
        runs tell. A page is read when it is asked for, and nothing is kept open between two: whoever has enough, stops. What
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

    A store of the user's own is read through its `Store.list` and `Store.history`, and opened the way it opens.
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
        found = [snapshot for status in LIVE for snapshot in await self._store.list(status=status, limit=most)]
        found.sort(key=lambda snapshot: snapshot.created_at, reverse=True)
        return [_listed(snapshot) for snapshot in found[:most]]

    async def ever(self, workflow: str) -> AsyncIterator[Sequence[Listed]]:
        found = await self._store.list(limit=sys.maxsize)
        yield [_listed(snapshot) for snapshot in found if snapshot.workflow == workflow or snapshot.number > 1]

    async def workflows(self) -> Sequence[str]:
        return sorted({snapshot.workflow for snapshot in await self._store.list(limit=sys.maxsize)})

    async def rows(self, execution: Listed, run: int = -1) -> Json:
        return await self._store.history(execution.id, execution.runs if run == -1 else run)


def _listed(snapshot: Snapshot) -> Listed:
    return Listed(id=snapshot.id, workflow=snapshot.workflow, status=snapshot.status, runs=snapshot.number)
