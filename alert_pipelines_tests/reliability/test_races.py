"""People work on the alerts while a scan runs: nothing of theirs is overwritten, and all numbers add up."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from alert_pipelines.alerts import PENDING, TRANSITIONS, Status
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner import apply
from alert_pipelines.scanner.result import ScanReport
from alert_pipelines_tests.factories import rule
from alert_pipelines_tests.reliability.actors import Actors, acting
from alert_pipelines_tests.reliability.conftest import Figures
from alert_pipelines_tests.reliability.fleet import Document, fill_fleet, scan


def scan_among_people(db: AlertDatabase, uri: str, size: int) -> tuple[ScanReport, list[Actors], list[str]]:
    originals = list(fill_fleet(db, size))
    old = {"field": "timestamp", "op": "older_than_mins", "value": 60}
    tree = {"all": [{"field": "metadata.additional_data.exempt", "op": "missing"}, old]}
    db.rules.replace_one({"rule_id": "expire"}, rule("expire", {"close_if": tree}))
    with acting(uri, db.name, originals) as people:
        report = scan(db)
    return report, people, originals


def check_history(stored: Document) -> int:
    """Assert that the alert's history leads to its status by lawful steps; the decisions of the scan in it."""
    history: list[dict[str, Any]] = stored["state_history"]
    for earlier, later in pairwise([{"to_status": "OPEN"}, *history]):
        assert later["from_status"] == earlier["to_status"], stored
    assert not history or history[-1]["to_status"] == stored["status"], stored
    decisions = [entry for entry in history if entry["triggered_by"] == "system"]
    for entry in decisions:
        assert entry["from_status"] in PENDING, stored
        assert entry["to_status"] in TRANSITIONS[Status(entry["from_status"])], stored
    closes = [number for number, entry in enumerate(history) if entry["to_status"] == "AUTO_CLOSED"]
    exempted = [number for number, entry in enumerate(history) if entry["triggered_by"] == "exempter"]
    assert len(closes) <= 1, stored
    if closes and exempted:
        assert closes[0] < exempted[0], f"closed although it had been taken from the rule: {stored}"
    return len(decisions)


def check_all(db: AlertDatabase, report: ScanReport, people: list[Actors], originals: list[str]) -> dict[str, float]:
    deleted = set[str]().union(*(one.deleted for one in people))
    inserted = set[str]().union(*(one.inserted for one in people))
    found = {stored["alert_id"]: stored for stored in db.alerts.find()}
    assert found.keys() == set(originals) - deleted | inserted
    decisions = sum(check_history(stored) for stored in found.values())
    record = db.background_jobs.find_one({"job_id": report.job_id})
    assert record is not None
    assert record["status"] == "completed"
    assert record["errors"] == []
    assert report.reconciles
    # Counted from the histories; whoever deletes an alert after that takes its decision with it.
    assert report.conflicts > 0
    assert decisions <= report.closed + report.escalated
    acts = sum((one.acts for one in people), start=Counter[str]())
    return {"alerts": len(found), "decisions": decisions, "conflicts": report.conflicts, **acts}


@pytest.mark.slow
def test_people_at_work_during_a_scan(
    db: AlertDatabase, mongo_uri: str, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    monkeypatch.setattr(apply, "BATCH", 500)
    figures(**check_all(db, *scan_among_people(db, mongo_uri, 8_000)))


@pytest.mark.long
@pytest.mark.parametrize("attempt", range(5))
def test_people_at_work_during_a_scan_of_50_000(
    db: AlertDatabase, mongo_uri: str, attempt: int, figures: Figures
) -> None:
    figures(attempt=attempt, **check_all(db, *scan_among_people(db, mongo_uri, 50_000)))
