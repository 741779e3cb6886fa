"""The scan on real data sets, against figures computed by hand from the loaded documents."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.loading import load_alerts, load_mapping
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import parse_rules, read_rules
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import alert, fill, statuses

CHECKOUT = Path(__file__).parents[2]
DATA = CHECKOUT.parent / "shared" / "data"


def load(db: AlertDatabase, file: str, name: str, until: datetime | None = None) -> list[dict[str, Any]]:
    path = DATA / file
    if not path.exists():
        pytest.skip(f"the data set {file} is not beside the checkout")
    load_alerts(db, path, load_mapping(CHECKOUT / "mappings" / f"{name}.yaml"), until=until)
    return list(db.alerts.find())


@pytest.mark.slow
def test_incidents_settled_for_five_days_are_closed_and_piles_of_ten_escalated(db: AlertDatabase) -> None:
    as_of = datetime(2016, 5, 1, tzinfo=UTC)
    incidents = load(db, "servicenow_incidents/incident_event_log.csv.gz", "servicenow_incidents", as_of)
    publish_rules(db, read_rules(CHECKOUT / "mappings" / "rules" / "servicenow_incidents.yaml"))
    pending = [doc for doc in incidents if doc["status"] == "OPEN"]
    settled = {
        doc["alert_id"]
        for doc in pending
        if doc["metadata"]["incident_state"] == "Resolved" and doc["updated_at"] <= as_of - timedelta(days=5)
    }
    by_key = defaultdict(list)
    for doc in pending:
        key = (doc["metadata"].get("subcategory"), doc["metadata"].get("assignment_group"))
        if None not in key and doc["timestamp"] <= as_of:
            by_key[key].append(doc)
    piled = {
        doc["alert_id"]
        for pile in by_key.values()
        for doc in pile
        if sum(timedelta() <= doc["timestamp"] - other["timestamp"] <= timedelta(days=1) for other in pile) >= 10
    }
    report = run_scan(db, ScanRequest(as_of=as_of))
    now = statuses(db)
    assert {alert_id for alert_id in now if now[alert_id] == "ESCALATED"} == piled - settled
    assert (report.total_checked, report.closed, report.escalated) == (2955, 139, 627)
    assert all(now[alert_id] == "AUTO_CLOSED" for alert_id in settled)
    assert report.errors == ()


@pytest.mark.slow
def test_fifty_rules_on_the_intrusion_alerts(db: AlertDatabase) -> None:
    alerts = load(db, "ids_alerts/russellmitchell_alerts.csv.gz", "ids_alerts")
    as_of = max(doc["timestamp"] for doc in alerts)
    keys = Counter((doc["metadata"]["short"], doc["metadata"]["host"]) for doc in alerts)
    chosen = [key for key, _ in keys.most_common(50)]
    # Each closes one signature on one host after its own time; every fifth also takes the whole signature, earlier.
    rules = []
    for number, (short, host) in enumerate(chosen):
        this = [{"field": "metadata.short", "op": "eq", "value": short}]
        if number % 5:
            this.append({"field": "metadata.host", "op": "eq", "value": host})
        minutes = 60 * (number + 1)
        tree = {"all": [*this, {"field": "timestamp", "op": "older_than_mins", "value": minutes}]}
        conditions = {"close_if": tree}
        rules.append(
            {"rule_id": f"r{number:02}", "source_type": "INTRUSION", "priority": number % 7, "conditions": conditions}
        )
    publish_rules(db, parse_rules({"rules": rules}, "test"))

    def closing_rule(doc: dict[str, Any]) -> str | None:
        age, metadata = as_of - doc["timestamp"], doc["metadata"]
        due = [
            (-(number % 7), f"r{number:02}")
            for number, (short, host) in enumerate(chosen)
            if metadata["short"] == short
            and (number % 5 == 0 or metadata["host"] == host)
            and age >= timedelta(hours=number + 1)
        ]
        return min(due)[1] if due else None

    expected = Counter(filter(None, map(closing_rule, alerts)))
    report = run_scan(db, ScanRequest(as_of=as_of))
    assert {entry.rule_id: entry.alerts for entry in report.decisions} == expected
    assert len(expected) > 20
    assert report.closed == sum(expected.values()) > 30_000


def test_the_three_rules_of_the_field_decide_as_one_would_by_hand(db: AlertDatabase) -> None:
    short_form = {
        "overspeed": {"escalate_if_count": 3, "window_mins": 60},
        "feedback_negative": {"escalate_if_count": 2, "window_mins": 1440},
        "compliance": {"auto_close_if": "document_valid"},
    }
    publish_rules(db, parse_rules(short_form, "test"))
    feedback = {"source_type": "FEEDBACK_NEGATIVE"}
    fill(
        db,
        [
            alert("speed-1", minutes=100),
            alert("speed-2", minutes=70),
            alert("speed-3", minutes=45),
            alert("speed-4", minutes=5),
            alert("other-driver", minutes=4, driver="D2"),
            alert("bad-1", minutes=1500, **feedback),
            alert("bad-2", minutes=60, **feedback),
            alert("bad-alone", minutes=50, driver="D2", **feedback),
            alert("valid", source_type="COMPLIANCE", metadata={"document_valid": True}),
            alert("invalid", source_type="COMPLIANCE", metadata={"document_valid": False}),
        ],
    )
    run_scan(db, ScanRequest(as_of=datetime(2026, 3, 1, 12, tzinfo=UTC)))
    # speed-3 has 1 and 2 within its hour; of the hour before speed-4 only 3 is left. bad-2 has bad-1 exactly a day
    # before it.
    decided = {alert_id: status for alert_id, status in statuses(db).items() if status != "OPEN"}
    assert decided == {"speed-3": "ESCALATED", "bad-2": "ESCALATED", "valid": "AUTO_CLOSED"}
