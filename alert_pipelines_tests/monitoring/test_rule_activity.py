"""What each rule did today, in a day and in a week, and what was taken back of it."""

from datetime import UTC, datetime, timedelta

from alert_pipelines.audit.undo import undo_job
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import server_now
from alert_pipelines.monitoring.rule_activity import RuleActivity, What, activity_by_rule, last_decisions
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule

EXPIRE = rule("old", {"expire_after_mins": 60})
SAFETY = rule("safety", {"escalate_after_mins": 60}, source_type="SAFETY")
AT_ELEVEN = datetime(2026, 3, 1, 11, tzinfo=UTC)


def scan(db: AlertDatabase, started_at: datetime) -> str:
    """A scan as of AS_OF, whose record says that it began at `started_at`."""
    report = run_scan(db, ScanRequest(as_of=AS_OF))
    db.background_jobs.update_one({"job_id": report.job_id}, {"$set": {"started_at": started_at}})
    return report.job_id


def test_what_rules_did_today_in_a_day_and_in_a_week_was_on_no_page(db: AlertDatabase) -> None:
    fill(db, [], EXPIRE, SAFETY)
    for age in (timedelta(hours=1), timedelta(hours=12), timedelta(days=3), timedelta(days=8)):
        fill(db, [alert(minutes=120), alert(minutes=120, source_type="SAFETY")])
        scan(db, AT_ELEVEN - age)
    assert activity_by_rule(db, AT_ELEVEN) == [
        RuleActivity("old", What.CLOSED, today=1, day=2, week=3),
        RuleActivity("safety", What.ESCALATED, today=1, day=2, week=3),
    ]
    assert last_decisions(db, AT_ELEVEN - timedelta(days=30)) == {
        "old": AT_ELEVEN - timedelta(hours=1),
        "safety": AT_ELEVEN - timedelta(hours=1),
    }


def test_what_was_undone_or_reopened_is_counted_by_the_rule_whose_decision_it_was(db: AlertDatabase) -> None:
    now = server_now(db)
    fill(db, [alert("undone", minutes=120)], EXPIRE)
    undo_job(db, scan(db, now), dry_run=False)
    fill(db, [alert("reopened", minutes=120), alert("stays", minutes=120)])
    scan(db, now)
    by_hand = {"from_status": "AUTO_CLOSED", "to_status": "OPEN", "timestamp": now - timedelta(days=2)}
    reopen = {"$set": {"status": "OPEN"}, "$push": {"state_history": by_hand | {"triggered_by": "ann"}}}
    db.alerts.update_one({"alert_id": "reopened"}, reopen)
    found = {row.what: row[2:] for row in activity_by_rule(db, now)}
    assert found[What.REOPENED] == (0, 0, 1)
    assert found[What.UNDONE][1:] == (1, 1)
    # An undone close is no close any more.
    assert found[What.CLOSED][1:] == (2, 2)


def test_a_database_without_scans_has_no_activity(db: AlertDatabase) -> None:
    assert activity_by_rule(db, AS_OF) == []
