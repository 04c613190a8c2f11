"""The queues that a worker serves: what it declares of them, and how much it admits from each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from redrive.ports.queue_port import KeepsQueues, QueueLimits, WorkflowQueue
from redrive.ports.store import NO_ROOM

if TYPE_CHECKING:
    from redrive.ports.store import Store

DECLARE_EACH: Final = 60.0
"""Seconds after which a worker says again what it declares: a build counts as gone when it has not for long."""


@attrs.define(eq=False)
class Serving:
    """*queues* are those that are served, each with the limits that the code declares, None where it only names the queue; *workflows*
    says which queue each workflow of the worker has."""

    queues: Mapping[str, QueueLimits | None]
    workflows: Mapping[str, WorkflowQueue]
    _declared: float | None = None
    """When it was declared last, by the monotonic clock."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.queues)

    def room(self, limit: int) -> Mapping[str, int]:
        """How many executions may be admitted from each queue by a claim of up to *limit*: together about as many, each at least one."""
        if not self.queues:
            return NO_ROOM
        each = -(-limit // len(self.queues)) if limit > 0 else 0
        return dict.fromkeys(self.queues, each)

    async def declare(self, store: Store, worker: str, build: str) -> None:
        """Declare queues and workflows, unless that was done a moment ago. Raises `StoreError`."""
        now = time.monotonic()
        if isinstance(store, KeepsQueues) and (self._declared is None or (self.queues and now - self._declared >= DECLARE_EACH)):
            await store.declare(worker, build, self.queues, self.workflows)
            self._declared = now


NOTHING_SERVED: Final = Serving({}, {})
