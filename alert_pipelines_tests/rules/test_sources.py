"""Rules for several sources and for every source decide what one rule for each source would."""

from datetime import timedelta
from typing import Any

import pytest

from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.errors import BlastRadiusError
from alert_pipelines.index_advice.advice import advise
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.commands import recorded
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses

SOURCES = ("OVERSPEEDING", "SAFETY", "FUEL_THEFT")
CONDITIONS: list[dict[str, Any]] = [
    {"expire_after_mins": 30},
    {"escalate_after_mins": 30},
    {"keep_latest": True},
    {"keep_first": True},
    {"keep_latest": True, "group_by": ["metadata.driver_id", "metadata.vehicle_id"]},
    {"close_if_no_repeat_mins": 15},
    {"escalate_if_count": 2, "window_mins": 60},
]


def of_each_source(prefix: str, **fields: Any) -> list[dict[str, Any]]:
    return [alert(f"{prefix}-{source}", source_type=source, **fields) for source in (*SOURCES, "OTHER")]


def decided(db: AlertDatabase) -> dict[str, str]:
    """What a scan decides; the alerts are then as they were before."""
    before = list(db.alerts.find())
    run_scan(db, ScanRequest(as_of=AS_OF))
    found = {name: status for name, status in statuses(db).items() if status != "OPEN"}
    db.alerts.delete_many({})
    db.alerts.insert_many(before)
    return found


ONLY_OLD = {"only_if": {"field": "timestamp", "op": "older_than_mins", "value": 25}}


@pytest.mark.parametrize("conditions", [*CONDITIONS, *(one | ONLY_OLD for one in CONDITIONS)], ids=str)
@pytest.mark.parametrize("given", [list(SOURCES), "*"], ids=str)
def test_a_rule_for_several_sources_decides_what_one_for_each_would(
    db: AlertDatabase, conditions: dict[str, Any], given: str | list[str]
) -> None:
    for prefix, minutes in (("a", 40), ("b", 35), ("c", 20)):
        fill(db, of_each_source(prefix, minutes=minutes, metadata={"driver_id": "D1", "vehicle_id": "V"}))
    fill(db, [alert("d", minutes=5), alert("none", source_type=None, minutes=60), alert("45", source_type=45)])
    each = [rule(source, conditions, source_type=source) for source in (*SOURCES, *(["OTHER"] if given == "*" else []))]
    fill(db, [], *each)
    expected = decided(db)
    db.rules.delete_many({})
    fill(db, [], rule("all", conditions, source_type=given))
    assert expected
    assert decided(db) == expected


@pytest.mark.parametrize("conditions", CONDITIONS[2:], ids=str)
def test_a_touched_alert_of_any_of_its_sources_brings_its_key_into_play(
    db: AlertDatabase, conditions: dict[str, Any]
) -> None:
    fill(db, [alert(driver=f"X{number}") for number in range(5)], rule("all", conditions, source_type="*"))
    assert run_scan(db, ScanRequest(as_of=AS_OF)).incremental_since is None
    pair = [alert(f"new-{n}", source_type="FUEL_THEFT", minutes=n, driver="D9") for n in (20, 50)]
    fill(db, [one | {"metadata": {"driver_id": "D9", "vehicle_id": "V"}} for one in pair])
    report = run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=1)))
    assert report.incremental_since is not None
    assert "FUEL_THEFT" in {row.source_type for row in report.decisions}


def test_an_explanation_takes_no_alert_of_another_source_for_evidence(db: AlertDatabase) -> None:
    fill(db, [*of_each_source("old", minutes=30), alert("new", minutes=5)], rule("r", CONDITIONS[2], source_type="*"))
    found = {name: explain_alert(db, name, as_of=AS_OF) for name in ("old-OVERSPEEDING", "old-SAFETY")}
    assert [one.clauses[0].evidence for one in found.values()] == [("new",), ()]
    assert [one.decided_by is not None for one in found.values()] == [True, False]


def test_its_limits_count_over_all_of_its_sources(db: AlertDatabase) -> None:
    conditions = {"expire_after_mins": 10, "max_close_fraction": 0.5}
    young = [alert(f"young-{n}", source_type="SAFETY", minutes=1) for n in range(3)]
    others = [alert(f"other-{n}", source_type="OTHER", minutes=1) for n in range(9)]
    fill(db, [*of_each_source("a"), *young, *others], rule("r", conditions, source_type=["SAFETY", "FUEL_THEFT"]))
    assert run_scan(db, ScanRequest(as_of=AS_OF)).closed == 2
    db.alerts.update_many({}, {"$set": {"status": "OPEN", "state_history": []}})
    db.alerts.delete_many({"alert_id": {"$in": ["young-0", "young-1"]}})
    with pytest.raises(BlastRadiusError):
        run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=1)))


def test_a_window_of_one_source_exempts_only_that_one_of_a_rule_for_several(db: AlertDatabase) -> None:
    fill(db, of_each_source("a", minutes=60), rule("r", CONDITIONS[0], source_type=["SAFETY", "FUEL_THEFT"]))
    db.maintenance_windows.insert_one({"source_types": ["SAFETY"], "from": ago(5), "to": ago(-5)})
    assert set(decided(db)) == {"a-FUEL_THEFT"}


@pytest.mark.parametrize("given", [["OVERSPEEDING", "SAFETY"], "*"], ids=str)
@pytest.mark.parametrize("conditions", [*CONDITIONS[:3], *CONDITIONS[4:]], ids=str)
def test_the_indexes_of_one_source_serve_a_rule_for_several(
    db: AlertDatabase, conditions: dict[str, Any], given: str | list[str], mongo_uri: str
) -> None:
    old = {name: value * 1_000 for name, value in conditions.items() if name.endswith("_mins")}
    db.alerts.insert_many(
        alert(minutes=n % 700, driver=f"D{n}", source_type=SOURCES[n % 2] if n < 6_000 else f"OTHER{n % 5}")
        for n in range(7_000)
    )
    fill(db, [], rule("r", conditions | old, source_type=given))
    assert all(one.indexes == () for one in advise(db, AS_OF))
    run_scan(db, ScanRequest(as_of=AS_OF))
    fill(db, [alert("new", driver="D1", minutes=1)])
    with recorded(db, mongo_uri) as (watched, _):
        db.command("profile", 2)
        report = run_scan(watched, ScanRequest(as_of=AS_OF + timedelta(seconds=1)))
        db.command("profile", 0)
    read = sum(entry.get("docsExamined", 0) for entry in db["system.profile"].find({"ns": f"{db.name}.alerts"}))
    assert report.incremental_since is not None
    assert read < 500
