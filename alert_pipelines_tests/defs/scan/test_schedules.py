"""When a tick makes a scan and when it is skipped."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultScheduleStatus,
    build_schedule_context,
)
from dagster._core.test_utils import create_run_for_test

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.asset_specs import SCAN_ASSETS
from alert_pipelines.defs.names import NAMES, Names
from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.scan.runs import BUSY
from alert_pipelines.defs.scan.schedule import build_schedule
from alert_pipelines.job_records import SCANNER, create_job_record
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import OWN, daemons_tick, launched_from


def tick(instance: DagsterInstance, cron: str | None = "*/5 * * * *", location: Location = OWN) -> str | None:
    """Why the tick is skipped; None where it makes one run."""
    schedule = build_schedule(cron)
    with daemons_tick(instance, schedule, location) as context:
        answer = schedule.evaluate_tick(context)
    assert (len(answer.run_requests or ()), answer.skip_message is None) in {(0, False), (1, True)}
    return answer.skip_message


def make_run(
    instance: DagsterInstance, job: str, status: DagsterRunStatus, location: Location = OWN, **selection: Any
) -> DagsterRun:
    # Only a run whose origin is known can be queued.
    origin = launched_from(location, job)
    run: DagsterRun = create_run_for_test(instance, job_name=job, status=status, remote_job_origin=origin, **selection)
    return run


@pytest.mark.parametrize("status", BUSY)
def test_a_tick_is_skipped_while_a_scan_waits_or_runs(instance: DagsterInstance, status: DagsterRunStatus) -> None:
    run = make_run(instance, "auto_close_job", status)
    assert tick(instance) == f"Scan run {run.run_id} is {status.value}: one scan at a time."


def test_a_scan_started_by_materialize_counts_as_well(instance: DagsterInstance) -> None:
    selection = frozenset(spec.key for spec in SCAN_ASSETS)
    run = make_run(instance, "__ASSET_JOB", DagsterRunStatus.STARTED, asset_selection=selection)
    assert run.run_id in (tick(instance) or "")


def test_a_tick_made_a_run_that_could_only_wait_for_a_scan_of_another_program(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase
) -> None:
    job_id = create_job_record(SCANNER, db).job_id
    assert "A scan started elsewhere is running" in (tick(instance) or "")
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    db.background_jobs.update_one({"job_id": job_id}, {"$set": {"lease_expires_at": long_ago}})
    assert tick(instance) is None


def test_a_tick_makes_one_scan_whatever_else_runs(instance: DagsterInstance) -> None:
    make_run(instance, "load_alerts_job", DagsterRunStatus.STARTED)
    make_run(instance, "dry_run_job", DagsterRunStatus.STARTED)
    others = frozenset({AssetKey("daily_report")})
    make_run(instance, "__ASSET_JOB", DagsterRunStatus.QUEUED, asset_selection=others)
    for over in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED):
        make_run(instance, "auto_close_job", over)
    assert tick(instance) is None


@pytest.mark.parametrize(
    "elsewhere", [Location("another_copy", "__repository__"), Location("alert_pipelines", "somebody_elses")]
)
def test_runs_of_other_code_locations_skipped_our_ticks(instance: DagsterInstance, elsewhere: Location) -> None:
    make_run(instance, "auto_close_job", DagsterRunStatus.QUEUED, elsewhere)
    theirs = frozenset({AssetKey("background_jobs")})
    make_run(instance, "__ASSET_JOB", DagsterRunStatus.STARTED, elsewhere, asset_selection=theirs)
    assert tick(instance) is None


def test_two_copies_skip_their_own_ticks_and_not_each_others(instance: DagsterInstance) -> None:
    copies = [Location("north", "__repository__"), Location("south", "__repository__")]
    for copy in copies:
        assert tick(instance, location=copy) is None
        make_run(instance, "auto_close_job", DagsterRunStatus.QUEUED, copy)
    assert all("one scan at a time" in (tick(instance, location=copy) or "") for copy in copies)


def test_a_tick_that_does_not_say_where_it_is_from_is_skipped_for_nobody(instance: DagsterInstance) -> None:
    make_run(instance, "auto_close_job", DagsterRunStatus.STARTED)
    resources = {"mongo": MongoResource(), NAMES: Names()}
    with build_schedule_context(instance=instance, resources=resources) as context:
        answer = build_schedule("*/5 * * * *").evaluate_tick(context)
    assert len(answer.run_requests or ()) == 1


def test_off_outranks_a_schedule_that_was_switched_on(instance: DagsterInstance) -> None:
    assert build_schedule(None).default_status is DefaultScheduleStatus.STOPPED
    assert tick(instance, None) == "AUTO_CLOSE_CRON is off: no scans are made."


def test_the_schedule_of_the_code_location(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTO_CLOSE_CRON", "*/10 * * * *")
    schedule = build_defs().get_repository_def().get_schedule_def("auto_close_schedule")
    assert schedule.cron_schedule == "*/10 * * * *"
    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status is DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "auto_close_job"


def test_ticks_were_in_utc_wherever_the_fleet_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTO_CLOSE_CRON", "0 8 * * *")
    monkeypatch.setenv("AUTO_CLOSE_TIMEZONE", "Europe/Berlin")
    schedule = build_defs().resolve_schedule_def("auto_close_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 8 * * *", "Europe/Berlin")


def test_scheduled_scans_went_before_everybodys_runs_in_a_shared_queue(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = build_schedule("*/5 * * * *")
    tags = []
    for priority in ("", "10"):
        monkeypatch.setenv("AUTO_CLOSE_RUN_PRIORITY", priority)
        with daemons_tick(instance, schedule) as context:
            (request,) = schedule.evaluate_tick(context).run_requests or ()
        tags.append(request.tags.get("dagster/priority"))
    assert tags == [None, "10"]
    assert "dagster/priority" not in build_defs().resolve_job_def("auto_close_job").tags
