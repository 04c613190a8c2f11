"""Admission on SQLite: what the rules of the ledger ask is read, and what they decide is written. The transaction is the lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from redrive.ports.queue_port import QueueLimits, RateLimit
from redrive.stores.change_notifier import WORK
from redrive.stores.ledger import admission, rates
from redrive.stores.ledger.admission import Admission, Borrower, LaneFacts, QueueFacts, WaitingTicket
from redrive.stores.ledger.queue_limits import load_limits
from redrive.stores.ledger.rates import Bucket
from redrive.stores.sqlite.column_values import to_text
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.ticket_rows import active, join_lane

ELDERS: Final = 2
"""Lanes that wait longest, looked at beside those whose turn it is; and the oldest tickets of each lane."""


def admit(tx: Transaction, room: Mapping[str, int], limit: int) -> list[int]:
    """Admit up to *limit* executions from the queues of *room*; their rows, in order."""
    found: list[int] = []
    for name in sorted(room):
        most = min(room[name], limit - len(found))
        if most > 0:
            found += _admit(tx, to_text(name), most)
    return found


def _admit(tx: Transaction, queue: str, room: int) -> list[int]:
    row = tx.execute(SQL["queue"], (queue,)).fetchone()
    if row is None:
        return []
    limits, now_us = load_limits(row[1] or row[0]), tx.now_us
    _keep_time(tx, queue, limits)
    facts = _facts(tx, queue, limits, row, room)
    made = admission.admit(facts, room, now_us)
    admitted = _hold(tx, made)
    for change in made.lanes:
        tx.execute(SQL["save_lane"], (change.state, change.level, change.tag, change.oldest_us, change.due_us, queue, change.partition))
        if change.empty:
            tx.execute(SQL["idle_lane"], {"queue": queue, "partition": change.partition})
        if change.begun and limits.partition_rate is not None:
            _count(tx, queue, 1, change.partition, limits.partition_rate, change.begun)
    if made.begun and limits.rate is not None:
        _count(tx, queue, 0, "", limits.rate, made.begun)
    if (made.floor, made.turn, made.due_us) != row[3:]:
        tx.execute(SQL["save_queue"], (made.floor, made.turn, made.due_us, queue))
    return admitted


def _keep_time(tx: Transaction, queue: str, limits: QueueLimits) -> None:
    """What is due by now begins to wait, and what is out of date is forgotten."""
    now_us = tx.now_us
    for seq, partition, priority in tx.execute(SQL["due_tickets"], (queue, now_us)).fetchall():
        tx.execute(SQL["wait_now"], (now_us, seq))
        join_lane(tx, queue, partition, priority)
    window = 0 if limits.partition_rate is None else rates.length_us(limits.partition_rate)
    tx.execute(SQL["open_later_lanes"], (queue, now_us, now_us + window))
    if limits.rate is not None or limits.partition_rate is not None:
        longest = max(rates.kept_us(rate) for rate in (limits.rate, limits.partition_rate) if rate is not None)
        tx.execute(SQL["begun_no_later"], {"queue": queue, "now": now_us})
        tx.execute(SQL["forget_begun"], (queue, now_us - longest))


def _facts(tx: Transaction, queue: str, limits: QueueLimits, row: Sequence[Any], room: int) -> QueueFacts:
    _, _, paused, floor, turn, _ = row
    facts = QueueFacts(limits, paused is not None, floor, turn, 0)
    if facts.paused:
        return facts
    if limits.concurrency is not None:
        facts.active = active(tx, queue, limits.concurrency)
    facts.begun = [] if limits.rate is None else _begun(tx, queue, 0, "")
    facts.again = [seq for (seq,) in tx.execute(SQL["again_tickets"], (queue, room))]
    facts.borrowers = _borrowers(tx, queue)
    lanes: dict[str, LaneFacts] = {}
    if limits.concurrency is None or facts.active < limits.concurrency:
        rows = tx.execute(SQL["ready_lanes"], (queue, room)).fetchall()
        rows += tx.execute(SQL["old_lanes"], (queue, ELDERS)).fetchall() if len(rows) == room else []
        lanes = {lane[0]: LaneFacts(*lane) for lane in rows}
    for borrower in facts.borrowers:
        lanes[borrower.partition] = LaneFacts(*tx.execute(SQL["lane"], (queue, borrower.partition)).fetchone())
    heads = max(2, -(-room // max(1, len(lanes))) + 1)
    for lane in lanes.values():
        _read_lane(tx, queue, lane, limits, heads)
    facts.lanes = list(lanes.values())
    return facts


def _read_lane(tx: Transaction, queue: str, lane: LaneFacts, limits: QueueLimits, heads: int) -> None:
    if limits.partition_concurrency is not None:
        (lane.held,) = tx.execute(SQL["lane_held"], (queue, lane.partition, limits.partition_concurrency)).fetchone()
    lane.begun = [] if limits.partition_rate is None else _begun(tx, queue, 1, lane.partition)
    lane.heads = [WaitingTicket(*head) for head in tx.execute(SQL["lane_heads"], (queue, lane.partition, heads))]
    lane.elders = [WaitingTicket(*head) for head in tx.execute(SQL["lane_elders"], (queue, lane.partition, ELDERS))]
    lane.more = len(lane.heads) == heads


def _borrowers(tx: Transaction, queue: str) -> list[Borrower]:
    """The first of each lender, in their order."""
    found: list[tuple[int, Borrower]] = []
    lender = 0
    for _ in range(admission.LENDERS):
        row = tx.execute(SQL["next_borrower"], (queue, lender)).fetchone()
        if row is None:
            break
        seq, partition, priority, lender = row
        place = tx.execute(SQL["may_lend"], (lender, queue)).fetchone()
        if place is not None:
            found.append((priority, Borrower(seq, partition, lender, place[0])))
    return [borrower for _, borrower in sorted(found, key=lambda one: (one[0], one[1].seq))]


def _hold(tx: Transaction, made: Admission) -> list[int]:
    rows: list[int] = []
    for seq in made.again:
        rows += [n for (n,) in tx.execute(SQL["place_again"], (seq,)).fetchall()]
    for borrower, borrowed in made.borrowed:
        tx.execute(SQL["lend_to"], (borrower.seq, borrower.lender))
        rows += [n for (n,) in tx.execute(SQL["hold_ticket"], (tx.now_us, borrower.lender, borrowed, borrower.seq)).fetchall()]
    for seq in made.admitted:
        rows += [n for (n,) in tx.execute(SQL["hold_ticket"], (tx.now_us, None, admission.OWN_PLACE, seq)).fetchall()]
    for n in rows:
        tx.execute(SQL["admit_execution"], (tx.now_us, tx.now_us, n))
        if tx.execute(SQL["is_held_back"], (n,)).fetchone() is not None:  # it has its turn, and lends its place
            tx.execute(SQL["idle_ticket"], (n,))
    if rows:
        tx.news |= WORK
    return rows


def _begun(tx: Transaction, queue: str, scope: int, partition: str) -> list[Bucket]:
    return [Bucket(*row) for row in tx.execute(SQL["begun"], (queue, scope, partition))]


def _count(tx: Transaction, queue: str, scope: int, partition: str, rate: RateLimit, count: int) -> None:
    bucket = rates.counted(rate, _begun(tx, queue, scope, partition), tx.now_us, count)
    tx.execute(SQL["count_begun"], (queue, scope, partition, bucket.since_us, bucket.at_us, bucket.count))


def next_admission(tx: Transaction, queue: str) -> int | None:
    """When something may next be admitted from *queue*."""
    row = tx.execute(SQL["next_admission"], {"queue": queue}).fetchone()
    if row is None or row[0] is not None:
        return None
    _, declared, override, due_us, ready, again, borrows, lane_us, ticket_us = row
    limits = load_limits(override or declared)
    full = limits.concurrency is not None and active(tx, queue, limits.concurrency) >= limits.concurrency
    return admission.next_us(
        limits, due_us, tx.now_us, waits=bool(ready or again) and not full, borrows=bool(borrows), later=(lane_us, ticket_us)
    )
