"""SQLite's errors in the words of the store port; told apart by code, never by text."""

from __future__ import annotations

import sqlite3
from typing import Final

from redrive.ports.store import StoreError, UnusableStore

PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""What may be over in a moment: another process has the lock, the disk is full, a read failed."""

CANNOT_OPEN: Final = "it cannot be opened: check the permissions of the file and of its directory"
_ADVICE: Final = {
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore it from a backup, or recover it with the sqlite3 shell's .recover",
    sqlite3.SQLITE_NOTADB: "it is no SQLite database: name another file, or move this one away",
    sqlite3.SQLITE_READONLY: "it cannot be written: check the permissions of the file and of its directory",
    sqlite3.SQLITE_PERM: CANNOT_OPEN,
}


def primary_code(error: sqlite3.Error) -> int:
    """The code without its extension; -1 for errors of the driver, which have none."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def as_store_error(error: sqlite3.Error, path: str) -> StoreError:
    code = primary_code(error)
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CONSTRAINT_TRIGGER:  # that of a store that was moved away
        return UnusableStore(f"{path}: {error}")
    if code in _ADVICE:
        return UnusableStore(f"{path}: {_ADVICE[code]} ({error})")
    return StoreError(f"{path}: {error}", retry_helps=code in PASSING)
