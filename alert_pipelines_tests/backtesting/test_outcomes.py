"""What really became of alerts: what counts as which change."""

from datetime import UTC, datetime, timedelta
from typing import Any

from alert_pipelines.alerts import alert_key
from alert_pipelines.backtesting.outcomes import actual_activity, outcomes_after
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.factories import alert, fill

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=1)


def entry(was: str | None, to: str, hours: float, by: str = "user") -> dict[str, Any]:
    at = START + timedelta(hours=hours)
    return {"from_status": was, "to_status": to, "timestamp": at, "triggered_by": by}


def test_a_creation_that_a_service_notes_in_the_history_is_no_reopening(db: AlertDatabase) -> None:
    created = entry(None, "OPEN", 1, by="api")
    reopened = [entry("OPEN", "AUTO_CLOSED", 1, by="system"), entry("AUTO_CLOSED", "OPEN", 2)]
    fill(db, [alert("new", state_history=[created]), alert("again", state_history=[created, *reopened])])
    done = actual_activity(db, START, END)
    assert (done.reopened, done.closed_by_rules) == (1, 1)
    ids = {doc["alert_id"]: alert_key(doc["_id"]) for doc in db.alerts.find()}
    fates = dict(outcomes_after(db, list(ids.values()), START, START))
    assert {name: fates[key].reopened for name, key in ids.items()} == {"new": False, "again": True}
