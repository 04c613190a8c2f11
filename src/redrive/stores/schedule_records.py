"""Schedules as the databases keep them: one JSON text each, beside the columns that are looked up."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

from redrive.ports.stored_schedules import ByHand, LeftOut, StoredSchedule
from redrive.stores.times import from_us, maybe_from_us, maybe_us, to_us

SLOTS_KEPT: Final = 1000
"""Slots without an execution that are kept of each schedule."""
_MICROSECOND: Final = timedelta(microseconds=1)


def dump_schedule(schedule: StoredSchedule) -> str:
    """All but id, workflow and due time, which have columns of their own."""
    return json.dumps(
        {
            "spec": schedule.spec,
            "input": schedule.input,
            "attributes": schedule.attributes,
            "searchable": schedule.searchable,
            "queue": schedule.queue,
            "partition": schedule.partition,
            "priority": schedule.priority,
            "timeout": None if schedule.timeout is None else schedule.timeout // _MICROSECOND,
            "app": schedule.app,
            "declared_by": schedule.declared_by,
            "version": schedule.version,
            "next": maybe_us(schedule.next),
            "paused": schedule.paused,
            "off": schedule.off,
            "waits": schedule.waits,
            "running": schedule.running,
            "by_hand": [(one.id, maybe_us(one.slot)) for one in schedule.by_hand],
            "failures": schedule.failures,
            "skips": schedule.skips,
            "pause_after": schedule.pause_after,
            "last_slot": maybe_us(schedule.last_slot),
            "last_execution": schedule.last_execution,
            "created": to_us(schedule.created_at),
        }
    )


def load_schedule(id: str, workflow: str, due_us: int | None, record: str) -> StoredSchedule:
    data: dict[str, Any] = json.loads(record)
    return StoredSchedule(
        id=id,
        workflow=workflow,
        spec=data["spec"],
        input=data["input"],
        attributes=data["attributes"],
        searchable=tuple((name, tuple(texts)) for name, texts in data["searchable"]),
        queue=data["queue"],
        partition=data["partition"],
        priority=data["priority"],
        timeout=None if data["timeout"] is None else data["timeout"] * _MICROSECOND,
        app=data["app"],
        declared_by=data["declared_by"],
        version=data["version"],
        next=maybe_from_us(data["next"]),
        due=maybe_from_us(due_us),
        paused=data["paused"],
        off=data["off"],
        waits=data["waits"],
        running=tuple(data["running"]),
        by_hand=tuple(ByHand(one, maybe_from_us(slot_us)) for one, slot_us in data["by_hand"]),
        failures=data["failures"],
        skips=data["skips"],
        pause_after=data["pause_after"],
        last_slot=maybe_from_us(data["last_slot"]),
        last_execution=data["last_execution"],
        created_at=from_us(data["created"]),
    )


def dump_left_out(one: LeftOut) -> str:
    return json.dumps({"first": to_us(one.first), "last": to_us(one.last), "count": one.count, "why": one.why, "outcome": one.outcome})


def load_left_out(record: str, at_us: int) -> LeftOut:
    data: dict[str, Any] = json.loads(record)
    return LeftOut(
        first=from_us(data["first"]),
        last=from_us(data["last"]),
        count=data["count"],
        why=data["why"],
        outcome=data["outcome"],
        at=from_us(at_us),
    )
