"""The executions of a store that have not ended, for those who only look."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final, Protocol, get_args

import attrs

from redrive.ports.store import FINAL, ExecutionStatus, Json, Store
from redrive.stores import open_url

_LIVE: Final = [status for status in get_args(ExecutionStatus) if status not in FINAL]


@attrs.frozen(kw_only=True)
class Living:
    """An execution that has not ended. *workflow* is the one it was started as; *place* is its reader's."""

    id: str
    workflow: str
    status: str
    place: Any = attrs.field(default=None, repr=False, eq=False)


class LiveReader(Protocol):
    """Reads a store and changes nothing in it: claims nothing, writes nothing, migrates nothing."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def living(self, limit: int | None = None) -> Sequence[Living]:
        """The executions that have not ended, newest first, *limit* of them at most."""
        ...

    async def rows(self, execution: Living) -> Json:
        """The rows of its newest run, as one JSON array."""
        ...


def reader_of(store: Store | str) -> LiveReader:
    """A reader of *store*, or of the one that a URL names. The store itself need not be open.

    A store of the user's own is read through its `Store.list` and `Store.history`, and opened the way it opens.
    """
    from redrive.stores.sqlite import SQLiteStore
    from redrive.stores.sqlite.read_only import SQLiteReader

    found = open_url(store) if isinstance(store, str) else store
    return SQLiteReader(found.path) if isinstance(found, SQLiteStore) else _AnyStore(found)


class _AnyStore:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    async def living(self, limit: int | None = None) -> Sequence[Living]:
        most = sys.maxsize if limit is None else limit
        found = [snapshot for status in _LIVE for snapshot in await self._store.list(status=status, limit=most)]
        found.sort(key=lambda snapshot: snapshot.created_at, reverse=True)
        return [Living(id=snapshot.id, workflow=snapshot.workflow, status=snapshot.status) for snapshot in found[:most]]

    async def rows(self, execution: Living) -> Json:
        return await self._store.history(execution.id)
