"""Claims: who owns what, and until when.

1. A worker's heartbeat comes before the dead are buried: a late one keeps the executions that no other worker has taken.
2. Parked executions lie in an index of their own, which is looked into only after something was parked (the counter
   ``parks``), or by a build that has not looked yet: ten thousand of them cost a claim nothing.
3. What was due stays so when the clock goes back: the first claim since then sees to it.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import attrs

from redrive.ports.parks import NewPark
from redrive.ports.store import Claim
from redrive.status import PARKED
from redrive.stores.change_notifier import WORK
from redrive.stores.common import nobody_has
from redrive.stores.kernel import ticks_us
from redrive.stores.ledger.claim_rules import Found, claim_found, lease_end
from redrive.stores.ledger.parking import reserved
from redrive.stores.sqlite import park_rows, ticket_rows
from redrive.stores.sqlite.admission_rows import admit, next_admission
from redrive.stores.sqlite.column_values import from_text, to_text
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.lock_witness import Fate, workers
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.queue_rows import recheck


class ExpiredWorker(NamedTuple):
    """A worker that others count as dead; *left* of its executions had something to do."""

    worker: str
    fate: Fate
    left: int


class Unlisted(NamedTuple):
    """Executions that were parked, because no live worker lists their workflow: how many were *found*, and some of their ids."""

    workflow: str
    found: int
    ids: list[str]


def claim(
    tx: Transaction,
    worker: str,
    lease_us: int,
    build: str,
    workflows: tuple[str, ...],
    limit: int,
    holds: Sequence[str] | None,
    retries: int,
    turns_only: frozenset[str],
    room: Mapping[str, int],
) -> tuple[list[Claim], list[ExpiredWorker], list[Unlisted]]:
    _beat(tx, worker, lease_us, build, workflows, room)
    _keep_due(tx, workflows)
    listed, expired = _expire_the_dead(tx, worker)
    if holds is not None:
        _let_go(tx, worker, holds)
    unlisted = _park_unlisted(tx, listed)
    admitting = reserved(limit, sum(room.values())) if room else 0
    limit -= admitting
    share = reserved(limit, retries)
    retried = park_rows.retry(tx, worker, build, workflows, share)
    due = _due(tx, build, workflows, limit - len(retried), turns_only)
    claims = [_give(tx, worker, build, *row[1:]) for row in due] + retried
    if len(retried) == share:
        claims += park_rows.retry(tx, worker, build, workflows, min(retries - share, limit - len(claims)))
    if admitting:
        claims += _admit(tx, worker, build, workflows, room, limit + admitting - len(claims))
    return claims, expired, unlisted


def _admit(tx: Transaction, worker: str, build: str, workflows: tuple[str, ...], room: Mapping[str, int], limit: int) -> list[Claim]:
    """Admit from the worker's queues, and give it what it has the code of; the rest is due for others."""
    recheck(tx, room)
    mine = {to_text(workflow) for workflow in workflows}
    rows = (tx.execute(SQL["admitted"], (n, tx.now_us, to_text(build))).fetchone() for n in admit(tx, room, limit))
    found: list[list[Any]] = [[*row[:-1], from_text(row[-1])] for row in rows if row is not None and row[-1] in mine]
    return [_give(tx, worker, build, *columns) for columns in found]


def _give(
    tx: Transaction,
    worker: str,
    build: str,
    n: int,
    id: str,
    run: str,
    number: int,
    length: int,
    fence: int,
    recoveries: int,
    rested: int,
    in_family: int,
    queue: str | None,
    partition: str | None,
    workflow: str,
) -> Claim:
    tx.execute(SQL["give"], (to_text(worker), n))
    it = Found(from_text(id), workflow, from_text(run), number, length, fence, recoveries, rested, bool(in_family))
    it = it if queue is None else attrs.evolve(it, queue=from_text(queue), partition=from_text(partition or ""))
    return claim_found(it, worker, park_rows.deaths(tx, n, build))


def _beat(tx: Transaction, worker: str, lease_us: int, build: str, workflows: Sequence[str], queues: Iterable[str]) -> None:
    known = tx.execute(SQL["worker"], (to_text(worker),)).fetchone()
    listing, served = json.dumps(sorted(workflows)), json.dumps(sorted(queues)) if queues else "[]"
    shown = tx.memo.evidence.get(worker)
    kernel, text, stall_us = (None, None, 0) if shown is None else (shown.kernel, shown.text, shown.stall_us)
    ticks = None if kernel is None else ticks_us()
    if known is not None and known[2:5] == (to_text(build), listing, text) and known[6] == served:
        left = [known[0] - tx.now_us, *(() if ticks is None else (known[1] - ticks,))]
        if all(lease_us * 3 / 4 <= us <= lease_us for us in left):
            return  # fresh enough: no write, so no fsync for a claim that finds nothing
    if known is None:
        park_rows.came_back(tx, worker)
    by_ticks = (None, None) if ticks is None else (ticks + lease_us, ticks + stall_us)
    row = (to_text(worker), tx.now_us + lease_us, lease_us, to_text(build), listing, kernel, *by_ticks, text, tx.now_us, served)
    tx.execute(SQL["heartbeat"], row)


def _expire_the_dead(tx: Transaction, worker: str) -> tuple[frozenset[str], list[ExpiredWorker]]:
    """Disown what dead workers had, as *worker* sees it; gives back the workflows that live ones list, and what the dead had that
    was due."""
    listed: set[str] = set()
    expired: list[ExpiredWorker] = []
    for row, fate in workers(tx, worker):
        if fate is not Fate.ALIVE:
            left = park_rows.died(tx, row.id, row.build)
            _forget(tx, row.id)
            expired.append(ExpiredWorker(from_text(row.id), fate, left))
            continue
        if (expires_us := lease_end(row.expires_us, row.lease_us, tx.now_us)) < row.expires_us:
            tx.execute(SQL["shorten_lease"], (expires_us, row.id))
        listed.update(json.loads(row.workflows))
    return frozenset(listed), expired


def _forget(tx: Transaction, worker: str) -> None:
    """*worker* is as the database has it."""
    tx.execute(SQL["disown"], (worker,))
    tx.execute(SQL["remove_worker"], (worker,))
    tx.execute(SQL["raise_counter"], ("parks",))
    tx.news |= WORK


def _let_go(tx: Transaction, worker: str, but: Sequence[str]) -> None:
    kept = frozenset(map(to_text, but))
    for n, id in tx.execute(SQL["owned"], (to_text(worker),)).fetchall():
        if id not in kept:
            tx.execute(SQL["release"], (n,))
            tx.execute(SQL["raise_counter"], ("parks",))


def _keep_due(tx: Transaction, workflows: tuple[str, ...]) -> None:
    latest_us, tx.memo.latest_us = tx.memo.latest_us, tx.now_us
    if not latest_us:
        for workflow in workflows:
            tx.execute(SQL["due_still"], (tx.now_us, to_text(workflow), tx.now_us))
            tx.execute(SQL["parked_due_still"], (tx.now_us, to_text(workflow), tx.now_us))
        for worker, *_ in tx.execute(SQL["workers"]).fetchall():
            tx.execute(SQL["owned_due_still"], (tx.now_us, worker, tx.now_us))
    elif tx.now_us < latest_us:
        tx.execute(SQL["due_before"], (tx.now_us, tx.now_us, latest_us))


def _park_unlisted(tx: Transaction, listed: frozenset[str]) -> list[Unlisted]:
    name, parked = "", list[Unlisted]()
    while (found := tx.execute(SQL["next_due_workflow"], (name,)).fetchone()) is not None:
        (name,) = found
        workflow = from_text(name)
        if workflow in listed:
            continue
        some = tx.execute(SQL["some_due"], (name, tx.now_us)).fetchall()
        if some:
            count = tx.execute(SQL["park_due"], (to_text(nobody_has(workflow)), tx.now_us, name, tx.now_us)).rowcount
            tx.execute(SQL["show_parked"], (tx.now_us, name, tx.now_us))
            for (n,) in tx.execute(SQL["parked_tickets"], (name,)).fetchall():
                ticket_rows.idle(tx, n)
            tx.execute(SQL["raise_counter"], ("parks",))
            parked.append(Unlisted(workflow, count, [from_text(id) for (id,) in some]))
    return parked


def _due(tx: Transaction, build: str, workflows: tuple[str, ...], limit: int, turns_only: frozenset[str]) -> list[tuple[Any, ...]]:
    """Up to *limit* of what is due for this build: the rows of the query, each with the workflow."""
    found: list[list[tuple[Any, ...]]] = []

    def look(query: str) -> None:
        for workflow in workflows:
            chosen = "turns_due" if query == "due" and workflow in turns_only else query
            again = (tx.now_us,) if chosen == "turns_due" else ()
            rows = tx.execute(SQL[chosen], (to_text(workflow), tx.now_us, to_text(build), *again, limit)).fetchall()
            if rows:
                found.append([(*row, workflow) for row in rows])

    look("due")
    count = _parks(tx)
    if tx.memo.nothing_parked.get((build, workflows)) != count:
        look("parked_due")
        # What was parked before its time is looked for each time.
        if next(_wakes(tx, "next_parked_wake", build, workflows), None) is None:
            tx.memo.nothing_parked[build, workflows] = count
    return list(heapq.merge(*found))[:limit]


def _parks(tx: Transaction) -> int:
    (count,) = tx.execute(SQL["counter"], ("parks",)).fetchone()
    return int(count)


def release(tx: Transaction, claims: Sequence[Claim], parked: NewPark | None, at_rest: bool) -> None:
    changed = False
    for claim in claims:
        held = tx.execute(SQL["held"], (to_text(claim.id), claim.fence, to_text(claim.worker))).fetchone()
        if held is None:
            continue
        n, status, number, length, queued = held
        if parked is not None:
            park_rows.park(tx, n, number, length, claim.worker, parked)
            if queued:
                ticket_rows.idle(tx, n)
        else:
            tx.execute(SQL["release_at_rest" if at_rest else "release"], (n,))
        changed = changed or parked is not None or status == PARKED
    if changed:
        tx.execute(SQL["raise_counter"], ("parks",))
    tx.news |= WORK


def deregister_worker(tx: Transaction, worker: str) -> None:
    _forget(tx, to_text(worker))


def next_wake(tx: Transaction, build: str, workflows: tuple[str, ...], worker: str | None, queues: Sequence[str] = ()) -> int | None:
    wakes = list(_wakes(tx, "next_wake", build, workflows))
    if tx.memo.nothing_parked.get((build, workflows)) != _parks(tx):
        wakes.extend(_wakes(tx, "next_parked_wake", build, workflows))
    if worker is not None:
        wakes.extend(park_rows.next_retries(tx, worker, build, workflows))
    for row, fate in workers(tx):
        if fate is not Fate.ALIVE:
            orphans = tx.execute(SQL["orphans_wake"], (row.id, to_text(build)))
            wakes.extend(wake_us for wake_us, workflow in orphans if from_text(workflow) in workflows)
    wakes.extend(at_us for queue in queues if (at_us := next_admission(tx, to_text(queue))) is not None)
    return min(wakes, default=None)


def _wakes(tx: Transaction, query: str, build: str, workflows: Sequence[str]) -> Iterator[int]:
    for workflow in workflows:
        found = tx.execute(SQL[query], (to_text(workflow), to_text(build))).fetchone()
        if found is not None:
            yield found[0]
