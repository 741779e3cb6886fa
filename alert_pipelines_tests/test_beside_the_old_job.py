"""What docs/migrating.md says of this project and the old APScheduler job at work on one database."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError

from alert_pipelines.errors import ScanAlreadyRunningError
from alert_pipelines.job_records import SCANNER, create_job_record
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import parse_rules
from alert_pipelines.rules.publish import export_rules, publish_rules
from alert_pipelines.rules.rule_collections import PIPELINE_RULES
from alert_pipelines.scanner.scan import auto_close_scanner
from alert_pipelines_tests.factories import alert, fill, rule, stored


def old_record(job_id: str, *, minutes: float) -> dict[str, Any]:
    """A job record as the service inserts it when its job starts."""
    started = datetime.now(UTC) - timedelta(minutes=minutes)
    return {"job_id": job_id, "job_type": SCANNER, "status": "running", "started_at": started, "errors": []}


def test_a_scan_is_refused_while_the_old_job_runs(db: AlertDatabase) -> None:
    db.background_jobs.insert_one(old_record("JOB-BEFORE", minutes=20) | {"status": "completed"})
    db.background_jobs.insert_one(old_record("JOB-OLD", minutes=15))
    with pytest.raises(ScanAlreadyRunningError, match="JOB-OLD"):
        auto_close_scanner(db)


def test_the_old_job_is_refused_while_a_scan_runs(db: AlertDatabase) -> None:
    create_job_record(SCANNER, db)
    with pytest.raises(DuplicateKeyError):
        db.background_jobs.insert_one(old_record("JOB-OLD", minutes=0))


def test_old_jobs_that_died_are_swept_before_the_first_scan_claims(bare_db: AlertDatabase) -> None:
    bare_db.background_jobs.insert_many([old_record(f"JOB-OLD-{number}", minutes=11) for number in range(3)])
    auto_close_scanner(bare_db)
    assert bare_db.background_jobs.count_documents({"status": "failed"}) == 3
    assert bare_db.background_jobs.count_documents({"status": "completed"}) == 1


def test_without_the_claim_s_index_the_old_job_is_as_free_as_it_was_and_a_scan_makes_it_again(
    db: AlertDatabase,
) -> None:
    db.background_jobs.drop_index("one_scan_at_a_time")
    db.background_jobs.insert_many([old_record(f"JOB-OLD-{number}", minutes=11) for number in range(2)])
    auto_close_scanner(db)
    assert "one_scan_at_a_time" in db.background_jobs.index_information()


def test_what_the_old_job_closed_meanwhile_is_left_alone(db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=100), alert("B", minutes=100)], rule("old", {"expire_after_mins": 60}))
    db.alerts.update_one({"alert_id": "A"}, {"$set": {"status": "AUTO_CLOSED", "auto_close_reason": "the old job's"}})
    assert auto_close_scanner(db)["alerts_closed"] == 1
    assert stored(db, "A")["auto_close_reason"] == "the old job's"


def test_a_rule_put_into_shadow_is_no_longer_the_old_job_s(db: AlertDatabase) -> None:
    fill(db, [], rule("old", {"expire_after_mins": 60}))
    shadowed = rule("old", {"expire_after_mins": 60}, mode="shadow")
    del shadowed["is_active"]
    publish_rules(db, parse_rules([shadowed], "here"), overwrite=True)
    assert db.rules.count_documents({"rule_id": "old", "is_active": True}) == 0


def test_the_exported_rules_take_the_service_back_to_where_it_was(db: AlertDatabase) -> None:
    theirs = [rule("old", {"expire_after_mins": 60, "window_mins": 60}), rule("valid", {"auto_close_if": "valid"})]
    fill(db, [], *theirs)
    before = export_rules(db)
    [careful] = parse_rules(
        [{**before[0].canonical(), "conditions": {"expire_after_mins": 60, "hold_mins": 5}}], "here"
    )
    assert [change.written for change in publish_rules(db, [careful], overwrite=True)] == [True, False]
    assert [change.written for change in publish_rules(db, before, overwrite=True)] == [True, False]
    assert db[PIPELINE_RULES].count_documents({}) == 0
    again = list(db.rules.find({}, {"_id": 0, "rule_id": 1, "is_active": 1}).sort("rule_id", 1))
    assert again == [{"rule_id": name, "is_active": True} for name in ("old", "valid")]
    assert [one.canonical() for one in export_rules(db)] == [one.canonical() for one in before]
