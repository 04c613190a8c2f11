"""Tickets of queues: joined with a start, and deleted with the end. What the rules of the ledger note is written here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from redrive.stores.common import short_key
from redrive.stores.ledger.lending import Kin, Lenders, find_lenders
from redrive.stores.ledger.locked_execution import LockedExecution
from redrive.stores.ledger.queue_limits import load_limits
from redrive.stores.ledger.unit_of_work import FIRST, UnitOfWork
from redrive.stores.sqlite.column_values import from_text, to_text
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL


class Ticket(NamedTuple):
    """The columns of `ticket`."""

    seq: int
    queue: str
    partition: str
    priority: int
    held_us: int | None
    due_us: int | None
    idle: int
    again: int
    borrowed: int
    lender: int | None
    lent_to: int | None


def read_places(tx: Transaction, work: UnitOfWork, dedups: Sequence[tuple[str, str]]) -> None:
    """Read what the rules must know of queues: who holds *dedups*, and which executions that are held back lent their place."""
    for queue, dedup in dedups:
        row = tx.execute(SQL["dedup_holder"], (to_text(queue), to_text(short_key(dedup)))).fetchone()
        if row is not None:
            work.holders[queue, short_key(dedup)] = from_text(row[0])
    for execution in work.held_back:
        ticket = ticket_of(tx, execution.n)
        if ticket is not None and root(tx, ticket.seq)[1]:
            assert execution.queue is not None
            work.idle.add(execution.id)
            _count_free(tx, work, execution.queue)


def _count_free(tx: Transaction, work: UnitOfWork, queue: str) -> None:
    row = tx.execute(SQL["queue"], (to_text(queue),)).fetchone()
    limits = load_limits(None if row is None else row[1] or row[0])
    if limits.concurrency is not None and queue not in work.free_places:
        work.free_places[queue] = max(0, limits.concurrency - active(tx, to_text(queue), limits.concurrency))


def active(tx: Transaction, queue: str, most: int) -> int:
    """How many have a place in *queue*, counted up to *most*."""
    (count,) = tx.execute(SQL["active"], (queue, most)).fetchone()
    return int(count)


def ticket_of(tx: Transaction, n: int) -> Ticket | None:
    row = tx.execute(SQL["ticket"], (n,)).fetchone()
    return None if row is None else Ticket(*row)


def root(tx: Transaction, seq: int) -> tuple[int, int]:
    """The ticket whose place in the queue *seq* uses, in the end, and whether that is idle."""
    while True:
        seq, idle, borrowed, lender = tx.execute(SQL["ticket_by_seq"], (seq,)).fetchone()
        if not borrowed or lender is None:
            return seq, idle
        seq = lender


def write_tickets(tx: Transaction, work: UnitOfWork) -> None:
    for execution in work.left:
        leave(tx, execution.n)
    for join in work.joined:
        execution = join.execution
        assert execution.queue is not None
        queue, partition = to_text(execution.queue), to_text(execution.partition)
        if join.due_us is None:
            join_lane(tx, queue, partition, join.priority)
        tx.execute(SQL["insert_ticket"], (queue, partition, join.priority, execution.n, join.due_us or tx.now_us, join.due_us))
        if join.dedup is not None:
            tx.execute(SQL["insert_dedup"], (queue, to_text(join.dedup), execution.n))
    for execution in work.idled:
        idle(tx, execution.n)
    for execution in work.resumed:
        if (ticket := ticket_of(tx, execution.n)) is not None:
            tx.execute(SQL["resume_ticket"], (ticket.seq,))
            tx.execute(SQL["resume_ticket"], (root(tx, ticket.seq)[0],))
    for execution in work.again:
        tx.execute(SQL["await_place_again"], (execution.n,))
    for execution in work.first_in_line:
        _come_first(tx, execution)
    for execution, ids in work.awaits:
        _wait_for(tx, execution, ids)


def join_lane(tx: Transaction, queue: str, partition: str, priority: int) -> None:
    tx.execute(SQL["join_lane"], {"queue": queue, "partition": partition, "priority": priority, "now": tx.now_us})


def _come_first(tx: Transaction, execution: LockedExecution) -> None:
    assert execution.queue is not None
    tx.execute(SQL["come_first"], (FIRST, execution.n))
    ticket = ticket_of(tx, execution.n)
    if ticket is not None and ticket.held_us is None:
        join_lane(tx, ticket.queue, ticket.partition, FIRST)


def leave(tx: Transaction, n: int) -> None:
    """Delete the ticket and the dedup key of an execution: it has ended."""
    ticket = ticket_of(tx, n)
    tx.execute(SQL["delete_dedup"], (n,))
    if ticket is None:
        return
    tx.execute(SQL["delete_ticket"], (n,))
    lane = ticket.queue, ticket.partition
    if ticket.held_us is None:
        tx.execute(SQL["idle_lane"], {"queue": ticket.queue, "partition": ticket.partition})
        return
    heir = tx.execute(SQL["heir_of"], (ticket.seq,)).fetchone()
    if heir is not None:  # the place is passed on
        tx.execute(SQL["inherit"], (ticket.borrowed, ticket.lender, heir[0]))
        if ticket.lender is not None:
            tx.execute(SQL["lend_to"], (heir[0], ticket.lender))
    elif ticket.lender is not None:
        tx.execute(SQL["returned"], (ticket.lender,))
    tx.execute(SQL["lend_no_more"], (ticket.seq,))
    tx.execute(SQL["open_lane"], lane)


def idle(tx: Transaction, n: int) -> None:
    """The execution is parked: nobody need wait for its place in the queue."""
    ticket = ticket_of(tx, n)
    if ticket is not None and ticket.held_us is not None:
        tx.execute(SQL["idle_ticket"], (n,))
        if ticket.borrowed:
            tx.execute(SQL["idle_lent_ticket"], (root(tx, ticket.seq)[0],))


# ── whose place may be used ─────────────────────────────────────────────────────────────────────
def _wait_for(tx: Transaction, execution: LockedExecution, ids: Sequence[str]) -> None:
    """Store what *execution* waits for, and whose place that may use."""
    before = _kin(tx, execution.id)
    tx.execute(SQL["set_awaits"], (json.dumps(list(ids)), execution.n))
    search = find_lenders(execution.id, () if before is None else sorted(set(before.waits) - set(ids)))
    asked = next(search)
    while True:
        try:
            asked = search.send(_kin(tx, asked))
        except StopIteration as end:
            lenders: Lenders = end.value
            break
    for n, lender in lenders.items():
        tx.execute(SQL["set_lender"], (lender, n, lender))


def _kin(tx: Transaction, id: str) -> Kin | None:
    row = tx.execute(SQL["kin"], (to_text(id),)).fetchone()
    if row is None:
        return None
    n, waits, creator, seq, queue, held_us = row
    waited = tuple(json.loads(waits)) if waits else ()
    return Kin(n, None if creator is None else from_text(creator), waited, seq, queue or "", held_us is not None)


def columns_of(execution: LockedExecution) -> tuple[Any, ...]:
    """queue, partition, queued and host."""
    queue = None if execution.queue is None else to_text(execution.queue)
    return (queue, None if queue is None else to_text(execution.partition), execution.queued, execution.host)
