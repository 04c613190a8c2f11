"""The queues of a blocking service."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redrive.service_queues import Page, PartitionInfo, QueueInfo, Queues


class BlockingQueues:
    """The queues of a `DurableService`: ``service.queues``."""

    def __init__(self, queues: Queues, call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._queues, self._call = queues, call

    def list(self) -> Sequence[QueueInfo]:
        """All queues, by name: those that workers have declared, and those in which something waits."""
        found: Sequence[QueueInfo] = self._call(self._queues.list())
        return found

    def partitions(self, name: str, *, limit: int = 100, cursor: str | None = None) -> Page[PartitionInfo]:
        """The partitions in which something waits or has a place, the longest waiting first; go on with ``page.cursor``."""
        found: Page[PartitionInfo] = self._call(self._queues.partitions(name, limit=limit, cursor=cursor))
        return found

    def limit(self, name: str, **limits: Any) -> None:
        """Put these limits in force instead of those that the code declares: those of `Queue`; what is left out is not limited.

        They outlive restarts and deploys, until `reset`. Raises `QueueNotFound`, `InvalidDefinition`.
        """
        self._call(self._queues.limit(name, **limits))

    def reset(self, name: str) -> None:
        """Go back to the limits that the code declares. Raises `QueueNotFound`."""
        self._call(self._queues.reset(name))

    def pause(self, name: str, reason: str = "") -> None:
        """Admit nothing from the queue until `resume`; what has begun goes on. Raises `QueueNotFound`."""
        self._call(self._queues.pause(name, reason))

    def resume(self, name: str) -> None:
        """End a pause. Raises `QueueNotFound`."""
        self._call(self._queues.resume(name))
