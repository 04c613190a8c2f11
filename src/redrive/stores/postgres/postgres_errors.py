"""PostgreSQL's errors in the words of the store port; told apart by SQLSTATE and type, never by text."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from redrive.ports.store import StoreError, UnusableStore

TRANSIENT: Final = frozenset({"40001", "40P01", "55P03"})
"""Two transactions were in each other's way; nothing was written, and it works when tried again."""

# Classes and codes of what may be over in a moment: connections, conflicts, resources (a full disk), an operator's
# intervention (a restart), a system error (I/O), a standby that was promoted or not yet.
_PASSING_CLASSES: Final = frozenset({"08", "40", "53", "57", "58"})
_PASSING: Final = frozenset({"25006", "25P02", "25P03", "25P04", "55P03"})

_GRANTS: Final = "the role lacks a privilege: grant it USAGE on the schema and SELECT, INSERT, UPDATE and DELETE on its tables"
_CHANGED: Final = "the tables are not what this redrive expects: was the schema dropped or changed while in use? Open it again"
_ADVICE: Final = {
    "28000": "the server refuses this role: check the user, the database and pg_hba.conf",
    "28P01": "the password or the user is wrong",
    "3D000": "there is no such database: create it first",
    "42501": _GRANTS,
    "3F000": _CHANGED,
    "42P01": _CHANGED,
    "42703": _CHANGED,
    "42883": _CHANGED,
}
_NOT_OUR_SESSION: Final = frozenset({"26000", "42P05"})
_POOLED: Final = ": the server's sessions are not ours alone: behind a pooler in transaction mode, add pgbouncer=true to the URL"


def is_transient(error: BaseException) -> bool:
    return isinstance(error, psycopg.Error) and error.sqlstate in TRANSIENT


def is_passing(error: BaseException) -> bool:
    if isinstance(error, PoolClosed):
        return False
    if isinstance(error, PoolTimeout | TooManyRequests):
        return True
    if not isinstance(error, psycopg.Error):
        return isinstance(error, OSError)
    if error.sqlstate is None:  # the driver's own: the connection is broken, or what was sent with it was not done
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate in _PASSING or error.sqlstate[:2] in _PASSING_CLASSES


def as_store_error(error: BaseException, shown: str) -> StoreError:
    """*shown* is the URL without its password."""
    code = error.sqlstate if isinstance(error, psycopg.Error) else None
    if code in _ADVICE:
        return UnusableStore(f"{shown}: {_ADVICE[code]} ({_words(error)})")
    hint = _POOLED if code in _NOT_OUR_SESSION else ""
    return StoreError(f"{shown}: {_words(error)}{hint}", retry_helps=is_passing(error))


def cannot_connect(error: psycopg.Error, shown: str) -> StoreError:
    """Of an error in connecting; a server that refuses a password says so before it has a code to send."""
    if error.sqlstate in _ADVICE:
        return as_store_error(error, shown)
    if error.pgconn is not None and (error.pgconn.needs_password or error.pgconn.used_password):
        return UnusableStore(f"{shown}: the server refuses: check user, password, database and pg_hba.conf ({_words(error)})")
    return StoreError(
        f"{shown}: there is no connection: check that the server runs, and its host and port ({_words(error)})", retry_helps=True
    )


def _words(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return words or type(error).__name__
