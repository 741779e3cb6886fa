"""Rebuilding alerts as they stood, on a real server."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from alert_pipelines.audit.undo import undo_job
from alert_pipelines.backtesting.snapshot import LEFT_BEHIND_AFTER, alert_snapshot, state_as_of
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, stored

LATER = AS_OF + timedelta(hours=1)


def entry(from_status: str | None, to_status: str, minutes: float, by: str = "dispatcher") -> dict[str, Any]:
    return {"from_status": from_status, "to_status": to_status, "timestamp": ago(minutes), "triggered_by": by}


def standing(db: AlertDatabase, as_of: datetime, scans_until: datetime | None = None) -> dict[str, dict[str, Any]]:
    """The alerts at `as_of` by their ids."""
    return {doc["alert_id"]: doc for doc in db.alerts.aggregate(state_as_of(as_of, scans_until or as_of))}


def test_the_status_is_what_the_history_says_of_that_instant(db: AlertDatabase) -> None:
    history = [
        entry("OPEN", "ESCALATED", 100),
        entry("ESCALATED", "RESOLVED", 80),
        entry("RESOLVED", "OPEN", 60),
        entry("OPEN", "RESOLVED", 40),
    ]
    fields = {"resolved_at": ago(40), "resolved_by": "dispatcher", "resolution_notes": "done"}
    fill(db, [alert("A", minutes=120, status="RESOLVED", state_history=history, updated_at=ago(40), **fields)])
    seen = []
    for minutes in (121, 120, 100.1, 100, 80, 60, 40.1, 40):
        found = standing(db, ago(minutes))
        seen.append((found["A"]["status"], len(found["A"]["state_history"])) if found else None)
    assert seen == [
        None,
        ("OPEN", 0),
        ("OPEN", 0),
        ("ESCALATED", 1),
        ("RESOLVED", 2),
        ("OPEN", 3),
        ("OPEN", 3),
        ("RESOLVED", 4),
    ]
    assert standing(db, ago(50))["A"].keys().isdisjoint(fields)
    assert standing(db, ago(40))["A"] == stored(db, "A")
    assert standing(db, ago(50))["A"]["updated_at"] == ago(60)


@pytest.mark.parametrize("undone", [False, True])
def test_a_scan_is_looked_behind_exactly(db: AlertDatabase, undone: bool) -> None:
    """What a scan found is what stands at its as_of; what it wrote stands after it, also where it was undone since."""
    alerts = [
        alert("old", minutes=70),
        alert("bare", minutes=70, driver="D2", state_history=None, updated_at=None),
        alert("only", severity="INFO", updated_at=ago(20), escalated_at=None),
        alert("closed before", status="RESOLVED", state_history=[entry("OPEN", "RESOLVED", 10)], updated_at=ago(10)),
    ]
    rules = rule("expire", {"expire_after_mins": 60}), rule("one", {"escalate_if_count": 1})
    fill(db, alerts, *rules)
    before = {doc["alert_id"]: doc for doc in db.alerts.find()}
    report = run_scan(db, ScanRequest(as_of=AS_OF))
    if undone:
        assert undo_job(db, report.job_id, dry_run=False).restored == 3
    rebuilt = standing(db, AS_OF)
    # A history that was null is rebuilt as an empty one, an update that is null as the creation; and that escalated_at
    # was null, and not missing, is not known.
    before["bare"] |= {"state_history": [], "updated_at": ago(70)}
    assert before["only"].pop("escalated_at") is None
    rebuilt["only"].pop("escalated_at", None)
    assert rebuilt == before
    after = standing(db, LATER)
    assert {name: doc["status"] for name, doc in after.items()} == {
        "old": "AUTO_CLOSED",
        "bare": "AUTO_CLOSED",
        "only": "ESCALATED",
        "closed before": "RESOLVED",
    }
    assert after["only"]["severity"] == "CRITICAL"
    assert {name: doc["status"] for name, doc in standing(db, LATER, ago(1)).items()} == {
        name: doc["status"] for name, doc in before.items()
    }


def test_histories_that_are_odd_are_read_as_far_as_they_go(db: AlertDatabase) -> None:
    undated = {"from_status": "OPEN", "to_status": "ESCALATED", "timestamp": "yesterday"}
    fill(
        db,
        [
            alert("text", state_history="none", status="RESOLVED"),
            alert("null", state_history=None),
            alert("no dates", state_history=[undated], status="ESCALATED"),
            alert("no from", state_history=[entry(None, "ESCALATED", 20)], status="ESCALATED"),
            alert("no object", state_history=["x", entry(None, "RESOLVED", 20)], status="RESOLVED"),
            alert("no creation", created_at=None, updated_at=None),
        ],
    )
    assert {name: doc["status"] for name, doc in standing(db, ago(25)).items()} == {
        "text": "RESOLVED",
        "null": "OPEN",
        "no dates": "ESCALATED",
        "no from": "OPEN",
        "no object": "OPEN",
        "no creation": "OPEN",
    }
    assert standing(db, ago(25))["text"]["state_history"] == "none"
    assert standing(db, ago(35)) == {}


def test_an_update_before_the_instant_is_known_from_what_the_scan_replaced(db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=300, updated_at=ago(90))], rule("expire", {"expire_after_mins": 60}))
    run_scan(db, ScanRequest(as_of=AS_OF))
    assert standing(db, ago(1))["A"]["updated_at"] == ago(90)
    assert standing(db, ago(100))["A"]["updated_at"] == ago(300), "an update to come is not known before"


def test_moving_on_gives_what_rebuilding_afresh_gives(db: AlertDatabase) -> None:
    alerts = []
    for n in range(60):
        history = [
            entry("OPEN", "ESCALATED", 200 - n * 3, by=("system", "bob")[n % 2]),
            entry("ESCALATED", "AUTO_CLOSED", 150 - n * 2, by=("bob", "system")[n % 2]),
            entry("AUTO_CLOSED", "OPEN", 20 - n),
        ][: n % 4]
        status = history[-1]["to_status"] if history else "OPEN"
        alerts.append(alert(f"A{n}", minutes=230 - n, state_history=history, status=status, updated_at=ago(60 - 2 * n)))
    repeats = parse_rule(rule("latest", {"keep_latest": True}))
    fill(db, alerts)
    instants = [ago(minutes) for minutes in (300, 240, 180, 120, 60, 0)]
    with alert_snapshot(db, [repeats], instants) as day:
        for before, instant in itertools.pairwise(instants[1:]):
            day.move_to(instant)
            moved = {doc["alert_id"]: doc for doc in day.collection.find()}
            assert moved == standing(db, instant, before)


def test_scratch_collections_of_killed_processes_are_dropped_and_no_others(db: AlertDatabase) -> None:
    old = ObjectId.from_datetime(datetime.now(UTC) - LEFT_BEHIND_AFTER - timedelta(minutes=1))
    names = {f"backtest_20260301_{old}", f"backtest_20260301_{ObjectId()}", "backtest_results"}
    for name in names:
        db.create_collection(name)
    with alert_snapshot(db, [], [ago(60), ago(30), AS_OF]) as day:
        scratch = day.collection.name
    left = set(db.list_collection_names())
    assert names - left == {f"backtest_20260301_{old}"}
    assert scratch not in left
