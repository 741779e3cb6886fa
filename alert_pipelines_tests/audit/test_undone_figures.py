"""A decision that was undone leaves every figure: records, lists, metrics, checks and the report."""

from datetime import UTC, datetime, timedelta
from typing import Any

from alert_pipelines.alerts import tally_decisions
from alert_pipelines.audit.undo import JOB_TYPE, LATEST, undo_job
from alert_pipelines.job_records import create_job_record, fail_stalled_jobs, recent_records, update_job_record
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.monitoring import health
from alert_pipelines.monitoring.scan_records import decisions_by_rule, hours_of_scans
from alert_pipelines.reports.daily import daily_report
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import alert, fill, rule

RULES = [
    rule("expire", {"expire_after_mins": 60}),
    rule("pile-up", {"escalate_if_count": 2, "window_mins": 60}),
    rule("safety", {"expire_after_mins": 60}, source_type="SAFETY"),
]


def scanned(db: AlertDatabase) -> str:
    """The job id of a scan that closed three alerts and escalated one."""
    now = datetime.now(UTC)
    ages = {"old": 90, "older": 100, "new": 9, "newer": 8}
    fill(db, [alert(name, timestamp=now - timedelta(minutes=age)) for name, age in ages.items()], *RULES)
    fill(db, [alert("S", timestamp=now - timedelta(minutes=90), source_type="SAFETY")])
    return run_scan(db, ScanRequest()).job_id


def record(db: AlertDatabase, job_id: str) -> dict[str, Any]:
    """A job's record."""
    return next(one for one in recent_records(9, db) if one["job_id"] == job_id)


def test_what_was_undone_stayed_in_the_record_the_metrics_and_the_report(db: AlertDatabase) -> None:
    job_id, now = scanned(db), datetime.now(UTC)
    before = record(db, job_id)
    assert (before["alerts_closed"], before["alerts_escalated"]) == (3, 1)
    undo_job(db, job_id, rule_id="expire", dry_run=False)
    after = record(db, job_id)
    assert (after["alerts_closed"], after["alerts_escalated"], after["stats"]["undone"]) == (1, 1, 2)
    hour = now - timedelta(hours=1)
    assert {(one.rule_id, one.alerts) for one in decisions_by_rule(db, hour)} == {("safety", 1), ("pile-up", 1)}
    [of_hour] = hours_of_scans(db, datetime.now(UTC), 1)
    assert (of_hour.closed, of_hour.escalated) == (1, 1)
    report = daily_report(db, now.date(), days=1)
    assert (report.count("closed"), report.count("escalated"), report.count("undone")) == (1, 1, 2)
    assert health.reopened(db, datetime.now(UTC), 5).numbers["closed"] == 1
    undone = {row.rule_id: (row.alerts, row.undone) for row in tally_decisions(db, job_id)}
    assert undone == {"expire": (2, 2), "safety": (1, 0), "pile-up": (1, 0)}
    undo_job(db, job_id, dry_run=False)
    last = record(db, job_id)
    assert (last["alerts_closed"], last["alerts_escalated"], last["stats"]["undone"]) == (0, 0, 4)
    assert last["stats"]["decisions"] == []
    counts = ("alerts_closed", "alerts_escalated", "stats")
    assert {name for name, value in last.items() if value != before[name]} == set(counts)


def test_a_second_undo_of_the_latest_scan_takes_back_no_earlier_one(db: AlertDatabase) -> None:
    first = scanned(db)
    fill(db, [alert("late", timestamp=datetime.now(UTC) - timedelta(minutes=90))])
    second = run_scan(db, ScanRequest()).job_id
    assert undo_job(db, LATEST, dry_run=False).restored == 1
    again = undo_job(db, LATEST, dry_run=False)
    assert (again.job_id, again.restored, again.already_undone) == (second, 0, 1)
    assert record(db, first)["alerts_closed"] == 3


def test_a_dry_run_of_an_undo_changes_no_figure(db: AlertDatabase) -> None:
    job_id = scanned(db)
    before = record(db, job_id)
    undo_job(db, job_id)
    assert record(db, job_id) == before


def test_an_undo_whose_process_died_left_the_figures_as_they_were(db: AlertDatabase) -> None:
    job_id = scanned(db)
    undo_job(db, job_id, dry_run=False)
    db.background_jobs.update_one({"job_id": job_id}, {"$set": {"alerts_closed": 3, "alerts_escalated": 2}})
    died = create_job_record(JOB_TYPE, db).job_id
    update_job_record(died, {"undone_job_id": job_id}, "running", None, db)
    db.background_jobs.update_one(
        {"job_id": died}, {"$set": {"lease_expires_at": datetime.now(UTC) - timedelta(minutes=1)}}
    )
    assert [one.job_id for one in fail_stalled_jobs(db)] == [died]
    after = record(db, job_id)
    assert (after["alerts_closed"], after["alerts_escalated"]) == (0, 0)
