"""What a run's tags say where it does more than scan, and a scan whose run is gone before it can be tagged."""

from contextlib import suppress

import pytest
from dagster import AssetKey, DagsterInstance

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.asset_specs import CLOSED, DRY_RUNS, SCAN_ASSETS
from alert_pipelines.defs.resources import RuleEngine
from alert_pipelines.defs.scan.run_records import CLOSED_TAG, DRY_RUN_TAG, JOB_ID_TAG
from alert_pipelines.job_records import SCANNER
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.context import Progress
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines_tests.factories import alert, fill, rule

EXPIRE = rule("old", {"expire_after_mins": 60})


@pytest.mark.parametrize("tags", [{}, {CLOSED_TAG: "7", JOB_ID_TAG: "JOB-1"}], ids=["first", "executed again"])
def test_a_run_that_scanned_and_previewed_bore_the_job_id_of_its_dry_run(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase, tags: dict[str, str]
) -> None:
    fill(db, [alert("old", minutes=120)], EXPIRE)
    keys = {AssetKey(DRY_RUNS), *(spec.key for spec in SCAN_ASSETS)}
    everything = build_defs().resolve_implicit_global_asset_job_def().get_subset(asset_selection=keys)
    done = everything.execute_in_process(instance=instance, tags=tags)
    run = instance.get_run_by_id(done.run_id)
    assert run is not None
    [scan] = db.background_jobs.find({"run_id": done.run_id, "job_type": SCANNER})
    assert (run.tags[JOB_ID_TAG], run.tags[CLOSED_TAG]) == (scan["job_id"], "1")
    assert DRY_RUN_TAG not in run.tags


class _RunDeletedMeanwhile(RuleEngine):
    """An engine whose scan ends after a person has deleted its run in the UI."""

    def scan(self, db: AlertDatabase, request: ScanRequest, on_progress: Progress) -> ScanReport:
        report = super().scan(db, request, on_progress)
        DagsterInstance.get().delete_run(str(request.run_id))
        return report


def test_a_scan_whose_run_was_deleted_meanwhile_did_not_show_what_it_closed(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=120)], EXPIRE)
    monkeypatch.setenv("DAGSTER_HOME", str(instance.root_directory))
    job = build_defs(resource_overrides={"rule_engine": _RunDeletedMeanwhile()}).resolve_job_def("auto_close_job")
    # Dagster itself ends with an error where it looks for the run at its end.
    with suppress(AttributeError):
        job.execute_in_process(instance=instance, raise_on_error=False)
    assert db.alerts.count_documents({"status": "AUTO_CLOSED"}) == 1
    shown = instance.get_latest_materialization_event(AssetKey(CLOSED))
    assert shown is not None
    assert shown.asset_materialization is not None
    assert shown.asset_materialization.metadata["closed"].value == 1
