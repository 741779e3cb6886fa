"""What really became of alerts: what counts as which change."""

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from alert_pipelines.alerts import Status, alert_key
from alert_pipelines.backtesting.outcomes import actual_activity, outcomes_after
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.reports.activity import changes
from alert_pipelines_tests.factories import alert, fill

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=1)


def entry(was: str | None, to: str, hours: float, by: str | None = "user") -> dict[str, Any]:
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


def test_a_back_test_and_the_daily_report_each_had_words_for_what_a_change_is(db: AlertDatabase) -> None:
    every = product([None, *map(str, Status), "NEW"], [*map(str, Status), "NEW"], ["system", "undo", "user", None])
    histories = [[entry(was, to, 1, by=by)] for was, to, by in every]
    fill(db, [alert(str(number), state_history=history) for number, history in enumerate(histories)])
    counted: Counter[str] = Counter()
    for one in (one for batch in changes(db, START, END) for one in batch):
        if one.what not in {"opened", "undone"}:
            counted[f"{one.what}_by_{one.by}" if one.what in {"closed", "escalated"} else one.what] += 1
    assert counted == {name: number for name, number in asdict(actual_activity(db, START, END)).items() if number}
    assert counted == {
        "closed_by_rules": 6,
        "closed_by_people": 12,
        "resolved": 18,
        "reopened": 12,
        "escalated_by_rules": 4,
        "escalated_by_people": 8,
    }
