"""The SQLite store."""

from __future__ import annotations

from redrive.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
