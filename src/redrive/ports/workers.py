"""The workers on a store: optional for a store, for telling people why nothing happens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import attrs


@attrs.frozen(kw_only=True)
class KnownWorker:
    """A worker as the store knows it, and the workflows that it lists.

    *alive*: what it owns is not anybody else's to take. *expires_at* is when its lease ends, or ended. *executions* is how many it
    owns, 10,000 at most. What a store does not keep is None, or empty.
    """

    id: str
    alive: bool
    expires_at: datetime
    workflows: frozenset[str]
    build: str = ""
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    executions: int = 0


@runtime_checkable
class KnowsWorkers(Protocol):
    """A store that can say who works on it."""

    async def workers(self) -> Sequence[KnownWorker]:
        """The workers that have claimed and were neither retired nor buried since, in no order."""
        ...
