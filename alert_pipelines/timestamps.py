"""Parses timestamps to aware datetimes in UTC.

Dates in files of alerts have many forms: `loading.values` reads those.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from alert_pipelines.errors import InvalidTimestampError

FIRST_DATE = datetime.min.replace(tzinfo=UTC)
"""The first date that Python knows."""
EARLIEST_AS_OF, LATEST_AS_OF = datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Rules look back, and windows reach out, a century at most: between these that stays within the calendar."""


def as_utc(timestamp: datetime) -> datetime:
    """`timestamp` in UTC; one that names no zone is UTC. Raises InvalidTimestampError."""
    if not isinstance(timestamp, datetime):
        raise InvalidTimestampError(f"{timestamp!r:.100} is not a valid time: give a datetime with its time and zone")
    if timestamp.tzinfo is None:
        return timestamp.replace(tzinfo=UTC)
    try:
        return timestamp.astimezone(UTC)
    except OverflowError as error:
        raise InvalidTimestampError(
            f"{timestamp.isoformat()} is not a valid time: in UTC it is outside the years 1 to 9999"
        ) from error


def as_of_utc(as_of: datetime) -> datetime:
    """An as_of in UTC, with the millisecond precision of BSON dates.

    Raises InvalidTimestampError, also outside the years 1000 to 8999.
    """
    timestamp = as_utc(as_of)
    if not EARLIEST_AS_OF <= timestamp < LATEST_AS_OF:
        raise InvalidTimestampError(f"as_of {timestamp.isoformat()}: give one of the years 1000 to 8999")
    return as_stored(timestamp)


def earlier(timestamp: datetime, span: timedelta) -> datetime:
    """`span` before `timestamp`, but not before the first date that there is."""
    return timestamp - min(span, timestamp - FIRST_DATE)


def as_stored(timestamp: datetime) -> datetime:
    """`timestamp` with the millisecond precision of BSON dates."""
    return timestamp.replace(microsecond=timestamp.microsecond // 1000 * 1000)


def parse_timestamp(text: str) -> datetime:
    """An ISO 8601 text as a datetime in UTC; one that names no zone is UTC. Raises InvalidTimestampError."""
    try:
        timestamp = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidTimestampError(
            f"{text!r:.100} is not a valid time: write ISO 8601, such as 2026-03-01T12:00:00Z"
        ) from error
    return as_utc(timestamp)


def as_age(since: Any, now: datetime) -> str:
    """How long ago `since` is, in two units at most; a dash for what is not a date that Python knows."""
    if not isinstance(since, datetime):
        return "-"
    if timedelta(0) <= since - now < timedelta(seconds=1):
        return "now"
    text = as_duration(abs(now - since))
    return text if since <= now else f"in {text}"


def as_duration(duration: timedelta) -> str:
    """`duration`, which is not negative, in days, hours and whole minutes, of these two units at most; below in s."""
    minutes, rest = divmod(duration, timedelta(minutes=1))
    if not minutes:
        return f"{rest.seconds} s"
    days, hours = divmod(minutes // 60, 24)
    units = ((days, "d"), (hours, "h"), (minutes % 60, "min"))
    first = next(n for n, (number, _) in enumerate(units) if number)
    return " ".join(f"{number} {unit}" for number, unit in units[first : first + 2])
