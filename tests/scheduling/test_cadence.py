"""The slots of schedules, held against the wall clocks of three zones minute by minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.scheduling.cadence import Cadence, Cron, Every, Limited, slots_after, slots_between
from redrive_interpreter.errors import InvalidDefinition

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
ZONES = (BERLIN, NEW_YORK, LORD_HOWE, "UTC")
START, END = datetime(2026, 12, 30, 12, tzinfo=UTC), datetime(2028, 1, 1, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def slots_of(cadence: Cadence, year: int = 2027, zone: str = BERLIN) -> list[datetime]:
    """The slots in *year*, by the clock of *zone*."""
    found: list[datetime] = []
    for slot in slots_after(cadence, START):
        local = slot.astimezone(ZoneInfo(zone))
        if local.year > year:
            return found
        if local.year == year:
            found.append(local)
    return found


@cache
def minutes(zone: str) -> list[tuple[datetime, datetime]]:
    """Each minute from `START` to `END`, in UTC and by the wall clock of *zone*."""
    info, found, moment = ZoneInfo(zone), list[tuple[datetime, datetime]](), START
    while moment < END:
        found.append((moment, moment.astimezone(info)))
        moment += MINUTE
    return found


def by_real_time(zone: str, fits: Callable[[datetime], bool]) -> list[datetime]:
    return [moment for moment, local in minutes(zone) if fits(local)]


def by_wall_clock(zone: str, hour: int, minute: int) -> Iterator[datetime]:
    """On each date the first minute that shows the time or a later one."""
    seen: set[date] = set()
    for moment, local in minutes(zone):
        if local.date() not in seen and (local.hour, local.minute) >= (hour, minute):
            seen.add(local.date())
            yield moment


def test_a_nightly_job_runs_once_on_each_date() -> None:
    """T7, H3: 02:30 in Berlin, 2027: 365 runs on 365 dates; on the day on which that time is skipped, at 03:00."""
    slots = slots_of(Cron.parse("30 2 * * *", BERLIN))
    assert len(slots) == len({slot.date() for slot in slots}) == 365
    assert [slot for slot in slots if (slot.hour, slot.minute) != (2, 30)] == [datetime(2027, 3, 28, 3, tzinfo=ZoneInfo(BERLIN))]


def test_a_quarter_hourly_job_runs_by_real_time() -> None:
    """T7, H3: 92 and 100 runs on the days on which clocks change, 15 minutes apart."""
    slots = slots_of(Cron.parse("*/15 * * * *", BERLIN))
    by_date = Counter(slot.date() for slot in slots)
    assert {day: n for day, n in by_date.items() if n != 96} == {date(2027, 3, 28): 92, date(2027, 10, 31): 100}
    apart = {later.astimezone(UTC) - earlier.astimezone(UTC) for earlier, later in pairwise(slots)}
    assert apart == {timedelta(minutes=15)}


def test_two_skipped_times_are_one_slot_and_repeated_ones_count_once() -> None:
    """H3: ``0,30 2 * * *``."""
    slots = slots_of(Cron.parse("0,30 2 * * *", BERLIN))
    assert [f"{slot:%H:%M}" for slot in slots if slot.date() == date(2027, 3, 28)] == ["03:00"]
    assert [f"{slot:%H:%M}{slot.fold}" for slot in slots if slot.date() == date(2027, 10, 31)] == ["02:000", "02:300"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("hour", "minute"), [(0, 0), (1, 30), (2, 0), (2, 15), (2, 30), (3, 0), (12, 1), (23, 59)])
def test_a_fixed_time_fires_on_each_date_at_the_first_minute_that_shows_it(zone: str, hour: int, minute: int) -> None:
    """H3, in three zones that change their clocks (one of them by half an hour), minute by minute through 2027."""
    wanted = [moment for moment in by_wall_clock(zone, hour, minute) if moment.astimezone(ZoneInfo(zone)).year == 2027]
    assert [slot.astimezone(UTC) for slot in slots_of(Cron.parse(f"{minute} {hour} * * *", zone), zone=zone)] == wanted


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("*/15 * * * *", lambda local: local.minute % 15 == 0),
        ("0 * * * *", lambda local: local.minute == 0),
        ("*/7 */3 * * *", lambda local: local.minute % 7 == 0 and local.hour % 3 == 0),
        ("5 * 31 10 *", lambda local: local.minute == 5 and (local.day, local.month) == (31, 10)),
        ("* 2 * * SUN", lambda local: local.hour == 2 and local.isoweekday() == 7),
    ],
)
def test_what_matches_each_hour_or_minute_goes_by_real_time(zone: str, expression: str, fits: Callable[[datetime], bool]) -> None:
    """H3: each real minute whose clock matches, through both changes of the clocks."""
    wanted = [moment for moment in by_real_time(zone, fits) if moment > START]
    assert slots_between(Cron.parse(expression, zone), START + MINUTE, END - MINUTE, len(wanted) + 10) == wanted


MOMENTS = st.integers(0, 2 * 366 * 86_400 * 10**6).map(lambda us: datetime(2026, 12, 1, tzinfo=UTC) + timedelta(microseconds=us))
EXPRESSIONS = (
    "* 2 * * SUN",
    "*/7 */3 * * *",
    "30 2 * * *",
    "0,30 2,3 * * *",
    "*/15 * * * *",
    "0 * * * *",
    "15 1 * * *",
    "0 0 1 * *",
    "0 0 L * *",
    "5 4 * * MON#2",
    "0 9 LW * *",
    "*/30 5 4 3 * *",
)


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), MOMENTS, st.integers(0, 2))
def test_the_last_slot_is_the_one_before_the_next(expression: str, zone: str, moment: datetime, dst: int) -> None:
    """What `last` finds backwards, `after` finds forwards; also around the two days on which clocks change."""
    when = moment
    if dst:
        day = {BERLIN: ((3, 28), (10, 31)), NEW_YORK: ((3, 14), (11, 7)), LORD_HOWE: ((4, 4), (10, 3))}.get(zone, ((1, 1), (6, 1)))[dst - 1]
        when = datetime(2027, *day, moment.hour, moment.minute, tzinfo=ZoneInfo(zone), fold=moment.second % 2).astimezone(UTC)
    cadence = Cron.parse(expression, zone)
    last = cadence.last(when)
    assert last is not None
    assert last <= when
    following = cadence.after(last)
    assert following is not None
    assert following > when
    assert cadence.after(last - timedelta(microseconds=1)) == last


@given(
    st.integers(1, 10**6),
    MOMENTS,
    MOMENTS,
)
def test_an_interval_keeps_its_grid(seconds: int, anchor: datetime, moment: datetime) -> None:
    """H2: slots follow from the anchor, whenever one looks."""
    every = Every(timedelta(seconds=seconds), anchor)
    slot = every.after(moment)
    assert slot is not None
    assert slot > moment
    assert (slot - every.anchor) % every.interval == timedelta(0)
    before = every.last(moment)
    assert before is None if slot == every.anchor else before == slot - every.interval


def test_excluded_dates_are_those_of_the_schedules_zone() -> None:
    cadence = Limited(Cron.parse("30 23 * * *", NEW_YORK), ZoneInfo(NEW_YORK), frozenset({date(2027, 12, 25)}))
    dates = {slot.date() for slot in slots_of(cadence, zone=NEW_YORK)}
    assert date(2027, 12, 25) not in dates
    assert len(dates) == 364


def test_slots_keep_to_the_start_and_the_end() -> None:
    start, end = datetime(2027, 5, 1, tzinfo=UTC), datetime(2027, 5, 3, tzinfo=UTC)
    cadence = Limited(Every(DAY, start), ZoneInfo("UTC"), start=start, end=end)
    assert list(slots_after(cadence, START)) == [start, start + DAY, end]
    assert cadence.last(START) is None
    assert cadence.last(END) == end


@pytest.mark.parametrize(
    ("expression", "zone", "says"),
    [
        ("0 0 30 2 *", "UTC", "day-of-month"),
        ("0 0 31 4,6 *", "UTC", "day-of-month"),
        ("61 * * * *", "UTC", "minute"),
        ("* * * *", "UTC", "number of fields"),
        ("", "UTC", "number of fields"),
        ("@daily", "UTC", "number of fields"),
        (5, "UTC", "expression"),
        ("0 0 * * *", "Europe/Atlantis", "time zone"),
        ("0 0 * * *", "../etc/passwd", "time zone"),
        ("0 0 * * *", "", "time zone"),
        ("0 0 * * *", None, "time zone"),
        ("0 0 * 2 MON#0", "UTC", "day-of-week"),
    ],
)
def test_what_never_comes_is_refused_where_it_is_written(expression: object, zone: object, says: str) -> None:
    """H3: impossible dates, and what is no expression or zone."""
    with pytest.raises(InvalidDefinition, match=says):
        Cron.parse(expression, zone)
