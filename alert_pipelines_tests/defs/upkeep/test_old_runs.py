"""Deleting old runs: what goes, and that runs of others, young ones and the newest of each job stay."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import (
    AssetKey,
    AssetRecordsFilter,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    build_schedule_context,
)
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._core.test_utils import create_run_for_test

from alert_pipelines.defs.background_jobs import MAX_SECONDS
from alert_pipelines.defs.own_runs import Location, purge_own_ticks
from alert_pipelines.defs.scan.schedule import build_schedule
from alert_pipelines.defs.upkeep import job as maintenance
from alert_pipelines.defs.upkeep import old_runs
from alert_pipelines.defs.upkeep.job import delete_old_runs_job, delete_old_runs_schedule
from alert_pipelines.defs.upkeep.old_runs import Deleted, delete_old_runs
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import (
    OWN,
    Execute,
    daemons_tick,
    edit_runs,
    execute_in,
    failure_text,
    launched_from,
    output_metadata,
)

SCHEDULE = build_schedule("*/5 * * * *")
NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=100)
MONTH_AGO = NOW - timedelta(days=30)
SUCCESS = DagsterRunStatus.SUCCESS


@pytest.fixture(autouse=True)
def keep_one_of_each_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_runs, "KEPT_OF_EACH_JOB", 1)


def backdate(instance: DagsterInstance, *run_ids: str) -> None:
    edit_runs(instance, *run_ids, create_timestamp=LONG_AGO.replace(tzinfo=None))


def old_run(
    instance: DagsterInstance,
    job: str = "auto_close_job",
    status: DagsterRunStatus = SUCCESS,
    location: Location | None = OWN,
    partition: str | None = None,
) -> str:
    origin = launched_from(location, job) if location else None
    tags = {PARTITION_NAME_TAG: partition} if partition else {}
    run = create_run_for_test(instance, job_name=job, status=status, tags=tags, remote_job_origin=origin)
    backdate(instance, run.run_id)
    return str(run.run_id)


def young_run(instance: DagsterInstance) -> str:
    origin = launched_from(OWN, "auto_close_job")
    run = create_run_for_test(instance, job_name="auto_close_job", status=SUCCESS, remote_job_origin=origin)
    return str(run.run_id)


def runs(instance: DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def shown_of(instance: DagsterInstance) -> list[str]:
    """The runs in whose materializations the UI shows the past of an asset."""
    asked = AssetRecordsFilter(AssetKey("closed_alerts"))
    return [record.run_id for record in instance.fetch_materializations(asked, limit=10).records]


@pytest.mark.parametrize(
    "location",
    [Location("somebody_elses", "__repository__"), Location("alert_pipelines", "another_repository"), None],
)
def test_old_runs_of_other_code_locations_were_deleted_as_well(
    instance: DagsterInstance, location: Location | None
) -> None:
    for job in ("auto_close_job", "nightly_load"):
        for _ in range(15):
            old_run(instance, job, location=location)
    theirs = runs(instance)
    ours = {old_run(instance) for _ in range(3)}
    assert delete_old_runs(instance, OWN, MONTH_AGO, 60) == Deleted(2, 1, more_to_do=False)
    assert len(theirs) == 30
    assert theirs < runs(instance)
    assert len(ours & runs(instance)) == 1


def test_the_newest_run_of_somebody_elses_job_of_the_same_name_does_not_count_as_ours(
    instance: DagsterInstance,
) -> None:
    newest = old_run(instance)
    old_run(instance, location=Location("somebody_elses", "__repository__"))
    assert delete_old_runs(instance, OWN, MONTH_AGO, 60) == Deleted(0, 1, more_to_do=False)
    assert newest in runs(instance)


def test_an_old_scan_goes_with_its_events_and_logs_and_the_newest_is_whole(
    execute: Execute, instance: DagsterInstance, db: AlertDatabase
) -> None:
    first, second = execute(location=OWN).run_id, execute(location=OWN).run_id
    backdate(instance, first, second)
    assert shown_of(instance) == [second, first]
    assert delete_old_runs(instance, OWN, MONTH_AGO, 60) == Deleted(1, 1, more_to_do=False)
    assert runs(instance) == {second}
    assert not instance.all_logs(first)
    assert instance.all_logs(second)
    # What the UI shows of the assets' past is what is left of the runs.
    assert shown_of(instance) == [second]
    # The users' own trail does not belong to Dagster.
    assert db.background_jobs.count_documents({}) == 2


def test_runs_that_are_young_or_not_finished_or_the_newest_of_their_job_or_of_a_partition_stay(
    instance: DagsterInstance,
) -> None:
    gone = {
        old_run(instance, status=status) for status in (SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
    }
    staying = {
        old_run(instance, status=DagsterRunStatus.STARTED),
        old_run(instance, "backtest_job", partition="2024-05-06"),
        old_run(instance, "backtest_job"),
        old_run(instance, "no_longer_there"),
        young_run(instance),
    }
    assert delete_old_runs(instance, OWN, MONTH_AGO, 60).deleted == len(gone)
    assert runs(instance) == staying


def test_old_runs_that_stay_do_not_keep_those_behind_them(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_runs, "_BATCH", 2)
    for day in range(3):
        old_run(instance, "backtest_job", partition=f"2024-05-0{day + 1}")
    gone = {old_run(instance) for _ in range(3)}
    newest = old_run(instance)
    assert delete_old_runs(instance, OWN, MONTH_AGO, 60) == Deleted(3, 4, more_to_do=False)
    assert newest in runs(instance)
    assert not gone & runs(instance)


def test_it_ends_when_its_time_is_up_and_says_that_there_may_be_more(instance: DagsterInstance) -> None:
    run_ids = {old_run(instance) for _ in range(3)}
    assert delete_old_runs(instance, OWN, MONTH_AGO, 0) == Deleted(0, 0, more_to_do=True)
    assert runs(instance) == run_ids
    assert MAX_SECONDS < 60


def delete(execute: Execute, location: Location | None = OWN) -> Any:
    return execute("delete_old_runs_job", "delete_old_runs", location=location)


def test_the_job_keeps_as_many_days_as_the_setting_says(
    execute: Execute, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {old_run(instance) for _ in range(3)}
    monkeypatch.setenv("AUTO_CLOSE_KEEP_RUNS_DAYS", "101")
    assert output_metadata(delete(execute))["deleted"] == 0
    assert made < runs(instance)
    monkeypatch.setenv("AUTO_CLOSE_KEEP_RUNS_DAYS", "99")
    assert output_metadata(delete(execute))["deleted"] == 2
    assert len(made & runs(instance)) == 1


def test_runs_were_deleted_though_nobody_had_set_for_how_long_they_are_kept(
    execute: Execute, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTO_CLOSE_KEEP_RUNS_DAYS", raising=False)
    made = {old_run(instance) for _ in range(3)}
    ticked = delete_old_runs_schedule.evaluate_tick(build_schedule_context(instance=instance))
    assert ticked.skip_message == "AUTO_CLOSE_KEEP_RUNS_DAYS is not set: all runs are kept."
    failed = delete(execute)
    assert "No run was deleted: AUTO_CLOSE_KEEP_RUNS_DAYS is not set" in failure_text(failed, "delete_old_runs")
    assert made < runs(instance)
    monkeypatch.setenv("AUTO_CLOSE_KEEP_RUNS_DAYS", "30")
    assert len(delete_old_runs_schedule.evaluate_tick(build_schedule_context(instance=instance)).run_requests or ())


def test_a_run_that_does_not_say_where_it_is_from_deletes_nothing(
    execute: Execute, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTO_CLOSE_KEEP_RUNS_DAYS", "30")
    made = {old_run(instance, location=location) for location in (OWN, None) for _ in range(3)}
    assert "which code location it belongs to" in failure_text(delete(execute, None), "delete_old_runs")
    assert made < runs(instance)


def test_it_is_launched_once_a_day_between_scans_and_behind_them() -> None:
    assert delete_old_runs_schedule.default_status is DefaultScheduleStatus.RUNNING
    minute, *others = str(delete_old_runs_schedule.cron_schedule).split()
    assert int(minute) % 5
    assert others == ["4", "*", "*", "*"]
    assert int(delete_old_runs_job.tags["dagster/priority"]) < 0


def test_ticks_were_kept_for_ever(instance: DagsterInstance) -> None:
    elsewhere = Location("somebody_elses", "__repository__")
    for location in (OWN, elsewhere):
        daemons_tick(instance, SCHEDULE, location)
    ticks = {
        state.origin.repository_origin.code_location_origin.location_name: (
            state.instigator_origin_id,
            state.selector_id,
        )
        for state in instance.all_instigator_state()
    }
    purge_own_ticks(instance, OWN, NOW - timedelta(minutes=5))
    assert {name: len(instance.get_ticks(*ids)) for name, ids in ticks.items()} == {
        "alert_pipelines": 1,
        "somebody_elses": 1,
    }
    purge_own_ticks(instance, OWN, datetime.now(UTC) + timedelta(minutes=5))
    assert {name: len(instance.get_ticks(*ids)) for name, ids in ticks.items()} == {
        "alert_pipelines": 0,
        "somebody_elses": 1,
    }


def test_the_job_purges_ticks_as_well(
    execute: Execute, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTO_CLOSE_KEEP_RUNS_DAYS", "30")
    purged: list[Location] = []
    monkeypatch.setattr(maintenance, "purge_own_ticks", lambda _instance, own, _before: purged.append(own))
    assert execute_in(OWN, instance, "delete_old_runs_job").success
    assert purged == [OWN]
