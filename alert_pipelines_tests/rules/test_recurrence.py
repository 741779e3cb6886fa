"""Recurring maintenance windows: when they hold, also where the clocks change, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.maintenance import WindowState, list_windows
from alert_pipelines.rules.store import load_windows
from alert_pipelines.rules.validation import parse_window
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import alert, fill, rule, statuses
from alert_pipelines_tests.rules.examples import examples

BERLIN = {"zone": "Europe/Berlin", "duration_mins": 60}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "before", "first", "last", "after"),
    [
        (
            {"rrule": "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", **BERLIN},
            *("2026-03-22T00:59:59", "2026-03-22T01:00", "2026-03-22T01:59:59", "2026-03-22T02:00"),
        ),
        (
            # The clocks go from 2 to 3: what begins at half past two begins at half past three.
            {"rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", **BERLIN},
            *("2026-03-29T01:29:59", "2026-03-29T01:30", "2026-03-29T02:29:59", "2026-03-29T02:30"),
        ),
        (
            # An hour later in UTC than in summer.
            {"rrule": "FREQ=DAILY;BYHOUR=4", **BERLIN},
            *("2026-10-25T02:59:59", "2026-10-25T03:00", "2026-10-25T03:59:59", "2026-10-25T04:00"),
        ),
        (
            # The clocks go from 3 to 2, and half past two comes twice: the first one counts, for its sixty minutes.
            {"rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", **BERLIN},
            *("2026-10-25T00:29:59", "2026-10-25T00:30", "2026-10-25T01:29:59", "2026-10-25T01:30"),
        ),
        (
            # Over midnight, from the time of day that `from` has there.
            {"rrule": "RRULE:FREQ=DAILY", "from": at("2026-01-01T22:30"), **BERLIN},
            *("2026-02-03T22:29:59", "2026-02-03T22:30", "2026-02-03T23:29:59", "2026-02-03T23:30"),
        ),
        (
            {"rrule": "FREQ=WEEKLY;INTERVAL=2", "from": at("2026-01-05T10:00"), **BERLIN},
            *("2026-01-12T10:30", "2026-01-19T10:00", "2026-01-19T10:30", "2026-01-26T10:30"),
        ),
        (
            {"rrule": "FREQ=DAILY;BYHOUR=12;UNTIL=20260302", **BERLIN},
            *("2026-03-02T10:59:59", "2026-03-02T11:00", "2026-03-02T11:30", "2026-03-03T11:00"),
        ),
        (
            {"rrule": "FREQ=DAILY;BYHOUR=12;UNTIL=20260302T110000Z", **BERLIN},
            *("2026-03-02T10:59:59", "2026-03-02T11:00", "2026-03-02T11:30", "2026-03-03T11:00"),
        ),
        (
            {"rrule": "FREQ=DAILY;COUNT=2", "from": at("2026-03-01T11:00"), **BERLIN},
            *("2026-03-02T10:59:59", "2026-03-02T11:00", "2026-03-02T11:30", "2026-03-03T11:00"),
        ),
        (
            {"rrule": "FREQ=DAILY;BYHOUR=12", "to": at("2026-03-02T11:30"), **BERLIN},
            *("2026-03-02T10:59:59", "2026-03-02T11:00", "2026-03-02T11:29:59", "2026-03-02T11:30"),
        ),
        (
            {"rrule": "FREQ=DAILY;BYHOUR=12", "ended_at": at("2026-03-02T11:30"), **BERLIN},
            *("2026-03-02T10:59:59", "2026-03-02T11:00", "2026-03-02T11:29:59", "2026-03-02T11:30"),
        ),
    ],
)
def test_a_recurring_window_holds(window: dict[str, Any], before: str, first: str, last: str, after: str) -> None:
    parsed = parse_window(window)
    assert [parsed.holds_at(at(text)) for text in (before, first, last, after)] == [False, True, True, False]


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu", "UTC"]


@examples(150)
@given(
    zone=st.sampled_from(ZONES),
    hour=st.integers(0, 23),
    minute=st.sampled_from([0, 15, 30, 59]),
    lasts=st.sampled_from([1, 30, 60, 90, 1_440, 2_000]),
    days=st.sets(st.integers(0, 6), min_size=1),
    as_of=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),  # noqa: DTZ001 - hypothesis wants it so
)
def test_a_recurring_window_holds_as_the_clock_on_the_wall_says(
    *, zone: str, hour: int, minute: int, lasts: int, days: set[int], as_of: datetime
) -> None:
    names = ",".join(["MO", "TU", "WE", "TH", "FR", "SA", "SU"][day] for day in sorted(days))
    rrule = f"FREQ=WEEKLY;BYDAY={names};BYHOUR={hour};BYMINUTE={minute}"
    window = parse_window({"rrule": rrule, "zone": zone, "duration_mins": lasts})
    now = as_of.replace(tzinfo=UTC)

    starts = [
        datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for day in (as_of + timedelta(days=n) for n in range(-4, 9))
        if day.weekday() in days
    ]

    assert window.holds_at(now) == any(start <= now < start + timedelta(minutes=lasts) for start in starts)
    found = window.next_span(now)
    assert found is not None
    assert found.start == min(start for start in starts if start + timedelta(minutes=lasts) > now)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"zone": "Europe/Berln"}, "zone: expected an IANA time zone such as 'Europe/Berlin'; got 'Europe/Berln'; did"),
        ({"zone": "../etc/passwd"}, "zone: expected an IANA time zone"),
        ({"rrule": "FREQ=DAYLY"}, "rrule: FREQ: expected one of DAILY, WEEKLY, MONTHLY, YEARLY; got 'DAYLY'"),
        ({"rrule": "FREQ=MINUTELY"}, "rrule: FREQ: expected one of DAILY"),
        ({"rrule": "BYDAY=SU"}, "rrule: FREQ: expected one of"),
        ({"rrule": "FREQ=DAILY;BYDAYS=SU"}, "rrule: 'BYDAYS' is unknown; did you mean 'BYDAY'?"),
        ({"rrule": "FREQ=DAILY;BYDAY=XX"}, "is not a valid recurrence rule: invalid 'BYDAY': XX"),
        ({"rrule": "FREQ=DAILY;BYHOUR=24"}, "is not a valid recurrence rule: hour must be in 0..23"),
        ({"rrule": "every sunday"}, "rrule: 'every sunday' is not a valid part: expected NAME=VALUE"),
        ({"rrule": "FREQ=DAILY;FREQ=WEEKLY"}, "rrule: FREQ is given twice"),
        ({"rrule": "FREQ=DAILY;INTERVAL=0"}, "rrule: INTERVAL: expected a whole number from 1 to 99999; got '0'"),
        ({"rrule": "FREQ=DAILY;INTERVAL=2"}, "rrule: INTERVAL counts from the first occurrence: give it as from"),
        ({"rrule": "FREQ=DAILY;COUNT=2"}, "rrule: COUNT counts from the first occurrence: give it as from"),
        ({"rrule": "FREQ=DAILY;COUNT=2;UNTIL=20260101"}, "rrule: COUNT and UNTIL: give one of the two"),
        ({"rrule": "FREQ=DAILY;UNTIL=tomorrow"}, "UNTIL: expected a date such as 20261231"),
        ({"rrule": "FREQ=WEEKLY"}, "rrule: on which day it occurs is missing: give BYDAY, or from"),
        ({"rrule": "FREQ=MONTHLY;BYHOUR=2"}, "is missing: give BYDAY or BYMONTHDAY, or from"),
        ({"rrule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}, "the window never occurs: no date fits"),
        ({"rrule": "FREQ=DAILY;BYMONTH=13"}, "the window never occurs: no date fits"),
        (
            {"rrule": "FREQ=YEARLY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29", "from": at("2001-01-01T00:00")},
            "the window never occurs: no date fits",
        ),
        (
            {"rrule": "FREQ=DAILY;UNTIL=20200101", "from": at("2021-01-01T00:00")},
            "the window never occurs: no date fits",
        ),
        (
            {"rrule": "FREQ=WEEKLY;BYDAY=SU", "from": at("2026-03-02T00:00"), "to": at("2026-03-05T00:00")},
            "to: the window never occurs: expected a time after its first start (2026-03-08T00:00:00+00:00)",
        ),
        ({"duration_mins": 0}, "duration_mins: expected greater than or equal to 1; got 0"),
        ({"duration_mins": None}, "rrule, duration_mins and zone go together: give all or none; got rrule and zone"),
        ({"rrule": None, "duration_mins": None, "zone": None}, "from and to missing: give from and to, or rrule"),
        ({"rrule": None}, "rrule, duration_mins and zone go together: give all or none; got duration_mins and zone"),
        ({"from": at("2026-01-01T00:00"), "rrule": None, "duration_mins": None, "zone": None}, "to missing: give"),
    ],
)
def test_a_recurrence_that_is_not_valid_or_never_occurs_disables_its_window_and_is_named(
    db: AlertDatabase, change: dict[str, Any], said: str
) -> None:
    window = {"window_id": "nights", "rrule": "FREQ=DAILY;BYHOUR=2", **BERLIN, **change}
    with pytest.raises(AlertPipelinesError) as refused:
        parse_window(window)
    assert str(refused.value).startswith("maintenance window nights is not valid and suppresses nothing: ")
    assert said in str(refused.value)
    db.maintenance_windows.insert_one(window)
    assert load_windows(db, at("2026-03-01T12:00")) == ((), (str(refused.value),))


def test_a_leap_day_and_a_far_first_occurrence_do_occur() -> None:
    leap = parse_window({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU", **BERLIN})
    span = leap.next_span(at("2026-03-01T12:00"))
    assert span is not None
    assert span.start == at("2032-02-28T23:00")


def test_a_recurring_window_suppresses_in_each_occurrence_and_the_alerts_are_judged_between_them(
    db: AlertDatabase,
) -> None:
    window = {"window_id": "nights", "rrule": "FREQ=DAILY;BYHOUR=2", **BERLIN}
    db.maintenance_windows.insert_one(window)
    fill(db, [], rule("expire", {"expire_after_mins": 1}))
    for number, (as_of, status) in enumerate(
        [
            ("2026-03-28T01:30", "OPEN"),
            ("2026-03-28T02:00", "AUTO_CLOSED"),
            ("2026-03-29T00:59", "AUTO_CLOSED"),
            ("2026-03-29T01:30", "OPEN"),
            ("2026-03-30T00:30", "OPEN"),
            ("2026-03-30T01:00", "AUTO_CLOSED"),
        ]
    ):
        name = f"a{number}"
        fill(db, [alert(name, timestamp=at(as_of) - timedelta(minutes=5))])
        assert run_scan(db, ScanRequest(as_of=at(as_of))).errors == ()
        assert statuses(db)[name] == status, as_of


def test_the_list_shows_the_next_occurrence_and_what_is_over(db: AlertDatabase) -> None:
    db.maintenance_windows.insert_many(
        [
            {"window_id": "nights", "rrule": "FREQ=DAILY;BYHOUR=2", **BERLIN},
            {"window_id": "was", "rrule": "FREQ=DAILY;UNTIL=20260101", **BERLIN},
        ]
    )
    over, [to_come] = (list_windows(db, as_of=at("2026-03-01T12:00"), with_over=all_) for all_ in (True, False))
    assert [(one.window_id, one.state) for one in over] == [("nights", WindowState.TO_COME), ("was", WindowState.OVER)]
    assert to_come.span == (at("2026-03-02T01:00"), at("2026-03-02T02:00"))
