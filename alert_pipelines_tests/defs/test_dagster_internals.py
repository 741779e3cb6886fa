"""Only one module uses what Dagster calls private; where an upgrade moves one of its names, these tests fail first."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterEventType, DagsterInstance, RetryPolicy, job, op, sensor

import alert_pipelines
from alert_pipelines.defs import dagster_internals
from alert_pipelines.defs.monitoring.health_checks import scanner_health
from alert_pipelines.defs.upkeep.job import delete_old_runs_schedule
from alert_pipelines_tests.patience import LIMIT_S

PACKAGE = Path(alert_pipelines.__file__).parent


def private_modules(path: Path) -> Iterator[str]:
    """What the file imports of Dagster and is not public."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        yield from (name for name in names if name.startswith(("dagster._", "dagster_shared")))


def test_five_modules_imported_what_dagster_calls_private() -> None:
    users = {path.name for path in PACKAGE.rglob("*.py") if [*private_modules(path)]}
    assert users == {"dagster_internals.py"}


@pytest.mark.parametrize("name", dagster_internals.__all__)
def test_each_name_is_there(name: str) -> None:
    assert getattr(dagster_internals, name) is not None


def test_what_only_the_doctor_needs_of_dagster_took_each_run_seven_tenths_of_a_second() -> None:
    code = (
        "import sys, alert_pipelines.definitions; print(*(name for name in sys.modules if name.startswith('dagster')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert "dagster._core.definitions" in loaded.stdout
    assert "dagster._daemon" not in loaded.stdout


def test_copies_have_the_new_name_and_the_first_keeps_its_own() -> None:
    @job
    def other() -> None: ...

    @sensor(job=other)
    def look() -> None: ...

    schedule = dagster_internals.renamed_schedule(delete_old_runs_schedule, "renamed", other)
    assert (schedule.name, schedule.job_name, schedule.cron_schedule) == ("renamed", "other", "17 4 * * *")
    with dagster_internals.disable_dagster_warnings():
        assert dagster_internals.renamed_sensor(look, "renamed", ["a_job"]).name == "renamed"
    assert (delete_old_runs_schedule.name, look.name) == ("delete_old_runs_schedule", "look")
    keys = {key.asset_key: AssetKey(["north", *key.asset_key.path]) for key in scanner_health.check_keys}
    with dagster_internals.disable_dagster_warnings():
        copy = dagster_internals.rekeyed_checks(scanner_health, keys)
    assert {key.asset_key for key in copy.check_keys} == set(keys.values())


def test_on_an_instance_without_a_daemon_each_that_it_needs_is_named(instance: DagsterInstance) -> None:
    assert dagster_internals.unhealthy_daemons(instance) == ["SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR"]


def test_a_failure_showed_its_message_twice_each_time_with_the_stack_of_dagster_s_calls(
    instance: DagsterInstance,
) -> None:
    @op
    def stopped() -> None:
        raise dagster_internals.MessageFailure("rule 'a' would close 4 alerts", {"alerts": 4})

    @job
    def stops() -> None:
        stopped()

    result = stops.execute_in_process(instance=instance, raise_on_error=False)
    [of_step] = result.get_step_failure_events()
    failed = of_step.step_failure_data
    assert failed.user_failure_data is not None
    assert (failed.user_failure_data.description, failed.user_failure_data.metadata["alerts"].value) == (
        "rule 'a' would close 4 alerts",
        4,
    )
    [of_run] = instance.all_logs(result.run_id, DagsterEventType.RUN_FAILURE)
    shown_by_run = of_run.get_dagster_event().job_failure_data.first_step_failure_event
    assert shown_by_run is not None
    for shown in (failed.error, shown_by_run.step_failure_data.error):
        assert shown is not None
        assert (shown.message, shown.stack, shown.cls_name, shown.cause) == (
            "rule 'a' would close 4 alerts",
            [],
            None,
            None,
        )


def test_a_failure_is_not_retried_by_a_policy_of_the_op(instance: DagsterInstance) -> None:
    @op(retry_policy=RetryPolicy(max_retries=2))
    def stopped() -> None:
        raise dagster_internals.MessageFailure("a person has to look")

    @job
    def stops() -> None:
        stopped()

    result = stops.execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    assert result.retry_attempts_for_node("stopped") == 0
