"""What is pending, by source and age, and which alerts are listed."""

from datetime import timedelta
from typing import Any

import pytest

from alert_pipelines.audit.backlog import AlertFilter, list_alerts, pending_by_age
from alert_pipelines.audit.undo import undo_job
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule

_DAY = 24 * 60


def listed(db: AlertDatabase, **which: Any) -> list[str]:
    return [one.alert_id for one in list_alerts(db, AlertFilter(**which), 25, AS_OF).alerts]


def test_pending_alerts_are_counted_by_source_status_and_age(db: AlertDatabase) -> None:
    ages = [alert(minutes=minutes) for minutes in (-5, 59, 60, _DAY - 1, _DAY, 7 * _DAY - 1, 7 * _DAY)]
    escalated = alert(minutes=90, status="ESCALATED", source_type="SAFETY")
    odd = [alert(timestamp=odd) for odd in ("soon", None, [ago(1)])]
    fill(db, [*ages, escalated, *odd, alert(status="RESOLVED")])
    overspeeding, safety = pending_by_age(db, AS_OF)
    assert overspeeding[:9] == ("OVERSPEEDING", 10, 10, 0, 2, 2, 2, 1, 3)
    assert overspeeding.oldest == ago(7 * _DAY)
    assert safety[:9] == ("SAFETY", 1, 0, 1, 0, 1, 0, 0, 0)
    assert pending_by_age(db, AS_OF - timedelta(days=8))[0].oldest is None


def test_the_list_is_narrowed_by_source_status_and_age(db: AlertDatabase) -> None:
    fill(
        db,
        [
            alert("new", minutes=5),
            alert("old", minutes=3 * _DAY, status="ESCALATED"),
            alert("oldest", minutes=4 * _DAY, source_type="SAFETY"),
            alert("closed", minutes=10, status="AUTO_CLOSED"),
        ],
    )
    assert listed(db) == ["new", "closed", "old", "oldest"]
    assert listed(db, statuses=["ESCALATED", "AUTO_CLOSED"]) == ["closed", "old"]
    assert listed(db, source_type="SAFETY") == ["oldest"]
    assert listed(db, older_than=timedelta(days=2)) == ["oldest", "old"]
    assert listed(db, newer_than=timedelta(minutes=10)) == ["new"]
    assert list_alerts(db, AlertFilter(), 1, AS_OF).total == 4


@pytest.mark.parametrize(("key", "found"), [("D2", ["driver"]), ("V7", ["vehicle"]), ("8", ["number"]), ("D1", [])])
def test_a_key_is_what_the_rules_group_the_source_by(db: AlertDatabase, key: str, found: list[str]) -> None:
    by_vehicle = rule("v", {"keep_latest": True, "group_by": "metadata.vehicle_id"}, source_type="IDLING")
    fill(
        db,
        [
            alert("driver", driver="D2"),
            alert("vehicle", source_type="IDLING", metadata={"driver_id": "D2", "vehicle_id": "V7"}),
            alert("number", driver=8),
            alert("several", driver=["D1"]),
        ],
        by_vehicle,
    )
    assert listed(db, key=key) == found


def test_the_rule_that_decided_an_alert_is_listed_until_that_is_undone(db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=100), alert("B", minutes=1)], rule("expire", {"expire_after_mins": 60}))
    done = run_scan(db, ScanRequest(as_of=AS_OF))
    assert listed(db, rule_id="expire") == ["A"]
    (closed,) = list_alerts(db, AlertFilter(rule_id="expire"), 25, AS_OF).alerts
    assert (closed.status, closed.decided_by, closed.key) == ("AUTO_CLOSED", "expire", "D1")
    undo_job(db, done.job_id, dry_run=False)
    (reopened,) = list_alerts(db, AlertFilter(rule_id="expire"), 25, AS_OF).alerts
    assert (reopened.status, reopened.decided_by) == ("OPEN", None)


@pytest.mark.parametrize("odd", [{"state_history": "text"}, {"source_type": 7}, {"metadata": []}, {"alert_id": 7}])
def test_an_odd_alert_is_listed_as_well(db: AlertDatabase, odd: dict[str, Any]) -> None:
    fill(db, [alert("A") | odd])
    assert len(listed(db)) == 1
    assert pending_by_age(db, AS_OF)[0].alerts == 1
