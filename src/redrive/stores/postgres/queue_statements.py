"""What is declared of queues, and what people see of them, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redrive.ports.queue_port import MOST_COUNTED, PartitionState, QueueLimits, QueueNotFound, QueuePlace, QueueState, WorkflowQueue
from redrive.ports.store import StoreError
from redrive.stores.ledger.queue_limits import REMEMBERED_US, Declaration, declared, dump_limits, in_force, load_limits, older_workers
from redrive.stores.postgres.parameters import SEPARATOR, from_text, from_us, maybe_from_us, maybe_text, to_text
from redrive.stores.postgres.session import Session, Sessions


async def declare(
    session: Session, build: str, queues: Mapping[str, QueueLimits | None], workflows: Mapping[str, WorkflowQueue]
) -> list[str]:
    """The queues whose limits have changed."""
    changed: list[str] = []
    if queues:
        await session.run("require_release")
        older = await (await session.run("old_workers")).fetchall()
        if older:
            raise StoreError(older_workers([from_text(id) for (id,) in older], sorted(queues)))
        await session.run("insert_queues", SEPARATOR.join(sorted(map(to_text, queues))))
    for name in sorted(queues):
        limits = queues[name]
        if limits is not None and await _declare(session, to_text(name), to_text(build), dump_limits(limits)):
            changed.append(name)
    for workflow, it in sorted(workflows.items()):
        await session.run("set_workflow_queue", to_text(workflow), maybe_text(it.queue), it.partitioned)
    return changed


async def _declare(session: Session, queue: str, build: str, limits: str) -> bool:
    ((in_force_now, _, _, _, _, _, now_us),) = await (await session.run("lock_queue", queue)).fetchall()
    rows = await (await session.run("declarations", queue)).fetchall()
    found = {row[0]: Declaration(*row) for row in rows}
    found[build] = now = declared(found.get(build), build, limits, now_us)
    await session.run("set_declaration", queue, build, now.limits, now.first_us, now.seen_us)
    await session.run("forget_declarations", queue, now_us - REMEMBERED_US)
    becomes = in_force(list(found.values()), now_us)
    if becomes == in_force_now:
        return False
    await session.run("set_limits", queue, becomes)
    return True


async def look_again(sessions: Sessions, queue: str) -> None:
    """The limits of *queue* have changed: what was full may not be."""
    after: str | None = ""
    # The lane of the empty name comes before all others.
    await sessions.rows("open_lane_without_name", to_text(queue))
    while after is not None:
        ((after,),) = await sessions.rows("open_lanes", to_text(queue), after)


async def workflow_queue(sessions: Sessions, workflow: str) -> WorkflowQueue | None:
    rows = await sessions.rows("workflow_queue", to_text(workflow))
    if not rows:
        return None
    queue, partitioned = rows[0]
    return WorkflowQueue(queue=None if queue is None else from_text(queue), partitioned=partitioned)


async def limit(sessions: Sessions, queue: str, limits: QueueLimits | None) -> None:
    if not await sessions.rows("set_override", to_text(queue), None if limits is None else dump_limits(limits)):
        raise QueueNotFound(queue)
    await look_again(sessions, queue)


async def pause(sessions: Sessions, queue: str, reason: str | None) -> None:
    if not await sessions.rows("set_paused", to_text(queue), maybe_text(reason)):
        raise QueueNotFound(queue)


# ── what people see ─────────────────────────────────────────────────────────────────────────────
async def states(sessions: Sessions, names: Sequence[str] | None) -> list[QueueState]:
    asked = [name for (name,) in await sessions.rows("queue_names")] if names is None else [to_text(name) for name in names]
    if not asked:
        return []
    found = [_state(*row) for row in await sessions.rows("queue_state", SEPARATOR.join(asked))]
    return [state for state in found if state is not None]


def _state(
    name: str,
    known: bool,
    limits: str | None,
    override: str | None,
    paused: str | None,
    due_us: int | None,
    now_us: int,
    waiting: int,
    later: int,
    held: int,
    borrowing: int,
    *rest: Any,
) -> QueueState | None:
    idle, oldest_us, served_by, begun, begun_in_partitions = rest
    if not known and not (waiting or later or held):
        return None
    in_force_now = load_limits(override or limits)
    return QueueState(
        name=from_text(name),
        limits=in_force_now,
        declared=load_limits(limits),
        overridden=override is not None,
        paused=None if paused is None else from_text(paused),
        waiting=waiting + later,
        held=held + borrowing,
        idle=idle,
        oldest=maybe_from_us(oldest_us),
        served_by=served_by,
        begun=int(begun if in_force_now.rate is not None else begun_in_partitions),
        next_token=from_us(due_us) if due_us is not None and due_us > now_us else None,
    )


async def partitions(sessions: Sessions, queue: str, most: int, after: str | None) -> list[PartitionState]:
    found = [
        PartitionState(partition=from_text(partition), waiting=waiting, held=held, oldest=maybe_from_us(oldest_us))
        for partition, waiting, held, oldest_us in await sessions.rows("partitions", to_text(queue))
    ]
    begins = 0 if after is None else next((at + 1 for at, one in enumerate(found) if one.partition == after), len(found))
    return found[begins : begins + most]


async def place(sessions: Sessions, id: str) -> QueuePlace | None:
    rows = await sessions.rows("place", to_text(id), MOST_COUNTED)
    if not rows:
        return None
    queue, partition, priority, held, ahead, waiting = rows[0]
    return QueuePlace(
        queue=from_text(queue),
        partition=from_text(partition),
        priority=priority,
        held=held,
        ahead=ahead,
        waiting=max(waiting, int(not held)),
    )
