"""Job records and the claim."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alert_pipelines import job_records
from alert_pipelines.errors import (
    InvalidJobStatusError,
    InvalidJobTypeError,
    InvalidLimitError,
    JobEndedError,
    JobNotFoundError,
    LeaseLostError,
    ScanAlreadyRunningError,
)
from alert_pipelines.job_records import (
    create_job_record,
    ensure_indexes,
    fail_stalled_jobs,
    get_recent_jobs,
    new_job_id,
    update_job_record,
)
from alert_pipelines.leases import Lease
from alert_pipelines.mongo import AlertDatabase, server_now
from alert_pipelines.settings import DEFAULT_LEASE_S, LEASE_VARIABLE
from alert_pipelines_tests.patience import LIMIT_S, wait_until

SCANNER = job_records.SCANNER


def the_record(db: AlertDatabase, job_id: str) -> dict[str, Any]:
    record = db.background_jobs.find_one({"job_id": job_id})
    assert record is not None
    return record


def expire_lease(db: AlertDatabase, job_id: str) -> None:
    past = server_now(db) - timedelta(seconds=1)
    db.background_jobs.update_one({"job_id": job_id}, {"$set": {"lease_expires_at": past}})


def service_record(job_id: str, started: datetime, status: str = "running") -> dict[str, Any]:
    """A record as the older service writes it."""
    return {
        "job_id": job_id,
        "job_type": SCANNER,
        "status": status,
        "started_at": started,
        "completed_at": started + timedelta(seconds=1) if status != "running" else None,
        **dict.fromkeys(job_records.COUNTS, 0),
        "errors": [],
        "execution_time_ms": 1_000 if status != "running" else None,
    }


def test_the_id_has_the_old_format() -> None:
    assert re.fullmatch(r"JOB-20250115-143022-[0-9a-f]{8}", new_job_id(datetime(2025, 1, 15, 14, 30, 22, tzinfo=UTC)))


def test_a_new_record_has_the_schema_and_names_its_run(db: AlertDatabase) -> None:
    record = the_record(db, create_job_record(SCANNER, db, run_id="run-1").job_id)
    assert (
        record.items()
        >= {
            "job_type": "auto_close_scanner",
            "status": "running",
            "completed_at": None,
            "alerts_processed": 0,
            "alerts_closed": 0,
            "alerts_escalated": 0,
            "errors": [],
            "execution_time_ms": None,
            "run_id": "run-1",
        }.items()
    )
    assert abs(record["started_at"] - server_now(db)) < timedelta(seconds=10)
    assert record["lease_expires_at"] - record["started_at"] == timedelta(seconds=DEFAULT_LEASE_S)


def test_a_completed_record_holds_counts_errors_and_duration(db: AlertDatabase) -> None:
    job_id = create_job_record(SCANNER, db).job_id
    stats = {"alerts_processed": 9, "alerts_closed": 3, "alerts_escalated": 1, "conflicts": 2}
    update_job_record(job_id, stats, "completed", ["alert '$x': bad"], db)
    record = the_record(db, job_id)
    assert (record["alerts_processed"], record["alerts_closed"], record["alerts_escalated"]) == (9, 3, 1)
    assert record["status"] == "completed"
    assert record["errors"] == ["alert '$x': bad"]
    assert record["stats"] == {"conflicts": 2}
    took = record["completed_at"] - record["started_at"]
    assert record["execution_time_ms"] == took // timedelta(milliseconds=1)
    assert not {"lease_expires_at", "lease_s"} & record.keys()


def test_a_job_took_less_than_no_time_where_the_servers_clock_was_set_back(db: AlertDatabase) -> None:
    job_id = create_job_record(SCANNER, db).job_id
    db.background_jobs.update_one({"job_id": job_id}, {"$set": {"started_at": datetime(2106, 2, 7, tzinfo=UTC)}})
    update_job_record(job_id, {}, "completed", [], db)
    assert the_record(db, job_id)["execution_time_ms"] == 0


def test_errors_are_capped_with_their_total(db: AlertDatabase) -> None:
    job_id = create_job_record(SCANNER, db).job_id
    update_job_record(job_id, {}, "completed", [str(number) for number in range(250)], db)
    record = the_record(db, job_id)
    assert record["errors"][-1] == "… and 150 more"
    assert (len(record["errors"]), record["errors_total"]) == (101, 250)


def test_an_unknown_job_id_a_bad_status_and_a_bad_type_are_named(db: AlertDatabase) -> None:
    with pytest.raises(JobNotFoundError, match="JOB-nobody"):
        update_job_record("JOB-nobody", {}, "completed", [], db)
    with pytest.raises(InvalidJobStatusError, match="'done'"):
        update_job_record(create_job_record(SCANNER, db).job_id, {}, "done", [], db)
    with pytest.raises(InvalidJobTypeError):
        create_job_record("", db)


@pytest.mark.parametrize("limit", [0, -1, 1001, True, "5", 2.0, None])
def test_a_bad_limit_is_named(db: AlertDatabase, limit: Any) -> None:
    with pytest.raises(InvalidLimitError, match=re.escape(repr(limit))):
        get_recent_jobs(limit, db)


def test_recent_jobs_come_newest_first_and_load_records_of_the_old_service(db: AlertDatabase) -> None:
    old = {"job_id": "JOB-20240101-000000-00000000", "status": "completed", "started_at": datetime(2024, 1, 1)}  # noqa: DTZ001 - as the service writes it
    db.background_jobs.insert_one(dict(old))
    job_id = create_job_record(SCANNER, db).job_id
    ours, theirs = get_recent_jobs(2, db)
    assert (ours.job_id, theirs.job_id) == (job_id, old["job_id"])
    assert ours.started_at is not None
    assert ours.model_dump(mode="json")["started_at"] == ours.started_at.isoformat().replace("+00:00", "Z")
    assert theirs.alerts_closed == 0
    assert len(get_recent_jobs(1, db)) == 1


def test_a_record_that_another_program_wrote_in_other_kinds_is_kept_as_it_stands(db: AlertDatabase) -> None:
    fields = {"alerts_closed": "many", "errors": None, "status": 3}
    db.background_jobs.insert_one({"job_id": "theirs", "started_at": datetime(2024, 1, 1, tzinfo=UTC), **fields})
    (record,) = get_recent_jobs(5, db)
    assert {name: getattr(record, name) for name in fields} == fields


def test_an_ended_record_is_left_as_it_is(db: AlertDatabase) -> None:
    job_id = create_job_record(SCANNER, db).job_id
    update_job_record(job_id, {"alerts_closed": 1}, "failed", [], db)
    with pytest.raises(JobEndedError, match="already ended as failed"):
        update_job_record(job_id, {"alerts_closed": 2}, "completed", [], db)
    assert the_record(db, job_id)["alerts_closed"] == 1


def test_of_many_claims_at_once_one_wins(db: AlertDatabase) -> None:
    ensure_indexes(db)

    def claim(_: int) -> str | None:
        try:
            return create_job_record(SCANNER, db).job_id
        except ScanAlreadyRunningError:
            return None

    with ThreadPoolExecutor(20) as pool:
        won = [job_id for job_id in pool.map(claim, range(20)) if job_id]
    assert len(won) == 1
    with pytest.raises(ScanAlreadyRunningError, match=won[0]):
        create_job_record(SCANNER, db)


def test_other_job_types_may_run_side_by_side(db: AlertDatabase) -> None:
    ensure_indexes(db)
    for job_type in (SCANNER, job_records.DRY_RUN, job_records.DRY_RUN, "nightly_report"):
        create_job_record(job_type, db)


def test_a_dead_owner_is_swept_by_the_next_claim_with_its_true_counts(db: AlertDatabase) -> None:
    ensure_indexes(db)
    dead = create_job_record(SCANNER, db).job_id
    entry = {"job_id": dead, "triggered_by": "system", "rule_triggered": "r", "to_status": "AUTO_CLOSED"}
    db.alerts.insert_one({"alert_id": "1", "source_type": "SAFETY", "state_history": [entry]})
    expire_lease(db, dead)
    create_job_record(SCANNER, db)
    record = the_record(db, dead)
    assert (record["status"], record["alerts_closed"], record["alerts_escalated"]) == ("failed", 1, 0)
    assert record["stats"]["decisions"] == [{"rule_id": "r", "source_type": "SAFETY", "decision": "close", "alerts": 1}]
    assert "died" in record["errors"][-1]
    assert record["completed_at"] is not None


def test_a_history_edited_to_name_a_rule_of_megabytes_does_not_keep_the_next_claim_from_being_made(
    db: AlertDatabase,
) -> None:
    ensure_indexes(db)
    dead = create_job_record(SCANNER, db).job_id
    entry = {"job_id": dead, "triggered_by": "system", "rule_triggered": "r" * 9_000_000, "to_status": "AUTO_CLOSED"}
    db.alerts.insert_one({"alert_id": "1", "source_type": "SAFETY", "state_history": [entry]})
    db.alerts.insert_one({"alert_id": "2", "source_type": "FEEDBACK", "state_history": [entry]})
    expire_lease(db, dead)
    create_job_record(SCANNER, db)
    assert the_record(db, dead)["alerts_closed"] == 2


@pytest.mark.parametrize("stats", ["x", [1], 5, None], ids=repr)
def test_a_dead_record_whose_stats_are_damaged_kept_every_later_scan_from_its_claim(
    db: AlertDatabase, stats: object
) -> None:
    ensure_indexes(db)
    dead = create_job_record(SCANNER, db).job_id
    db.background_jobs.update_one({"job_id": dead}, {"$set": {"stats": stats}})
    expire_lease(db, dead)
    create_job_record(SCANNER, db)
    assert the_record(db, dead)["status"] == "failed"


def test_a_living_owner_is_not_swept(db: AlertDatabase) -> None:
    job_id = create_job_record(SCANNER, db).job_id
    assert fail_stalled_jobs(db) == []
    assert the_record(db, job_id)["status"] == "running"


def test_records_left_running_by_the_old_service_do_not_hinder_the_unique_index(bare_db: AlertDatabase) -> None:
    long_ago = server_now(bare_db) - timedelta(hours=3)
    bare_db.background_jobs.insert_many(
        [
            {"job_id": f"JOB-{n}", "job_type": SCANNER, "status": "running", "started_at": started, "errors": None}
            for n, started in enumerate([long_ago, long_ago, "yesterday", None])
        ]
    )
    ensure_indexes(bare_db)
    assert bare_db.background_jobs.count_documents({"status": "failed"}) == 4
    create_job_record(SCANNER, bare_db)


def test_what_runs_without_a_lease_holds_its_claim_and_the_refusal_says_how_long(db: AlertDatabase) -> None:
    ensure_indexes(db)
    started = server_now(db) - timedelta(minutes=50)
    db.background_jobs.insert_many(
        [
            service_record("JOB-0", started - timedelta(minutes=5), status="completed"),
            service_record("JOB-1", started),
        ]
    )
    ends = started + job_records.STALLED_WITHOUT_LEASE
    with pytest.raises(ScanAlreadyRunningError, match=f"JOB-1, .* at the latest at {re.escape(str(ends))}"):
        create_job_record(SCANNER, db)


def test_the_records_that_the_service_never_ends_hindered_two_of_three_scans(bare_db: AlertDatabase) -> None:
    now = server_now(bare_db)
    bare_db.background_jobs.insert_many(
        [service_record(f"JOB-{minutes}", now - timedelta(minutes=minutes)) for minutes in (8, 3, 0)]
    )
    ensure_indexes(bare_db)
    create_job_record(SCANNER, bare_db)
    assert bare_db.background_jobs.count_documents({"status": "failed"}) == 3


def test_what_ran_without_a_lease_is_stalled_once_the_service_started_a_later_one(bare_db: AlertDatabase) -> None:
    now = server_now(bare_db)
    claimed_by_us = create_job_record(SCANNER, bare_db).job_id
    update_job_record(claimed_by_us, {}, "completed", [], bare_db)
    bare_db.background_jobs.insert_many(
        [
            service_record("JOB-done", now - timedelta(days=3), status="completed"),
            service_record("JOB-earlier", now - timedelta(minutes=10)),
            service_record("JOB-last", now - timedelta(minutes=5)),
        ]
    )
    assert [swept.job_id for swept in fail_stalled_jobs(bare_db)] == ["JOB-earlier"]


def test_a_completed_scan_of_ours_does_not_speak_for_the_service(db: AlertDatabase) -> None:
    update_job_record(create_job_record(SCANNER, db).job_id, {}, "completed", [], db)
    db.background_jobs.insert_one(service_record("JOB-1", server_now(db)))
    create_job_record(SCANNER, db)
    assert the_record(db, "JOB-1")["status"] == "failed"


def test_a_living_scan_with_a_longer_lease_was_taken_for_one_by_a_clock_that_was_put_back(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both copies of a database need not have the same setting: a record is judged by its own lease."""
    monkeypatch.setenv(LEASE_VARIABLE, "600")
    holder = the_record(db, create_job_record(SCANNER, db).job_id)
    monkeypatch.setenv(LEASE_VARIABLE, "2")
    assert fail_stalled_jobs(db) == []
    with pytest.raises(ScanAlreadyRunningError, match=re.escape(f"its lease expires at {holder['lease_expires_at']}")):
        create_job_record(SCANNER, db)


def test_a_lease_is_renewed_while_it_is_held(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEASE_VARIABLE, "2")
    job_id = create_job_record(SCANNER, db).job_id
    first = the_record(db, job_id)["lease_expires_at"]
    with Lease(db, job_id) as lease:
        wait_until(lambda: the_record(db, job_id)["lease_expires_at"] > first, "the lease's renewal")
        lease.check()


def test_a_swept_lease_stops_its_scan(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEASE_VARIABLE, "2")
    job_id = create_job_record(SCANNER, db).job_id
    db.background_jobs.update_one({"job_id": job_id}, {"$set": {"status": "failed"}})
    with Lease(db, job_id) as lease:
        lease._thread.join(timeout=LIMIT_S)
        with pytest.raises(LeaseLostError, match=job_id):
            lease.check()


def test_a_lease_that_cannot_be_renewed_stops_its_scan_before_another_may_start(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEASE_VARIABLE, "2")
    lease = Lease(db, "JOB-never-renewed")
    lease.check()
    # Two thirds of the lease are over, and nobody else may start yet.
    time.sleep(1.4)
    with pytest.raises(LeaseLostError, match="could not be renewed"):
        lease.check()
