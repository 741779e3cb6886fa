"""When a recurring window occurs: an RFC 5545 recurrence rule in the local time of a zone, as times in UTC.

An occurrence begins at a local time and lasts its minutes. Where summer time skips that local time, it begins as much
later; where the local time comes twice, it begins the first time.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from alert_pipelines.spelling import did_you_mean
from alert_pipelines.zones import zone_of

_PARTS = (
    *("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYSETPOS", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"),
    *("BYDAY", "BYHOUR", "BYMINUTE", "BYSECOND"),
)
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
# Without `from`, nothing but these says on which day an occurrence begins.
_DAYS = {
    "DAILY": (),
    "WEEKLY": ("BYDAY",),
    "MONTHLY": ("BYDAY", "BYMONTHDAY"),
    "YEARLY": ("BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"),
}
_LATE_LEAP_YEAR = 9952
_A_NEW_YEAR = datetime(2000, 1, 1)  # noqa: DTZ001 - local to the zone
_SEARCHED = timedelta(days=366 * 41)
"""A 29 February on a certain day of the week comes back within forty years."""


class Recurrence(NamedTuple):
    """A recurrence rule, the zone whose local time it is in, and from when on it counts: None for always."""

    rule: str
    zone: str
    first: datetime | None

    def check(self) -> None:
        """Raise ValueError where the rule is not valid, or never occurs."""
        _check_parts(self)
        if not _occurs(self):
            raise ValueError(f"rrule: the window never occurs: no date fits {self.rule!r:.200}")

    def starts(self, after: datetime, before: datetime) -> list[datetime]:
        """The times after `after` and at or before `before` at which an occurrence begins."""
        return list(_starts(self, after, before))

    def next_start(self, after: datetime) -> datetime | None:
        """The first time after `after` at which an occurrence begins; None where none does within forty years."""
        spans = (timedelta(days=days) for days in (2, 40, 400, _SEARCHED.days))
        return next((found[0] for span in spans if (found := self.starts(after, after + span))), None)


# Each rule of a scan asks for the same.
@lru_cache(maxsize=1_024)
def _starts(recurrence: Recurrence, after: datetime, before: datetime) -> tuple[datetime, ...]:
    zone, day = zone_of(recurrence.zone), timedelta(days=1)
    # Local times near a change of summer time are not in the order of the times.
    local_starts = _local_starts(recurrence, _wall(after - day, zone), _wall(before + day, zone))
    begins = (at.replace(tzinfo=zone).astimezone(UTC) for at in local_starts)
    return tuple(at for at in begins if after < at <= before)


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)


def _parts(rule: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in rule.removeprefix("RRULE:").split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise ValueError(
                f"rrule: {part!r:.100} is not a valid part: expected NAME=VALUE, as in FREQ=WEEKLY;BYDAY=SU"
            )
        if name not in _PARTS:
            raise ValueError(f"rrule: {name!r:.100} is unknown; {did_you_mean(name, _PARTS)}")
        if name in parts:
            raise ValueError(f"rrule: {name} is given twice")
        parts[name] = value
    return parts


def _check_parts(recurrence: Recurrence) -> None:
    parts = _parts(recurrence.rule)
    frequency = parts.get("FREQ")
    if frequency not in _FREQUENCIES:
        raise ValueError(f"rrule: FREQ: expected one of {', '.join(_FREQUENCIES)}; got {frequency!r:.100}")
    for name in ("INTERVAL", "COUNT"):
        if name in parts and not re.fullmatch("[1-9][0-9]{0,4}", parts[name]):
            raise ValueError(f"rrule: {name}: expected a whole number from 1 to 99999; got {parts[name]!r:.100}")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("rrule: COUNT and UNTIL: give one of the two")
    if recurrence.first is None:
        counted = [name for name in ("INTERVAL", "COUNT") if name in parts]
        if counted and parts.get("INTERVAL") != "1":
            raise ValueError(f"rrule: {counted[0]} counts from the first occurrence: give it as from")
        if _DAYS[frequency] and not any(name in parts for name in _DAYS[frequency]):
            raise ValueError(f"rrule: on which day it occurs is missing: give {' or '.join(_DAYS[frequency])}, or from")
    try:
        _read(recurrence, _A_NEW_YEAR)
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"rrule: {recurrence.rule!r:.200} is not a valid recurrence rule: {error}") from error


def _read(recurrence: Recurrence, start: datetime, until: datetime | None = None) -> rrule:
    """The rule over local times; `until` ends the search where the rule itself does not."""
    parts = _parts(recurrence.rule)
    if "UNTIL" in parts:
        own = _until(parts["UNTIL"], recurrence.zone)
        until = own if until is None else min(own, until)
    if until is not None and "COUNT" not in parts:
        parts["UNTIL"] = f"{until:%Y%m%dT%H%M%S}"
    return _dateutil(parts, start)


def _dateutil(parts: Mapping[str, str], start: datetime) -> rrule:
    read = rrulestr(";".join(f"{name}={value}" for name, value in parts.items()), dtstart=start)
    assert isinstance(read, rrule)
    return read


def _until(text: str, zone: str) -> datetime:
    found = re.fullmatch(r"([0-9]{8})(?:T([0-9]{6})(Z?))?", text)
    if found is None:
        raise ValueError(f"UNTIL: expected a date such as 20261231 or 20261231T235959Z; got {text!r:.100}")
    # A date alone is all of its day.
    at = datetime.strptime(f"{found[1]}{found[2] or '235959'}", "%Y%m%d%H%M%S")  # noqa: DTZ007 - local to the zone
    return _wall(at.replace(tzinfo=UTC), zone_of(zone)) if found[3] else at


def _local_starts(recurrence: Recurrence, after: datetime, before: datetime) -> Iterator[datetime]:
    if recurrence.first is None:
        # The rule says all by itself, so it may be read from any beginning of a year.
        start = _A_NEW_YEAR.replace(year=max(after.year - 1, 1))
    else:
        start = _wall(recurrence.first, zone_of(recurrence.zone))
    for at in _read(recurrence, start, before):
        if at > before:
            return
        if at >= after:
            yield at


@lru_cache(maxsize=1_024)
def _occurs(recurrence: Recurrence) -> bool:
    parts = _parts(recurrence.rule)
    start = _wall(recurrence.first or _A_NEW_YEAR.replace(tzinfo=UTC), zone_of(recurrence.zone))
    ever = {name: value for name, value in parts.items() if name not in ("INTERVAL", "COUNT", "UNTIL")}
    # dateutil searches up to its last year, thousands of years for what no date fits; here that is some forty.
    if next(iter(_dateutil(ever, start.replace(year=_LATE_LEAP_YEAR))), None) is None:
        return False
    return len(ever) == len(parts) or next(_local_starts(recurrence, start, start + _SEARCHED), None) is not None
