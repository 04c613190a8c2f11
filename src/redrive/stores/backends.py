"""Every kind of store, one row each: its URLs, how it is opened, how it is read by programs that only look, how it is moved.

A third party adds a row by an entry point in the group ``redrive.stores``, whose name is the URL's scheme and whose value is a `Backend`:

    [project.entry-points."redrive.stores"]
    dbm = "redrive_dbm:backend"
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qsl, unquote

import attrs

from redrive.passwords import without_password

if TYPE_CHECKING:
    from redrive.ports.archive import Archive
    from redrive.ports.store import Store
    from redrive.stores.live_executions import LiveReader
    from redrive.stores.memory import MemoryStore

GROUP: Final = "redrive.stores"


def _shown(store: Store, url: str) -> str:
    return without_password(url)


@attrs.frozen(kw_only=True)
class Backend:
    """A kind of store.

    *urls* says what its URLs look like, for error messages. *open* gives the store that a URL names, not yet opened, and raises
    ValueError for a URL that names none. *owns* tells whether a store is one of this kind. *reader* and *archive* are None where the
    store has no way of its own to be read by others (its `find` and `history` do then) or to be moved. *shown* is how an open store
    appears in messages: without its password.
    """

    urls: str
    open: Callable[[str], Store]
    owns: Callable[[Any], bool]
    reader: Callable[[Any], LiveReader] | None = None
    archive: Callable[[str], Archive] | None = None
    shown: Callable[[Any, str], str] = _shown


def open_url(url: str) -> Store:
    """The store that *url* names, not yet opened. Raises ValueError for a URL that names none."""
    return _backend_of_url(url).open(url)


def name_of(store: Store, url: str) -> str:
    """How an open *store* that was given by *url* is shown: without its password, and its file's path in full.

    One that was given as an object has no URL, and is shown as it was called.
    """
    return _backend_of_url(url).shown(store, url) if "://" in url else url


def backend_of(store: Store) -> Backend | None:
    """The backend that *store*, an object, belongs to; None for one of the user's own that no entry point names."""
    ours = next((backend for backend in BACKENDS.values() if backend.owns(store)), None)
    return ours or next((backend for backend in _of_others().values() if backend.owns(store)), None)


def archive_of(url: str) -> Archive:
    """The archive of the store that *url* names. Raises ValueError for one that cannot be moved."""
    backend = _backend_of_url(url)
    if backend.archive is None:
        raise ValueError(f"{without_password(url)!r}: only stores on disk or on a server can be moved; this one is gone with its process")
    backend.open(url)  # refuses what no store of this kind understands, as a service does
    return backend.archive(url)


def _backend_of_url(url: str) -> Backend:
    scheme, separator, _ = url.partition("://")
    backend = BACKENDS.get(scheme)
    if separator and backend is None:
        backend = _of_others().get(scheme)
    if not separator or backend is None:
        known = ", ".join(dict.fromkeys(backend.urls for backend in (*BACKENDS.values(), *_of_others().values())))
        raise ValueError(f"{without_password(url)!r} names no store that redrive knows; there are {known}")
    return backend


def _of_others() -> dict[str, Backend]:
    """The backends of other distributions, by scheme. Raises ValueError for an entry point that gives something else."""
    from importlib.metadata import entry_points  # it costs as much to import as the rest of a client

    found: dict[str, Backend] = {}
    for point in entry_points(group=GROUP):
        made = point.load()
        if not isinstance(made, Backend):
            raise ValueError(f"the entry point {point.name} = {point.value} in {GROUP!r} gives {made!r}, which is no Backend")
        found.setdefault(point.name, made)
    return found


# ── memory ──────────────────────────────────────────────────────────────────────────────────────
_named: Final[dict[str, MemoryStore]] = {}
if hasattr(os, "register_at_fork"):
    # A copy would hold executions that the parent's worker still runs.
    os.register_at_fork(after_in_child=_named.clear)


def _open_memory(url: str) -> Store:
    from redrive.stores.memory import MemoryStore

    name = url.removeprefix("memory://").strip("/")
    # setdefault is atomic: two threads that open one name at once get one store.
    return _named.setdefault(name, MemoryStore()) if name else MemoryStore()


# ── SQLite ──────────────────────────────────────────────────────────────────────────────────────
def _open_sqlite(url: str) -> Store:
    from redrive.stores.sqlite import SQLiteStore

    rest, _, query = url.removeprefix("sqlite://").partition("?")
    if ":memory:" in rest:
        raise ValueError(f"{url!r}: a SQLite database in memory cannot be shared between threads; use memory:// instead")
    if rest[:1] != "/":
        raise ValueError(f"{url!r}: three slashes come before a relative path, four before an absolute one: sqlite:///{rest}")
    if not rest.strip("/") or rest.endswith("/"):
        raise ValueError(f"{url!r} names no file: write sqlite:///path.db")
    synchronous: Literal["normal", "full"] = "full"
    for option, value in parse_qsl(query, keep_blank_values=True):
        match option, value.lower():
            case "synchronous", "full" | "normal" as chosen:
                synchronous = chosen
            case _:
                raise ValueError(f"{url!r}: a SQLite store has no option {option}={value}, only synchronous=full (default) or normal")
    return SQLiteStore(unquote(rest[1:]), synchronous=synchronous)


def _sqlite_shown(store: Any, url: str) -> str:
    _, mark, options = url.partition("?")
    return f"sqlite:///{store.path}{mark}{options}"


def _sqlite_reader(store: Any) -> LiveReader:
    from redrive.stores.sqlite.file_reader import SQLiteReader

    return SQLiteReader(store.path)


def _sqlite_archive(url: str) -> Archive:
    from redrive.stores.sqlite.file_archive import SQLiteArchive

    store: Any = _open_sqlite(url)
    return SQLiteArchive(store.path)


# ── PostgreSQL ──────────────────────────────────────────────────────────────────────────────────
def _open_postgres(url: str) -> Store:
    try:
        from redrive.stores.postgres import PostgresStore
    except ImportError as missing:  # also psycopg's own, where it finds no libpq
        from redrive.ports.store import UnusableStore

        if (missing.name or "psycopg").partition(".")[0] not in ("psycopg", "psycopg_pool"):
            raise
        advice = "pip install 'redrive[postgres]'"
        raise UnusableStore(f"a postgresql:// store needs psycopg with its pool and libpq: {advice} ({missing})") from missing
    return PostgresStore(url)


def _postgres_reader(store: Any) -> LiveReader:
    from redrive.stores.postgres.schema_reader import PostgresReader

    return PostgresReader(store.address)


def _postgres_archive(url: str) -> Archive:
    from redrive.stores.postgres.schema_archive import PostgresArchive

    return PostgresArchive(url)


def _is(module: str) -> Callable[[Any], bool]:
    """Whether a store is of the class in *module*, or of one derived from it; its driver need not be installed to ask."""
    return lambda store: any(cls.__module__ == module for cls in type(store).__mro__)


_POSTGRES: Final = Backend(
    urls="postgresql://user:password@host/database",
    open=_open_postgres,
    owns=_is("redrive.stores.postgres.store"),
    reader=_postgres_reader,
    archive=_postgres_archive,
)
BACKENDS: Final[dict[str, Backend]] = {
    "memory": Backend(
        urls="memory:// (or memory://name, shared within the process)", open=_open_memory, owns=_is("redrive.stores.memory.store")
    ),
    "sqlite": Backend(
        urls="sqlite:///relative/path.db, sqlite:////absolute/path.db",
        open=_open_sqlite,
        owns=_is("redrive.stores.sqlite.store"),
        reader=_sqlite_reader,
        archive=_sqlite_archive,
        shown=_sqlite_shown,
    ),
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
}
"""The stores that come with redrive, by the scheme of their URLs."""
