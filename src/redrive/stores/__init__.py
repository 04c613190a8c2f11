"""The stores that come with redrive, by URL."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import parse_qsl, unquote

from redrive.passwords import without_password

if TYPE_CHECKING:
    from redrive.ports.store import Store
    from redrive.stores.memory import MemoryStore

_named: Final[dict[str, MemoryStore]] = {}
if hasattr(os, "register_at_fork"):
    # A copy would hold executions that the parent's worker still runs.
    os.register_at_fork(after_in_child=_named.clear)
_KNOWN: Final = (
    "memory:// (or memory://name, shared within the process), sqlite:///relative/path.db, sqlite:////absolute/path.db "
    "and postgresql://user:password@host/database"
)


def open_url(url: str) -> Store:
    """The store that *url* names, not yet opened. Raises ValueError for a URL that names none."""
    scheme, separator, _ = url.partition("://")
    if scheme == "memory" and separator:
        return _memory(url)
    if scheme == "sqlite" and separator:
        return _sqlite(url)
    if scheme in ("postgresql", "postgres") and separator:
        return _postgres(url)
    raise ValueError(f"{without_password(url)!r} names no store that redrive knows; there are {_KNOWN}")


def name_of(store: Store, given: str) -> str:
    """How an open *store* is shown that was *given* by this URL: without its password, and its file's path in full."""
    if given.startswith("sqlite:"):
        _, mark, options = given.partition("?")
        return f"sqlite:///{getattr(store, 'path', '')}{mark}{options}"
    return without_password(given)


def _memory(url: str) -> Store:
    from redrive.stores.memory import MemoryStore

    name = url.removeprefix("memory://").strip("/")
    # setdefault is atomic: two threads that open one name at once get one store.
    return _named.setdefault(name, MemoryStore()) if name else MemoryStore()


def _sqlite(url: str) -> Store:
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


def _postgres(url: str) -> Store:
    try:
        from redrive.stores.postgres import PostgresStore
    except ImportError as missing:  # also psycopg's own, where it finds no libpq
        from redrive.ports.store import UnusableStore

        if (missing.name or "psycopg").partition(".")[0] not in ("psycopg", "psycopg_pool"):
            raise
        advice = "pip install 'redrive[postgres]'"
        raise UnusableStore(f"a postgresql:// store needs psycopg with its pool and libpq: {advice} ({missing})") from missing
    return PostgresStore(url)
