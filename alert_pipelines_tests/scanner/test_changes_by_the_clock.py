"""What only the clock makes due is seen by an incremental scan, also where a condition looks at other alerts."""

from datetime import timedelta
from typing import Any

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses

DATE = "metadata.due"


def leaf(op: str, value: int) -> dict[str, Any]:
    return {"field": DATE, "op": op, "value": value}


# By the leaf, how many minutes before AS_OF a date lies that admits the alert 5 minutes after AS_OF and not before.
CROSSED = [
    (leaf("older_than_mins", 10), 7),
    ({"not": leaf("newer_than_mins", 10)}, 7),
    (leaf("within_mins", 10), -13),
    ({"not": leaf("within_mins", 10)}, -3),
    ({"not": leaf("beyond_mins", 10)}, -13),
]


@pytest.mark.parametrize(("only_if", "minutes"), CROSSED, ids=str)
@pytest.mark.parametrize(
    "conditions",
    [{"keep_latest": True}, {"close_if_no_repeat_mins": 15}, {"escalate_if_count": 2, "window_mins": 60}],
    ids=str,
)
@pytest.mark.parametrize("indexed", [True, False])
def test_an_alert_that_only_if_admits_by_the_clock_alone_is_seen(
    db: AlertDatabase, only_if: dict[str, Any], minutes: int, conditions: dict[str, Any], indexed: bool
) -> None:
    if indexed:
        db.alerts.create_index([("source_type", 1), (DATE, 1)])
    metadata = {"driver_id": "D1", "due": ago(minutes)}
    pair = [alert("older", minutes=40, metadata=metadata), alert("newer", minutes=30, metadata=metadata)]
    fill(db, pair, rule("r", {**conditions, "only_if": only_if}))
    run_scan(db, ScanRequest(as_of=AS_OF))
    assert set(statuses(db).values()) == {"OPEN"}
    report = run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=5)))
    assert report.incremental_since is not None
    assert set(statuses(db).values()) != {"OPEN"}


@pytest.mark.parametrize(("count_if", "minutes"), CROSSED, ids=str)
@pytest.mark.parametrize("settled", [True, False])
def test_an_alert_that_counts_by_the_clock_alone_brings_its_key_into_play(
    db: AlertDatabase, count_if: dict[str, Any], minutes: int, settled: bool
) -> None:
    due = {"any": [count_if, {"field": "metadata.due", "op": "missing"}]}
    older = alert("older", minutes=40, status="RESOLVED" if settled else "ESCALATED")
    older["metadata"]["due"] = ago(minutes)
    counted = {"count_statuses": ["OPEN", "RESOLVED"]} if settled else {}
    fill(db, [older, alert("newer")], rule("r", {"escalate_if_count": 2, "count_if": due, **counted}))
    run_scan(db, ScanRequest(as_of=AS_OF))
    assert statuses(db)["newer"] == "OPEN"
    db.alerts.create_index([("source_type", 1), (DATE, 1)])
    report = run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=5)))
    assert report.incremental_since is not None
    assert statuses(db)["newer"] == "ESCALATED"


def test_an_alert_that_is_settled_and_only_then_counts_brings_its_key_into_play(db: AlertDatabase) -> None:
    counted = {"escalate_if_count": 2, "count_statuses": ["OPEN", "RESOLVED"]}
    fill(db, [alert("older", minutes=40, status="ESCALATED"), alert("newer")], rule("r", counted))
    run_scan(db, ScanRequest(as_of=AS_OF))
    assert statuses(db)["newer"] == "OPEN"
    db.alerts.update_one({"alert_id": "older"}, {"$set": {"status": "RESOLVED"}})
    report = run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=5)))
    assert report.incremental_since is not None
    assert statuses(db)["newer"] == "ESCALATED"
