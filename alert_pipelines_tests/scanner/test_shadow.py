"""Shadow rules: what a scan does with them, and that many of them do not make it late."""

from datetime import timedelta
from typing import Any

import pytest

from alert_pipelines.alerts.decision_counts import DecisionCount
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner import shadow
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses
from alert_pipelines_tests.scanner.scans import last_job, scan


def shadow_rule(rule_id: str, minutes: int = 10) -> dict[str, Any]:
    return rule(rule_id, {"expire_after_mins": minutes}, mode="shadow", is_active=False)


@pytest.fixture
def one_a_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "SECONDS_A_SCAN", 0)


def turns(db: AlertDatabase, scans: int, *, first: int = 0) -> list[tuple[str, ...]]:
    """The shadow rules that one scan after the other evaluates."""
    return [
        scan(db, as_of=AS_OF + timedelta(minutes=5 * number)).shadow_rules for number in range(first, first + scans)
    ]


def test_every_scan_waited_for_every_shadow_rule_to_look_at_all_alerts(db: AlertDatabase, one_a_scan: None) -> None:
    fill(db, [alert("A", minutes=60)], *map(shadow_rule, "abc"))
    assert turns(db, 4) == [("a",), ("b",), ("c",), ("a",)]
    report = scan(db, as_of=AS_OF + timedelta(minutes=20))
    assert report.shadow == (DecisionCount("b", "OVERSPEEDING", "close", 1),)
    assert report.shadow_left == ("c", "a")
    assert (last_job(db)["stats"]["shadow_rules"], last_job(db)["stats"]["shadow_left"]) == (["b"], ["c", "a"])
    assert statuses(db) == {"A": "OPEN"}


def test_with_time_for_all_every_scan_evaluates_every_shadow_rule(db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=60)], *map(shadow_rule, "abc"))
    assert [sorted(one) for one in turns(db, 2)] == [["a", "b", "c"]] * 2
    assert last_job(db)["stats"]["shadow_left"] == []


def test_a_shadow_rule_that_was_just_published_is_next(db: AlertDatabase, one_a_scan: None) -> None:
    fill(db, [alert("A", minutes=60)], *map(shadow_rule, "abc"))
    turns(db, 1)
    fill(db, [], shadow_rule("new"))
    assert turns(db, 3, first=1) == [("new",), ("b",), ("c",)]


def test_what_a_person_asks_for_is_evaluated_whole(db: AlertDatabase, one_a_scan: None) -> None:
    fill(db, [alert("A", minutes=60)], *map(shadow_rule, "abc"))
    assert scan(db, dry_run=True).shadow_rules == ("a", "b", "c")
    assert scan(db, rule_ids=("b", "c")).shadow_rules == ("b", "c")


@pytest.mark.parametrize("stored", [None, "b", 5, [7, None, {"b": 1}], {}], ids=str)
def test_a_record_that_was_edited_only_loses_the_turns(db: AlertDatabase, one_a_scan: None, stored: Any) -> None:
    fill(db, [alert("A", minutes=60)], *map(shadow_rule, "ab"))
    turns(db, 1)
    edited = {"shadow_left": stored, "shadow_rules": stored}
    db.background_jobs.update_many({}, {"$set": {f"stats.{name}": value for name, value in edited.items()}})
    assert turns(db, 1, first=1) == [("a",)]
    db.background_jobs.update_many({}, {"$set": {"stats": [edited | {"shadow_left": ["b"]}]}})
    assert turns(db, 1, first=2) == [("a",)]
