"""The sensor: what a dead process left behind is ended, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    SkipReason,
)
from dagster._core.execution.plan.objects import StepSuccessData
from dagster._core.test_utils import create_run_for_test

from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.scan.run_records import JOB_ID_TAG, close_records_of_run
from alert_pipelines.defs.scan.sensor import dead_scan_sensor
from alert_pipelines.job_records import COMPLETED, DRY_RUN, SCANNER, create_job_record, update_job_record
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import OWN, launched_from, sensor_context
from alert_pipelines_tests.factories import alert, fill

pytestmark = pytest.mark.usefixtures("mongodb_env")


def started_run(instance: DagsterInstance, location: Location | None = OWN) -> DagsterRun:
    run: DagsterRun = create_run_for_test(
        instance,
        job_name="auto_close_job",
        status=DagsterRunStatus.STARTED,
        remote_job_origin=launched_from(location, "auto_close_job") if location else None,
    )
    return run


def decided_by(job_id: str) -> dict[str, object]:
    """An alert that the job closed before it died."""
    entry = {"to_status": "AUTO_CLOSED", "triggered_by": "system", "rule_triggered": "old", "job_id": job_id}
    return alert(status="AUTO_CLOSED", state_history=[entry])


def die(db: AlertDatabase, job_id: str) -> None:
    """Let the lease of a record run out."""
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    db.background_jobs.update_one({"job_id": job_id}, {"$set": {"lease_expires_at": long_ago}})


def sweep(instance: DagsterInstance) -> str:
    answer = dead_scan_sensor(sensor_context(instance))
    assert isinstance(answer, SkipReason)
    return str(answer.skip_message)


def ended_record(db: AlertDatabase, job_id: str) -> dict[str, Any]:
    """The record, which has to be ended as failed with its true count, the one alert closed."""
    record = db.background_jobs.find_one({"job_id": job_id})
    assert record is not None
    assert (record["status"], record["alerts_closed"]) == ("failed", 1)
    return record


def test_a_scan_that_died_is_ended_with_its_true_counts_and_its_run_failed(
    instance: DagsterInstance, db: AlertDatabase
) -> None:
    run = started_run(instance)
    job_id = create_job_record(SCANNER, db, run_id=run.run_id).job_id
    fill(db, [decided_by(job_id)])
    die(db, job_id)
    assert job_id in sweep(instance)
    ended_record(db, job_id)
    failed = instance.get_run_by_id(run.run_id)
    assert failed is not None
    assert failed.status is DagsterRunStatus.FAILURE
    assert failed.tags[JOB_ID_TAG] == job_id


@pytest.mark.parametrize(
    ("location", "expected"), [(OWN, "FAILURE"), (None, "FAILURE"), (Location("another", "__repository__"), "STARTED")]
)
@pytest.mark.parametrize("swept_before", [True, False])
def test_only_runs_of_our_own_location_and_of_none_are_failed(
    instance: DagsterInstance, db: AlertDatabase, location: Location | None, expected: str, *, swept_before: bool
) -> None:
    run = started_run(instance, location)
    report(instance, run, "START")
    dead = create_job_record(SCANNER, db, run_id=run.run_id).job_id
    die(db, dead)
    if swept_before:
        create_job_record(SCANNER, db)
        ended_at = {"$subtract": ["$$NOW", 61_000]}
        db.background_jobs.update_one({"job_id": dead}, [{"$set": {"completed_at": ended_at}}])
    sweep(instance)
    left = instance.get_run_by_id(run.run_id)
    assert left is not None
    assert left.status.value == expected
    # The record is in our database, so it is ended wherever its run is from.
    assert (db.background_jobs.find_one({"job_id": dead}) or {})["status"] == "failed"


def test_a_living_scan_is_left_alone(instance: DagsterInstance, db: AlertDatabase) -> None:
    run = started_run(instance)
    create_job_record(SCANNER, db, run_id=run.run_id)
    assert sweep(instance) == "No scan has died."
    left = instance.get_run_by_id(run.run_id)
    assert left is not None
    assert left.status is DagsterRunStatus.STARTED


def report(instance: DagsterInstance, run: DagsterRun, *steps: str, key: str = "auto_close") -> None:
    """Let a step of the run have come so far."""
    for step in steps:
        # Dagster's constructor has no types.
        data = StepSuccessData(duration_ms=1.0) if step == "SUCCESS" else None  # type: ignore[no-untyped-call]
        kind = DagsterEventType[f"STEP_{step}"].value
        event = DagsterEvent(kind, "auto_close_job", step_key=key, event_specific_data=data)
        instance.report_dagster_event(event, run.run_id)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), "FAILURE"),
        (("START",), "FAILURE"),
        (("START", "UP_FOR_RETRY"), "STARTED"),
        (("START", "UP_FOR_RETRY", "RESTARTED"), "FAILURE"),
    ],
)
def test_a_run_that_waits_to_try_again_is_not_failed(
    instance: DagsterInstance, db: AlertDatabase, steps: tuple[str, ...], expected: str
) -> None:
    run = started_run(instance)
    report(instance, run, *steps)
    die(db, create_job_record(SCANNER, db, run_id=run.run_id).job_id)
    sweep(instance)
    left = instance.get_run_by_id(run.run_id)
    assert left is not None
    assert left.status.value == expected


@pytest.mark.parametrize(
    ("steps", "ended_s_ago", "expected"),
    [
        (("START",), 61, "FAILURE"),
        (("START", "UP_FOR_RETRY", "RESTARTED"), 61, "FAILURE"),
        # Its owner is gone for certain, unless it has just begun to try again.
        (("START",), 0, "FAILURE"),
        (("START", "UP_FOR_RETRY", "RESTARTED"), 20, "STARTED"),
        (("START", "UP_FOR_RETRY"), 61, "STARTED"),
        # What follows the scan in the same run may take its time.
        (("START", "SUCCESS"), 61, "STARTED"),
    ],
)
def test_a_run_whose_record_another_scan_swept_while_no_daemon_was_there_is_failed(
    instance: DagsterInstance, db: AlertDatabase, steps: tuple[str, ...], ended_s_ago: int, expected: str
) -> None:
    run = started_run(instance)
    report(instance, run, *steps)
    report(instance, run, "START", key="a_report_of_someones")
    dead = create_job_record(SCANNER, db, run_id=run.run_id).job_id
    die(db, dead)
    create_job_record(SCANNER, db)
    ended_at = {"$subtract": ["$$NOW", ended_s_ago * 1000]}
    db.background_jobs.update_one({"job_id": dead}, [{"$set": {"completed_at": ended_at}}])
    assert (dead in sweep(instance)) == (expected == "FAILURE")
    left = instance.get_run_by_id(run.run_id)
    assert left is not None
    assert left.status.value == expected


@pytest.mark.parametrize(("ended_s_ago", "expected"), [(20, "STARTED"), (61, "FAILURE")])
def test_a_scan_that_ended_its_record_has_a_minute_to_tell_dagster(
    instance: DagsterInstance, db: AlertDatabase, ended_s_ago: int, expected: str
) -> None:
    run = started_run(instance)
    report(instance, run, "START")
    job_id = create_job_record(SCANNER, db, run_id=run.run_id).job_id
    update_job_record(job_id, {}, COMPLETED, [], db)
    ended_at = {"$subtract": ["$$NOW", ended_s_ago * 1000]}
    db.background_jobs.update_one({"job_id": job_id}, [{"$set": {"completed_at": ended_at}}])
    sweep(instance)
    left = instance.get_run_by_id(run.run_id)
    assert left is not None
    assert left.status.value == expected


def test_a_dead_scan_without_a_dagster_run_is_ended_too(instance: DagsterInstance, db: AlertDatabase) -> None:
    jobs = [create_job_record(SCANNER, db).job_id]
    die(db, jobs[0])
    assert jobs[0] in sweep(instance)


@pytest.mark.parametrize("end", [DagsterInstance.report_run_failed, DagsterInstance.report_run_canceled])
def test_the_record_of_an_ended_run_is_closed_before_its_lease_runs_out(
    instance: DagsterInstance, db: AlertDatabase, end: Callable[[DagsterInstance, DagsterRun], object]
) -> None:
    run = started_run(instance)
    job_id = create_job_record(SCANNER, db, run_id=run.run_id).job_id
    fill(db, [decided_by(job_id)])
    end(instance, run)
    assert job_id in sweep(instance)
    assert "its Dagster run ended as" in ended_record(db, job_id)["errors"][0]


def test_a_backlog_of_failed_runs_does_not_delay_it(instance: DagsterInstance, db: AlertDatabase) -> None:
    for _ in range(20):
        instance.report_run_failed(started_run(instance))
    run = started_run(instance)
    job_id = create_job_record(SCANNER, db, run_id=run.run_id).job_id
    instance.report_run_failed(run)
    assert job_id in sweep(instance)


@pytest.mark.slow
def test_500_failed_runs_whose_records_are_open_are_worked_off_within_ten_minutes_of_ticks(
    instance: DagsterInstance, db: AlertDatabase
) -> None:
    # Of the scanner's own type there can be one at a time; dry runs may be many.
    create_job_record(DRY_RUN, db)
    record = db.background_jobs.find_one_and_delete({})
    assert record is not None
    runs = [DagsterRun(job_name="auto_close_job", status=DagsterRunStatus.FAILURE) for _ in range(500)]
    for run in runs:
        instance.add_run(run)
    db.background_jobs.insert_many(
        {**record, "_id": run.run_id, "job_id": f"JOB-{run.run_id}", "run_id": run.run_id} for run in runs
    )
    minimum_s = dead_scan_sensor.minimum_interval_seconds
    assert minimum_s is not None
    ticks = 0
    while db.background_jobs.count_documents({"status": "running"}):
        sweep(instance)
        ticks += 1
        assert ticks * minimum_s <= 600
    assert db.background_jobs.count_documents({"status": "failed"}) == 500


def test_a_record_closed_for_its_run_says_what_each_rule_decided(db: AlertDatabase) -> None:
    job_id = create_job_record(SCANNER, db, run_id="one").job_id
    entry = {"job_id": job_id, "triggered_by": "system", "rule_triggered": "r", "to_status": "ESCALATED"}
    db.alerts.insert_one({"alert_id": "1", "source_type": "SAFETY", "state_history": [entry]})
    assert close_records_of_run(db, "one", "why") == [job_id]
    record = db.background_jobs.find_one({"job_id": job_id}) or {}
    assert (record["alerts_closed"], record["alerts_escalated"]) == (0, 1)
    assert record["stats"]["decisions"] == [
        {"rule_id": "r", "source_type": "SAFETY", "decision": "escalate", "alerts": 1}
    ]


def test_only_running_records_of_the_run_itself_are_closed(db: AlertDatabase) -> None:
    done = create_job_record(SCANNER, db, run_id="one").job_id
    update_job_record(done, {}, COMPLETED, [], db)
    other = create_job_record(SCANNER, db, run_id="two").job_id
    assert close_records_of_run(db, "one", "why") == []
    found = {record["job_id"]: record["status"] for record in db.background_jobs.find()}
    assert found == {done: "completed", other: "running"}


def test_the_sensor_runs_by_default_and_often_enough() -> None:
    assert dead_scan_sensor.default_status is DefaultSensorStatus.RUNNING
    assert dead_scan_sensor.minimum_interval_seconds == 15
