"""Beside the old service: its job's records are not taken for scans of ours."""

from datetime import UTC, datetime, timedelta
from typing import Any

from alert_pipelines.job_records import RUNNING, SCANNER, create_job_record, fail_stalled_jobs
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.monitoring import health
from alert_pipelines.monitoring.metrics import ScannerCollector
from alert_pipelines.monitoring.notices import DeliveryState, failed_scans, last_completed
from alert_pipelines.monitoring.scan_records import hours_of_scans
from alert_pipelines.scanner.scan import auto_close_scanner

FIFTEEN = timedelta(minutes=15)


def service_record(minutes_ago: float, status: str = "completed", **fields: Any) -> dict[str, Any]:
    """A record as the service's job leaves it."""
    started = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    ended = {"completed_at": started + timedelta(seconds=2), "execution_time_ms": 2_000} if status != RUNNING else {}
    counts = {"alerts_processed": 3_000, "alerts_closed": 2_500, "alerts_escalated": 0}
    return {
        "job_id": f"JOB-SERVICE-{minutes_ago}",
        "job_type": SCANNER,
        "status": status,
        "started_at": started,
        "errors": [],
        **counts,
        **ended,
        **fields,
    }


def numbers(db: AlertDatabase) -> dict[str, float]:
    """What Prometheus is told, by name and labels."""
    return {
        ":".join([sample.name.removeprefix("alert_pipelines_"), *sample.labels.values()]): sample.value
        for family in ScannerCollector(db).collect()
        for sample in family.samples
    }


def test_a_dead_daemon_was_not_seen_while_the_services_job_completed(db: AlertDatabase) -> None:
    now = datetime.now(UTC)
    auto_close_scanner(db)
    began = {"started_at": now - timedelta(hours=2), "completed_at": now - timedelta(hours=2)}
    db.background_jobs.update_many({}, {"$set": began})
    db.background_jobs.insert_many([service_record(minutes) for minutes in (1, 6, 11)])
    fresh = health.scans_are_fresh(db, now, FIFTEEN)
    assert (fresh.passed, fresh.numbers) == (False, {"minutes since the last scan": 120.0})
    assert numbers(db)["seconds_since_completed_scan"] >= 7_200
    assert numbers(db)["last_scan_closed"] == 0
    assert last_completed(db, now - timedelta(hours=1)) is None
    assert last_completed(db, now - timedelta(hours=3)) is not None


def test_what_the_services_job_closed_or_left_running_was_counted_as_ours(db: AlertDatabase) -> None:
    now = datetime.now(UTC)
    db.background_jobs.insert_many([service_record(1, RUNNING), service_record(6), service_record(11, "failed")])
    told = numbers(db)
    assert told["scan_running"] == 0
    assert {name: told[name] for name in told if "job_records" in name} == {
        f"job_records_last_day:{SCANNER}:{status}": 0 for status in (RUNNING, "completed", "failed")
    }
    assert hours_of_scans(db, now, 24) == []
    assert failed_scans(db, DeliveryState(since=now - timedelta(hours=1)), now) == []


def test_a_record_of_the_service_that_was_swept_counted_as_ours(db: AlertDatabase) -> None:
    db.background_jobs.insert_one(service_record(300, RUNNING))
    assert [one.job_id for one in fail_stalled_jobs(db)] == ["JOB-SERVICE-300"]
    now = datetime.now(UTC)
    assert failed_scans(db, DeliveryState(since=now - timedelta(hours=1)), now) == []
    assert numbers(db)[f"job_records_last_day:{SCANNER}:failed"] == 0


def test_a_scan_of_ours_that_died_is_ours(db: AlertDatabase) -> None:
    job_id = create_job_record(SCANNER, db).job_id
    assert numbers(db)["scan_running"] == 1
    db.background_jobs.update_one({}, {"$set": {"lease_expires_at": datetime.now(UTC) - timedelta(minutes=1)}})
    assert [one.job_id for one in fail_stalled_jobs(db)] == [job_id]
    now = datetime.now(UTC)
    assert [one.job_id for one in failed_scans(db, DeliveryState(since=now - timedelta(hours=1)), now)] == [job_id]
