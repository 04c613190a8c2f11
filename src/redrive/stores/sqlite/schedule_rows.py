"""Schedules, and the slots of which no execution was started."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from redrive.ports.stored_schedules import LeftOut, StoredSchedule
from redrive.stores.ledger.changes import SCHEDULES
from redrive.stores.ledger.schedule_rules import put
from redrive.stores.schedule_records import SLOTS_KEPT, dump_left_out, dump_schedule, load_left_out, load_schedule
from redrive.stores.sqlite.column_values import from_text, maybe_from_us, maybe_us, to_text
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL


# ── reading ─────────────────────────────────────────────────────────────────────────────────────
def schedules(tx: Transaction, ids: Sequence[str] | None, after: str, limit: int) -> Sequence[StoredSchedule]:
    if ids is not None:
        return schedules_of(tx, ids)
    return [_schedule(*row) for row in tx.execute(SQL["schedules"], (to_text(after), limit))]


def schedules_of(tx: Transaction, ids: Iterable[str]) -> list[StoredSchedule]:
    """The schedules with these *ids*, in the order of their ids."""
    rows = (tx.execute(SQL["schedule"], (id,)).fetchone() for id in sorted({to_text(id) for id in ids}))
    return [_schedule(*row) for row in rows if row is not None]


def due_schedules(tx: Transaction, workflows: Sequence[str], limit: int) -> tuple[Sequence[StoredSchedule], datetime | None]:
    named = json.dumps([to_text(workflow) for workflow in workflows])
    due = [_schedule(*row) for row in tx.execute(SQL["due_schedules"], (named, tx.now_us, limit))]
    after = tx.now_us if len(due) < limit else 0
    (next_us,) = tx.execute(SQL["next_schedule"], (named, after)).fetchone()
    return due, maybe_from_us(next_us)


def left_out(tx: Transaction, id: str, limit: int) -> Sequence[LeftOut]:
    return [load_left_out(record, at_us) for record, at_us in tx.execute(SQL["left_out"], (to_text(id), limit))]


# ── writing ─────────────────────────────────────────────────────────────────────────────────────
def put_schedule(tx: Transaction, new: StoredSchedule, expects: int | None) -> bool:
    standing = schedules_of(tx, [new.id])
    stored = put(standing[0] if standing else None, new, expects)
    if stored is None:
        return False
    save_schedule(tx, stored)
    tx.news |= SCHEDULES
    return True


def remove_schedule(tx: Transaction, id: str, expects: int) -> bool:
    standing = schedules_of(tx, [id])
    if not standing or standing[0].version != expects:
        return False
    tx.execute(SQL["remove_schedule"], (to_text(id),))
    tx.execute(SQL["forget_left_out"], (to_text(id), 0))
    tx.news |= SCHEDULES
    return True


def save_schedule(tx: Transaction, schedule: StoredSchedule) -> None:
    row = (to_text(schedule.id), to_text(schedule.workflow), maybe_us(schedule.due), dump_schedule(schedule))
    tx.execute(SQL["save_schedule"], row)


def leave_out(tx: Transaction, id: str, one: LeftOut) -> None:
    tx.execute(SQL["leave_out"], (to_text(id), tx.now_us, dump_left_out(one)))
    tx.execute(SQL["forget_left_out"], (to_text(id), SLOTS_KEPT))


def declaring_build(tx: Transaction, app: str, build: str, keep_us: int) -> str:
    tx.execute(SQL["forget_builds"], (to_text(app), tx.now_us - keep_us))
    tx.execute(SQL["show_build"], (to_text(app), to_text(build), tx.now_us))
    (newest,) = tx.execute(SQL["declaring_build"], (to_text(app),)).fetchone()
    return from_text(newest)


def _schedule(id: str, workflow: str, due_us: int | None, record: str) -> StoredSchedule:
    return load_schedule(from_text(id), from_text(workflow), due_us, record)
