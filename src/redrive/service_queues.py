"""What people see of queues, and do about them: ``service.queues``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

import attrs

from redrive.patience import patiently
from redrive.ports.queue_port import KeepsQueues, QueueLimits, QueueNotFound, QueuePlace, QueueState, RateLimit, WorkflowQueue
from redrive.status import FINAL
from redrive.worker.serving import Serving
from redrive_interpreter.commands.queue_values import Queue, Rate
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.keys import check_id

if TYPE_CHECKING:
    from redrive.ports.store import NewExecution, Snapshot, Store
    from redrive.service import AsyncDurableService
    from redrive_interpreter.commands.workflows import Workflow

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class QueueInfo:
    """A queue as it stands.

    The limits are those in force: *overridden* if they were set by hand. *paused* is the reason of a pause, which may be empty; None: it
    is not paused. *held* executions have a place, *idle* of these are parked and lend it; *oldest* is since when the first of those
    *waiting* waits. *begun* is how many began in the last minute, told only where a rate counts them. *served_by* live workers admit
    from it. *next_token* is when the rate lets the next one begin, where it lets none now.
    """

    name: str
    concurrency: int | None
    rate: Rate | None
    partition_concurrency: int | None
    partition_rate: Rate | None
    overridden: bool
    paused: str | None
    waiting: int
    held: int
    idle: int
    oldest: datetime | None
    begun: int | None
    served_by: int
    next_token: datetime | None

    def __str__(self) -> str:
        return f"queue {self.name}: {self.waiting} waiting, {standing(self)}"


@attrs.frozen(kw_only=True)
class PartitionInfo:
    """A partition of a queue: how many wait there, the first one since *oldest*, and how many have a place."""

    partition: str
    waiting: int
    held: int
    oldest: datetime | None


class Page(Sequence[T], Generic[T]):
    """Some of a longer list; *cursor* is where the next page begins, None at the end."""

    def __init__(self, items: Sequence[T], cursor: str | None) -> None:
        self._items, self.cursor = tuple(items), cursor

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"Page({list(self._items)!r}, cursor={self.cursor!r})"


class Queues:
    """The queues of a service's store."""

    def __init__(self, service: AsyncDurableService) -> None:
        self._service = service

    async def list(self) -> Sequence[QueueInfo]:
        """All queues, by name: those that workers have declared, and those in which something waits."""
        store = self._store()
        return [info_of(state) for state in await patiently(store.queues)]

    async def partitions(self, name: str, *, limit: int = 100, cursor: str | None = None) -> Page[PartitionInfo]:
        """The partitions in which something waits or has a place, the longest waiting first; go on with ``page.cursor``."""
        store, name = self._store(), check_id(name, "queue")
        if limit < 1:
            raise InvalidDefinition(f"limit={limit} leaves nothing to list")
        found = await patiently(lambda: store.queue_partitions(name, limit + 1, cursor))
        items = [PartitionInfo(**attrs.asdict(state)) for state in found[:limit]]
        return Page(items, items[-1].partition if len(found) > limit else None)

    async def limit(self, name: str, **limits: Any) -> None:
        """Put these limits in force instead of those that the code declares: those of `Queue`; what is left out is not limited.

        They outlive restarts and deploys, until `reset`. Raises `QueueNotFound`, `InvalidDefinition`.
        """
        store, given = self._store(), limits_of(Queue(name, **limits))
        await patiently(lambda: store.limit_queue(name, given))

    async def reset(self, name: str) -> None:
        """Go back to the limits that the code declares. Raises `QueueNotFound`."""
        store, name = self._store(), check_id(name, "queue")
        await patiently(lambda: store.limit_queue(name, None))

    async def pause(self, name: str, reason: str = "") -> None:
        """Admit nothing from the queue until `resume`; what has begun goes on. Raises `QueueNotFound`."""
        store, name = self._store(), check_id(name, "queue")
        await patiently(lambda: store.pause_queue(name, reason))

    async def resume(self, name: str) -> None:
        """End a pause. Raises `QueueNotFound`."""
        store, name = self._store(), check_id(name, "queue")
        await patiently(lambda: store.pause_queue(name, None))

    def _store(self) -> KeepsQueues:
        self._service._check_open()
        return keeps_queues(self._service.store)


class HasQueues:
    """A service that has them."""

    @property
    def queues(self) -> Queues:
        """What waits in the queues, and what people do about it."""
        return Queues(cast("AsyncDurableService", self))


def keeps_queues(store: Store) -> KeepsQueues:
    """*store*; raises `InvalidDefinition` for one without queues."""
    if not isinstance(store, KeepsQueues):
        raise InvalidDefinition(f"{type(store).__name__} has no queues")
    return store


# ── values of the port ──────────────────────────────────────────────────────────────────────────
def limits_of(queue: Queue) -> QueueLimits:
    """The limits of *queue*, as stores take them."""
    return QueueLimits(
        concurrency=queue.concurrency,
        rate=_rate_limit(queue.rate),
        partition_concurrency=queue.partition_concurrency,
        partition_rate=_rate_limit(queue.partition_rate),
    )


def _rate_limit(rate: Rate | None) -> RateLimit | None:
    return None if rate is None else RateLimit(limit=rate.limit, per=rate.per, spread=rate.spread)


def _rate(limit: RateLimit | None) -> Rate | None:
    return None if limit is None else Rate(limit.limit, per=limit.per, spread=limit.spread)


def info_of(state: QueueState) -> QueueInfo:
    limits = state.limits
    return QueueInfo(
        name=state.name,
        concurrency=limits.concurrency,
        rate=_rate(limits.rate),
        partition_concurrency=limits.partition_concurrency,
        partition_rate=_rate(limits.partition_rate),
        overridden=state.overridden,
        paused=state.paused,
        waiting=state.waiting,
        held=state.held,
        idle=state.idle,
        oldest=state.oldest,
        begun=None if limits.rate is None and limits.partition_rate is None else state.begun,
        served_by=state.served_by,
        next_token=state.next_token,
    )


# ── for people ──────────────────────────────────────────────────────────────────────────────────
def standing(queue: QueueInfo) -> str:
    """Why nothing more is admitted from *queue*, or how much of it is in use."""
    if queue.paused is not None:
        return f"it is paused: {queue.paused}" if queue.paused else "it is paused"
    if not queue.served_by:
        return "no worker serves it"
    active = queue.held - queue.idle
    if queue.concurrency is not None:
        return f"{active} of {queue.concurrency} held"
    if queue.next_token is not None:
        return f"its rate lets the next one begin at {queue.next_token.isoformat(timespec='milliseconds')}"
    return f"{queue.held} held"


def place_text(place: QueuePlace, state: QueueState | None) -> str:
    """Where an execution waits: ``crm, 3rd of 12: 20 of 20 held``."""
    where = place.queue + (f", partition {place.partition}" if place.partition else "")
    if not place.held and place.waiting:
        where += f", {_ordinal(place.ahead + 1)} of {place.waiting}"
    return where if state is None else f"{where}: {standing(info_of(state))}"


async def place_in_queue(store: Store, snapshot: Snapshot) -> str:
    """Where the execution of *snapshot* waits to be admitted: ``crm, 3rd of 12: 20 of 20 held``; nothing if it does not."""
    if snapshot.queue is None or snapshot.status in FINAL or not isinstance(store, KeepsQueues):
        return ""
    place = await patiently(lambda: store.queue_place(snapshot.id))
    if place is None or place.held:
        return ""
    found = await patiently(lambda: store.queues([place.queue]))
    return place_text(place, found[0] if found else None)


def _ordinal(n: int) -> str:
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


# ── what a service declares ─────────────────────────────────────────────────────────────────────
def served_queues(queues: Iterable[Queue | str] | None, workflows: Iterable[Workflow[..., Any]]) -> dict[str, Queue | None]:
    """The queues that a worker serves, by name: *queues*, or all that its *workflows* name. None stands for one that is only named.

    Raises `InvalidDefinition` for two of one name that differ.
    """
    if isinstance(queues, (str, Queue)):
        raise InvalidDefinition(f"queues= takes a list: write queues=[{queues!r}]")
    named = [workflow.queue for workflow in workflows if workflow.queue is not None]
    known: dict[str, Queue | None] = {}
    for queue in [*named, *(queues or ())]:
        if not isinstance(queue, (Queue, str)):
            raise InvalidDefinition(f"queues= takes queues and their names, not {queue!r}")
        name = queue.name if isinstance(queue, Queue) else check_id(queue, "queue")
        before = known.get(name)
        if isinstance(queue, Queue) and before is not None and before != queue:
            raise InvalidDefinition(f"two queues are called {name!r}, with other limits: {before!r} and {queue!r}")
        known[name] = queue if isinstance(queue, Queue) else before
    if queues is None:
        return known
    wanted = [queue if isinstance(queue, str) else queue.name for queue in queues]
    return {name: known[name] for name in dict.fromkeys(wanted)}


def queues_of(workflows: Mapping[str, Workflow[..., Any]]) -> dict[str, WorkflowQueue]:
    """Which queue each of *workflows* has."""
    return {
        name: WorkflowQueue(
            queue=workflow.queue.name if isinstance(workflow.queue, Queue) else workflow.queue, partitioned=workflow.partition is not None
        )
        for name, workflow in workflows.items()
    }


def serving(queues: Mapping[str, Queue | None], workflows: Mapping[str, Workflow[..., Any]]) -> Serving:
    """What a worker of *workflows* declares that serves *queues*."""
    limits = {name: None if queue is None else limits_of(queue) for name, queue in queues.items()}
    return Serving(limits, queues_of(workflows))


async def find_queue(store: Store, new: NewExecution, partition: str | None) -> NewExecution:
    """*new*, which is started by name only, in the queue that workers say its workflow has.

    Raises `InvalidDefinition` where that has partitions and none is given, or where nobody knows whether it has a queue.
    """
    if not isinstance(store, KeepsQueues) or new.queue is not None:
        return new
    found = await store.workflow_queue(new.workflow)
    if found is None:
        if new.priority or new.dedup or partition is not None or await store.queues():
            raise InvalidDefinition(f"no worker has ever listed workflow {new.workflow!r}, so its queue is not known: give queue=")
        return new
    if found.queue is None:
        if new.priority or new.dedup or partition is not None:
            raise InvalidDefinition(f"workflow {new.workflow!r} is in no queue: give queue= too")
        return new
    if found.partitioned and partition is None:
        problem = f"workflow {new.workflow!r} is in queue {found.queue!r}, and only its code can find the partition"
        raise InvalidDefinition(f"{problem}: give partition=")
    return attrs.evolve(new, queue=found.queue, partition=partition or "")


__all__ = ["Page", "PartitionInfo", "QueueInfo", "QueueNotFound", "Queues"]
