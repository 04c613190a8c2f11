"""Times as databases keep them: integers, microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_us(at: datetime) -> int:
    return (at - EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def maybe_us(at: datetime | None) -> int | None:
    return None if at is None else to_us(at)


def maybe_from_us(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)
