"""Whether an alert that was closed and is pending again is the same occurrence, or a new one."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.audit.undo import LATEST, undo_job
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses

CLEARED: dict[str, Any] = {"metadata": {"driver_id": "D1", "cleared": True}}


def scan(db: AlertDatabase, as_of: datetime) -> None:
    run_scan(db, ScanRequest(as_of=as_of))


@pytest.fixture
def closed(db: AlertDatabase) -> AlertDatabase:
    """One alert, "X", that a scan at AS_OF closed."""
    fill(db, [alert("X", **CLEARED)], rule("clr", {"auto_close_if": "cleared"}))
    scan(db, AS_OF)
    assert statuses(db) == {"X": "AUTO_CLOSED"}
    return db


def change(db: AlertDatabase, **fields: Any) -> None:
    db.alerts.update_one({"alert_id": "X"}, {"$set": fields})


def test_an_alert_that_its_source_opened_again_with_a_later_timestamp_was_never_closed_again(
    closed: AlertDatabase,
) -> None:
    change(closed, status="OPEN", timestamp=AS_OF + timedelta(minutes=30), **{"metadata.cleared": False})
    scan(closed, AS_OF + timedelta(minutes=40))
    assert statuses(closed) == {"X": "OPEN"}

    change(closed, **{"metadata.cleared": True})
    scan(closed, AS_OF + timedelta(minutes=50))

    assert statuses(closed) == {"X": "AUTO_CLOSED"}


@pytest.mark.parametrize("minutes", [-30, 0], ids=["its own timestamp", "the instant of the close"])
def test_an_alert_that_a_person_reopened_stays_open(closed: AlertDatabase, minutes: int) -> None:
    change(closed, status="OPEN", timestamp=AS_OF + timedelta(minutes=minutes))

    for later in (40, 50):
        scan(closed, AS_OF + timedelta(minutes=later))

    assert statuses(closed) == {"X": "OPEN"}


def test_an_alert_that_the_old_job_closed_and_a_person_reopened_was_closed_by_every_rule(db: AlertDatabase) -> None:
    close = {
        "from_status": "OPEN",
        "to_status": "AUTO_CLOSED",
        "timestamp": ago(20),
        "reason": "Document renewed",
        "triggered_by": "system",
        "rule_triggered": None,
    }
    reopening = close | {"from_status": "AUTO_CLOSED", "to_status": "OPEN", "timestamp": ago(10), "triggered_by": "ana"}
    both = [close, reopening]
    earlier = [entry | {"timestamp": ago(300)} for entry in both]
    fill(
        db,
        [
            alert("X", **CLEARED, state_history=both),
            alert("own expiry", expires_at=ago(1), state_history=both),
            alert("new occurrence", **CLEARED, state_history=earlier),
        ],
        rule("clr", {"auto_close_if": "cleared"}),
    )

    scan(db, AS_OF)

    assert statuses(db) == {"X": "OPEN", "own expiry": "OPEN", "new occurrence": "AUTO_CLOSED"}
    explanation = explain_alert(db, "X", as_of=AS_OF)
    never = [test.holds for clause in explanation.clauses for test in clause.tests if test.name == "never_again"]
    assert (never, list(explanation.past)) == ([False], [close])


@pytest.mark.parametrize(("opened_again", "status"), [(True, "ESCALATED"), (False, "OPEN")])
def test_an_undone_escalation_of_an_earlier_occurrence_kept_the_rule_from_escalating(
    db: AlertDatabase, opened_again: bool, status: str
) -> None:
    fill(db, [alert("X")], rule("esc", {"escalate_if_count": 1}))
    scan(db, AS_OF)
    undo_job(db, LATEST, dry_run=False)
    assert statuses(db) == {"X": "OPEN"}

    change(db, timestamp=AS_OF + timedelta(minutes=10) if opened_again else ago(30))
    scan(db, AS_OF + timedelta(minutes=20))

    assert statuses(db) == {"X": status}
