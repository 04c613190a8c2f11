"""Queues, as stores keep them: what is declared, what waits, and what is under way.

1.  An execution in a queue has a *ticket*. It waits until the execution is admitted, is held from then until the execution has
    ended, and is deleted in the commit that ends it. What is held is counted from the tickets; nothing else is a count.
2.  What waits is not due, but at its deadline: no worker can claim it. `Store.claim` admits with *room*, in the order of the queue.
3.  Executions without a queue have nothing of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import attrs

from redrive_interpreter.errors import RedriveError


class QueueNotFound(RedriveError):
    """No worker has declared a queue of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"there is no queue {self.name!r}: no worker has declared one"


@attrs.frozen(kw_only=True)
class RateLimit:
    """At most *limit* admissions in any window of *per*; with *spread* one each ``per / limit``."""

    limit: int
    per: timedelta
    spread: bool = False


@attrs.frozen(kw_only=True)
class QueueLimits:
    """The limits of a queue; None is none."""

    concurrency: int | None = None
    rate: RateLimit | None = None
    partition_concurrency: int | None = None
    partition_rate: RateLimit | None = None


UNLIMITED = QueueLimits()


@attrs.frozen(kw_only=True)
class WorkflowQueue:
    """The queue of a workflow, None if it has none; *partitioned*: only its code can find the partition of a call."""

    queue: str | None
    partitioned: bool = False


@attrs.frozen(kw_only=True)
class QueueState:
    """A queue as it is. *limits* are those in force, *declared* those of the code, *overridden* says whether they differ by hand.

    *held* has a place, *idle* of these are parked and lend theirs; *oldest* is when the ticket that waits longest came.
    *served_by* are the live workers that admit from it, *begun* how many were admitted in the last minute, where there is a rate.
    """

    name: str
    limits: QueueLimits
    declared: QueueLimits
    overridden: bool
    paused: str | None
    waiting: int
    held: int
    idle: int
    oldest: datetime | None
    served_by: int
    begun: int
    next_token: datetime | None = None


@attrs.frozen(kw_only=True)
class PartitionState:
    """A partition of a queue in which something waits or is held."""

    partition: str
    waiting: int
    held: int
    oldest: datetime | None


@attrs.frozen(kw_only=True)
class QueuePlace:
    """Where execution *id* stands in its queue: *ahead* of it wait so many of its *waiting* (counted up to `MOST_COUNTED`)."""

    queue: str
    partition: str
    priority: int
    held: bool
    ahead: int
    waiting: int


MOST_COUNTED = 10_000
"""Tickets that are counted one by one for people to look at; beyond, it is said that there are more."""


@runtime_checkable
class KeepsQueues(Protocol):
    """A store that keeps queues; `Store.claim` then takes *room*, and `Store.next_wake` takes *queues*."""

    async def declare(
        self, worker: str, build: str, queues: Mapping[str, QueueLimits | None], workflows: Mapping[str, WorkflowQueue]
    ) -> None:
        """Store which limits *build* declares (None: it only names the queue), and which queue each of its workflows has.

        In force are the limits of the build whose first worker came last, among those that declared the queue within ten minutes:
        workers declare again each minute. Raises `StoreError`, with its name, while a worker lives that does not know of queues.
        """
        ...

    async def workflow_queue(self, workflow: str) -> WorkflowQueue | None:
        """What the last worker that listed *workflow* declared of it; None if none ever did."""
        ...

    async def queues(self, names: Sequence[str] | None = None) -> Sequence[QueueState]:
        """All queues that anybody declared, overrode or paused, or in which something waits, by name; or those of *names*."""
        ...

    async def queue_partitions(self, queue: str, limit: int, after: str | None = None) -> Sequence[PartitionState]:
        """The partitions of *queue* in which something waits or is held, the longest waiting first; *after* is the name of the
        last one of the page before."""
        ...

    async def queue_place(self, id: str) -> QueuePlace | None:
        """Where an execution stands in its queue; None if it is in none, or has ended."""
        ...

    async def limit_queue(self, queue: str, limits: QueueLimits | None) -> None:
        """Put *limits* in force instead of those declared; None: back to those. Raises `QueueNotFound`."""
        ...

    async def pause_queue(self, queue: str, reason: str | None) -> None:
        """Admit nothing from *queue* until it is resumed (*reason* None). Raises `QueueNotFound`."""
        ...
