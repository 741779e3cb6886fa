"""Open hours, and how minutes run in them: the arithmetic of calendars, and the clock that a rule counts minutes by.

A time is open if the local time of the zone then lies in one of the day's spans and the day is not a holiday. So an
hour that summer time skips has no open minutes, and one that comes twice has them twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from alert_pipelines.timestamps import FIRST_DATE
from alert_pipelines.zones import zone_of

_DAY = timedelta(days=1)
_SEARCHED = timedelta(days=200 * 366)
"""A rule counts a century of minutes at most; what is not found in two, no alert is old enough for."""

DaySpans = tuple[tuple[int, int], ...]
"""From which minute of a day until before which."""


class Hours(NamedTuple):
    """The open hours of a calendar: the spans of each day of the week, Monday first, and the days without any."""

    zone: str
    week: tuple[DaySpans, ...]
    holidays: frozenset[date]

    def is_open(self, at: datetime) -> bool:
        """Whether the time `at` is open."""
        return any(start <= at < end for start, end in _open_in(self, _day_of(at)))

    def before(self, at: datetime, minutes: int) -> datetime:
        """The latest time from which `minutes` open minutes have passed by `at`.

        A timestamp lies at or before it if and only if at least `minutes` open minutes have passed since.
        """
        return _before(self, at, minutes)

    def minutes_between(self, start: datetime, end: datetime) -> float:
        """How many open minutes there are from `start` to `end`."""
        open_time = timedelta()
        day = _day_of(start)
        while day <= end:
            spans = ((max(start, opens), min(end, closes)) for opens, closes in _open_in(self, day))
            open_time += sum((until - since for since, until in spans if since < until), timedelta())
            day += _DAY
        return open_time / timedelta(minutes=1)

    def next_opening(self, after: datetime) -> datetime | None:
        """When it opens next after `after`, at which it is closed; None where it does not within ten years."""
        days = (_day_of(after) + n * _DAY for n in range(3_660))
        return next((opens for day in days for opens, _ in _open_in(self, day) if opens > after), None)


@lru_cache(maxsize=1_024)
def _before(hours: Hours, at: datetime, minutes: int) -> datetime:
    missing, day = timedelta(minutes=minutes), _day_of(at)
    while True:
        for start, end in reversed(_open_in(hours, day)):
            passed = min(end, at) - start
            if passed >= missing:
                return min(end, at) - missing
            missing -= max(passed, timedelta())
        if at - day > _SEARCHED:
            return FIRST_DATE
        day -= _DAY


def _day_of(at: datetime) -> datetime:
    return datetime.combine(at.date(), time(), UTC)


@lru_cache(maxsize=65_536)
def _open_in(hours: Hours, day: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """The open spans of one day of UTC, in order."""
    zone = zone_of(hours.zone)
    return tuple(
        span
        for start, end in _of_one_offset(zone, day, day + _DAY)
        for span in _open_at_offset(hours, start, end, _offset(zone, start))
    )


def _of_one_offset(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The time from `start` to `end`, cut where the zone's clocks change: at most once a day."""
    before, last = _offset(zone, start), end - timedelta(seconds=1)
    if _offset(zone, last) == before:
        yield start, end
        return
    low, high = start, last
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
    yield start, high
    yield high, end


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _open_at_offset(
    hours: Hours, start: datetime, end: datetime, offset: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    # Wall times, written as if they were UTC.
    first, last = start + offset, end + offset
    day = _day_of(first)
    while day < last:
        for opens, closes in () if day.date() in hours.holidays else hours.week[day.weekday()]:
            since = max(first, day + timedelta(minutes=opens))
            until = min(last, day + timedelta(minutes=closes))
            if since < until:
                yield since - offset, until - offset
        day += _DAY


@dataclass(frozen=True)
class Clock:
    """The time that a rule is judged at, and the hours in which its minutes run, None for always."""

    as_of: datetime
    hours: Hours | None = None
    minutes: str = "minutes"

    def before(self, minutes: int) -> datetime:
        """The time that many minutes before as_of: what is dated at or before it is that old."""
        return self.hours.before(self.as_of, minutes) if self.hours else self.as_of - timedelta(minutes=minutes)

    def counted(self, since: object, minutes: int) -> str:
        """How far the open minutes since a date have come, as an explanation says it; nothing without a calendar."""
        if self.hours is None or not isinstance(since, datetime):
            return ""
        passed = self.hours.minutes_between(since, self.as_of) if since < self.as_of else 0
        return f"counts {int(passed)} of {minutes} open minutes"
