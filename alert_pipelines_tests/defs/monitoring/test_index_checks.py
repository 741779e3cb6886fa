"""The check of the rules' plans: on its own, and never on a scan's path."""

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
from alert_pipelines.defs.monitoring.index_checks import INDEX_ADVICE
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import Execute, check_verdicts
from alert_pipelines_tests.defs.scan.test_schedules import make_run, tick
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule

YEARS = 3_000_000
"""In minutes: before whatever clock the server has."""


def fill_wastefully(db: AlertDatabase) -> None:
    """A rule that reads 6,000 alerts for six."""
    wasteful = rule("few", {"close_if": {"field": "metadata.code", "op": "eq", "value": 1}})
    fill(db, [alert(minutes=YEARS + n, metadata={"code": n % 1000}) for n in range(6_000)], wasteful)


def evaluated(instance: DagsterInstance) -> AssetCheckEvaluation:
    done = build_defs().resolve_job_def("check_indexes_job").execute_in_process(instance=instance)
    (evaluation,) = done.get_asset_check_evaluations()
    assert (evaluation.asset_key, evaluation.check_name) == (INDEX_ADVICE.asset_key, INDEX_ADVICE.name)
    return evaluation


def test_a_wasteful_rule_is_named_with_its_index_and_the_command_that_creates_it(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase
) -> None:
    fill_wastefully(db)
    indexes = db.alerts.index_information()
    warned = evaluated(instance)
    assert (warned.passed, warned.severity) == (False, AssetCheckSeverity.WARN)
    assert warned.description is not None
    for part in ("few, close_if: it examines 6000 documents for 6", "advised_", "`alert-pipelines indexes create`"):
        assert part in warned.description
    advice = warned.metadata["advice"]
    assert isinstance(advice, TableMetadataValue)
    (row,) = [record.data for record in advice.records]
    assert (row["rule"], row["examined"], row["returned"]) == ("few", 6_000, 6)
    assert str(row["index"]).startswith("advised_")
    assert db.alerts.index_information() == indexes


def test_rules_that_read_what_they_need_pass(instance: DagsterInstance, mongodb_env: None, db: AlertDatabase) -> None:
    fill(db, [alert(minutes=YEARS)], rule("old", {"expire_after_mins": 60}))
    assert evaluated(instance).passed


def test_no_scan_checks_indexes(execute: Execute, db: AlertDatabase) -> None:
    fill_wastefully(db)
    assert INDEX_ADVICE.name not in check_verdicts(execute(as_of=AS_OF.isoformat()))


def test_nor_does_one_that_was_started_by_materialize(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase
) -> None:
    fill_wastefully(db)
    done = (
        build_defs()
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(instance=instance, asset_selection=[spec.key for spec in SCAN_ASSETS])
    )
    # A first scan has nothing to check incremental ones by.
    assert set(check_verdicts(done)) == {check.name for check in SCAN_CHECKS}


def test_a_check_of_indexes_keeps_no_scan_from_being_made(instance: DagsterInstance) -> None:
    checks = frozenset({INDEX_ADVICE.key})
    make_run(instance, "check_indexes_job", DagsterRunStatus.STARTED, asset_check_selection=checks)
    assert tick(instance) is None


def test_it_runs_daily_behind_all_else() -> None:
    schedule = build_defs().get_repository_def().get_schedule_def("check_indexes_schedule")
    assert (schedule.job_name, schedule.default_status) == ("check_indexes_job", DefaultScheduleStatus.RUNNING)
    assert int(build_defs().resolve_job_def("check_indexes_job").tags["dagster/priority"]) < 0
