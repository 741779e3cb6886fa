"""Once a day a full scan checks what incremental scans look at: what one would have overlooked is a defect."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from alert_pipelines.job_records import COLLECTION as JOB_RECORDS
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import server_now
from alert_pipelines.mongo.door import known_form
from alert_pipelines.scanner import changes, incremental, overlooked
from alert_pipelines.scanner.plan import make_plan
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule

LATEST = rule("latest", {"keep_latest": True})


def scan(db: AlertDatabase, minutes: float) -> ScanReport:
    return run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=minutes)))


def scan_since_yesterday(db: AlertDatabase) -> ScanReport:
    """Two scans, of which the first was made over a day ago: what scans after them build on."""
    first = scan(db, 1)
    last = scan(db, 2)
    long_ago = server_now(db) - timedelta(days=1, minutes=1)
    db[JOB_RECORDS].update_one({"job_id": first.job_id}, {"$set": {"started_at": long_ago}})
    assert last.overlooked is None
    return last


def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let incremental scans miss what is touched, as a defect of theirs would."""
    take_in = changes._take_in
    monkeypatch.setattr(changes, "_take_in", lambda event, into: take_in(event, changes.Changes()))


def test_once_a_day_a_scan_is_full_and_finds_that_nothing_was_overlooked(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=40)], LATEST)
    last = scan_since_yesterday(db)
    fill(db, [alert("new", minutes=30)])

    report = scan(db, 5)

    assert report.incremental_since is None
    assert report.full_scan_reason == (
        f"once a day a full scan checks what an incremental one since {last.job_id} would have looked at"
    )
    assert (report.closed, report.overlooked, report.errors) == (1, 0, ())
    after = scan(db, 10)
    assert (after.incremental_since, after.overlooked) == (report.job_id, None)


def test_a_due_alert_that_an_incremental_scan_would_overlook_was_never_found(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=40)], LATEST)
    scan_since_yesterday(db)
    fill(db, [alert("new", minutes=30)])
    with monkeypatch.context() as patched:
        blind(patched)

        report = scan(db, 5)

    assert (report.closed, report.overlooked) == (1, 1)
    assert report.errors == report.defects
    assert "alert 'old': an incremental scan would have overlooked what rule 'latest' decides" in report.defects[0]
    record = db[JOB_RECORDS].find_one({"job_id": report.job_id})
    assert record is not None
    assert (record["status"], record["stats"]["overlooked"], record["errors"]) == ("completed", 1, [*report.errors])


def test_of_very_many_overlooked_alerts_the_first_are_named_and_all_are_counted(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [], LATEST)
    scan_since_yesterday(db)
    monkeypatch.setattr(overlooked, "_BATCH", 7)
    fill(db, [alert(minutes=60 - number) for number in range(31)])
    blind(monkeypatch)
    report = scan(db, 5)
    assert (report.overlooked, len(report.defects)) == (30, overlooked.MAX_NAMED)


ACTS: dict[str, tuple[Callable[[AlertDatabase], Any], int | None]] = {
    "a new alert": (lambda db: fill(db, [alert("late", minutes=20)]), 0),
    "an alert that is changed": (lambda db: db.alerts.update_one({"alert_id": "b"}, {"$set": {"status": "OPEN"}}), 0),
    "one that is settled": (lambda db: db.alerts.update_one({"alert_id": "d"}, {"$set": {"status": "RESOLVED"}}), 0),
    "one that leaves its key": (
        lambda db: db.alerts.update_one({"alert_id": "c"}, {"$set": {"metadata.driver_id": "D9"}}),
        None,
    ),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("act", ACTS)
def test_what_is_touched_after_the_claim_is_not_taken_for_overlooked(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, act: str, when: str
) -> None:
    """`act` befalls an alert just before the plan reads it, or between the plan and the check of it."""
    touch, expected = ACTS[act]
    fill(db, [alert("a", minutes=40), alert("b", minutes=50, status="RESOLVED")], LATEST)
    fill(db, [alert("d", minutes=40, driver="D2")])
    scan_since_yesterday(db)
    fill(db, [alert("c", minutes=30, driver="D2")])

    def plan_among_people(*args: Any, **kwargs: Any) -> Any:
        # The plan sees what a majority has.
        if when == "before":
            touch(known_form(db))
        plan = make_plan(*args, **kwargs)
        if when == "after":
            touch(known_form(db))
        return plan

    monkeypatch.setattr(incremental, "make_plan", plan_among_people)

    report = scan(db, 5)

    assert report.full_scan_reason is not None
    assert report.overlooked in (0, expected)
    assert report.defects == ()


def test_a_check_that_cannot_be_made_stops_no_scan(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db, [alert("old", minutes=40)], LATEST)
    scan_since_yesterday(db)
    fill(db, [alert("new", minutes=30)])
    # The driver refuses a pipeline stage that the server would refuse the user.
    monkeypatch.setattr(overlooked._Look, "_due", lambda *_: db.alerts.aggregate([{"$forbidden": 1}]))
    report = scan(db, 5)
    assert (report.closed, report.overlooked, report.errors) == (1, None, ())
