"""Tickets of queues on PostgreSQL: lanes are locked before executions, and what the rules of the ledger note is written after."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from redrive.stores.common import short_key
from redrive.stores.ledger.lending import Kin, find_lenders
from redrive.stores.ledger.locked_execution import WAITING, LockedExecution
from redrive.stores.ledger.queue_limits import load_limits
from redrive.stores.ledger.reach import Reach
from redrive.stores.ledger.unit_of_work import FIRST, UnitOfWork
from redrive.stores.postgres.parameters import SEPARATOR, from_text, to_text
from redrive.stores.postgres.session import Again, Session

_MOST_REMEMBERED: Final = 10_000


async def lock_lanes(session: Session, reach: Reach) -> None:
    """Lock the queues and lanes that *reach* has to do with, as far as they are known before its executions are locked."""
    for id in reach.may_leave:
        if (lane := session.lanes.pop(id, None)) is not None:
            reach.lanes[lane] = True
    if session.held_back:
        reach.queues |= {session.held_back.pop(id) for id in reach.ids if id in session.held_back}
    if reach.queues:
        await session.run("lock_queues", SEPARATOR.join(sorted(map(to_text, reach.queues))))
    if not reach.lanes:
        return
    lanes = sorted((to_text(queue), to_text(partition)) for queue, partition in reach.lanes)
    await session.run("lock_lanes_alone" if any(reach.lanes.values()) else "lock_lanes", *_lists(lanes, 2))


def require_lanes(session: Session, reach: Reach, work: UnitOfWork) -> None:
    """Raises `Again` if an execution is locked whose lane, or queue, is not and must be: they come first."""
    for id in reach.may_leave:
        execution = work.executions.get(id)
        if execution is None or execution.queue is None:
            continue
        lane = execution.queue, execution.partition
        waits = execution.queued == WAITING
        if lane not in reach.lanes or (waits and not any(reach.lanes.values())):
            if len(session.lanes) >= _MOST_REMEMBERED:
                session.lanes.clear()
            session.lanes[id] = lane
            raise Again("an execution is in a queue, and its lane was not locked before it")
    for execution in work.held_back:
        assert execution.queue is not None
        if execution.queue not in reach.queues:
            session.held_back[execution.id] = execution.queue
            raise Again("an execution that was held back is in a queue, and that was not locked before it")


async def read_places(session: Session, work: UnitOfWork, dedups: Sequence[tuple[str, str]]) -> None:
    """Read what the rules must know of queues: who holds *dedups*, and which executions that are held back lent their place."""
    if dedups:
        keys = [(queue, short_key(dedup)) for queue, dedup in dedups]
        rows = await session.run("dedup_holders", *_lists([(to_text(queue), to_text(dedup)) for queue, dedup in keys], 2))
        for i, id in await rows.fetchall():
            if id is not None:
                work.holders[keys[i - 1]] = from_text(id)
    if held_back := work.held_back:
        rows = await session.run("idle_places", ",".join(str(execution.n) for execution in held_back))
        idle = {n for (n,) in await rows.fetchall()}
        work.idle = {execution.id for execution in held_back if execution.n in idle}
        for queue in {execution.queue for execution in held_back if execution.n in idle and execution.queue is not None}:
            found = await (await session.run("lock_queues", to_text(queue))).fetchall()
            limits = load_limits(found[0][2] or found[0][1]) if found else load_limits(None)
            if limits.concurrency is not None:
                ((count,),) = await (await session.run("active", to_text(queue), limits.concurrency)).fetchall()
                work.free_places[queue] = max(0, limits.concurrency - count)


async def write_tickets(session: Session, work: UnitOfWork) -> None:
    if work.left:
        await session.run("leave_queues", ",".join(str(execution.n) for execution in work.left))
    if work.joined:
        await _join(session, work)
    if work.idled:
        await session.run("idle_tickets", ",".join(str(execution.n) for execution in work.idled))
    for execution in work.resumed:
        await session.run("resume_ticket", execution.n)
    for execution in work.again:
        await session.run("await_place_again", execution.n)
    for execution in work.first_in_line:
        assert execution.queue is not None
        await session.run("come_first", execution.n, FIRST)
        if execution not in work.again:
            lanes = _lists([(to_text(execution.queue), to_text(execution.partition), str(FIRST))], 3)
            await session.run("open_lanes_for", *lanes, work.now_us)
    if work.awaits:
        await session.run("lock_lending")
        for execution, ids in work.awaits:
            await _wait_for(session, execution, ids)


async def _join(session: Session, work: UnitOfWork) -> None:
    rows: list[tuple[str, str, str, str, str]] = []
    for join in work.joined:
        execution = join.execution
        assert execution.queue is not None
        due = "" if join.due_us is None else str(join.due_us)
        rows.append((to_text(execution.queue), to_text(execution.partition), str(join.priority), str(execution.n), due))
    if waiting := [row[:3] for row in rows if not row[4]]:
        await session.run("open_lanes_for", *_lists(waiting, 3), work.now_us)
    await session.run("insert_tickets", *_lists(rows, 5), work.now_us)
    for join in work.joined:
        if join.dedup is not None:
            made = await session.run("insert_dedup", to_text(join.execution.queue or ""), to_text(join.dedup), join.execution.n)
            if not await made.fetchall():
                raise Again("a dedup key was taken by two at once")


async def _wait_for(session: Session, execution: LockedExecution, ids: Sequence[str]) -> None:
    """Store what *execution* waits for, and whose place that may use."""
    before = await _kin(session, execution.id)
    await session.run("set_awaits", execution.n, json.dumps(list(ids)))
    search = find_lenders(execution.id, () if before is None else sorted(set(before.waits) - set(ids)))
    asked = next(search)
    while True:
        kin = await _kin(session, asked)
        try:
            asked = search.send(kin)
        except StopIteration as end:
            for n, lender in end.value.items():
                await session.run("set_lender", n, lender)
            return


async def _kin(session: Session, id: str) -> Kin | None:
    rows = await (await session.run("kin", to_text(id))).fetchall()
    if not rows:
        return None
    n, waits, creator, seq, queue, held_us = rows[0]
    waited = tuple(json.loads(waits)) if waits else ()
    return Kin(n, None if creator is None else from_text(creator), waited, seq, queue or "", held_us is not None)


def _lists(rows: Iterable[Sequence[Any]], width: int) -> list[str]:
    """The columns of *rows*, as JSON arrays of texts: a partition may be empty."""
    columns = list(zip(*rows, strict=True)) or [()] * width
    return [json.dumps(column) for column in columns]
