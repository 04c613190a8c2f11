"""The memory store."""

from __future__ import annotations

from redrive.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
