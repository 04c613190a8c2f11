"""Admission on PostgreSQL: what the rules of the ledger ask is locked and read, and what they decide is written.

1.  The queue is locked first, then the lanes whose turn it is, in their order. Lanes that others hold are left alone: a start in somebody's
    open transaction, or an end, stops nobody.
2.  The tickets are read by statements of their own, after the locks: they see all that is committed by then.
3.  Where nothing more is seen to wait, the lane is locked more strongly and looked at again before it counts as idle: a start under way
    holds it, and then it stays ready.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from redrive.ports.queue_port import QueueLimits, RateLimit
from redrive.stores.ledger import admission, rates
from redrive.stores.ledger.admission import Admission, Borrower, LaneFacts, QueueFacts, WaitingTicket
from redrive.stores.ledger.queue_limits import load_limits
from redrive.stores.ledger.rates import Bucket
from redrive.stores.postgres.parameters import SEPARATOR, numbers, to_text
from redrive.stores.postgres.session import Session, Sessions

ELDERS: Final = 2
"""Lanes that wait longest, looked at beside those whose turn it is; and the oldest tickets of each lane."""


async def admit(session: Session, room: Mapping[str, int], limit: int) -> list[int]:
    """Admit up to *limit* executions from the queues of *room*; their rows, in order."""
    found: list[int] = []
    for name in sorted(room):
        most = min(room[name], limit - len(found))
        if most > 0:
            found += await _admit(session, to_text(name), most)
    return found


async def _admit(session: Session, queue: str, room: int) -> list[int]:
    rows = await (await session.run("lock_queue", queue)).fetchall()
    if not rows or rows[0][2] is not None:
        return []
    declared, override, _, floor, turn, due_us, now_us = rows[0]
    limits = load_limits(override or declared)
    await _keep_time(session, queue, limits, now_us)
    facts = await _facts(session, queue, QueueFacts(limits, False, floor, turn, 0), room)
    made = admission.admit(facts, room, now_us)
    admitted = await _hold(session, queue, made, now_us)
    if made.lanes:
        await _save_lanes(session, queue, made, limits, facts, now_us)
    if made.begun and limits.rate is not None:
        await _count(session, queue, 0, "", limits.rate, facts.begun, now_us, made.begun)
    if (made.floor, made.turn, made.due_us) != (floor, turn, due_us):
        await session.run("save_queue", queue, made.floor, made.turn, made.due_us)
    return admitted


async def _keep_time(session: Session, queue: str, limits: QueueLimits, now_us: int) -> None:
    """What is due by now begins to wait, and what is out of date is forgotten."""
    await session.run("begin_to_wait", queue, now_us)
    if limits.partition_rate is not None:
        await session.run("open_later_lanes", queue, now_us)
        await session.run("open_too_late_lanes", queue, now_us + rates.length_us(limits.partition_rate))
    if limits.rate is not None or limits.partition_rate is not None:
        longest = max(rates.kept_us(rate) for rate in (limits.rate, limits.partition_rate) if rate is not None)
        await session.run("begun_no_later", queue, now_us)
        await session.run("forget_begun", queue, now_us - longest)


async def _facts(session: Session, queue: str, facts: QueueFacts, room: int) -> QueueFacts:
    limits = facts.limits
    counted = None if limits.concurrency is None else await session.run("active", queue, limits.concurrency)
    begun = None if limits.rate is None else await session.run("begun", queue, 0, "")
    again = await session.run("again_tickets", queue, room)
    borrowing = await session.run("borrowers", queue, admission.LENDERS)
    if counted is not None:
        ((facts.active,),) = await counted.fetchall()
    if begun is not None:
        facts.begun = [Bucket(*row) for row in await begun.fetchall()]
    facts.again = [seq for (seq,) in await again.fetchall()]
    borrowers: dict[int, Borrower] = {}
    for row in await borrowing.fetchall():
        borrowers.setdefault(row[2], Borrower(*row))
    full = limits.concurrency is not None and facts.active >= limits.concurrency
    wanted = {partition for one in borrowers.values() for partition in (one.partition, one.lender_partition)}
    taken = await session.run("take_lanes", queue, 0 if full else room, 0 if full else ELDERS, json.dumps(sorted(wanted)))
    lanes = {row[0]: LaneFacts(*row) for row in await taken.fetchall()}
    facts.borrowers = [one for one in borrowers.values() if one.partition in lanes and one.lender_partition in lanes]
    if facts.borrowers:
        await session.run("lock_lending")
    if lanes:
        await _read_lanes(session, queue, lanes, limits, max(2, -(-room // len(lanes)) + 1))
    facts.lanes = list(lanes.values())
    if full:
        facts.lanes = [lane for lane in facts.lanes if lane.partition in {one.partition for one in facts.borrowers}]
    return facts


async def _read_lanes(session: Session, queue: str, lanes: Mapping[str, LaneFacts], limits: QueueLimits, heads: int) -> None:
    most = limits.partition_concurrency or 0
    for partition, held, first, oldest, begun in await (
        await session.run("read_lanes", queue, json.dumps(list(lanes)), most, heads, ELDERS)
    ).fetchall():
        lane = lanes[partition]
        lane.held = held
        lane.heads = [WaitingTicket(*head) for head in first or ()]
        lane.elders = [WaitingTicket(*head) for head in oldest or ()]
        lane.begun = [Bucket(*bucket) for bucket in begun or ()]
        lane.more = len(lane.heads) == heads


async def _hold(session: Session, queue: str, made: Admission, now_us: int) -> list[int]:
    places: dict[int, int] = {}
    if made.again:
        places.update(await (await session.run("place_again", numbers(made.again))).fetchall())
    borrowed = [(one.seq, one.lender, what) for one, what in made.borrowed]
    for seq, lender, _ in borrowed:
        await session.run("lend", lender, seq)
    held = [*borrowed, *((seq, None, admission.OWN_PLACE) for seq in made.admitted)]
    if held:
        seqs, lenders, kinds = (numbers(column) for column in zip(*held, strict=True))
        places.update(await (await session.run("hold_tickets", seqs, queue, lenders, kinds, now_us)).fetchall())
    ns = [places[seq] for seq in (*made.again, *(seq for seq, *_ in held)) if seq in places]
    if ns:
        admitted = await (await session.run("admit_executions", numbers(ns), now_us)).fetchall()
        if held_back := [n for n, is_held_back in admitted if is_held_back]:  # they have their turn, and lend their place
            await session.run("idle_tickets", numbers(held_back))
    return ns


async def _save_lanes(session: Session, queue: str, made: Admission, limits: QueueLimits, facts: QueueFacts, now_us: int) -> None:
    lanes = made.lanes
    await session.run(
        "save_lanes",
        queue,
        json.dumps([lane.partition for lane in lanes]),
        json.dumps([lane.state for lane in lanes]),
        json.dumps([str(lane.level) for lane in lanes]),
        json.dumps([str(lane.tag) for lane in lanes]),
        json.dumps([str(lane.oldest_us) for lane in lanes]),
        json.dumps(["" if lane.due_us is None else str(lane.due_us) for lane in lanes]),
    )
    if limits.partition_rate is not None:
        begun = {lane.partition: lane.begun for lane in facts.lanes}
        for lane in lanes:
            if lane.begun:
                await _count(session, queue, 1, lane.partition, limits.partition_rate, begun[lane.partition], now_us, lane.begun)
    if empty := sorted(lane.partition for lane in lanes if lane.empty):
        found = await (await session.run("lock_empty_lanes", queue, json.dumps(empty))).fetchall()
        idle = {partition for (partition,) in found}
        await session.run("idle_lanes", queue, json.dumps(sorted(idle)))
        if kept := [lane for lane in lanes if lane.empty and lane.partition not in idle]:
            await _keep_ready(session, queue, kept)


async def _keep_ready(session: Session, queue: str, lanes: Iterable[admission.LaneChange]) -> None:
    """A start is under way in each of *lanes*: whether something waits is seen by the next admission."""
    for lane in lanes:
        row = [[lane.partition], [admission.READY], [str(lane.level)], [str(lane.tag)], [str(lane.oldest_us)], [""]]
        await session.run("save_lanes", queue, *map(json.dumps, row))


async def _count(
    session: Session, queue: str, scope: int, partition: str, rate: RateLimit, begun: Sequence[Bucket], now_us: int, count: int
) -> None:
    bucket = rates.counted(rate, begun, now_us, count)
    await session.run("count_begun", queue, scope, partition, bucket.since_us, bucket.at_us, bucket.count)


async def next_admission(sessions: Sessions, queues: Sequence[str]) -> int | None:
    """When something may next be admitted from one of *queues*."""
    found: list[int] = []
    for row in await sessions.rows("next_admission", SEPARATOR.join(map(to_text, queues)), True):
        _, paused, declared, override, due_us, now_us, active, ready, again, borrows, lane_us, ticket_us = row
        if paused is not None:
            continue
        limits = load_limits(override or declared)
        full = limits.concurrency is not None and active >= limits.concurrency
        waits = bool(ready or again) and not full
        at_us = admission.next_us(limits, due_us, now_us, waits=waits, borrows=bool(borrows), later=(lane_us, ticket_us))
        found += [] if at_us is None else [at_us]
    return min(found, default=None)


async def recheck(session: Session, queues: Iterable[str]) -> None:
    """Look again at all lanes of *queues*, and at tickets whose execution has ended: whatever went wrong, it is not for long."""
    for name in sorted(map(to_text, queues)):
        await session.run("lock_queue", name)
        ended = await (await session.run("ended_tickets", name)).fetchall()
        if ended:
            rows = sorted({partition for _, partition in ended})
            await session.run("lock_lanes", json.dumps([name] * len(rows)), json.dumps(rows))
            await session.run("leave_queues", numbers(n for n, _ in ended))
        await session.run("look_again", name)
        await session.run("forget_lanes", name)
