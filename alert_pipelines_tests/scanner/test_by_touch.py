"""Conditions on the alert itself that no index serves: what an incremental scan reads, and that it misses nothing."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ALLOW_SCAN, ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.commands import recorded
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses

FASTER = {"field": "metadata.speed", "op": "gt", "value_of": "metadata.speed_limit", "plus": 5}
DEPOT = {"field": "metadata.location", "op": "contains", "value": "depot", "ignore_case": True}
OLD = {"field": "metadata.expiry_date", "op": "older_than_mins", "value": 10}


def scan(db: AlertDatabase, minutes: int = 0) -> ScanReport:
    return run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=minutes), allow_over_limit=(ALLOW_SCAN,)))


@pytest.mark.parametrize(
    "conditions", [{"close_if": DEPOT}, {"escalate_if": FASTER}, {"auto_close_if": "ok", "only_if": DEPOT}]
)
def test_a_test_that_no_index_serves_had_every_scan_read_all_that_is_pending(
    db: AlertDatabase, mongo_uri: str, conditions: dict[str, Any]
) -> None:
    fill(db, [alert(metadata={"driver_id": f"D{number}"}) for number in range(300)], rule("r", conditions))
    scan(db)
    db.command("profile", 2)
    with recorded(db, mongo_uri) as (watched, _):
        report = scan(watched, 5)
    db.command("profile", 0)
    ran = [entry for entry in db["system.profile"].find() if entry["ns"] == f"{db.name}.alerts"]
    assert report.incremental_since is not None
    assert sum(entry.get("docsExamined", 0) for entry in ran) < 100


Act = Callable[[AlertDatabase], Any]


def touch_one_of_each_key(db: AlertDatabase) -> None:
    db.alerts.update_many({"alert_id": {"$regex": "^young"}}, {"$set": {"metadata.note": "seen"}})


OK_EVENT = {"source_type": "OK"}
SAME_SOURCE = {"source_type": "OVERSPEEDING"}


@pytest.mark.parametrize(
    ("conditions", "act"),
    [
        ({"expire_after_mins": 35, "suppress_if_other": SAME_SOURCE}, None),
        ({"escalate_after_mins": 35, "suppress_if_other": SAME_SOURCE}, None),
        ({"close_if_other": {**SAME_SOURCE, "if": FASTER}, "hold_mins": 35}, None),
        ({"close_if_other": OK_EVENT}, touch_one_of_each_key),
        ({"close_if_other": OK_EVENT, "suppress_if_other": {"source_type": "OFFLINE"}}, touch_one_of_each_key),
    ],
)
def test_an_alert_that_came_of_age_once_had_all_alerts_of_its_driver_looked_up(
    db: AlertDatabase, mongo_uri: str, conditions: dict[str, Any], act: Act | None
) -> None:
    keys, of_a_key = 20, 20
    for path in ("updated_at", "created_at"):
        db.alerts.create_index([("source_type", 1), (path, 1)])
    found = [
        alert(f"{'old' if n else 'young'} {key} {n}", minutes=90 if n else 33, driver=f"D{key}")
        for key in range(keys)
        for n in range(of_a_key)
    ]
    fill(db, found, rule("r", conditions))
    scan(db)
    if act:
        act(db)
    db.command("profile", 2)
    with recorded(db, mongo_uri) as (watched, _):
        report = scan(watched, 5)
    db.command("profile", 0)
    assert (report.incremental_since is None, report.planned) == (False, ())
    ran = db["system.profile"].find({"ns": f"{db.name}.alerts", "command.aggregate": "alerts"})
    # An alert of each key is read, and the two that it is looked up with; before, each of the key for each of the key.
    assert keys <= sum(entry.get("docsExamined", 0) for entry in ran) <= 5 * keys


def edit(**fields: Any) -> Act:
    return lambda db: db.alerts.update_one(
        {"alert_id": "a"}, {"$set": {name.replace("__", "."): value for name, value in fields.items()}}
    )


@pytest.mark.parametrize(
    ("conditions", "given", "act", "minutes"),
    [
        ({"close_if": DEPOT}, {}, edit(metadata__location="The DEPOT"), 1),
        ({"close_if": DEPOT}, {"location": "depot"}, edit(status="OPEN", state_history=[]), 1),
        ({"escalate_if": FASTER}, {"speed": 99}, edit(metadata__speed_limit=80), 1),
        ({"close_if": {"all": [DEPOT, OLD]}}, {"location": "depot", "expiry_date": ago(8)}, None, 2),
        ({"close_if": DEPOT, "hold_mins": 35}, {"location": "depot"}, None, 5),
        ({"expire_after_mins": 35, "only_if": DEPOT}, {"location": "depot"}, None, 5),
        ({"escalate_after_mins": 35, "only_if": DEPOT}, {"location": "depot"}, None, 5),
        ({"close_if": FASTER, "only_if": OLD}, {"speed": 9, "speed_limit": 1, "expiry_date": ago(8)}, None, 2),
    ],
)
@pytest.mark.parametrize("indexed", [True, False])
def test_what_a_change_or_the_clock_alone_makes_due_is_decided_in_the_next_scan(
    db: AlertDatabase,
    conditions: dict[str, Any],
    given: dict[str, Any],
    act: Act | None,
    minutes: int,
    *,
    indexed: bool,
) -> None:
    if indexed:
        for path in ("metadata.expiry_date", "updated_at", "created_at"):
            db.alerts.create_index([("source_type", 1), (path, 1)])
    held: dict[str, Any] = {"status": "RESOLVED"} if act and "location" in given else {}
    fill(db, [alert("a", metadata={"driver_id": "D1", **given}, **held)], rule("r", conditions))
    before = scan(db)
    assert (before.closed, before.escalated) == (0, 0)
    scan(db, minutes - 1)
    if act:
        act(db)
    after = scan(db, minutes)
    assert (after.incremental_since is None, after.closed + after.escalated) == (False, 1)


def test_an_alert_of_a_time_to_come_is_decided_when_that_time_has_come(db: AlertDatabase) -> None:
    fill(db, [alert("a", minutes=-3, metadata={"location": "depot"})], rule("r", {"close_if": DEPOT}))
    assert [scan(db, minutes).closed for minutes in (0, 2, 3)] == [0, 0, 1]


@pytest.mark.parametrize(
    "act",
    [
        lambda db: db.alerts.update_one({"alert_id": "off"}, {"$set": {"status": "RESOLVED"}}),
        lambda db: db.alerts.update_one({"alert_id": "off"}, {"$set": {"metadata.driver_id": "D2"}}),
        lambda db: db.alerts.delete_one({"alert_id": "off"}),
    ],
)
def test_what_was_suppressed_is_decided_once_nothing_suppresses_it(db: AlertDatabase, act: Act) -> None:
    suppressing = {"source_type": "OFFLINE", "statuses": ["OPEN"]}
    conditions = {"expire_after_mins": 20, "suppress_if_other": suppressing}
    fill(db, [alert("a"), alert("off", source_type="OFFLINE")], rule("r", conditions))
    assert [scan(db, minutes).closed for minutes in (0, 1)] == [0, 0]
    act(db)
    assert scan(db, 2).closed == 1
    assert statuses(db)["a"] == "AUTO_CLOSED"
