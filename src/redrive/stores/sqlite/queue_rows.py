"""What is declared of queues, and what people see of them, on SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from redrive.ports.queue_port import MOST_COUNTED, PartitionState, QueueLimits, QueueNotFound, QueuePlace, QueueState, WorkflowQueue
from redrive.ports.store import StoreError
from redrive.stores.change_notifier import WORK
from redrive.stores.ledger.queue_limits import REMEMBERED_US, Declaration, declared, dump_limits, in_force, load_limits, older_workers
from redrive.stores.sqlite.column_values import from_text, from_us, maybe_from_us, to_text
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.lock_witness import Fate, WorkerRow, fate
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.ticket_rows import leave, ticket_of

_MINUTE: Final = 60_000_000
RECHECK_EVERY_US: Final = 1_000_000
"""Microseconds between two pages of tickets and lanes that are looked at again."""
PAGE: Final = 500
"""Tickets, and lanes of each queue, that are looked at again in one transaction."""


def declare(
    tx: Transaction, worker: str, build: str, queues: Mapping[str, QueueLimits | None], workflows: Mapping[str, WorkflowQueue]
) -> None:
    if queues:
        older = [from_text(row[0]) for row in tx.execute(SQL["old_workers"]).fetchall() if _lives(tx, row)]
        if older:
            raise StoreError(older_workers(older, sorted(queues)))
    for name, limits in sorted(queues.items()):
        tx.execute(SQL["insert_queue"], (to_text(name),))
        if limits is not None:
            _declare(tx, to_text(name), to_text(build), dump_limits(limits))
    for workflow, it in sorted(workflows.items()):
        queue = None if it.queue is None else to_text(it.queue)
        tx.execute(SQL["set_workflow_queue"], (to_text(workflow), queue, int(it.partitioned)))


def _lives(tx: Transaction, row: Sequence[object]) -> bool:
    return fate(tx.path, WorkerRow(*row), tx.now_us) is Fate.ALIVE  # type: ignore[arg-type]


def _declare(tx: Transaction, queue: str, build: str, limits: str) -> None:
    found = {row[0]: Declaration(*row) for row in tx.execute(SQL["declarations"], (queue,))}
    found[build] = now = declared(found.get(build), build, limits, tx.now_us)
    tx.execute(SQL["set_declaration"], (queue, build, now.limits, now.first_us, now.seen_us))
    tx.execute(SQL["forget_declarations"], (queue, tx.now_us - REMEMBERED_US))
    becomes = in_force(list(found.values()), tx.now_us)
    row = tx.execute(SQL["queue"], (queue,)).fetchone()
    if row[0] != becomes:
        tx.execute(SQL["set_limits"], (becomes, queue))
        _look_again(tx, queue)


def _look_again(tx: Transaction, queue: str) -> None:
    """The limits of *queue* have changed: what was full may not be."""
    tx.execute(SQL["open_lanes"], (queue,))
    tx.news |= WORK


def workflow_queue(tx: Transaction, workflow: str) -> WorkflowQueue | None:
    row = tx.execute(SQL["workflow_queue"], (to_text(workflow),)).fetchone()
    return None if row is None else WorkflowQueue(queue=None if row[0] is None else from_text(row[0]), partitioned=bool(row[1]))


def limit(tx: Transaction, queue: str, limits: QueueLimits | None) -> None:
    _require(tx, queue)
    tx.execute(SQL["set_override"], (None if limits is None else dump_limits(limits), to_text(queue)))
    _look_again(tx, to_text(queue))


def pause(tx: Transaction, queue: str, reason: str | None) -> None:
    _require(tx, queue)
    tx.execute(SQL["set_paused"], (None if reason is None else to_text(reason), to_text(queue)))
    tx.news |= WORK


def _require(tx: Transaction, queue: str) -> None:
    if tx.execute(SQL["queue"], (to_text(queue),)).fetchone() is None:
        raise QueueNotFound(queue)


# ── what people see ─────────────────────────────────────────────────────────────────────────────
def states(tx: Transaction, names: Sequence[str] | None) -> list[QueueState]:
    asked = [name for (name,) in tx.execute(SQL["queue_names"])] if names is None else [to_text(name) for name in sorted(names)]
    serving = [json.loads(row[9]) for row in tx.execute(SQL["serving"]).fetchall() if _lives(tx, row[:9])]
    found = [_state(tx, name, sum(from_text(name) in queues for queues in serving)) for name in asked]
    return [state for state in found if state is not None]


def _state(tx: Transaction, queue: str, served_by: int) -> QueueState | None:
    row = tx.execute(SQL["queue"], (queue,)).fetchone()
    count, held, idle, oldest_us = tx.execute(SQL["queue_counts"], (queue,)).fetchone()
    if row is None and not count:
        return None
    limits, override, paused, _, _, due_us = row or ("{}", None, None, 0, 0, 0)
    per_partition = load_limits(override or limits).rate is None
    (begun,) = tx.execute(SQL["begun_since"], (queue, int(per_partition), tx.now_us - _MINUTE)).fetchone()
    return QueueState(
        name=from_text(queue),
        limits=load_limits(override or limits),
        declared=load_limits(limits),
        overridden=override is not None,
        paused=None if paused is None else from_text(paused),
        waiting=count - held,
        held=held,
        idle=idle,
        oldest=maybe_from_us(oldest_us),
        served_by=served_by,
        begun=begun,
        next_token=from_us(due_us) if due_us > tx.now_us else None,
    )


def partitions(tx: Transaction, queue: str, most: int, after: str | None) -> list[PartitionState]:
    found = [
        PartitionState(partition=from_text(partition), waiting=waiting, held=held, oldest=maybe_from_us(oldest_us))
        for partition, waiting, held, oldest_us in tx.execute(SQL["partitions"], (to_text(queue),))
    ]
    begins = 0 if after is None else next((at + 1 for at, one in enumerate(found) if one.partition == after), len(found))
    return found[begins : begins + most]


def place(tx: Transaction, id: str) -> QueuePlace | None:
    row = tx.execute(SQL["runs"], (to_text(id),)).fetchone()
    ticket = None if row is None else ticket_of(tx, row[0])
    if ticket is None:
        return None
    lane = ticket.queue, ticket.partition
    ahead = waiting = 0
    if ticket.held_us is None:
        (ahead,) = tx.execute(SQL["ahead"], (*lane, ticket.priority, ticket.seq, MOST_COUNTED)).fetchone()
        (waiting,) = tx.execute(SQL["waiting"], (*lane, MOST_COUNTED)).fetchone()
    held = ticket.held_us is not None
    return QueuePlace(
        queue=from_text(ticket.queue),
        partition=from_text(ticket.partition),
        priority=ticket.priority,
        held=held and not ticket.again,
        ahead=ahead,
        waiting=max(waiting, 0 if held else 1),
    )


# ── sweeping ────────────────────────────────────────────────────────────────────────────────────
def recheck(tx: Transaction, queues: Iterable[str]) -> None:
    """Look again at some tickets whose execution may have ended, and at some lanes of *queues*: what went wrong is not wrong for long.

    A page of each a second at most: the file has one writer, and others wait for it.
    """
    memo = tx.memo
    if 0 <= tx.now_us - memo.rechecked_us < RECHECK_EVERY_US:
        return
    memo.rechecked_us = tx.now_us
    tickets = tx.execute(SQL["ended_tickets"], (memo.rechecked_ticket, PAGE)).fetchall()
    memo.rechecked_ticket = tickets[-1][0] if len(tickets) == PAGE else 0
    for _, n, over in tickets:
        if over:
            leave(tx, n)
    for queue in map(to_text, queues):
        lanes = tx.execute(SQL["lanes_page"], (queue, memo.rechecked_lane.get(queue, ""), PAGE)).fetchall()
        memo.rechecked_lane[queue] = lanes[-1][0] if len(lanes) == PAGE else ""
        if lanes:
            page = {"queue": queue, "first": lanes[0][0], "last": lanes[-1][0]}
            tx.execute(SQL["look_again"], {**page, "now": tx.now_us})
            tx.execute(SQL["forget_lanes"], page)
