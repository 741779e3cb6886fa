"""When a tick makes a scan and when it is skipped."""

from typing import Any

import pytest
from dagster import (
    AssetCheckKey,
    AssetKey,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultScheduleStatus,
    build_schedule_context,
)
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.schedules import BUSY, InvalidCronError, build_schedule, cron_setting


def tick(instance: DagsterInstance, cron: str | None = "*/5 * * * *") -> str | None:
    """Why the tick is skipped; None where it makes one run."""
    schedule = build_schedule(cron)
    answer = schedule.evaluate_tick(build_schedule_context(instance=instance))
    assert (len(answer.run_requests or ()), answer.skip_message is None) in {(0, False), (1, True)}
    return answer.skip_message


def make_run(instance: DagsterInstance, job: str, status: DagsterRunStatus, **selection: Any) -> DagsterRun:
    # Only a run whose origin is known can be queued.
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(), location_name="alert_pipelines")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job)
    run: DagsterRun = create_run_for_test(instance, job_name=job, status=status, remote_job_origin=origin, **selection)
    return run


@pytest.mark.parametrize("status", BUSY)
def test_a_tick_is_skipped_while_a_scan_waits_or_runs(instance: DagsterInstance, status: DagsterRunStatus) -> None:
    run = make_run(instance, "auto_close_job", status)
    assert tick(instance) == f"Scan run {run.run_id} is {status.value}: one scan at a time."


@pytest.mark.parametrize(
    "selection",
    [
        {"asset_selection": frozenset({AssetKey("closed_alerts")})},
        {"asset_check_selection": frozenset({AssetCheckKey(AssetKey("alert_rules"), "rules_valid")})},
    ],
)
def test_a_scan_started_by_materialize_counts_as_well(instance: DagsterInstance, selection: dict[str, Any]) -> None:
    run = make_run(instance, "__ASSET_JOB", DagsterRunStatus.STARTED, **selection)
    assert run.run_id in (tick(instance) or "")


def test_a_tick_makes_one_scan_whatever_else_runs(instance: DagsterInstance) -> None:
    make_run(instance, "load_alerts_job", DagsterRunStatus.STARTED)
    others = frozenset({AssetKey("daily_report")})
    make_run(instance, "__ASSET_JOB", DagsterRunStatus.QUEUED, asset_selection=others)
    for over in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED):
        make_run(instance, "auto_close_job", over)
    assert tick(instance) is None


def test_off_outranks_a_schedule_that_was_switched_on(instance: DagsterInstance) -> None:
    assert build_schedule(None).default_status is DefaultScheduleStatus.STOPPED
    assert tick(instance, None) == "AUTO_CLOSE_CRON is off: no scans are made."


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "*/5 * * * *"),
        ({"AUTO_CLOSE_CRON": "  "}, "*/5 * * * *"),
        ({"AUTO_CLOSE_CRON": "0 * * * *"}, "0 * * * *"),
        ({"AUTO_CLOSE_CRON": "OFF"}, None),
    ],
)
def test_one_setting_changes_the_interval_or_switches_off(environ: dict[str, str], expected: str | None) -> None:
    assert cron_setting(environ) == expected


def test_a_setting_that_is_no_cron_expression_is_named() -> None:
    with pytest.raises(InvalidCronError, match="AUTO_CLOSE_CRON='every 5 minutes' is no cron expression"):
        build_schedule("every 5 minutes")


def test_the_schedule_of_the_code_location(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTO_CLOSE_CRON", "*/10 * * * *")
    schedule = build_defs().get_repository_def().get_schedule_def("auto_close_schedule")
    assert schedule.cron_schedule == "*/10 * * * *"
    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status is DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "auto_close_job"
