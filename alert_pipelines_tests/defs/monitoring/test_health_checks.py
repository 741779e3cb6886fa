"""The checks of the scanner's health in the UI: their severity, their place, and never on a scan's path."""

from datetime import UTC, datetime, timedelta

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    TableMetadataValue,
)

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.asset_specs import SCAN_ASSETS, SCAN_CHECKS
from alert_pipelines.defs.monitoring.health_checks import HEALTH_CHECKS
from alert_pipelines.defs.monitoring.index_checks import INDEX_ADVICE
from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.scan.run_records import SKIPPED_TAG
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import OWN, Execute, check_verdicts, execute_in
from alert_pipelines_tests.defs.scan.test_schedules import make_run, tick
from alert_pipelines_tests.factories import alert, fill, rule

NAMES = {spec.name for spec in HEALTH_CHECKS}


def checked(instance: DagsterInstance, location: Location | None = OWN) -> dict[str, AssetCheckEvaluation]:
    done = execute_in(location, instance, "check_health_job", raise_on_error=True)
    return {one.check_name: one for one in done.get_asset_check_evaluations()}


def test_a_scanner_at_work_passes_all(execute: Execute, instance: DagsterInstance, db: AlertDatabase) -> None:
    fill(db, [alert(timestamp=datetime.now(UTC) - timedelta(hours=2))], rule("old", {"expire_after_mins": 60}))
    assert execute().success
    found = checked(instance)
    assert set(found) == NAMES
    assert {name: one.passed for name, one in found.items()} == dict.fromkeys(NAMES, True)


def test_one_that_does_not_scan_is_an_error_and_old_alerts_are_a_warning_with_a_table(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase
) -> None:
    fill(db, [alert("A", timestamp=datetime.now(UTC) - timedelta(days=90))])
    found = checked(instance)
    failed = {name: one.severity for name, one in found.items() if not one.passed}
    assert failed == {"scan_fresh": AssetCheckSeverity.ERROR, "oldest_pending": AssetCheckSeverity.WARN}
    shown = found["oldest_pending"].metadata["table"]
    assert isinstance(shown, TableMetadataValue)
    (row,) = shown.records
    assert (row.data["source"], row.data["pending"], row.data["oldest alert"]) == ("OVERSPEEDING", 1, "A")


def test_scans_that_are_switched_off_are_not_missed(
    instance: DagsterInstance, mongodb_env: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTO_CLOSE_CRON", "off")
    assert checked(instance)["scan_fresh"].passed


def test_a_scan_whose_record_is_gone_is_an_orphan(
    execute: Execute, instance: DagsterInstance, db: AlertDatabase
) -> None:
    kept, lost = execute(location=OWN), execute(location=OWN)
    db.background_jobs.delete_one({"run_id": lost.run_id})
    found = checked(instance)["no_orphans"]
    assert not found.passed
    assert found.description is not None
    assert lost.run_id in found.description
    assert kept.run_id not in found.description


@pytest.mark.parametrize("location", [Location("another_copy", "__repository__"), None])
def test_scans_of_other_locations_lacked_a_record_in_our_database(
    execute: Execute, instance: DagsterInstance, db: AlertDatabase, location: Location | None
) -> None:
    execute(location=location)
    db.background_jobs.delete_many({})
    assert checked(instance)["no_orphans"].passed


def test_runs_that_an_earlier_version_had_skipped_were_orphans_after_the_upgrade(
    execute: Execute, instance: DagsterInstance, db: AlertDatabase
) -> None:
    skipped = execute(location=OWN)
    instance.add_run_tags(skipped.run_id, {SKIPPED_TAG: "another scan was running"})
    db.background_jobs.delete_many({})
    assert checked(instance)["no_orphans"].passed


def test_a_check_that_does_not_know_its_location_says_that_it_looked_at_no_run(
    execute: Execute, instance: DagsterInstance, db: AlertDatabase
) -> None:
    assert "Runs were not looked at" in (checked(instance, None)["no_orphans"].description or "")


def test_a_bad_setting_fails_the_run_with_its_name(
    instance: DagsterInstance, mongodb_env: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTO_CLOSE_SILENT_DAYS", "soon")
    with pytest.raises(Exception, match=r"AUTO_CLOSE_SILENT_DAYS is not a valid number of days: .*; got 'soon'"):
        checked(instance)


def test_no_scan_asks_for_its_health(execute: Execute, instance: DagsterInstance, db: AlertDatabase) -> None:
    assert not NAMES & set(check_verdicts(execute()))
    materialized = (
        build_defs()
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(instance=instance, asset_selection=[spec.key for spec in SCAN_ASSETS])
    )
    assert set(check_verdicts(materialized)) == {check.name for check in SCAN_CHECKS}


def test_a_verdict_was_out_of_sight_once_a_scan_materialized_its_asset(
    execute: Execute, instance: DagsterInstance, db: AlertDatabase
) -> None:
    assert execute().success
    for check in (*HEALTH_CHECKS, INDEX_ADVICE):
        assert instance.get_latest_materialization_event(check.asset_key) is None


def test_it_runs_hourly_behind_all_else_and_keeps_no_scan_from_being_made(instance: DagsterInstance) -> None:
    made = build_defs()
    schedule = made.get_repository_def().get_schedule_def("check_health_schedule")
    assert (schedule.job_name, schedule.default_status) == ("check_health_job", DefaultScheduleStatus.RUNNING)
    assert int(made.resolve_job_def("check_health_job").tags["dagster/priority"]) < 0
    checks = frozenset(spec.key for spec in HEALTH_CHECKS)
    make_run(instance, "check_health_job", DagsterRunStatus.STARTED, asset_check_selection=checks)
    assert tick(instance) is None
