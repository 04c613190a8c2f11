"""The ids of scheduled executions, and the delay of a slot: functions of schedule and slot alone."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.keys import check_name

LONGEST_ID: Final = 200
"""Bytes of a schedule's id, so that the ids of its executions stay within 255."""


def check_schedule_id(id: object) -> str:
    """*id*; raises `InvalidName` for what is no name, and `InvalidDefinition` for more than 200 bytes."""
    name = check_name(id, "schedule id")
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST_ID:
        raise InvalidDefinition(f"the id of a schedule has {LONGEST_ID} bytes at most: {name[:40]!r}…")
    return name


def slot_text(slot: datetime) -> str:
    """``2026-11-28T01:30:00Z``; with a fraction of a second where it is not zero."""
    return slot.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def slot_id(schedule: str, slot: datetime) -> str:
    """The id of the execution of one slot."""
    return f"{schedule}@{slot_text(slot)}"


def trigger_id(schedule: str, trigger: UUID) -> str:
    """The id of an execution that was triggered by hand."""
    return f"{schedule}!{trigger}"


def jitter_of(schedule: str, slot: datetime, jitter: timedelta) -> timedelta:
    """How much later than *slot* its execution starts, within [0, *jitter*): a hash, the same for every worker."""
    if jitter <= timedelta(0):
        return timedelta(0)
    digest = hashlib.sha256(f"{len(schedule)}:{schedule}{slot_text(slot)}".encode("utf-8", "surrogatepass")).digest()
    return timedelta(microseconds=int.from_bytes(digest[:8]) * (jitter // timedelta(microseconds=1)) >> 64)
