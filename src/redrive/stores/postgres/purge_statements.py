"""Forgetting what has ended: short transactions that wait for nobody, and long histories freed a few chunks at a time."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from redrive.ports.purging import EndedExecution, EndedRuns, Retention
from redrive.stores.ledger import purge_rules
from redrive.stores.postgres.parameters import SEPARATOR, from_text, from_us, numbers, to_text, to_us

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from redrive.ports.rewrites import NewAudit
    from redrive.stores.postgres.session import Session, Sessions

_MICROSECOND: Final = timedelta(microseconds=1)
_LONG: Final = 1_000
"""Rows of a history from which on its room is freed later: to delete them takes too long to hold a lock meanwhile."""


async def ended(sessions: Sessions, before: datetime, after: str | None, limit: int) -> Sequence[EndedExecution]:
    us, n = (-1, -1) if after is None else map(int, after.split(":"))
    return [
        EndedExecution(
            id=from_text(id),
            workflow=from_text(workflow),
            status=status,
            number=number,
            rows=length,
            ended_at=from_us(ended_us),
            place=f"{ended_us}:{n}",
        )
        for n, id, workflow, status, number, length, ended_us in await sessions.rows("ended", to_us(before), us, n, limit)
    ]


async def ended_runs(sessions: Sessions, before: datetime, after: str | None, limit: int) -> Sequence[EndedRuns]:
    rows = await sessions.rows("with_old_runs", int(after or 0), limit, purge_rules.MOST_RUNS)
    found: list[EndedRuns] = []
    for (n, id, workflow, oldest), of_one in groupby(rows, key=lambda row: row[:4]):
        began = [(run, at_us) for *_, run, at_us in of_one if at_us is not None]
        first, last, ended_us = purge_rules.runs_before(began, to_us(before) - 1) or (oldest, oldest - 1, 0)
        found.append(
            EndedRuns(id=from_text(id), workflow=from_text(workflow), first=first, last=last, ended_at=from_us(ended_us), place=str(n))
        )
    return found


async def purge(session: Session, *, chosen: Sequence[EndedExecution], act: NewAudit) -> list[str]:
    by_id = {to_text(one.id): one for one in chosen}
    rows: Sequence[Any] = await (await session.run("lock_ended", SEPARATOR.join(by_id))).fetchall()
    fit = [row for row in rows if purge_rules.is_as_described(by_id[row[1]], *row[2:5])]
    if not fit:
        return []
    ns, ids, gone = numbers(row[0] for row in fit), SEPARATOR.join(row[1] for row in fit), [by_id[row[1]] for row in fit]
    await session.run("purge", ns, ids)
    await session.run("purge_events", ns)
    short = [row for row, one in zip(fit, gone, strict=True) if one.rows < _LONG and row[2] == row[5]]
    if short:
        await session.run("purge_history", numbers(row[0] for row in short))
    long = [row for row in fit if row not in short]
    if long:
        await _throw_away(session, [(n, 0, number, 0) for n, _, number, *_ in long])
    await _audit(session, [one.id for one in gone], [purge_rules.detail_of(one) for one in gone], act)
    return [one.id for one in gone]


async def purge_runs(session: Session, *, chosen: Sequence[EndedRuns], act: NewAudit) -> int:
    by_id = {to_text(one.id): one for one in chosen}
    rows: Sequence[Any] = await (await session.run("lock_runs", SEPARATOR.join(by_id))).fetchall()
    fit = [(row[0], by_id[row[1]], row[4]) for row in rows if row[2] == by_id[row[1]].first <= by_id[row[1]].last < row[3]]
    if not fit:
        return 0
    await session.run("set_oldest_runs", numbers(n for n, *_ in fit), numbers(one.last + 1 for _, one, _ in fit))
    await _throw_away(session, [(n, one.first, one.last, first_run) for n, one, first_run in fit])
    await _audit(session, [one.id for _, one, _ in fit], [purge_rules.detail_of_runs(one) for _, one, _ in fit], act)
    return sum(one.last - one.first + 1 for _, one, _ in fit)


async def collect(session: Session, *, limit: int) -> bool:
    ((chunks, some, which),) = await (await session.run("collect", limit)).fetchall()
    if some:
        await session.run("collected", which)
    return bool(some) and (chunks == limit or some == 100)


async def _throw_away(session: Session, runs: Sequence[tuple[int, int, int, int]]) -> None:
    """The chunks of runs: n, first, last, and the run whose input is kept."""
    await session.run("throw_away", *(numbers(column) for column in zip(*runs, strict=True)))


async def _audit(session: Session, ids: Sequence[str], details: Sequence[str], act: NewAudit) -> None:
    texts = (to_text(act.by), to_text(act.verb), to_text(act.reason))
    await session.run("audit_purges", SEPARATOR.join(map(to_text, ids)), SEPARATOR.join(map(to_text, details)), *texts)


async def state_retention(sessions: Sessions, worker: str, stated: Retention | None) -> None:
    if stated is None:
        await sessions.rows("forget_retention", to_text(worker))
        return
    keep = {status: kept // _MICROSECOND for status, kept in stated.keep.items()}
    old = purge_rules.FORGOTTEN_AFTER // _MICROSECOND
    await sessions.rows("state_retention", to_text(worker), json.dumps(sorted(stated.workflows)), json.dumps(keep), old)


async def retentions(sessions: Sessions) -> Sequence[Retention]:
    rows = await sessions.rows("retentions", purge_rules.STATED_FOR // _MICROSECOND)
    return [
        Retention(frozenset(json.loads(workflows)), {status: timedelta(microseconds=us) for status, us in json.loads(keep).items()})
        for workflows, keep in rows
    ]
