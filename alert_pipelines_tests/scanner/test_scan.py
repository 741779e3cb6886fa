"""The scan from claim to record, on a real server."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from bson import DatetimeMS
from pymongo.errors import PyMongoError

from alert_pipelines import alerts
from alert_pipelines.decisions import DecisionCount
from alert_pipelines.instants import InvalidInstantError
from alert_pipelines.job_records import ScanAlreadyRunningError, create_job_record, recent_records
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.mongo.indexes import IndexConflictError
from alert_pipelines.rules.clause import Clause
from alert_pipelines.scanner import scan as scan_module
from alert_pipelines.scanner.report import RuleQueryError, ScanRequest
from alert_pipelines.scanner.scan import (
    InvalidScanError,
    auto_close_scanner,
    evaluate_all_pending_alerts,
    run_scan,
)
from alert_pipelines.scanner.undo import undo_job
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses, stored

EXPIRE = rule("expire", {"expire_after_mins": 60})
ESCALATE = rule("pile-up", {"escalate_if_count": 3, "window_mins": 60})


def scan(db: AlertDatabase, **request: Any) -> Any:
    return run_scan(db, ScanRequest(**({"as_of": AS_OF} | request)))


def last_job(db: AlertDatabase) -> dict[str, Any]:
    return recent_records(1, db)[0]


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


def test_alerts_that_share_an_id_or_have_none_once_kept_every_scan_from_running(bare_db: AlertDatabase) -> None:
    fill(bare_db, [alert(name, minutes=60, driver="D2") for name in ("twice", "twice", "old", "none", "null")], EXPIRE)
    bare_db.alerts.update_one({"alert_id": "none"}, {"$unset": {"alert_id": ""}})
    bare_db.alerts.update_one({"alert_id": "null"}, {"$set": {"alert_id": None}})
    report = scan(bare_db)
    assert (report.closed, report.reconciles) == (5, True)
    assert bare_db.alerts.count_documents({"status": "AUTO_CLOSED"}) == 5
    (error,) = report.errors
    assert error.startswith("collection 'alerts' holds more than one document with alert_id ")
    record = last_job(bare_db)
    assert (record["status"], record["errors"]) == ("completed", [error])
    # Their decisions are taken back as all others.
    assert undo_job(bare_db, report.job_id, dry_run=False).restored == 5
    bare_db.alerts.delete_many({"alert_id": {"$in": ["twice", None]}})
    assert scan(bare_db).errors == ()
    assert "alert_id_unique" in bare_db.alerts.index_information()


def test_rules_that_share_an_id_or_have_none_once_kept_every_scan_from_running(bare_db: AlertDatabase) -> None:
    nameless = [{key: value for key, value in EXPIRE.items() if key != "rule_id"}] * 2
    twice = [rule("twice", {"expire_after_mins": 1}), rule("twice", {"expire_after_mins": 2})]
    fill(bare_db, [alert("old", minutes=60), alert("young", minutes=10)], EXPIRE, *nameless, *twice)
    report = scan(bare_db)
    assert statuses(bare_db) == {"old": "AUTO_CLOSED", "young": "OPEN"}
    assert len(report.bad_rules) == 3
    assert any("'twice'" in error and "keep one" in error for error in report.bad_rules)
    assert last_job(bare_db)["status"] == "completed"
    bare_db.rules.delete_many({"rule_id": {"$in": ["twice", None]}})
    assert scan(bare_db).errors == ()
    assert "rule_id_unique" in bare_db.rules.index_information()


def test_an_alert_with_arrays_at_two_indexed_paths_once_kept_every_scan_dry_run_and_undo_from_running(
    bare_db: AlertDatabase,
) -> None:
    two_arrays = alert("TWO-ARRAYS", timestamp=[ago(90)], driver=["x", "y"])
    fill(bare_db, [two_arrays, alert("a", minutes=90)], EXPIRE)
    assert [entry.alerts for entry in scan(bare_db, dry_run=True).planned] == [1]
    report = scan(bare_db)
    assert statuses(bare_db) == {"a": "AUTO_CLOSED", "TWO-ARRAYS": "OPEN"}
    warning, malformed = last_job(bare_db)["errors"]
    assert malformed.startswith("alert 'TWO-ARRAYS': timestamp is not a valid date")
    assert "by_driver" in warning
    assert "cannot index parallel arrays" in warning
    assert "'TWO-ARRAYS'" in warning
    assert last_job(bare_db)["status"] == "completed"
    # It keeps no other index from being made.
    missing = {index.document["name"] for index in alerts.INDEXES} - set(bare_db.alerts.index_information())
    assert missing == {"by_driver"}
    assert undo_job(bare_db, report.job_id, dry_run=False).restored == 1


@pytest.mark.parametrize(
    ("collection", "name"),
    [("alerts", "by_source"), ("background_jobs", "recent"), ("rule_versions", "version_unique")],
)
def test_an_index_of_another_definition_under_our_name_once_kept_every_scan_from_running(
    bare_db: AlertDatabase, collection: str, name: str
) -> None:
    bare_db[collection].create_index("severity", name=name)
    fill(bare_db, [alert("old", minutes=60)], EXPIRE)
    report = scan(bare_db)
    assert report.closed == 1
    assert any(f"index '{name}' of '{collection}' exists with another definition" in error for error in report.errors)


def test_a_scan_without_the_index_of_the_claim_is_refused(bare_db: AlertDatabase) -> None:
    bare_db.background_jobs.create_index("severity", name="one_scan_at_a_time")
    fill(bare_db, [alert("old", minutes=60)], EXPIRE)
    with pytest.raises(IndexConflictError, match="'one_scan_at_a_time'"):
        scan(bare_db)
    assert statuses(bare_db) == {"old": "OPEN"}


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


def test_a_write_that_the_server_refuses_fails_alone_and_is_named(db: AlertDatabase) -> None:
    fill(db, [alert(f"A{n}", minutes=60) for n in range(50)], EXPIRE)
    refuse = {"$nor": [{"alert_id": "A33", "status": "AUTO_CLOSED"}]}
    db.command("collMod", "alerts", validator=refuse)
    report = scan(db)
    assert (report.closed, report.failed, report.raced, report.reconciles) == (49, 1, 0, True)
    assert statuses(db)["A33"] == "OPEN"
    assert "'A33'" in report.errors[0]


def test_an_alert_that_changed_after_the_plan_is_left_alone(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db, [alert(name, minutes=60) for name in ("resolved", "gone", "retimed", "still-due")], EXPIRE)
    make_plan = scan_module.make_plan

    def plan_then_people_act(*args: Any, **kwargs: Any) -> Any:
        plan = make_plan(*args, **kwargs)
        db.alerts.update_one({"alert_id": "resolved"}, {"$set": {"status": "RESOLVED"}})
        db.alerts.update_one({"alert_id": "retimed"}, {"$set": {"timestamp": ago(5)}})
        db.alerts.delete_one({"alert_id": "gone"})
        return plan

    monkeypatch.setattr(scan_module, "make_plan", plan_then_people_act)
    report = scan(db)
    assert statuses(db) == {"resolved": "RESOLVED", "retimed": "OPEN", "still-due": "AUTO_CLOSED"}
    assert (report.closed, report.raced, report.reconciles) == (1, 3, True)


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
    with pytest.raises(InvalidInstantError):
        auto_close_scanner(db, as_of=as_of)
    assert db.background_jobs.count_documents({}) == 0


def test_a_scan_that_fails_in_the_midst_is_recorded_with_its_true_counts(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE)
    decisions_of = scan_module.decisions_of

    def fail_after_writing(*_: Any) -> None:
        monkeypatch.setattr(scan_module, "decisions_of", decisions_of)
        raise KeyboardInterrupt("cancelled")

    monkeypatch.setattr(scan_module, "decisions_of", fail_after_writing)
    with pytest.raises(KeyboardInterrupt):
        scan(db)
    record = last_job(db)
    assert (record["status"], record["alerts_processed"], record["alerts_closed"]) == ("failed", 1, 1)
    assert record["stats"]["decisions"] == [
        {"rule_id": "expire", "source_type": "OVERSPEEDING", "decision": "close", "alerts": 1}
    ]
    assert record["errors"] == ["cancelled (KeyboardInterrupt: cancelled)"]


def test_a_database_that_is_gone_surfaces_and_nothing_is_recorded_as_done(
    db: AlertDatabase, mongo_uri: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE)
    monkeypatch.setattr("alert_pipelines.mongo.retry.PAUSES", (0.01,))
    with open_database(MongoSettings(mongo_uri, db.name, tmp_path)) as own:
        take_samples = scan_module.take_samples

        def then_the_connection_is_gone(*args: Any) -> Any:
            samples = take_samples(*args)
            own.client.close()
            return samples

        monkeypatch.setattr(scan_module, "take_samples", then_the_connection_is_gone)
        with pytest.raises(PyMongoError):
            scan(own)
    assert last_job(db)["status"] == "running"
    assert "the next sweep will" in caplog.text
    assert statuses(db) == {"old": "OPEN"}


def test_a_record_that_cannot_be_finished_leaves_the_result_standing(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE)
    decisions = scan_module.decisions_of

    def then_the_record_is_swept(*args: Any) -> Any:
        db.background_jobs.update_many({}, {"$set": {"status": "failed"}})
        return decisions(*args)

    monkeypatch.setattr(scan_module, "decisions_of", then_the_record_is_swept)
    assert scan(db).closed == 1
    assert "its decisions stand" in caplog.text


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


def test_progress_that_cannot_be_told_does_not_end_the_scan(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE)

    def fail(*_: int) -> None:
        raise OSError("the log is full")

    assert run_scan(db, ScanRequest(as_of=AS_OF), fail).closed == 1


def test_a_date_beyond_pythons_years_in_a_rule_does_not_stop_the_scan(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE, rule("odd", {"keep_latest": True}, created_at=DatetimeMS(2**60)))
    assert scan(db).closed == 1


def test_a_rule_that_the_server_cannot_evaluate_is_a_bad_rule(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE, ESCALATE)
    pipeline = Clause.pipeline

    def broken(clause: Clause, *args: Any) -> list[dict[str, Any]]:
        stages = pipeline(clause, *args)
        return [*stages, {"$set": {"x": {"$divide": [1, 0]}}}] if clause.rule_id == "expire" else stages

    monkeypatch.setattr(Clause, "pipeline", broken)
    with pytest.raises(RuleQueryError, match="'expire'") as failed:
        scan(db)
    report = failed.value.report
    assert len(report.bad_rules) == 1
    assert "'expire'" in report.bad_rules[0]
    assert report.bad_rules[0] in report.errors
