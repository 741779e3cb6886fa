"""Deleting old runs: what goes, what stays, and that nothing of a deleted run is left on the disk."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy
from dagster import (
    AssetCheckKey,
    AssetKey,
    AssetRecordsFilter,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    RunsFilter,
)
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._core.test_utils import create_run_for_test

from alert_pipelines.defs import old_runs
from alert_pipelines.defs.maintenance import MAX_SECONDS, delete_old_runs_job, delete_old_runs_schedule
from alert_pipelines.defs.old_runs import Deleted, InvalidDaysError, delete_old_runs, keep_days_setting
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import Execute

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=100)
MONTH_AGO = NOW - timedelta(days=30)
SUCCESS = DagsterRunStatus.SUCCESS


@pytest.fixture(autouse=True)
def keep_one_of_each_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_runs, "KEPT_OF_EACH_JOB", 1)


def backdate(instance: DagsterInstance, *run_ids: str) -> None:
    with instance.run_storage.connect() as connection:
        at = LONG_AGO.replace(tzinfo=None)
        connection.execute(RunsTable.update().where(RunsTable.c.run_id.in_(run_ids)).values(create_timestamp=at))


def old_run(
    instance: DagsterInstance, job: str = "auto_close_job", status: DagsterRunStatus = SUCCESS, **tags: str
) -> str:
    run = create_run_for_test(instance, job_name=job, status=status, tags={"some": "tag"} | tags)
    backdate(instance, run.run_id)
    return str(run.run_id)


def runs(instance: DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def rows_of(instance: DagsterInstance, run_id: str) -> int:
    """How many rows of any table of Dagster's shared databases are of this run."""
    found = 0
    for connect, tables in (
        (instance.run_storage.connect, (RunsTable, RunTagsTable)),
        (instance.event_log_storage.index_connection, (AssetCheckExecutionsTable, SqlEventLogStorageTable)),
    ):
        with connect() as connection:
            for table in tables:
                query = sqlalchemy.select(sqlalchemy.func.count()).where(table.c.run_id == run_id)
                found += connection.execute(query).scalar_one()
    return found


def files_of(instance: DagsterInstance, run_id: str) -> list[Path]:
    return list(Path(instance.root_directory).rglob(f"*{run_id}*"))


def test_nothing_of_an_old_scan_is_left_and_the_newest_is_whole(
    execute: Execute, instance: DagsterInstance, db: AlertDatabase
) -> None:
    first, second = execute().run_id, execute().run_id
    backdate(instance, first, second)
    assert files_of(instance, first)
    assert delete_old_runs(instance, MONTH_AGO, 60) == Deleted(1, 1, more_to_do=False)
    assert (rows_of(instance, first), files_of(instance, first)) == (0, [])
    assert runs(instance) == {second}
    assert instance.all_logs(second)
    # What the UI shows of the assets' past is what is left of the runs.
    shown = instance.fetch_materializations(AssetRecordsFilter(AssetKey("closed_alerts")), limit=10).records
    assert [record.run_id for record in shown] == [second]
    check = AssetCheckKey(AssetKey("alert_rules"), "rules_valid")
    assert [one.run_id for one in instance.event_log_storage.get_asset_check_execution_history(check, 10)] == [second]
    # The users' own trail is no matter of Dagster's.
    assert db.background_jobs.count_documents({}) == 2


def test_runs_that_are_young_or_not_finished_or_the_newest_of_their_job_or_of_a_partition_stay(
    instance: DagsterInstance,
) -> None:
    gone = {
        old_run(instance, status=status) for status in (SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
    }
    staying = {
        old_run(instance, status=DagsterRunStatus.STARTED),
        old_run(instance, "backtest_job", **{PARTITION_NAME_TAG: "2024-05-06"}),
        old_run(instance, "backtest_job"),
        old_run(instance, "no_longer_there"),
        str(create_run_for_test(instance, job_name="auto_close_job", status=SUCCESS).run_id),
    }
    assert delete_old_runs(instance, MONTH_AGO, 60).deleted == len(gone)
    assert runs(instance) == staying


def test_the_last_result_of_a_check_stays_though_its_run_goes(execute: Execute, instance: DagsterInstance) -> None:
    checked = execute().run_id
    backdate(instance, checked)
    create_run_for_test(instance, job_name="auto_close_job", status=SUCCESS)
    delete_old_runs(instance, MONTH_AGO, 60)
    check = AssetCheckKey(AssetKey("alert_rules"), "rules_valid")
    [last] = instance.event_log_storage.get_asset_check_execution_history(check, 10)
    assert last.run_id == checked


def test_old_runs_that_stay_do_not_keep_those_behind_them(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_runs, "_BATCH", 2)
    for day in range(3):
        old_run(instance, "backtest_job", **{PARTITION_NAME_TAG: f"2024-05-0{day + 1}"})
    gone = {old_run(instance) for _ in range(3)}
    newest = old_run(instance)
    assert delete_old_runs(instance, MONTH_AGO, 60) == Deleted(3, 4, more_to_do=False)
    assert newest in runs(instance)
    assert not gone & runs(instance)


def test_it_ends_when_its_time_is_up_and_says_that_there_may_be_more(instance: DagsterInstance) -> None:
    run_ids = {old_run(instance) for _ in range(3)}
    assert delete_old_runs(instance, MONTH_AGO, 0) == Deleted(0, 0, more_to_do=True)
    assert runs(instance) == run_ids
    assert MAX_SECONDS < 60


def test_the_job_keeps_as_many_days_as_the_setting_says(
    execute: Execute, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        old_run(instance)
    monkeypatch.setenv("AUTO_CLOSE_KEEP_RUNS_DAYS", "101")
    assert execute("delete_old_runs_job", "delete_old_runs").success
    assert len(instance.get_runs(RunsFilter(job_name="auto_close_job"))) == 3
    monkeypatch.setenv("AUTO_CLOSE_KEEP_RUNS_DAYS", "99")
    assert execute("delete_old_runs_job", "delete_old_runs").success
    assert len(instance.get_runs(RunsFilter(job_name="auto_close_job"))) == 1


@pytest.mark.parametrize("text", ["0", "-1", "ten", "1.5", "99999", "²"])
def test_a_number_of_days_that_makes_no_sense_is_named(text: str) -> None:
    with pytest.raises(InvalidDaysError, match=f"AUTO_CLOSE_KEEP_RUNS_DAYS={text!r}: expected a whole number of days"):
        keep_days_setting({"AUTO_CLOSE_KEEP_RUNS_DAYS": text})
    assert keep_days_setting({}) == keep_days_setting({"AUTO_CLOSE_KEEP_RUNS_DAYS": " "}) == 30


def test_it_is_launched_once_a_day_between_scans_and_behind_them() -> None:
    assert delete_old_runs_schedule.default_status is DefaultScheduleStatus.RUNNING
    minute, *others = delete_old_runs_schedule.cron_schedule.split()
    assert int(minute) % 5
    assert others == ["4", "*", "*", "*"]
    assert int(delete_old_runs_job.tags["dagster/priority"]) < 0
