"""Looking for executions that may be stuck: what a store is asked. It says which deserve a look; why, others find out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import attrs


@attrs.frozen(kw_only=True)
class Suspicion:
    """Reasons to suspect an execution that has not ended: it is parked or cancelling; it was due before *due_before*; its worker has
    it and wrote no more since *silent_since*; *recoveries* workers in a row died of it; it waits between two attempts; it has
    messages that it took and does not wait for."""

    due_before: datetime
    silent_since: datetime
    recoveries: int


@attrs.frozen
class Suspects:
    """Ids, the oldest executions first; *place* is where to go on from, None where all were looked at."""

    ids: Sequence[str]
    place: int | None = None


@runtime_checkable
class KnowsSuspects(Protocol):
    """A store that can say which executions deserve a look."""

    async def suspects(self, suspicion: Suspicion, after: int, most: int) -> Suspects:
        """Of the *most* oldest executions behind the place *after* that have not ended, those that are suspect."""
        ...
