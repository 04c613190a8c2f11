"""When and how a schedule fires, as it is stored."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import attrs

from redrive.scheduling.cadence import Cadence, Cron, Every, Limited, zone_of
from redrive.scheduling.slot_names import jitter_of
from redrive_interpreter.commands.durations import duration, optional_moment
from redrive_interpreter.errors import InvalidDefinition, InvalidDuration

if TYPE_CHECKING:
    from collections.abc import Iterable

Overlap: TypeAlias = Literal["skip", "queue", "allow", "cancel"]
CatchUp: TypeAlias = Literal["skip", "once", "all"]
SHORTEST: Final = timedelta(seconds=1)
"""The shortest interval of ``every=``."""
_A_MICROSECOND: Final = timedelta(microseconds=1)


@attrs.frozen(kw_only=True)
class Spec:
    """A cadence (*cron* in *zone*, or *every* from *anchor* on) with its limits, and what happens to slots that meet a running
    execution (*overlap*) or that nobody was there for (*catch_up*). Moments are in UTC."""

    cron: str | None = None
    every: timedelta | None = None
    zone: str = "UTC"
    overlap: Overlap = "skip"
    catch_up: CatchUp = "once"
    jitter: timedelta = timedelta(0)
    exclude: frozenset[date] = frozenset()
    start_at: datetime | None = None
    end_at: datetime | None = None
    pause_after: int | None = None
    anchor: datetime | None = None
    """Where the grid of *every* begins: *start_at*, or when the schedule was first stored."""

    @classmethod
    def of(
        cls,
        *,
        cron: object = None,
        every: object = None,
        timezone: object = "UTC",
        overlap: object = "skip",
        catch_up: object = "once",
        jitter: object = 0,
        exclude: Iterable[object] = (),
        start_at: object = None,
        end_at: object = None,
        pause_after: object = None,
    ) -> Spec:
        """Raises `InvalidDefinition` and `InvalidDuration` for what makes no schedule."""
        if (cron is None) == (every is None):
            raise InvalidDefinition("a schedule takes cron= or every=, one of them")
        zone_of(timezone)
        expression = None if cron is None else Cron.parse(cron, timezone).expression
        interval = None if every is None else duration(every, "every")
        if interval is not None and interval < SHORTEST:
            raise InvalidDuration(f"every: {every!r} is less than a second")
        delay = duration(jitter, "jitter")
        if delay < timedelta(0):
            raise InvalidDuration(f"jitter: {jitter!r} is negative")
        if overlap not in get_args(Overlap):
            raise InvalidDefinition(f"overlap= is 'skip', 'queue', 'allow' or 'cancel', not {overlap!r}")
        if catch_up not in get_args(CatchUp):
            raise InvalidDefinition(f"catch_up= is 'skip', 'once' or 'all', not {catch_up!r}")
        if pause_after is not None and (isinstance(pause_after, bool) or not isinstance(pause_after, int) or pause_after < 1):
            raise InvalidDefinition(f"pause_after= is a number of failures, 1 or more, not {pause_after!r}")
        start, end = optional_moment(start_at, "start_at"), optional_moment(end_at, "end_at")
        if start is not None and end is not None and end < start:
            raise InvalidDefinition("a schedule's end_at= is before its start_at=")
        return cls(
            cron=expression,
            every=interval,
            zone=str(timezone),
            overlap=overlap,  # type: ignore[arg-type]
            catch_up=catch_up,  # type: ignore[arg-type]
            jitter=delay,
            exclude=frozenset(_date(one) for one in exclude),
            start_at=start,
            end_at=end,
            pause_after=pause_after,
            anchor=start if interval is not None else None,
        )

    def changed(self, *, cron: object = None, every: object = None, **changes: Any) -> Spec:
        """The spec with some options changed; *cron* or *every* takes the place of the cadence. Raises as `of` does."""
        options: dict[str, Any] = {
            "timezone": self.zone,
            "overlap": self.overlap,
            "catch_up": self.catch_up,
            "jitter": self.jitter,
            "exclude": self.exclude,
            "start_at": self.start_at,
            "end_at": self.end_at,
            "pause_after": self.pause_after,
        }
        if cron is None and every is None:
            cron, every = self.cron, self.every
        return Spec.of(cron=cron, every=every, **options | changes)

    def from_(self, now: datetime) -> Spec:
        """The spec with the grid of its *every* beginning now, unless it has one."""
        return attrs.evolve(self, anchor=now) if self.every is not None and self.anchor is None else self

    def cadence(self) -> Cadence:
        """The slots. A spec with *every* needs its anchor."""
        zone = zone_of(self.zone)
        inner: Cadence
        if self.cron is not None:
            inner = Cron(self.cron, zone)
        else:
            assert self.every is not None
            assert self.anchor is not None
            inner = Every(self.every, self.anchor)
        if not self.exclude and self.start_at is None and self.end_at is None:
            return inner
        return Limited(inner, zone, self.exclude, self.start_at, self.end_at)

    def keeps_the_slots_of(self, other: Spec) -> bool:
        """True if both have the same slots, so that the next one stays."""
        return self._slots() == other._slots()

    def _slots(self) -> tuple[object, ...]:
        zone = self.zone if self.cron is not None or self.exclude else ""
        return (self.cron, self.every, zone, self.exclude, self.start_at, self.end_at)

    def due(self, schedule: str, slot: datetime | None) -> datetime | None:
        """When the execution of *slot* starts: later by its jitter."""
        return None if slot is None else slot + jitter_of(schedule, slot, self.jitter)

    # ── as text ─────────────────────────────────────────────────────────────────────────────────
    def dump(self) -> str:
        """As JSON; what has its default is left out."""
        data = {
            "cron": self.cron,
            "every": None if self.every is None else self.every // _A_MICROSECOND,
            "zone": None if self.zone == "UTC" else self.zone,
            "overlap": None if self.overlap == "skip" else self.overlap,
            "catch_up": None if self.catch_up == "once" else self.catch_up,
            "jitter": self.jitter // _A_MICROSECOND or None,
            "exclude": sorted(each.isoformat() for each in self.exclude) or None,
            "start_at": None if self.start_at is None else self.start_at.isoformat(),
            "end_at": None if self.end_at is None else self.end_at.isoformat(),
            "pause_after": self.pause_after,
            "anchor": None if self.anchor is None else self.anchor.isoformat(),
        }
        return json.dumps({name: value for name, value in data.items() if value is not None}, sort_keys=True)

    @classmethod
    def load(cls, text: str) -> Spec:
        """Raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for a text that `dump` did not write."""
        data: dict[str, Any] = json.loads(text)
        return cls(
            cron=data.get("cron"),
            every=None if data.get("every") is None else data["every"] * _A_MICROSECOND,
            zone=data.get("zone", "UTC"),
            overlap=data.get("overlap", "skip"),
            catch_up=data.get("catch_up", "once"),
            jitter=data.get("jitter", 0) * _A_MICROSECOND,
            exclude=frozenset(date.fromisoformat(each) for each in data.get("exclude", ())),
            start_at=_moment(data.get("start_at")),
            end_at=_moment(data.get("end_at")),
            pause_after=data.get("pause_after"),
            anchor=_moment(data.get("anchor")),
        )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _date(value: object) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise InvalidDefinition(f"exclude= takes dates, not {value!r}")
    return value
