"""Inputs from the field, each of which was once decided wrong, in silence or not at all, with their right values.

A case publishes its rules, then takes its steps one after the other; what must be true afterwards stands in `expect`.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from pymongo import MongoClient

from alert_pipelines.alerts import COLLECTION as ALERTS
from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.job_records import COLLECTION as JOB_RECORDS
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import server_now
from alert_pipelines.rules.calendar_store import CALENDARS
from alert_pipelines.rules.files import default_rules, parse_rules
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.rules.rule_collections import SERVICE_RULES as RULES
from alert_pipelines.rules.store import MAINTENANCE_WINDOWS
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
OPTIONS = json_util.JSONOptions(tz_aware=True)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case_from_the_field_has_its_right_value(
    path: Path, bare_db: AlertDatabase, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = bare_db
    monkeypatch.delenv("AUTO_CLOSE_MAX_FRACTION")
    monkeypatch.delenv("AUTO_CLOSE_MAX_ESCALATE_FRACTION")
    case = json_util.loads(path.read_text(), json_options=OPTIONS)
    rules = default_rules() if case.get("default_rules") else parse_rules(case.get("rules") or [], path.name)
    if case.get("calendars"):
        db[CALENDARS].insert_many(case["calendars"])
    publish_rules(db, rules)
    if case["windows"]:
        db[MAINTENANCE_WINDOWS].insert_many(case["windows"])
    with MongoClient[dict[str, Any]](mongo_uri, **case.get("client", {})) as client:
        for step in case["steps"]:
            _take(step, db, client[db.name])
    _assert_expected(case["expect"], db)


def _take(step: Mapping[str, Any], db: AlertDatabase, callers: AlertDatabase) -> None:
    """One step: stored by other programs through `db`, scanned through the database of the caller's own client."""
    if "insert" in step:
        db[ALERTS].insert_many(step["insert"])
    elif "raw_rules" in step:
        db[RULES].insert_many(step["raw_rules"])
    elif "records" in step:
        db[JOB_RECORDS].insert_many(_at_its_time(record, server_now(db)) for record in step["records"])
    elif "update" in step:
        collection, which, change = step["update"]
        changed = db[collection].update_many(which, change).modified_count
        # The service does not see the rules that it could not store whole.
        assert changed > 0 or collection == RULES
    else:
        with suppress(*([AlertPipelinesError] if step.get("may_fail") else [])):
            run_scan(callers, ScanRequest(as_of=datetime.fromisoformat(step["scan"])))


def _at_its_time(record: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    started = now + timedelta(minutes=record["started_at"]["$now_mins"])
    return {**record, "started_at": started}


def _assert_expected(expect: Mapping[str, Any], db: AlertDatabase) -> None:
    assert set(expect) <= {"statuses", "count", "record_status", "errors_mention"}
    named = expect.get("statuses", {})
    statuses = {alert["alert_id"]: alert["status"] for alert in db[ALERTS].find({"alert_id": {"$in": list(named)}})}
    assert statuses == named
    for status, alerts in expect.get("count", {}).items():
        assert db[ALERTS].count_documents({"status": status}) == alerts
    record = db[JOB_RECORDS].find_one(sort=[("started_at", -1)])
    assert record is not None
    assert record["status"] == expect.get("record_status", record["status"])
    for text in expect.get("errors_mention", []):
        assert any(text in error for error in record["errors"]), record["errors"]
