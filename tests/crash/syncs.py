"""Calls out around every fsync that SQLite makes of its write-ahead log.

SQLite syncs inside COMMIT, in C. Its file objects are tables of functions, so the log's ``xSync`` can be replaced by
one that calls back (https://www.sqlite.org/c3ref/io_methods.html); the log's file object comes from
``SQLITE_FCNTL_JOURNAL_POINTER``. The handle that all this needs is the first field of CPython's connection object.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import sqlite3
from collections.abc import Callable
from typing import Any

_JOURNAL_POINTER = 28
_SYNC_AT = 40
_TABLE_BYTES = 8 + 18 * 8
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


def call_around_syncs(before: Callable[[], None], after: Callable[[], None]) -> None:
    """From now on, call *before* and *after* around each sync of a write-ahead log that this process opens."""
    library = ctypes.CDLL(_sqlite3.__file__)
    kept: list[Any] = []  # what C points to must not be collected

    class Watched(sqlite3.Connection):
        watched = False

        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            if sql == "COMMIT" and not self.watched:
                self.watched = _watch(library, self, before, after, kept)
            return super().execute(sql, *args)

    connect = sqlite3.connect

    def connect_watched(*args: Any, **options: Any) -> sqlite3.Connection:
        return connect(*args, factory=Watched, **options)

    sqlite3.connect = connect_watched  # type: ignore[assignment]


def _watch(library: Any, connection: sqlite3.Connection, before: Callable[[], None], after: Callable[[], None], kept: list[Any]) -> bool:
    handle = ctypes.c_void_p.from_address(id(connection) + object.__basicsize__)
    file = ctypes.c_void_p()
    control = library.sqlite3_file_control
    control.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]
    if control(handle, b"main", _JOURNAL_POINTER, ctypes.byref(file)) != 0 or not file.value:
        return False
    methods = ctypes.c_void_p.from_address(file.value)
    if not methods.value:
        return False  # the log is not open yet
    table = ctypes.create_string_buffer(ctypes.string_at(methods.value, _TABLE_BYTES))
    original = ctypes.cast(ctypes.c_void_p.from_buffer(table, _SYNC_AT).value or 0, _SYNC)

    def sync(target: Any, flags: int) -> int:
        before()
        result: int = original(target, flags)
        after()
        return result

    replacement = _SYNC(sync)
    ctypes.c_void_p.from_buffer(table, _SYNC_AT).value = ctypes.cast(replacement, ctypes.c_void_p).value
    kept += [table, original, replacement]
    methods.value = ctypes.addressof(table)
    return True
