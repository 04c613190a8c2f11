"""Forgetting what has ended. The transaction is the lock, and a batch is as long as its caller makes it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from redrive.ports.purging import EndedExecution, EndedRuns, Retention
from redrive.stores.change_notifier import ENDS
from redrive.stores.ledger import purge_rules
from redrive.stores.sqlite.column_values import from_text, from_us, to_text, to_us
from redrive.stores.sqlite.lock_witness import is_alive
from redrive.stores.sqlite.queries import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from redrive.ports.rewrites import NewAudit
    from redrive.stores.sqlite.jobs import Transaction

_MICROSECOND: Final = timedelta(microseconds=1)
_BY_NUMBER: Final = ("purge_history", "forget_inbox", "forget_landed", "forget_parked", "purge_deaths", "purge_aside", "purge_attributes")
"""Statements that delete what belongs to the execution of a number."""
_BY_ID: Final = ("purge_audit", "purge_events", "purge_dead_letters")


def ended(tx: Transaction, before: datetime, after: str | None, limit: int) -> Sequence[EndedExecution]:
    us, n = (-1, -1) if after is None else map(int, after.split(":"))
    return [
        EndedExecution(
            id=from_text(id),
            workflow=from_text(workflow),
            status=status,
            number=number,
            rows=rows or 0,
            ended_at=from_us(ended_us),
            place=f"{ended_us}:{n}",
        )
        for n, id, workflow, status, number, rows, ended_us in tx.execute(SQL["ended"], (to_us(before), us, n, limit)).fetchall()
    ]


def ended_runs(tx: Transaction, before: datetime, after: str | None, limit: int) -> Sequence[EndedRuns]:
    found: list[EndedRuns] = []
    for n, id, workflow, oldest, number in tx.execute(SQL["with_old_runs"], (int(after or 0), limit)).fetchall():
        numbers = range(oldest, min(number, oldest + purge_rules.MOST_RUNS))
        began = ((run, tx.execute(SQL["run_began"], (n, run + 1)).fetchone()) for run in numbers)
        runs = purge_rules.runs_before([(run, at[0]) for run, at in began if at is not None], to_us(before) - 1)
        first, last, ended_us = (oldest, oldest - 1, 0) if runs is None else runs
        found.append(
            EndedRuns(id=from_text(id), workflow=from_text(workflow), first=first, last=last, ended_at=from_us(ended_us), place=str(n))
        )
    return found


def purge(tx: Transaction, chosen: Sequence[EndedExecution], act: NewAudit) -> Sequence[str]:
    gone: list[str] = []
    for one in chosen:
        id = to_text(one.id)
        row = tx.execute(SQL["to_purge"], (id,)).fetchone()
        if row is None or not purge_rules.is_as_described(one, *row[1:]):
            continue
        for name in _BY_NUMBER:
            tx.execute(SQL[name], (row[0],))
        for name in _BY_ID:
            tx.execute(SQL[name], (id,))
        tx.execute(SQL["purge_execution"], (row[0],))
        _audit(tx, one.id, act, purge_rules.detail_of(one))
        gone.append(one.id)
    if gone:
        tx.news |= ENDS  # those who wait for its end look, and find nothing
    return gone


def purge_runs(tx: Transaction, chosen: Sequence[EndedRuns], act: NewAudit) -> int:
    gone = 0
    for one in chosen:
        row = tx.execute(SQL["runs_to_purge"], (to_text(one.id),)).fetchone()
        if row is None or row[1] != one.first or not one.first <= one.last < row[2]:
            continue
        n, _, _, first_run = row
        tx.execute(SQL["purge_runs"], (n, one.first, one.last, first_run))
        tx.execute(SQL["set_oldest_run"], (one.last + 1, n))
        _audit(tx, one.id, act, purge_rules.detail_of_runs(one))
        gone += one.last - one.first + 1
    return gone


def _audit(tx: Transaction, id: str, act: NewAudit, detail: str) -> None:
    texts = map(to_text, (act.by, act.verb, act.reason, detail, str(uuid4())))
    tx.execute(SQL["insert_audit"], (to_text(id), tx.now_us, *texts))


def state_retention(tx: Transaction, worker: str, stated: Retention | None) -> None:
    if stated is None:
        tx.execute(SQL["forget_retention"], (to_text(worker),))
        return
    tx.execute(SQL["forget_old_retentions"], (tx.now_us - purge_rules.FORGOTTEN_AFTER // _MICROSECOND,))
    keep = {status: kept // _MICROSECOND for status, kept in stated.keep.items()}
    tx.execute(SQL["state_retention"], (to_text(worker), tx.now_us, json.dumps(sorted(stated.workflows)), json.dumps(keep)))


def retentions(tx: Transaction) -> Sequence[Retention]:
    found: list[Retention] = []
    oldest = tx.now_us - purge_rules.STATED_FOR // _MICROSECOND
    for worker, stated_us, workflows, keep, known in tx.execute(SQL["retentions"]).fetchall():
        if stated_us < oldest and not (known and is_alive(tx, from_text(worker))):
            continue
        kept = {status: timedelta(microseconds=us) for status, us in json.loads(keep).items()}
        found.append(Retention(frozenset(json.loads(workflows)), kept))
    return found
