"""Dates and times, in ISO 8601 with what RFC 9557 adds.

``2027-10-31T02:30:00[Europe/Berlin][fold=1]``: a zone is stored by its key beside the wall time, so a new
edition of the zone's rules moves the instant and not the clock on the wall, as Python's own datetimes
do. Fixed offsets are stored as they are; ``[name=CET]`` keeps the name of one that was given a name.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, Final

from redrive.codec.plans import Data, Plan, Wrong, other_form, refuse_value

_TEXT: Final = re.compile(r"([^\[]+)(?:\[([^\]=]+)\])?(\[fold=1\])?(?:\[name=(.*)\])?", re.DOTALL)
_UTC: Final = timezone.utc  # noqa: UP017 - datetime.UTC is the same object, but `timezone` is what is compared


def dump_date(value: Any) -> Data:
    if type(value) is date:
        return value.isoformat()
    raise refuse_value(value, "date")


def load_date(data: Data) -> date:
    if type(data) is str:
        try:
            return date.fromisoformat(data)
        except ValueError:
            pass
    found: date = other_form(data, "date", load_date, "datetime.date")
    return found


def dump_datetime(value: Any) -> Data:
    if type(value) is not datetime:
        raise refuse_value(value, "datetime")
    zone = value.tzinfo
    if (zone is _UTC or zone is None) and not value.fold:
        return value.isoformat()
    return _write(value, zone, "datetime")


def load_datetime(data: Data) -> datetime:
    if type(data) is str and data[10:11] == "T":
        try:
            if data[-1] != "]":
                return datetime.fromisoformat(data)
            text, zone, fold, name = _read(data)
            value = datetime.fromisoformat(text)
            return value.replace(tzinfo=_zone(value.tzinfo, zone, name, "datetime"), fold=fold)
        except ValueError:
            pass
    found: datetime = other_form(data, "datetime", load_datetime, "datetime.datetime")
    return found


def dump_time(value: Any) -> Data:
    if type(value) is not time:
        raise refuse_value(value, "time")
    zone = value.tzinfo
    if (zone is _UTC or zone is None) and not value.fold:
        return value.isoformat()
    return _write(value, zone, "time")


def load_time(data: Data) -> time:
    if type(data) is str and data[2:3] == ":":
        try:
            if data[-1] != "]":
                return time.fromisoformat(data)
            text, zone, fold, name = _read(data)
            value = time.fromisoformat(text)
            return value.replace(tzinfo=_zone(value.tzinfo, zone, name, "time"), fold=fold)
        except ValueError:
            pass
    found: time = other_form(data, "time", load_time, "datetime.time")
    return found


def dump_timedelta(value: Any) -> Data:
    """*value* in whole microseconds, which represent a timedelta exactly."""
    if type(value) is timedelta:
        return (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    raise refuse_value(value, "timedelta")


def load_timedelta(data: Data) -> timedelta:
    if type(data) is int:
        try:
            return timedelta(microseconds=data)
        except OverflowError:
            pass
    found: timedelta = other_form(data, "timedelta", load_timedelta, "datetime.timedelta")
    return found


def _write(value: datetime | time, zone: tzinfo | None, declared: str) -> str:
    fold = "[fold=1]" if value.fold else ""
    if zone is None:
        return value.isoformat() + fold
    if type(zone) is timezone:
        name = zone.tzname(None)
        if name == timezone(zone.utcoffset(None)).tzname(None):
            return value.isoformat() + fold
        if not name.isascii():
            raise Wrong(declared, f"the name of its timezone, {name!r}, is not ASCII")
        return f"{value.isoformat()}{fold}[name={name}]"
    key = getattr(zone, "key", None)
    if type(key) is not str or not _is_zoneinfo(zone) or "]" in key or "=" in key:
        raise Wrong(declared, f"its tzinfo is {zone!r}: use datetime.timezone, or a zoneinfo.ZoneInfo with a key")
    return f"{value.replace(tzinfo=None).isoformat()}[{key}]{fold}"


def _read(text: str) -> tuple[str, str | None, int, str | None]:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    plain, zone, fold, name = match.groups()
    return plain, zone, 1 if fold else 0, name


def _zone(offset: tzinfo | None, zone: str | None, name: str | None, declared: str) -> tzinfo | None:
    if zone is None:
        if name is None or offset is None:
            return offset
        return timezone(offset.utcoffset(None) or timedelta(0), name)
    from zoneinfo import ZoneInfo  # imported on demand: it takes a fifth of this package's import time

    try:
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise Wrong(declared, f"the time zone {zone!r} is not known on this machine") from None


def _is_zoneinfo(zone: tzinfo) -> bool:
    from zoneinfo import ZoneInfo

    return type(zone) is ZoneInfo


_STR: Final = frozenset({"str"})

MOMENTS: Final[dict[Any, Plan]] = {
    date: Plan("date", dump_date, load_date, _STR, (date,), small=True),
    datetime: Plan("datetime", dump_datetime, load_datetime, _STR, (datetime,), small=True),
    time: Plan("time", dump_time, load_time, _STR, (time,), small=True),
    timedelta: Plan("timedelta", dump_timedelta, load_timedelta, frozenset({"int"}), (timedelta,), small=True),
}
