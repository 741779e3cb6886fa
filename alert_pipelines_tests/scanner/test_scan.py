"""The scan from claim to record, on a real server."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from bson import DatetimeMS

from alert_pipelines.alerts.decision_counts import DecisionCount
from alert_pipelines.errors import InvalidScanError, InvalidTimestampError, ScanAlreadyRunningError
from alert_pipelines.job_records import create_job_record, recent_records
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner import incremental
from alert_pipelines.scanner.plan import make_plan
from alert_pipelines.scanner.scan import auto_close_scanner, evaluate_all_pending_alerts
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses, stored
from alert_pipelines_tests.scanner.scans import ESCALATE, EXPIRE, last_job, scan


def test_alerts_are_closed_and_escalated_and_the_result_has_exactly_the_old_keys(db: AlertDatabase) -> None:
    pile = [alert(f"P{n}", minutes=10 * n) for n in range(1, 4)]
    fill(db, [alert("old", minutes=60, driver="D2"), alert("young", minutes=59, driver="D2"), *pile], EXPIRE, ESCALATE)
    assert auto_close_scanner(db, as_of=AS_OF) == {
        "total_checked": 5,
        "auto_closed": 1,
        "alerts_processed": 5,
        "alerts_closed": 1,
        "alerts_escalated": 1,
    }
    assert statuses(db) == {"old": "AUTO_CLOSED", "young": "OPEN", "P1": "ESCALATED", "P2": "OPEN", "P3": "OPEN"}


def test_a_closed_alert_has_the_fields_of_the_contract_and_a_full_history_entry(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=60, state_history=[{"to_status": "OPEN"}])], EXPIRE)
    report = scan(db, run_id="run-7")
    closed = stored(db, "old")
    first, entry = closed["state_history"]
    assert first == {"to_status": "OPEN"}
    assert entry.pop("timestamp") == closed["closed_at"] == closed["updated_at"]
    assert entry == {
        "from_status": "OPEN",
        "to_status": "AUTO_CLOSED",
        "reason": closed["auto_close_reason"],
        "triggered_by": "system",
        "rule_triggered": "expire",
        "condition": "expire_after_mins",
        "job_id": report.job_id,
        "run_id": "run-7",
        "rule_set_version": report.rule_set_version,
        "as_of": AS_OF,
        "matched": [{"field": "timestamp", "value": ago(60)}],
        "before": {"status": "OPEN", "updated_at": ago(60)},
    }
    assert closed["auto_close_reason"] == "expire: timestamp is 60 or more minutes old"


def test_an_escalated_alert_is_critical_and_knows_its_severity_before(db: AlertDatabase) -> None:
    fill(db, [alert("only", severity="INFO")], rule("one", {"escalate_if_count": 1}))
    scan(db)
    escalated = stored(db, "only")
    assert (escalated["status"], escalated["severity"]) == ("ESCALATED", "CRITICAL")
    entry = escalated["state_history"][-1]
    assert entry["timestamp"] == escalated["escalated_at"]
    assert entry["before"] == {"status": "OPEN", "severity": "INFO", "updated_at": ago(30)}


def test_evaluating_with_nothing_but_a_database_is_a_recorded_scan(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=90)], rule("expire", {"expire_after_mins": 60}))
    report = evaluate_all_pending_alerts(db, as_of=AS_OF)
    assert (report.closed, report.as_of) == (1, AS_OF)
    [record] = recent_records(1, db)
    assert (record["job_id"], record["status"], record["alerts_closed"]) == (report.job_id, "completed", 1)
    assert evaluate_all_pending_alerts(db).closed == 0


def test_a_second_scan_at_the_same_as_of_changes_nothing(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=minutes) for minutes in (1, 2, 3, 70, 80)], EXPIRE, ESCALATE)
    # A rule that would act on what the first scan wrote: escalating makes an alert CRITICAL.
    fill(db, [], rule("critical", {"expire_after_mins": 1, "severities": ["CRITICAL"]}, priority=-1))
    scan(db)
    before = list(db.alerts.find())
    report = scan(db)
    assert (report.closed, report.escalated) == (0, 0)
    assert list(db.alerts.find()) == before


def test_the_record_names_rules_version_and_run(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE)
    report = scan(db, run_id="run-9")
    record = last_job(db)
    assert (record["status"], record["run_id"], record["job_id"]) == ("completed", "run-9", report.job_id)
    assert record["alerts_processed"] == record["alerts_closed"] == 1
    assert record["stats"]["decisions"] == [
        {"rule_id": "expire", "source_type": "OVERSPEEDING", "decision": "close", "alerts": 1}
    ]
    version = db.rule_versions.find_one({"version": report.rule_set_version})
    assert version is not None
    assert '"rule_id":"expire"' in version["text"]


def test_poison_alerts_are_named_and_stop_nothing(db: AlertDatabase) -> None:
    poison = [
        alert("history-text", minutes=60, state_history="closed by Bob"),
        alert("history-missing", minutes=60),
        alert("history-null", minutes=60, state_history=None),
        alert("time-text", timestamp="2026-01-01"),
        alert("time-missing"),
        alert("metadata-null", minutes=60, metadata=None),
        alert("id-document", minutes=60, _id={"of": 1}),
    ]
    del poison[1]["state_history"], poison[4]["timestamp"]
    fill(db, poison, EXPIRE, ESCALATE)
    report = scan(db)
    assert (report.closed, report.failed, report.reconciles) == (4, 1, True)
    assert statuses(db)["history-text"] == "OPEN"
    errors = "\n".join(last_job(db)["errors"])
    assert last_job(db)["status"] == "completed"
    for named in ("history-text", "time-text", "time-missing"):
        assert f"'{named}'" in errors
    assert len(report.errors) == 3


def test_an_alert_that_changed_after_the_plan_is_left_alone(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db, [alert(name, minutes=60) for name in ("resolved", "gone", "retimed", "still-due")], EXPIRE)

    def plan_then_people_act(*args: Any, **kwargs: Any) -> Any:
        plan = make_plan(*args, **kwargs)
        db.alerts.update_one({"alert_id": "resolved"}, {"$set": {"status": "RESOLVED"}})
        db.alerts.update_one({"alert_id": "retimed"}, {"$set": {"timestamp": ago(5)}})
        db.alerts.delete_one({"alert_id": "gone"})
        return plan

    monkeypatch.setattr(incremental, "make_plan", plan_then_people_act)
    report = scan(db)
    assert statuses(db) == {"resolved": "RESOLVED", "retimed": "OPEN", "still-due": "AUTO_CLOSED"}
    assert (report.closed, report.conflicts, report.reconciles) == (1, 3, True)


def test_a_bad_rule_disables_itself_alone(db: AlertDatabase) -> None:
    bad = rule("broken", {"expire_after_mins": -5})
    fill(db, [alert("old", minutes=60)], EXPIRE, bad)
    report = scan(db)
    assert report.closed == 1
    assert "broken" in report.bad_rules[0]
    assert any("broken" in error for error in last_job(db)["errors"])


def test_a_running_scan_means_no_second_one(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE)
    holder = create_job_record("auto_close_scanner", db).job_id
    with pytest.raises(ScanAlreadyRunningError, match=holder):
        scan(db)
    assert statuses(db) == {"old": "OPEN"}


def test_a_dry_run_writes_no_alert_and_cannot_be_taken_for_a_scan(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE)
    before = list(db.alerts.find())
    report = scan(db, dry_run=True)
    assert report.planned == (DecisionCount("expire", "OVERSPEEDING", "close", 1),)
    assert report.samples[0].alert_id == "old"
    assert list(db.alerts.find()) == before
    record = last_job(db)
    assert record["job_type"] != "auto_close_scanner"
    assert (record["alerts_closed"], record["alerts_escalated"]) == (0, 0)


def test_only_the_rules_asked_for_decide(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=60), alert("own", minutes=1, expires_at=ago(0))], EXPIRE, ESCALATE)
    assert scan(db, rule_ids=("pile-up",)).closed == 0
    assert scan(db, rule_ids=("expires_at",)).closed == 1
    with pytest.raises(InvalidScanError, match="'expier'"):
        scan(db, rule_ids=("expier",))
    assert [record["status"] for record in db.background_jobs.find()] == ["completed"] * 2, (
        "no scan, so none that failed"
    )


def test_an_as_of_in_the_future_is_refused_but_for_a_dry_run(db: AlertDatabase) -> None:
    fill(db, [alert("young", minutes=0)], EXPIRE)
    later = AS_OF + timedelta(days=365 * 50)
    with pytest.raises(InvalidScanError, match="future"):
        scan(db, as_of=later)
    assert len(scan(db, as_of=later, dry_run=True).planned) == 1


@pytest.mark.parametrize("as_of", [AS_OF.replace(year=1), "2026-03-01", AS_OF.date()])
def test_an_as_of_that_no_scan_can_have_is_refused_before_anything_is_recorded(db: AlertDatabase, as_of: Any) -> None:
    with pytest.raises(InvalidTimestampError):
        auto_close_scanner(db, as_of=as_of)
    assert db.background_jobs.count_documents({}) == 0


def test_the_log_reads_as_the_old_jobs(db: AlertDatabase, caplog: pytest.LogCaptureFixture) -> None:
    fill(db, [alert("old", minutes=60), alert("young")], EXPIRE)
    with caplog.at_level(logging.INFO, "alert_pipelines"):
        job_id = scan(db).job_id
    assert [record.message for record in caplog.records] == [
        "Starting auto-close alert scanner",
        f"Job {job_id} started",
        "Evaluating 2 pending alerts for auto-close conditions",
        f"Auto-close job {job_id}: checked 2, closed 1",
        f"Updated job record: {job_id} - Status: completed",
    ]


def test_a_rule_never_closes_again_what_a_person_reopened_but_another_rule_may(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE)
    scan(db)
    db.alerts.update_one({"alert_id": "old"}, {"$set": {"status": "OPEN"}})
    assert scan(db, as_of=AS_OF + timedelta(minutes=5)).closed == 0
    fill(db, [], rule("other", {"expire_after_mins": 60}))
    assert scan(db, as_of=AS_OF + timedelta(minutes=10)).closed == 1


# As the older service writes them: the contract's fields and none of ours.
CLOSED_BY_THE_SERVICE = {
    "from_status": "OPEN",
    "to_status": "AUTO_CLOSED",
    "timestamp": ago(10),
    "reason": "Auto-closed",
    "triggered_by": "system",
    "rule_triggered": "old",
}


REOPENED_BY_THE_SERVICE = {
    "from_status": "AUTO_CLOSED",
    "to_status": "OPEN",
    "timestamp": ago(5),
    "reason": "Reopened by dispatcher",
    "triggered_by": "user",
    "rule_triggered": None,
}


@pytest.mark.parametrize("reopened", [[REOPENED_BY_THE_SERVICE], []], ids=["with an entry", "without one"])
@pytest.mark.parametrize("closed_by", ["this scanner", "the service"])
def test_what_a_person_reopened_in_the_older_service_stays_open(
    db: AlertDatabase, closed_by: str, reopened: list[dict[str, Any]]
) -> None:
    fill(db, [alert("old", minutes=60), alert("twin", minutes=60)], rule("old", {"expire_after_mins": 60}))
    if closed_by == "this scanner":
        assert scan(db).closed == 2
    else:
        db.alerts.update_one({"alert_id": "old"}, {"$push": {"state_history": CLOSED_BY_THE_SERVICE}})
    reopening = {"$set": {"status": "OPEN"}, "$unset": {"closed_at": 1, "auto_close_reason": 1}}
    db.alerts.update_one({"alert_id": "old"}, reopening | {"$push": {"state_history": {"$each": reopened}}})
    scan(db, as_of=AS_OF + timedelta(minutes=5))
    assert statuses(db) == {"old": "OPEN", "twin": "AUTO_CLOSED"}


@pytest.mark.parametrize("rule_id", ["$status", "$$NOW", "it's old #1", "a.b"])
def test_a_rule_id_of_any_text_is_kept_as_it_stands(db: AlertDatabase, rule_id: str) -> None:
    conditions = {"close_if": {"field": "metadata.note", "op": "eq", "value": "$status"}}
    fill(db, [alert("A", metadata={"note": "$status"})], rule(rule_id, conditions))
    report = scan(db)
    assert report.decisions == (DecisionCount(rule_id, "OVERSPEEDING", "close", 1),)
    closed = stored(db, "A")
    assert closed["auto_close_reason"] == f"{rule_id}: metadata.note is '$status'"
    assert closed["state_history"][-1]["rule_triggered"] == rule_id
    assert scan(db, as_of=AS_OF + timedelta(minutes=5), rule_ids=(rule_id,)).closed == 0


def test_a_shadow_rule_is_counted_and_never_written(db: AlertDatabase) -> None:
    shadow = rule("shadowed", {"expire_after_mins": 10}, mode="shadow", is_active=False)
    fill(db, [alert("old", minutes=60), alert("young", minutes=20)], EXPIRE, shadow)
    report = scan(db)
    assert report.shadow == (DecisionCount("shadowed", "OVERSPEEDING", "close", 2),)
    assert statuses(db) == {"old": "AUTO_CLOSED", "young": "OPEN"}


def test_a_maintenance_window_suppresses_and_then_ends(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=60, driver="D1"), alert("own", minutes=60, driver="D2", expires_at=ago(1))], EXPIRE)
    db.maintenance_windows.insert_one(
        {
            "source_types": ["OVERSPEEDING"],
            "field": "metadata.driver_id",
            "values": ["D1", "D2"],
            "from": ago(5),
            "to": AS_OF + timedelta(minutes=5),
            "reason": "works on the A1",
        }
    )
    assert scan(db).closed == 0
    assert scan(db, as_of=AS_OF + timedelta(minutes=5)).closed == 2


def test_a_misspelt_rule_to_allow_is_refused(db: AlertDatabase) -> None:
    fill(db, [], EXPIRE)
    with pytest.raises(InvalidScanError, match="'expier'"):
        scan(db, allow_over_limit=("expier",))


def test_a_date_beyond_pythons_years_in_a_rule_does_not_stop_the_scan(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE, rule("odd", {"keep_latest": True}, created_at=DatetimeMS(2**60)))
    assert scan(db).closed == 1
