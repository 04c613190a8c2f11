"""Durations and moments as users give them, made exact where the command is built."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from redrive_interpreter.errors import InvalidDuration

Duration: TypeAlias = float | timedelta
"""Seconds, or a timedelta."""

LONGEST: Final = timedelta(days=365_250)
"""The longest duration, a thousand years: a few of them on top of each other stay before the year 9999."""
LATEST: Final = datetime(7000, 1, 1, tzinfo=UTC)
"""No moment is later than this, so that due times can be counted on from it."""
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


def duration(value: object, what: str) -> timedelta:
    """*value* as a timedelta; zero and negative are fine, and mean now.

    Raises `InvalidDuration` for NaN, infinity, more than a thousand years, and what is not a number of
    seconds or a timedelta. A large negative one is cut to minus a thousand years.
    """
    if isinstance(value, timedelta):
        if value > LONGEST:
            raise InvalidDuration(f"{what}: {value} is longer than a thousand years")
        return max(value, -LONGEST)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidDuration(f"{what}: {value!r} is neither seconds nor a timedelta")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidDuration(f"{what}: {value!r} is not a duration")
    seconds = LONGEST.total_seconds()
    if value > seconds:  # compared before anything is made a float of it: an int may be too large for one
        raise InvalidDuration(f"{what}: that many seconds are longer than a thousand years")
    return timedelta(seconds=max(value, -seconds))


def optional_duration(value: object, what: str) -> timedelta | None:
    return None if value is None else duration(value, what)


def positive_duration(value: object, what: str) -> timedelta | None:
    """`duration`, or None; raises `InvalidDuration` unless it is more than zero."""
    if value is None:
        return None
    made = duration(value, what)
    if made <= timedelta(0):
        raise InvalidDuration(f"{what}: {value!r} is not more than zero")
    return made


def moment(value: object, what: str) -> datetime:
    """*value* in UTC; the past is fine, and means now (what is before 1970 becomes 1970).

    Raises `InvalidDuration` for a datetime without a timezone, after the year 6999, and for anything else.
    """
    if not isinstance(value, datetime):
        raise InvalidDuration(f"{what}: {value!r} is not a datetime")
    if value.utcoffset() is None:
        raise InvalidDuration(f"{what}: {value!r} has no timezone; write datetime(…, tzinfo=UTC)")
    if value.year > LATEST.year:
        raise InvalidDuration(f"{what}: {value!r} is after the year 6999")
    if value.year < EARLIEST.year:
        return EARLIEST
    made = max(value.astimezone(UTC), EARLIEST)
    if made >= LATEST:
        raise InvalidDuration(f"{what}: {value!r} is after the year 6999")
    return made


def optional_moment(value: object, what: str) -> datetime | None:
    return None if value is None else moment(value, what)
