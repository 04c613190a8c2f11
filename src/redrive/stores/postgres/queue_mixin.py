"""The verbs of queues of the PostgreSQL store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial

from redrive.ports.queue_port import PartitionState, QueueLimits, QueuePlace, QueueState, WorkflowQueue
from redrive.stores.change_notifier import WORK
from redrive.stores.postgres import queue_statements
from redrive.stores.postgres.session import Sessions


class QueueVerbs(ABC):
    """The verbs of `KeepsQueues`, for a store that has connections and announces changes."""

    @property
    @abstractmethod
    def _sessions(self) -> Sessions: ...

    @abstractmethod
    def _told(self, now_us: int, news: int) -> None: ...

    async def declare(
        self, worker: str, build: str, queues: Mapping[str, QueueLimits | None], workflows: Mapping[str, WorkflowQueue]
    ) -> None:
        declare = partial(queue_statements.declare, build=build, queues=queues, workflows=workflows)
        for changed in await self._sessions.transact(declare):
            await queue_statements.look_again(self._sessions, changed)
            self._told(0, WORK)

    async def workflow_queue(self, workflow: str) -> WorkflowQueue | None:
        return await queue_statements.workflow_queue(self._sessions, workflow)

    async def queues(self, names: Sequence[str] | None = None) -> Sequence[QueueState]:
        return await queue_statements.states(self._sessions, names)

    async def queue_partitions(self, queue: str, limit: int, after: str | None = None) -> Sequence[PartitionState]:
        return await queue_statements.partitions(self._sessions, queue, limit, after)

    async def queue_place(self, id: str) -> QueuePlace | None:
        return await queue_statements.place(self._sessions, id)

    async def limit_queue(self, queue: str, limits: QueueLimits | None) -> None:
        await queue_statements.limit(self._sessions, queue, limits)
        self._told(0, WORK)

    async def pause_queue(self, queue: str, reason: str | None) -> None:
        await queue_statements.pause(self._sessions, queue, reason)
        self._told(0, WORK)
