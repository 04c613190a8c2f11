"""The rules of schedules: what a firing needs, and what the end of an execution changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from redrive.ports.stored_schedules import LeftOut, StoredSchedule
from redrive.status import CANCELLED, COMPLETED
from redrive.stores.ledger.changes import SCHEDULES, WORK
from redrive.stores.ledger.unit_of_work import REMEMBERED
from redrive.stores.times import from_us

if TYPE_CHECKING:
    from redrive.ports.stored_schedules import Firing
    from redrive.stores.ledger.locked_execution import LockedExecution
    from redrive.stores.ledger.unit_of_work import UnitOfWork


def put(standing: StoredSchedule | None, new: StoredSchedule, expects: int | None) -> StoredSchedule | None:
    """The schedule to store; None if the schedule has another version."""
    if standing is None:
        return attrs.evolve(new, version=1) if expects is None else None
    if standing.version != expects:
        return None
    resumed = standing.paused is not None and new.paused is None
    return attrs.evolve(
        new,
        version=standing.version + 1,
        running=standing.running,
        by_hand=standing.by_hand,
        failures=0 if resumed else standing.failures,
        skips=0 if resumed else standing.skips,
        last_slot=standing.last_slot,
        last_execution=standing.last_execution,
        created_at=standing.created_at,
    )


def fire(work: UnitOfWork, firing: Firing) -> bool:
    """Store what one look at a schedule has found; False if it has changed since, or is not as the firing needs it."""
    schedule = work.schedules.get(firing.schedule)
    if schedule is None or schedule.version != firing.version or schedule.next != firing.slot:
        return False
    if firing.slot != firing.next and (schedule.paused is not None or schedule.off):
        return False
    if any(id not in work.executions for id in firing.running) or not set(schedule.running) <= set(firing.running):
        return False
    running = [id for id in schedule.running if not work.executions[id].ended]
    if firing.alone and firing.starts and running:
        return False
    if firing.waits and not running and not firing.starts:
        return False
    left_out = list(firing.left_out)
    started: list[str] = []
    for new, slot in zip(firing.starts, firing.slots, strict=True):
        known = work.executions.get(new.id)
        if known is None:
            work.begin(new, None)
        elif known.creator != new.creator:
            moment = slot or from_us(work.now_us)
            why = f"another execution is called {new.id!r}"
            left_out.append(LeftOut(first=moment, last=moment, count=1, why=why, outcome="failed"))
            continue
        elif known.ended:
            continue  # a slot that has run is not run again
        started.append(new.id)
        schedule = attrs.evolve(schedule, last_slot=slot or schedule.last_slot, last_execution=new.id, skips=0)
    running = list(dict.fromkeys([*running, *started]))[-REMEMBERED:]
    waiting = [one for one in dict.fromkeys((*schedule.by_hand, *firing.by_hand)) if one.id not in firing.done]
    work.schedules[firing.schedule] = _due_for_those_by_hand(
        work,
        attrs.evolve(
            schedule,
            next=firing.next,
            due=firing.due,
            waits=firing.waits and bool(running),
            running=tuple(running),
            by_hand=tuple(waiting),
            skips=schedule.skips + sum(one.count for one in left_out),
        ),
    )
    work.left_out += [(firing.schedule, one) for one in left_out]
    work.changes |= SCHEDULES | (WORK if started else 0)
    return True


def ended(work: UnitOfWork, execution: LockedExecution, status: str) -> None:
    """An execution has ended: its schedule, if it is of one, counts that, and is due if it waits for it."""
    schedule = work.schedule_of(execution)
    if schedule is None:
        return
    failures = {COMPLETED: 0, CANCELLED: schedule.failures}.get(status, schedule.failures + 1)
    running = tuple(id for id in schedule.running if id != execution.id)
    after = attrs.evolve(schedule, running=running, failures=failures)
    if schedule.pause_after is not None and failures >= schedule.pause_after and schedule.paused is None and status != CANCELLED:
        why = f"{failures} executions in a row failed, the last one {execution.id!r}"
        after = attrs.evolve(after, paused=why, due=None, version=schedule.version + 1)
    elif after.waits:
        after = attrs.evolve(after, due=from_us(work.now_us))
    work.schedules[schedule.id] = _due_for_those_by_hand(work, after)
    work.changes |= SCHEDULES


def _due_for_those_by_hand(work: UnitOfWork, schedule: StoredSchedule) -> StoredSchedule:
    """Executions that were asked for by hand begin when nothing of the schedule runs, also while it is paused."""
    now = from_us(work.now_us)
    if schedule.by_hand and not schedule.running and (schedule.due is None or schedule.due > now):
        return attrs.evolve(schedule, due=now)
    return schedule
