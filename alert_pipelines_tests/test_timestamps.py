"""Instants that people give: every odd one is read in UTC or refused by name."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from alert_pipelines.errors import InvalidTimestampError
from alert_pipelines.timestamps import EARLIEST_AS_OF, LATEST_AS_OF, as_age, as_of_utc, as_utc, earlier, parse_timestamp

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00",
        "2026-03-01 12:00:00.000",
        " 2026-03-01T12:00Z\n",
        "20260301T120000Z",
        "2026-W09-7T12:00",
        "2026-03-01T17:45+05:45",
        "2026-03-01T12:00:30+00:00:30",
        "2026-02-28T22:30-13:30",
    ],
)
def test_a_text_is_read_in_utc(text: str) -> None:
    instant = parse_timestamp(text)
    assert (instant, instant.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize("text", ["", "now", "1.3.2026", "2026-03-01T12:00 Europe/Vienna", "2026-02-30", "1772366400"])
def test_a_text_that_is_no_instant_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidTimestampError, match="is not a valid time: write ISO 8601"):
        parse_timestamp(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_an_instant_outside_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(InvalidTimestampError, match="in UTC it is outside the years 1 to 9999"):
        parse_timestamp(text)


@pytest.mark.parametrize("value", ["2026-03-01", date(2026, 3, 1), 1772366400, None])
def test_a_value_that_is_no_datetime_is_refused(value: Any) -> None:
    with pytest.raises(InvalidTimestampError, match="is not a valid time: give a datetime"):
        as_utc(value)


def test_an_as_of_has_the_precision_of_the_database() -> None:
    zone = timezone(timedelta(hours=5, minutes=45))
    given = datetime(2026, 3, 1, 17, 45, 0, 999_999, tzinfo=zone)
    assert as_of_utc(given) == NOON + timedelta(milliseconds=999)
    assert as_of_utc(datetime(2026, 3, 1, 12)) == NOON  # noqa: DTZ001 - a naive one is UTC


def test_an_as_of_at_the_ends_of_the_calendar_is_refused() -> None:
    step = timedelta(milliseconds=1)
    for instant in (EARLIEST_AS_OF, LATEST_AS_OF - step):
        assert as_of_utc(instant) == instant
    for instant in (EARLIEST_AS_OF - step, LATEST_AS_OF):
        with pytest.raises(InvalidTimestampError, match="give one of the years 1000 to 8999"):
            as_of_utc(instant)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "now"),
        (-0.9, "now"),
        (-1, "in 1 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (-90, "in 1 min"),
        (3_600, "1 h 0 min"),
        (90_059, "1 d 1 h"),
    ],
)
def test_an_age_is_in_two_units_at_most(seconds: float, said: str) -> None:
    assert as_age(NOON - timedelta(seconds=seconds), NOON) == said


def test_what_is_earlier_than_the_first_date_is_the_first_date() -> None:
    first, day = datetime.min.replace(tzinfo=UTC), timedelta(days=1)
    assert earlier(first + 3 * day, day) == first + 2 * day
    assert earlier(first + day, 3 * day) == first
