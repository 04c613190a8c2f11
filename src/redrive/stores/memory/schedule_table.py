"""Schedules by id, and the slots of which no execution was started, in the memory store."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING

import attrs

from redrive.ports.stored_schedules import LeftOut, StoredSchedule
from redrive.stores.schedule_records import SLOTS_KEPT

if TYPE_CHECKING:
    from redrive.stores.ledger.unit_of_work import UnitOfWork


@attrs.define(eq=False)
class ScheduleTable:
    by_id: dict[str, StoredSchedule] = attrs.Factory(dict[str, StoredSchedule])
    left_out: dict[str, deque[LeftOut]] = attrs.Factory(dict[str, deque[LeftOut]])

    def write(self, work: UnitOfWork, now: datetime) -> None:
        """Store what a unit of work has changed."""
        for schedule in work.changed_schedules:
            self.by_id[schedule.id] = schedule
        for id, slots in work.left_out:
            self.left_out.setdefault(id, deque(maxlen=SLOTS_KEPT)).append(attrs.evolve(slots, at=now))
