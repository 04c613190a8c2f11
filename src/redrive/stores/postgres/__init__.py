"""The PostgreSQL store."""

from __future__ import annotations

from redrive.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
