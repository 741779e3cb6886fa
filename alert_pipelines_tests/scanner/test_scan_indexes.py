"""The scan where an index cannot be made: only that of the claim keeps it from running."""

import pytest

from alert_pipelines import alerts
from alert_pipelines.audit.undo import undo_job
from alert_pipelines.errors import IndexConflictError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.factories import ago, alert, fill, rule, statuses
from alert_pipelines_tests.scanner.scans import EXPIRE, last_job, scan


def test_alerts_that_share_an_id_or_have_none_once_kept_every_scan_from_running(bare_db: AlertDatabase) -> None:
    fill(bare_db, [alert(name, minutes=60, driver="D2") for name in ("twice", "twice", "old", "none", "null")], EXPIRE)
    bare_db.alerts.update_one({"alert_id": "none"}, {"$unset": {"alert_id": ""}})
    bare_db.alerts.update_one({"alert_id": "null"}, {"$set": {"alert_id": None}})
    report = scan(bare_db)
    assert (report.closed, report.reconciles) == (5, True)
    assert bare_db.alerts.count_documents({"status": "AUTO_CLOSED"}) == 5
    (error,) = report.errors
    assert error.startswith("collection 'alerts' has several documents with alert_id ")
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
