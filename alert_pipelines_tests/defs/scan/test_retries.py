"""Runs that an instance, or a person, executes again: which are not, and what the tags of the others say."""

from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.asset_specs import SCAN_ASSETS
from alert_pipelines.defs.scan.asset import SCAN_TAGS, SCHEDULE_TAG
from alert_pipelines.defs.scan.run_records import BLOCKED_TAG, CLOSED_TAG, JOB_ID_TAG, SKIPPED_TAG
from alert_pipelines.job_records import COMPLETED, SCANNER, create_job_record, update_job_record
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.settings import LEASE_VARIABLE
from alert_pipelines_tests.defs.conftest import Execute
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule


@pytest.mark.parametrize("start", ["job", "Materialize", "Materialize, tagged to be retried"])
def test_a_blocked_run_was_retried_by_an_instance_with_run_retries(
    mongodb_env: None, db: AlertDatabase, tmp_path: Path, start: str
) -> None:
    retries = "run_retries:\n  enabled: true\n  max_retries: 3\ntelemetry:\n  enabled: false\n"
    (tmp_path / "dagster.yaml").write_text(retries)
    fill(db, [alert("old", minutes=120)], rule("old", {"expire_after_mins": 60, "max_close": 0}))
    made = build_defs()
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_retries_max_retries == 3
        if start == "job":
            job, tags = made.resolve_job_def("auto_close_job"), {}
        else:
            job = made.resolve_implicit_global_asset_job_def()
            tags = {"dagster/retry_on_asset_or_op_failure": "true"} if "tagged" in start else {}
            keys = [spec.key for spec in SCAN_ASSETS]
            job = job.get_subset(asset_selection=set(keys))
        result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert (run.status, run.tags["dagster/will_retry"]) == (DagsterRunStatus.FAILURE, "false")
        assert "dagster/auto_retry_run_id" not in run.tags


def executed_again(
    first: DagsterRun, execute: Execute, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> DagsterRun:
    """The run that Dagster makes of `first` when it is executed again: with its tags."""
    create = instance.create_run_for_job

    def create_again(**noted: Any) -> DagsterRun:
        return create(**noted | {"tags": first.tags, "parent_run_id": first.run_id, "root_run_id": first.run_id})

    monkeypatch.setattr(instance, "create_run_for_job", create_again)
    again = instance.get_run_by_id(execute(as_of=AS_OF.isoformat()).run_id)
    assert again is not None
    return again


def test_a_skipped_run_that_is_executed_again_and_scans_does_not_stay_skipped(
    execute: Execute, db: AlertDatabase, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=120)], rule("old", {"expire_after_mins": 60}))
    holder = create_job_record(SCANNER, db).job_id
    monkeypatch.setenv(LEASE_VARIABLE, "2")
    skipped = instance.get_run_by_id(execute(as_of=AS_OF.isoformat()).run_id)
    assert skipped is not None
    assert (skipped.status, skipped.tags[SKIPPED_TAG]) == (DagsterRunStatus.FAILURE, "another scan was running")
    update_job_record(holder, {}, COMPLETED, [], db)
    again = executed_again(skipped, execute, instance, monkeypatch)
    assert (again.tags[SKIPPED_TAG], again.tags[CLOSED_TAG]) == ("", "1")


def test_a_blocked_run_that_was_executed_again_and_closed_was_still_tagged_as_blocked(
    execute: Execute, db: AlertDatabase, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=120)], rule("old", {"expire_after_mins": 60, "max_close": 0}))
    first = instance.get_run_by_id(execute(as_of=AS_OF.isoformat()).run_id)
    assert first is not None
    assert first.tags[BLOCKED_TAG] == "1"
    db.rules.update_one({}, {"$unset": {"conditions.max_close": 1}})
    again = executed_again(first, execute, instance, monkeypatch)
    assert (again.tags[BLOCKED_TAG], again.tags[CLOSED_TAG]) == ("", "1")
    record = db.background_jobs.find_one({"run_id": again.run_id}) or {}
    assert again.tags[JOB_ID_TAG] == record["job_id"]


def test_a_scan_that_somebody_launched_with_the_tags_of_a_skipped_one_stayed_skipped(
    db: AlertDatabase, mongodb_env: None, instance: DagsterInstance
) -> None:
    fill(db, [alert("old", minutes=120)], rule("old", {"expire_after_mins": 60}))
    job = build_defs().resolve_job_def("auto_close_job")
    tags = {SKIPPED_TAG: "another scan was running", BLOCKED_TAG: "3", "owner": "somebody"}
    config = {"ops": {"auto_close": {"config": {"as_of": AS_OF.isoformat()}}}}
    run = instance.get_run_by_id(job.execute_in_process(config, instance=instance, tags=tags).run_id)
    assert run is not None
    said = {tag: run.tags[tag] for tag in (*tags, CLOSED_TAG)}
    assert said == {SKIPPED_TAG: "", BLOCKED_TAG: "", "owner": "somebody", CLOSED_TAG: "1"}


def test_a_person_who_executed_a_blocked_tick_again_was_told_that_all_was_well(
    execute: Execute, db: AlertDatabase, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=120)], rule("old", {"expire_after_mins": 60, "max_close": 0}))
    first = instance.get_run_by_id(execute(as_of=AS_OF.isoformat()).run_id)
    assert first is not None
    instance.add_run_tags(first.run_id, {SCHEDULE_TAG: "auto_close_schedule"})
    tick = instance.get_run_by_id(first.run_id)
    assert tick is not None
    assert executed_again(tick, execute, instance, monkeypatch).status is DagsterRunStatus.FAILURE


def test_a_run_that_died_was_launched_again_into_its_own_claim(
    mongodb_env: None, db: AlertDatabase, tmp_path: Path
) -> None:
    (tmp_path / "dagster.yaml").write_text("run_retries:\n  enabled: true\n  max_retries: 2\n")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        for job, died in (("auto_close_job", "false"), ("somebody_elses_job", "true")):
            tags = SCAN_TAGS if job == "auto_close_job" else {}
            run = create_run_for_test(instance, job_name=job, status=DagsterRunStatus.STARTED, tags=tags)
            instance.report_run_failed(run, "its worker was killed")
            left = instance.get_run_by_id(run.run_id)
            assert left is not None
            assert left.tags["dagster/will_retry"] == died
