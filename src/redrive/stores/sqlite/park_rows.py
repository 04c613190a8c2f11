"""Parks and deaths: written, and looked for by those who may try again (stores/ledger/parking.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs

from redrive.ports.parks import NewPark
from redrive.ports.store import Claim
from redrive.stores.ledger.claim_rules import Found, claim_found
from redrive.stores.ledger.parking import Deaths, Parked, deaths_after, parked_by
from redrive.stores.sqlite.column_values import from_text, to_text
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL


def park(tx: Transaction, n: int, number: int, length: int, worker: str, new: NewPark) -> None:
    """Park what *worker* owns, and give it up."""
    build = to_text(new.build)
    row = tx.execute(SQL["park_of"], (n, build)).fetchone()
    found = deaths(tx, n, new.build)
    alive = {from_text(id) for (id,) in tx.execute(SQL["workers_of_build"], (build,))}
    parked = parked_by(
        new, None if row is None else _parked(row), None if found is None else found.at(number, length), worker, alive, tx.now_us
    )
    tried = json.dumps([to_text(id) for id in parked.tried])
    times = (parked.parked_us, parked.rest_us, parked.retry_us)
    tx.execute(SQL["park"], (n, build, parked.kind, to_text(parked.reason), *times, parked.tries, tried))
    tx.execute(SQL["release_parked"], (tx.now_us, n))
    after = deaths_after(parked, number, length)
    if after is not None:
        tx.execute(SQL["set_deaths"], (n, build, number, length, after.count, after.parks))
    elif found is not None:
        tx.execute(SQL["forget_deaths"], (n, build))


def retry(tx: Transaction, worker: str, build: str, workflows: Sequence[str], limit: int) -> list[Claim]:
    """Up to *limit* claims of what *build* has parked and *worker* may try again, the longest parked first."""
    if limit <= 0 or not _has_parked(tx, build):
        return []
    me, names = _me(worker), _names(workflows)
    started_us = _started_us(tx, worker)
    found: dict[int, tuple[Any, ...]] = {}
    for row in tx.execute(SQL["retry_started"], (to_text(build), started_us, tx.now_us, me, tx.now_us, names, limit)).fetchall():
        found[row[1]] = row
    for row in tx.execute(SQL["retry_due"], (to_text(build), tx.now_us, me, tx.now_us, names, limit)).fetchall():
        found[row[1]] = row
    if not found:
        tx.execute(SQL["forget_old_parks"], (to_text(build), to_text(build)))
    claims: list[Claim] = []
    for row in sorted(found.values(), key=_parked_us)[:limit]:
        _, n, id, run, number, length, fence, recoveries, rested, in_family, queue, partition, workflow, kind, tries, parked_us = row
        tx.execute(SQL["retry"], (to_text(worker), n))
        it = Found(from_text(id), from_text(workflow), from_text(run), number, length, fence, recoveries, rested, bool(in_family))
        it = it if queue is None else attrs.evolve(it, queue=from_text(queue), partition=from_text(partition or ""))
        claims.append(claim_found(it, worker, deaths(tx, n, build), Parked(kind=kind, reason="", parked_us=parked_us, tries=tries)))
    return claims


def _parked_us(row: Sequence[Any]) -> int:
    return int(row[-1])


def next_retries(tx: Transaction, worker: str, build: str, workflows: Sequence[str]) -> list[int]:
    """When *worker* may retry something, if it may."""
    if not _has_parked(tx, build):
        return []
    me, names = _me(worker), _names(workflows)
    (started,) = tx.execute(SQL["next_retry_started"], (to_text(build), _started_us(tx, worker), me, names)).fetchone()
    (due,) = tx.execute(SQL["next_retry_due"], (to_text(build), me, names)).fetchone()
    return [us for us in (started, due) if us is not None]


def _parked(row: Sequence[Any]) -> Parked:
    kind, reason, parked_us, rest_us, retry_us, tries, tried = row
    names = tuple(from_text(id) for id in json.loads(tried))
    return Parked(kind=kind, reason=reason, parked_us=parked_us, rest_us=rest_us, retry_us=retry_us, tries=tries, tried=names)


def _has_parked(tx: Transaction, build: str) -> bool:
    return tx.execute(SQL["has_parked"], (to_text(build),)).fetchone() is not None


def _started_us(tx: Transaction, worker: str) -> int:
    found = tx.execute(SQL["worker"], (to_text(worker),)).fetchone()
    return 0 if found is None else int(found[5])


def _me(worker: str) -> str:
    """How *worker* stands in the arrays of those that tried."""
    return json.dumps(to_text(worker))


def _names(workflows: Sequence[str]) -> str:
    return json.dumps([to_text(workflow) for workflow in workflows])


# ── deaths ──────────────────────────────────────────────────────────────────────────────────────
def deaths(tx: Transaction, n: int, build: str) -> Deaths | None:
    row = tx.execute(SQL["deaths"], (n, to_text(build))).fetchone()
    return None if row is None else Deaths(number=row[0], length=row[1], count=row[2], parks=row[3])


def died(tx: Transaction, worker: str, build: str) -> int:
    """Count a death of *worker*, both as the database has them; how many executions it leaves that had something to do."""
    left = tx.execute(SQL["count_recoveries"], (worker, tx.now_us)).rowcount
    tx.execute(SQL["count_deaths"], (build, worker, tx.now_us))
    tx.execute(SQL["forget_old_deaths"])
    return left


def came_back(tx: Transaction, worker: str) -> None:
    """*worker* may have been taken for dead, and is not."""
    tx.execute(SQL["take_back_deaths"], (to_text(worker),))
