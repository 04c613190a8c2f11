"""Schedules, and the slots of which no execution was started."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from redrive.ports.stored_schedules import Firing, LeftOut, StoredSchedule
from redrive.stores.ledger import schedule_rules
from redrive.stores.ledger.reach import reach_of_firings
from redrive.stores.postgres.parameters import SEPARATOR, from_text, maybe_from_us, maybe_us, to_text
from redrive.stores.postgres.session import Session, Sessions
from redrive.stores.postgres.unit_statements import lock, lock_schedules, read_schedule, save_schedules, write
from redrive.stores.schedule_records import dump_schedule, load_left_out


# ── reading ─────────────────────────────────────────────────────────────────────────────────────
async def schedules(sessions: Sessions, ids: Sequence[str] | None, after: str, limit: int) -> Sequence[StoredSchedule]:
    if ids is not None:
        return [read_schedule(*row) for row in await sessions.rows("schedules_of", _list(ids))]
    return [read_schedule(*row) for row in await sessions.rows("schedules", to_text(after), limit)]


async def due_schedules(sessions: Sessions, workflows: Sequence[str], limit: int) -> tuple[Sequence[StoredSchedule], datetime | None]:
    if not workflows:
        return [], None
    due = [read_schedule(*row) for row in await sessions.rows("due_schedules", _list(workflows), limit)]
    following = await sessions.rows("next_schedule", _list(workflows), None if len(due) < limit else 0)
    return due, maybe_from_us(following[0][0]) if following else None


async def left_out(sessions: Sessions, id: str, limit: int) -> Sequence[LeftOut]:
    return [load_left_out(record, at_us) for record, at_us in await sessions.rows("left_out", to_text(id), limit)]


# ── writing ─────────────────────────────────────────────────────────────────────────────────────
async def put_schedule(session: Session, new: StoredSchedule, expects: int | None) -> bool:
    standing = await lock_schedules(session, [new.id])
    stored = schedule_rules.put(standing[0] if standing else None, new, expects)
    if stored is None:
        return False
    if standing:
        await save_schedules(session, [stored])
        return True
    row = (to_text(stored.id), to_text(stored.workflow), maybe_us(stored.due), dump_schedule(stored))
    return bool(await (await session.run("insert_schedule", *row)).fetchall())  # another may have made it meanwhile


async def remove_schedule(session: Session, id: str, expects: int) -> bool:
    standing = await lock_schedules(session, [id])
    if not standing or standing[0].version != expects:
        return False
    await session.run("remove_schedule", to_text(id))
    await session.run("forget_left_out", to_text(id), 0)
    return True


async def fire(session: Session, firings: Sequence[Firing]) -> tuple[list[bool], int, int]:
    """The answer to each firing, the changes, and the time."""
    work = await lock(session, reach_of_firings(firings))
    fired = [schedule_rules.fire(work, firing) for firing in firings]
    await write(session, work)
    return fired, work.changes, work.now_us


async def declaring_build(session: Session, app: str, build: str, keep_us: int) -> str:
    await session.run("forget_builds", to_text(app), keep_us)
    await session.run("show_build", to_text(app), to_text(build))
    ((newest,),) = await (await session.run("declaring_build", to_text(app))).fetchall()
    return from_text(newest)


def _list(texts: Iterable[str]) -> str:
    return SEPARATOR.join({to_text(text): None for text in texts})
