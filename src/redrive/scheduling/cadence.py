"""The slots of a schedule: by a cron expression in a time zone, or at a fixed interval."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol
from zoneinfo import ZoneInfo

import attrs

from redrive_interpreter.errors import InvalidDefinition

if TYPE_CHECKING:
    from cronsim import CronSim

COUNTED: Final = 1000
"""Slots that are counted one by one; where there are more, a count stops here."""
_AN_INSTANT: Final = timedelta(microseconds=1)
_A_SECOND: Final = timedelta(seconds=1)
_AN_HOUR: Final = timedelta(hours=1)
_A_DAY: Final = timedelta(days=1)


class Cadence(Protocol):
    """The moments at which a schedule may fire, all aware and in UTC."""

    def after(self, moment: datetime) -> datetime | None:
        """The first slot later than *moment*; None if there is none."""
        ...

    def last(self, moment: datetime) -> datetime | None:
        """The last slot not later than *moment*; None if there is none."""
        ...


@attrs.frozen
class Every:
    """A slot each *interval* (a second at least), counted from *anchor*, which is the first of them."""

    interval: timedelta
    anchor: datetime

    def after(self, moment: datetime) -> datetime | None:
        if moment < self.anchor:
            return self.anchor
        return self._slot((moment - self.anchor) // self.interval + 1)

    def last(self, moment: datetime) -> datetime | None:
        return None if moment < self.anchor else self._slot((moment - self.anchor) // self.interval)

    def _slot(self, index: int) -> datetime | None:
        try:
            return self.anchor + index * self.interval
        except OverflowError:
            return None


@attrs.frozen
class Cron:
    """The slots of a cron expression of five fields, or six with seconds first, by the wall clock of *zone*.

    Where an hour is named, a time that the clocks skip is moved to the moment after the gap, and one that they repeat counts
    once. Where every hour matches (``*``), slots go by real time. Debian's cron does the same.
    """

    expression: str
    zone: ZoneInfo

    @classmethod
    def parse(cls, expression: object, zone: object) -> Cron:
        """Raises `InvalidDefinition` for an expression or a zone that does not exist, and for dates that never come."""
        from cronsim import CronSim, CronSimError

        if not isinstance(expression, str):
            raise InvalidDefinition(f"cron= takes an expression like '30 2 * * *', not {expression!r}")
        found = zone_of(zone)
        try:
            next(CronSim(expression, datetime(2000, 1, 1, tzinfo=found)))
        except CronSimError as error:
            raise InvalidDefinition(f"cron={expression!r}: {str(error)[:1].lower()}{str(error)[1:]}") from None
        except (StopIteration, OverflowError, RuntimeError):
            raise InvalidDefinition(f"cron={expression!r} names a date that never comes") from None
        return cls(" ".join(expression.split()), found)

    def after(self, moment: datetime) -> datetime | None:
        found = next((slot for slot in self._forward(moment) if slot > moment), None)
        if self._by_real_time:
            for change in self._odd_changes(moment - _AN_HOUR, found):
                # Past such a change cronsim steps from one half hour to the next; from a whole hour on it is right again.
                behind = next((slot for slot in self._forward(_whole_hour(change, self.zone) - _A_SECOND) if slot > moment), None)
                found = behind if found is None or (behind is not None and behind < found) else found
        return found

    def last(self, moment: datetime) -> datetime | None:
        if self._by_real_time:
            found = next((slot for slot in self._backward(moment + _A_SECOND) if slot <= moment), None)
            for change in self._odd_changes(found, moment):
                found = self._last_from(change - _A_SECOND, min(moment, change + 3 * _AN_HOUR), found)
            return found
        # Backwards a repeated hour has two readings; so the way goes back a day too far, and forward from there.
        return self._last_from(moment - _A_DAY - _A_SECOND, moment, next(self._backward(moment - _A_DAY), None))

    def _last_from(self, start: datetime, moment: datetime, found: datetime | None) -> datetime | None:
        """The last slot between *start* and *moment*, or *found* if it is later."""
        for slot in slots_after(self, start):
            if slot > moment:
                break
            found = slot if found is None else max(found, slot)
        return found

    def _odd_changes(self, since: datetime | None, until: datetime | None) -> list[datetime]:
        """The moments between *since* and *until* at which the zone's clocks change by a part of an hour, as on Lord Howe Island.

        Where one of the two is not known, or is further away, those of a year.
        """
        year = timedelta(days=366)
        if until is None:
            assert since is not None
            until = since + year
        elif since is None or until - since > year:
            since = until - year
        return [
            change for number in range(since.year, until.year + 1) for change in odd_changes(self.zone, number) if since < change <= until
        ]

    @property
    def _by_real_time(self) -> bool:
        """True if cronsim does not look at what the clocks skip and repeat: with seconds, or where each hour or minute matches."""
        parts = self.expression.split()
        return len(parts) == 6 or self.zone.key == "UTC" or parts[0].startswith("*") or parts[1].startswith("*")

    def _forward(self, moment: datetime) -> Iterator[datetime]:
        return _slots(self._simulation(moment, reverse=False))

    def _backward(self, moment: datetime) -> Iterator[datetime]:
        return _slots(self._simulation(moment, reverse=True))

    def _simulation(self, moment: datetime, *, reverse: bool) -> CronSim:
        from cronsim import CronSim

        return CronSim(self.expression, moment.astimezone(self.zone), reverse)


def _slots(simulation: CronSim) -> Iterator[datetime]:
    while True:
        try:
            yield next(simulation).astimezone(UTC)
        except (StopIteration, OverflowError):
            return


@lru_cache(maxsize=256)
def odd_changes(zone: ZoneInfo, year: int) -> tuple[datetime, ...]:
    """The moments of *year* (UTC) at which the clocks of *zone* change by a part of an hour."""
    found: list[datetime] = []
    day = datetime(year, 1, 1, tzinfo=UTC)
    while day.year == year and year < MAXYEAR:
        after = day + _A_DAY
        if (_offset(zone, after) - _offset(zone, day)) % _AN_HOUR:
            early, late = day, after
            while late - early > _A_SECOND:
                middle = early + (late - early) // 2
                early, late = (early, middle) if _offset(zone, middle) != _offset(zone, day) else (middle, late)
            found.append(late.replace(microsecond=0))
        day = after
    return tuple(found)


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _whole_hour(moment: datetime, zone: ZoneInfo) -> datetime:
    """The first moment not before *moment* at which the clocks of *zone* show a whole hour."""
    local = moment.astimezone(zone)
    past = timedelta(minutes=local.minute, seconds=local.second)
    return moment if not past else moment + (_AN_HOUR - past)


@attrs.frozen
class Limited:
    """The slots of *cadence* from *start* to *end* (both included) that do not fall on one of the dates *exclude* in *zone*."""

    cadence: Cadence
    zone: ZoneInfo
    exclude: frozenset[date] = frozenset()
    start: datetime | None = None
    end: datetime | None = None

    def after(self, moment: datetime) -> datetime | None:
        if self.start is not None:
            moment = max(moment, self.start - _AN_INSTANT)
        slot = self.cadence.after(moment)
        while slot is not None and self._excluded(slot):
            slot = self.cadence.after(slot)
        return None if slot is None or (self.end is not None and slot > self.end) else slot

    def last(self, moment: datetime) -> datetime | None:
        if self.end is not None:
            moment = min(moment, self.end)
        slot = self.cadence.last(moment)
        while slot is not None and self._excluded(slot):
            slot = self.cadence.last(slot - _AN_INSTANT)
        return None if slot is None or (self.start is not None and slot < self.start) else slot

    def _excluded(self, slot: datetime) -> bool:
        return bool(self.exclude) and slot.astimezone(self.zone).date() in self.exclude


def zone_of(name: object) -> ZoneInfo:
    """The time zone *name* (a key of the IANA database). Raises `InvalidDefinition`."""
    if isinstance(name, str) and name:
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # `ZoneInfoNotFoundError` is a KeyError
            pass
    raise InvalidDefinition(f"timezone={name!r} is not in this system's time zone database (names are like 'Europe/Berlin')")


def slots_after(cadence: Cadence, moment: datetime) -> Iterator[datetime]:
    """The slots later than *moment*, oldest first."""
    slot = cadence.after(moment)
    while slot is not None:
        yield slot
        slot = cadence.after(slot)


def slots_between(cadence: Cadence, first: datetime, last: datetime, limit: int = COUNTED) -> list[datetime]:
    """The slots from *first* to *last* (both included), oldest first, *limit* at most."""
    found: list[datetime] = []
    for slot in islice(slots_after(cadence, first - _AN_INSTANT), limit):
        if slot > last:
            break
        found.append(slot)
    return found
