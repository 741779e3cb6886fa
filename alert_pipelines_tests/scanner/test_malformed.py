"""Dates that are not dates, mean "never", or lie far ahead: nothing is decided by them, and they are named."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS

from alert_pipelines.alerts.malformed import BAD_EXPIRES_AT, BAD_TIMESTAMP, MAX_NAMED, holds_array
from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import server_now
from alert_pipelines.rules.clause import Filter
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses

EXPIRE = rule("expire", {"expire_after_mins": 60})


def scan(db: AlertDatabase, as_of: datetime | None = AS_OF) -> ScanReport:
    return run_scan(db, ScanRequest(as_of=as_of))


@pytest.mark.parametrize(
    "never",
    [datetime(1, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), ago(31)],
    ids=["year 1", "1970", "before the timestamp"],
)
def test_an_expiry_before_the_timestamp_closed_the_alert(db: AlertDatabase, never: datetime) -> None:
    fill(db, [alert("never", minutes=30, expires_at=never), alert("then", minutes=30, expires_at=ago(30))])

    report = scan(db)

    assert statuses(db) == {"never": "OPEN", "then": "AUTO_CLOSED"}
    assert report.errors == ()
    assert "expires_at" in explain_alert(db, "never", as_of=AS_OF).why


def test_an_expiry_that_is_text_or_a_number_was_passed_over_in_silence(db: AlertDatabase) -> None:
    bad: dict[str, Any] = {"text": "2026-03-02T07:00:00Z", "number": 1_700_000_000, "yes": True, "texts": ["2026"]}
    fill(db, [alert(name, expires_at=value) for name, value in bad.items()])
    fill(db, [alert("fine", expires_at=ago(5)), alert("null", expires_at=None), alert("absent")])
    fill(db, [alert("closed", status="AUTO_CLOSED", expires_at="2026-03-02")])

    report = scan(db)

    assert {name for name, status in statuses(db).items() if status == "AUTO_CLOSED"} == {"fine", "closed"}
    assert sorted(report.errors) == sorted(
        f"alert {name!r}: expires_at is not a valid date: expected a BSON date or null; got {value!r}. The alert does "
        "not expire until expires_at is fixed."
        for name, value in bad.items()
    )


def test_a_timestamp_a_day_or_more_ahead_was_passed_over_in_silence(db: AlertDatabase) -> None:
    now = server_now(db)
    ahead = {
        "2106": datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC),
        "a day": now + timedelta(days=1, minutes=1),
        "beyond Python": DatetimeMS(10**15),
    }
    fill(db, [alert(name, timestamp=at) for name, at in ahead.items()], EXPIRE)
    fill(db, [alert("hours", timestamp=now + timedelta(hours=23)), alert("due", minutes=90)])
    fill(db, [alert("settled", timestamp=ahead["2106"], status="RESOLVED")])

    report = scan(db, now)

    assert statuses(db)["due"] == "AUTO_CLOSED"
    named = sorted(error.partition("'")[2].partition("'")[0] for error in report.errors)
    assert named == sorted(ahead)
    assert all("expected one at most a day ahead of the server's clock" in error for error in report.errors)


def test_a_scan_of_the_past_does_not_call_what_came_since_ahead(db: AlertDatabase) -> None:
    fill(db, [alert("later", timestamp=AS_OF + timedelta(days=3))], EXPIRE)
    assert scan(db).errors == ()


def test_of_very_many_malformed_alerts_the_first_are_named(db: AlertDatabase) -> None:
    fill(db, [alert(expires_at="soon") for _ in range(MAX_NAMED + 5)])
    errors = scan(db).errors
    assert len(errors) == MAX_NAMED + 1
    assert errors[-1].startswith(f"more than {MAX_NAMED} pending alerts: expires_at is not a valid date")


@pytest.mark.parametrize("field", ["timestamp", "expires_at"])
def test_an_array_of_dates_was_passed_over_in_silence(db: AlertDatabase, field: str) -> None:
    bad: dict[str, Any] = {"dates": [ago(90)], "empty": [], "null": [None], "mixed": [ago(90), "soon", None]}
    fill(db, [alert(name, **{field: value}) for name, value in bad.items()], EXPIRE)
    fill(db, [alert("due", minutes=90, **({} if field == "timestamp" else {"expires_at": ago(5)}))])
    settled: dict[str, Any] = {field: [ago(90)]}
    fill(db, [alert("settled", status="RESOLVED", **settled)])

    report = scan(db)

    assert {name for name, status in statuses(db).items() if status == "AUTO_CLOSED"} == {"due"}
    assert [error.partition("; got ")[0] for error in sorted(report.errors)] == [
        f"alert {name!r}: {field} is not a valid date: expected a BSON date{' or null' * (field == 'expires_at')}"
        for name in sorted(bad)
    ]


@pytest.mark.parametrize(
    "kind", [BAD_TIMESTAMP, BAD_EXPIRES_AT, holds_array("timestamp"), holds_array("expires_at")], ids=str
)
def test_malformed_dates_are_found_through_an_index(db: AlertDatabase, kind: Filter) -> None:
    fill(db, [alert(expires_at=ago(-60)) for _ in range(50)])
    scan(db)
    plan = db.command("explain", {"find": "alerts", "filter": kind}, verbosity="executionStats")
    assert plan["executionStats"]["totalDocsExamined"] == 0
