"""Only one module uses what Dagster calls private; where an upgrade moves one of its names, these tests fail first."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance, job, sensor

import alert_pipelines
from alert_pipelines.defs import dagster_internals
from alert_pipelines.defs.monitoring.health_checks import scanner_health
from alert_pipelines.defs.upkeep.job import delete_old_runs_schedule

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
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
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
