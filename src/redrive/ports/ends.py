"""Asking for the ends of many executions at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from redrive.ports.store import FINAL

if TYPE_CHECKING:
    from redrive.ports.store import ExecutionStatus, Json, Store

End: TypeAlias = "tuple[str, ExecutionStatus, Json | None]"
"""Id, status and outcome of an execution that has ended."""


@runtime_checkable
class ReadsEnds(Protocol):
    """A store that says of many executions at once which have ended."""

    async def ends(self, ids: Sequence[str]) -> Sequence[End]:
        """The ends of those of *ids* that have ended, in any order; other ids are left out."""
        ...


async def ends_of(store: Store, ids: Sequence[str]) -> Sequence[End]:
    """The ends of those of *ids* that have ended, from any store: one that cannot say so of many at once reads each."""
    if isinstance(store, ReadsEnds):
        return await store.ends(ids)
    read = await asyncio.gather(*map(store.read, ids))
    return [(found.id, found.status, found.outcome) for found in read if found is not None and found.status in FINAL]
