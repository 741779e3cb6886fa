"""Instants as people give them, made what the project works with: aware datetimes in UTC.

Dates in files of alerts have many forms and are the matter of `loading.values`.
"""

from datetime import UTC, datetime

from alert_pipelines.errors import AlertPipelinesError

EARLIEST_AS_OF = datetime(1000, 1, 1, tzinfo=UTC)
"""Rules look back a century at most: from here on that stays within the calendar."""


class InvalidInstantError(AlertPipelinesError):
    """What should be an instant is none, or none that can be used."""


def as_utc(instant: datetime) -> datetime:
    """`instant` in UTC; one that names no zone is UTC. Raises InvalidInstantError."""
    if not isinstance(instant, datetime):
        raise InvalidInstantError(f"{instant!r:.100} is no instant: give a datetime with its time and zone")
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInstantError(f"{instant.isoformat()} is in UTC no instant of the years 1 to 9999") from error


def as_of_utc(as_of: datetime) -> datetime:
    """An as_of in UTC, with the millisecond precision of BSON dates. Raises InvalidInstantError, also before 1000."""
    instant = as_utc(as_of)
    if instant < EARLIEST_AS_OF:
        raise InvalidInstantError(f"as_of {instant.isoformat()}: rules are judged from the year 1000 on")
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def read_instant(text: str) -> datetime:
    """An ISO 8601 text as an instant in UTC; one that names no zone is UTC. Raises InvalidInstantError."""
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidInstantError(
            f"{text!r:.100} is no instant: write ISO 8601, such as 2026-03-01T12:00:00Z"
        ) from error
    return as_utc(instant)
