"""Instants as people give them, made what the project works with: aware datetimes in UTC.

Dates in files of alerts have many forms and are the matter of `loading.values`.
"""

from datetime import UTC, datetime

from alert_pipelines.errors import AlertPipelinesError

EARLIEST_AS_OF, LATEST_AS_OF = datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Rules look back, and windows reach out, a century at most: between these that stays within the calendar."""


class InvalidInstantError(AlertPipelinesError):
    """What should be an instant is none, or none that can be used."""


def as_utc(instant: datetime) -> datetime:
    """`instant` in UTC; one that names no zone is UTC. Raises InvalidInstantError."""
    if not isinstance(instant, datetime):
        raise InvalidInstantError(f"{instant!r:.100} is not a valid time: give a datetime with its time and zone")
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInstantError(
            f"{instant.isoformat()} is not a valid time: in UTC it is outside the years 1 to 9999"
        ) from error


def as_of_utc(as_of: datetime) -> datetime:
    """An as_of in UTC, with the millisecond precision of BSON dates. Raises InvalidInstantError, also outside the years
    1000 to 8999."""
    instant = as_utc(as_of)
    if not EARLIEST_AS_OF <= instant < LATEST_AS_OF:
        raise InvalidInstantError(f"as_of {instant.isoformat()}: give one of the years 1000 to 8999")
    return as_stored(instant)


def as_stored(instant: datetime) -> datetime:
    """`instant` with the millisecond precision of BSON dates."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def read_instant(text: str) -> datetime:
    """An ISO 8601 text as an instant in UTC; one that names no zone is UTC. Raises InvalidInstantError."""
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidInstantError(
            f"{text!r:.100} is not a valid time: write ISO 8601, such as 2026-03-01T12:00:00Z"
        ) from error
    return as_utc(instant)
