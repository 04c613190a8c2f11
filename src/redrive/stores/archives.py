"""The archives of the stores that come with redrive, by URL."""

from __future__ import annotations

from redrive.passwords import without_password
from redrive.ports.archive import Archive
from redrive.stores import open_url


def archive_of(url: str) -> Archive:
    """The archive of the store that *url* names. Raises ValueError for one that cannot be moved."""
    store = open_url(url)
    from redrive.stores.sqlite import SQLiteStore

    if isinstance(store, SQLiteStore):
        from redrive.stores.sqlite.archive import SQLiteArchive

        return SQLiteArchive(store.path)
    if url.startswith(("postgresql://", "postgres://")):
        from redrive.stores.postgres.archive import PostgresArchive

        return PostgresArchive(url)
    raise ValueError(
        f"{without_password(url)!r}: a store in memory is gone with its process; only those on disk or on a server can be moved"
    )
