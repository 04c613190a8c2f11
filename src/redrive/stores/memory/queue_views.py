"""Queues of the memory store as people see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redrive.ports.queue_port import PartitionState, QueuePlace, QueueState
from redrive.stores.ledger.queue_limits import load_limits
from redrive.stores.times import from_us, maybe_from_us

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from redrive.stores.memory.park_index import Worker
    from redrive.stores.memory.queue_tables import QueueTables, Ticket

_MINUTE: Final = 60_000_000


def states(tables: QueueTables, names: Sequence[str] | None, workers: Iterable[Worker], now_us: int) -> list[QueueState]:
    serving = [worker.queues for worker in workers if worker.expires_us > now_us]
    found: list[QueueState] = []
    for name in sorted(tables.queues if names is None else names):
        queue = tables.queues.get(name)
        mine = [ticket for ticket in tables.of.values() if ticket.queue == name]
        if queue is None or not (mine or queue.is_declared):
            continue
        limits = queue.in_force
        buckets = queue.begun if limits.rate is not None else [one for lane in queue.lanes.values() for one in lane.begun]
        waiting = [ticket for ticket in mine if ticket.held_us is None]
        state = QueueState(
            name=name,
            limits=limits,
            declared=load_limits(queue.limits),
            overridden=queue.override is not None,
            paused=queue.paused,
            waiting=len(waiting),
            held=len(mine) - len(waiting),
            idle=sum(ticket.idle for ticket in mine),
            oldest=_oldest(waiting),
            served_by=sum(name in queues for queues in serving),
            begun=sum(one.count for one in buckets if one.at_us > now_us - _MINUTE),
            next_token=from_us(queue.due_us) if queue.due_us > now_us else None,
        )
        found.append(state)
    return found


def _oldest(waiting: Iterable[Ticket]) -> datetime | None:
    return maybe_from_us(min((ticket.since_us for ticket in waiting if ticket.due_us is None), default=None))


def partitions(tables: QueueTables, name: str, most: int, after: str | None) -> list[PartitionState]:
    by_partition: dict[str, list[Ticket]] = {}
    for ticket in tables.of.values():
        if ticket.queue == name:
            by_partition.setdefault(ticket.partition, []).append(ticket)
    since = {
        partition: min((one.since_us for one in mine if one.held_us is None), default=None) for partition, mine in by_partition.items()
    }
    found = [
        PartitionState(
            partition=partition,
            waiting=sum(one.held_us is None for one in by_partition[partition]),
            held=sum(one.held_us is not None for one in by_partition[partition]),
            oldest=maybe_from_us(since[partition]),
        )
        for partition in sorted(by_partition, key=lambda one: (since[one] is None, since[one] or 0, one))
    ]
    begins = 0 if after is None else next((at + 1 for at, one in enumerate(found) if one.partition == after), len(found))
    return found[begins : begins + most]


def place(tables: QueueTables, id: str) -> QueuePlace | None:
    ticket = tables.of.get(id)
    if ticket is None:
        return None
    held, ahead, waiting = ticket.held_us is not None, 0, 0
    if not held:
        lane = tables.queue(ticket.queue).lanes.get(ticket.partition)
        every = [] if lane is None else lane.waiting
        ahead, waiting = sum(one < (ticket.priority, ticket.seq) for one in every), max(len(every), 1)
    return QueuePlace(
        queue=ticket.queue,
        partition=ticket.partition,
        priority=ticket.priority,
        held=held and not ticket.again,
        ahead=ahead,
        waiting=waiting,
    )
