"""What a job shows names the database that it is of: several may be scanned from one Dagster."""

from typing import Any

import pytest
from dagster import AssetCheckEvaluation, DagsterInstance
from dagster._core.events import StepMaterializationData

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import OWN, execute_in
from alert_pipelines_tests.factories import alert, fill, rule

DAY = "2026-03-01"


@pytest.mark.parametrize(
    ("job", "options"),
    [
        ("backtest_job", {"partition_key": DAY}),
        ("daily_report_job", {"partition_key": DAY}),
        ("check_indexes_job", {}),
        ("overview_job", {}),
        ("check_health_job", {}),
    ],
)
def test_reports_back_tests_and_index_advice_did_not_name_their_database(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase, job: str, options: dict[str, Any]
) -> None:
    fill(db, [alert()], rule("old", {"expire_after_mins": 60}))
    done = execute_in(OWN, instance, job, **options)
    data = [event.event_specific_data for event in done.all_events]
    shown = [one.materialization.metadata for one in data if isinstance(one, StepMaterializationData)]
    shown += [one.metadata for one in data if isinstance(one, AssetCheckEvaluation)]
    assert shown
    assert {one["database"].value for one in shown} == {db.name}
