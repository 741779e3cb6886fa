"""Maintenance windows that are not valid: they suppress nothing, and are named."""

from typing import Any

import pytest

from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.validation import parse_window
from alert_pipelines.scanner.explain import explain_alert
from alert_pipelines.scanner.report import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses

HOUR = {"from": ago(60), "to": ago(-60)}
EVERY_KEY = {
    "window_id": "works",
    "source_types": ["GPS"],
    "field": "metadata.vehicle_id",
    "values": ["V9"],
    "reason": "new sensors",
    "created_by": "ops@fleet",
}


def fill_fleet(db: AlertDatabase, window: dict[str, Any]) -> None:
    """Alerts of two sources, a rule for each, and one window, which would suppress all of them without its odd key."""
    alerts = [
        alert("v9", minutes=90, driver="d1", source_type="GPS", metadata={"vehicle_id": "V9"}),
        alert("v1", minutes=90, driver="d1", source_type="GPS", metadata={"vehicle_id": "V1"}),
        alert("s1", minutes=90, driver="d1", source_type="SAFETY"),
    ]
    gps = rule("gps", {"expire_after_mins": 60}, source_type="GPS")
    fill(db, alerts, gps, rule("safety", {"escalate_if_count": 1}, source_type="SAFETY"))
    db.maintenance_windows.insert_one({**HOUR, **window})


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ({"source_type": "GPS"}, "source_type: unknown; did you mean 'source_types'?"),
        ({"source_types": ["GPS"], "vehicle_id": "V9"}, "vehicle_id: unknown; "),
        ({"source_types": ["GPS"], "rule": "FREQ=DAILY"}, "rule: unknown; did you mean 'rrule'?"),
        ({"source_types": ["GPS"], "rrule": "FREQ=DAILY"}, "rrule, duration_mins and zone go together"),
        ({"From": ago(60)}, "From: unknown; did you mean 'from'?"),
        ({"source_types": []}, "source_types: "),
        ({"window_id": "two\nlines"}, "window_id: 'two\\nlines' has control characters"),
        ({"created_by": 7}, "created_by: "),
    ],
    ids=[
        "misspelt",
        "a field of the alert",
        "a recurrence",
        "half a recurrence",
        "capitals",
        "no source",
        "id of two lines",
        "no text",
    ],
)
def test_a_window_with_an_unknown_key_suppressed_more_than_it_said(
    db: AlertDatabase, window: dict[str, Any], said: str
) -> None:
    fill_fleet(db, window)

    report = run_scan(db, ScanRequest(as_of=AS_OF))

    assert statuses(db) == {"v9": "AUTO_CLOSED", "v1": "AUTO_CLOSED", "s1": "ESCALATED"}
    record = db.background_jobs.find_one({"job_id": report.job_id})
    assert record is not None
    (error,) = record["errors"]
    assert "is not valid and suppresses nothing" in error
    assert said in error


def test_a_window_with_every_key_that_is_known_suppresses_its_alerts_alone(db: AlertDatabase) -> None:
    fill_fleet(db, EVERY_KEY)

    report = run_scan(db, ScanRequest(as_of=AS_OF))

    assert statuses(db) == {"v9": "OPEN", "v1": "AUTO_CLOSED", "s1": "ESCALATED"}
    assert report.errors == ()


def test_an_explanation_does_not_show_a_window_that_suppresses_nothing(db: AlertDatabase) -> None:
    fill_fleet(db, {"source_type": "GPS"})
    assert explain_alert(db, "v1", as_of=AS_OF).windows == ()


def test_a_window_is_named_by_its_window_id_and_shortly_whatever_its_keys_are() -> None:
    many = {f"key{n}" * 100_000: 1 for n in range(30)}
    with pytest.raises(AlertPipelinesError) as refused:
        parse_window({**HOUR, **many, "_id": 1, "window_id": "works"})
    assert str(refused.value).startswith("maintenance window works is not valid and suppresses nothing: ")
    assert str(refused.value).endswith("; and 10 more")
    assert len(str(refused.value)) < 20_000
