"""An hour beside the alert service's API: it edits, lists and works by what stands in its own collection of rules."""

from datetime import timedelta
from typing import Any

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import parse_rules
from alert_pipelines.rules.publish import ChangeKind, diff_rules, publish_rules
from alert_pipelines.rules.rule_collections import PIPELINE_RULES
from alert_pipelines.rules.store import load_rules
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, stored
from alert_pipelines_tests.service_api import CONFLICT, CREATED, NOT_FOUND, OK, SERVER_ERROR, ServiceApi

FILE: list[dict[str, Any]] = [
    {"rule_id": "compliance", "source_type": "COMPLIANCE", "conditions": {"auto_close_if": "document_valid"}},
    {"rule_id": "overspeed", "source_type": "OVERSPEEDING", "conditions": {"expire_after_mins": 600}},
    {
        "rule_id": "careful",
        "source_type": "FEEDBACK_POSITIVE",
        "conditions": {"expire_after_mins": 30, "severities": ["INFO"], "statuses": ["OPEN"], "max_close": 1000},
    },
    {
        "rule_id": "by-vehicle",
        "source_type": "SAFETY",
        "conditions": {"escalate_if_count": 2, "group_by": "metadata.vehicle_id", "severities": ["CRITICAL"]},
    },
    {"rule_id": "seventh", "source_type": "GEOFENCE", "conditions": {"expire_after_mins": 30}},
]
TICKS = [timedelta(minutes=minutes) for minutes in range(0, 65, 5)]


def arrives(api: ServiceApi, tick: timedelta) -> None:
    """What the service takes in before a scan."""
    when = AS_OF + tick - timedelta(minutes=1)
    arriving: dict[str, dict[str, Any]] = {
        "praise": {"source_type": "FEEDBACK_POSITIVE", "severity": "INFO"},
        "serious": {"source_type": "FEEDBACK_POSITIVE", "severity": "CRITICAL"},
        "fence": {"source_type": "GEOFENCE"},
        "safety": {"source_type": "SAFETY", "severity": "WARNING", "metadata": {"driver_id": "D", "vehicle_id": "V"}},
        "valid": {"source_type": "COMPLIANCE", "metadata": {"driver_id": "D", "document_valid": True}},
    }
    for name, fields in arriving.items():
        id_ = f"{name}-{tick.seconds // 60}"
        api.ingest(alert(id_, **fields) | dict.fromkeys(("timestamp", "created_at", "updated_at"), when))


def test_our_rules_survive_an_hour_of_the_services_api(db: AlertDatabase) -> None:
    rules, api = parse_rules({"rules": FILE}, "here"), ServiceApi(db)
    publish_rules(db, rules)
    ours = list(db[PIPELINE_RULES].find())
    for number, tick in enumerate(TICKS):
        arrives(api, tick)
        status, listed = api.list_rules()
        assert (status, set(listed) >= {"compliance", "overspeed"}) == (OK, True)
        for rule_id in listed:
            assert api.update_rule(rule_id, name=f"Edited {number} times") == OK
        assert api.update_rule("careful", conditions={"expire_after_mins": 1}) == NOT_FOUND
        report = run_scan(db, ScanRequest(as_of=AS_OF + tick))
        assert report.errors == ()

    assert list(db[PIPELINE_RULES].find()) == ours
    assert len(load_rules(db).rule_set.active) == len(rules)
    assert [change.rule_id for change in diff_rules(db, rules) if change.kind is not ChangeKind.SAME] == [
        "compliance",
        "overspeed",
    ]
    status_of = {name: stored(db, f"{name}-0")["status"] for name in ("praise", "serious", "fence", "safety", "valid")}
    assert status_of == {
        "praise": "AUTO_CLOSED",
        "serious": "OPEN",
        "fence": "AUTO_CLOSED",
        "safety": "OPEN",
        "valid": "AUTO_CLOSED",
    }
    assert db.alerts.count_documents({"source_type": "SAFETY", "status": "ESCALATED"}) == 0


def test_what_the_service_itself_says_by_its_api_is_honoured(db: AlertDatabase) -> None:
    publish_rules(db, parse_rules({"rules": FILE}, "here"))
    api = ServiceApi(db)
    assert api.update_rule("overspeed", conditions={"expire_after_mins": 5}) == OK
    made = {"source_type": "DOCUMENT_EXPIRY", "name": "Theirs", "conditions": {"auto_close_if": "document_valid"}}
    assert api.create_rule(rule_id="theirs", **made) == CREATED
    assert api.create_rule(rule_id="compliance", **made) == CONFLICT
    metadata = {"driver_id": "D", "document_valid": True}
    fill(db, [alert("old", minutes=10), alert("renewed", source_type="DOCUMENT_EXPIRY", metadata=metadata)])
    assert run_scan(db, ScanRequest(as_of=AS_OF)).closed == 2


def test_a_rule_that_is_off_could_not_be_switched_on_by_the_api(db: AlertDatabase) -> None:
    off = FILE[1] | {"mode": "off", "conditions": {"expire_after_mins": 5}}
    publish_rules(db, parse_rules([off], "here"))
    fill(db, [alert("old", minutes=10)])
    assert run_scan(db, ScanRequest(as_of=AS_OF)).closed == 0
    assert ServiceApi(db).update_rule("overspeed", is_active=True) == OK
    assert run_scan(db, ScanRequest(as_of=AS_OF)).closed == 1
    assert ServiceApi(db).update_rule("overspeed", is_active=False) == OK
    assert [change.fields for change in diff_rules(db, parse_rules([off], "here"))] == [()]


def test_a_rule_that_the_api_makes_under_the_id_of_ours_stops_both(db: AlertDatabase) -> None:
    publish_rules(db, parse_rules({"rules": FILE}, "here"))
    made = {"source_type": "FEEDBACK_POSITIVE", "name": "Careless", "conditions": {"expire_after_mins": 1}}
    assert ServiceApi(db).create_rule(rule_id="careful", **made) == CREATED
    fill(db, [alert("praise", minutes=90, source_type="FEEDBACK_POSITIVE", severity="INFO")])
    report = run_scan(db, ScanRequest(as_of=AS_OF))
    assert (report.closed, ["'careful'" in error for error in report.errors]) == (0, [True])


@pytest.mark.parametrize("spoilt", ["list", "edit", "ingest"])
def test_the_simulated_service_spoils_what_stands_in_its_own_collection(db: AlertDatabase, spoilt: str) -> None:
    """So that the hour above proves something."""
    publish_rules(db, parse_rules({"rules": FILE}, "here"))
    db.rules.insert_many(list(db[PIPELINE_RULES].find()))
    api = ServiceApi(db)
    if spoilt == "list":
        assert api.list_rules() == (SERVER_ERROR, [])
    elif spoilt == "edit":
        assert api.update_rule("careful", name="Edited") == OK
        edited = db.rules.find_one({"rule_id": "careful"})
        assert edited is not None
        assert "severities" not in edited["conditions"]
    else:
        for number in range(2):
            arrives(api, TICKS[number])
        assert stored(db, "safety-5")["status"] == "ESCALATED"
