"""The scan's log lines are in its run's event log, once, under anybody's dagster.yaml."""

import logging
from pathlib import Path

import pytest
from dagster import DagsterInstance

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.dagster_processes import dagster_home
from alert_pipelines_tests.defs.conftest import execute_in

PACKAGE = logging.getLogger("alert_pipelines")
LINE = "Starting auto-close alert scanner"


@pytest.fixture(autouse=True)
def loggers_as_in_a_new_process() -> None:
    """Dagster sets the level of the loggers that it manages, and another test's instance may have."""
    PACKAGE.setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    "settings",
    [
        "telemetry: {enabled: false}",
        "python_logs: {managed_python_loggers: [somebody_elses]}",
        "python_logs: {managed_python_loggers: [alert_pipelines], python_log_level: INFO}",
        "python_logs: {managed_python_loggers: [alert_pipelines.scanner], python_log_level: INFO}",
        "python_logs: {managed_python_loggers: [root], python_log_level: INFO}",
    ],
)
def test_the_scans_lines_were_nowhere_unless_the_instance_asked_for_them(
    tmp_path: Path, mongodb_env: None, db: AlertDatabase, capfd: pytest.CaptureFixture[str], settings: str
) -> None:
    config = tmp_path / "theirs.yaml"
    config.write_text(settings)
    handlers, level = list(PACKAGE.handlers), PACKAGE.level
    with dagster_home(config) as home, DagsterInstance.from_config(str(home)) as instance:
        result = execute_in(None, instance, "auto_close_job")
        lines = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert lines.count(LINE) == 1
    ended = [line for line in lines if line.startswith("Updated job record: ")]
    assert len(ended) == 1
    assert sum(line.endswith(LINE) for line in capfd.readouterr().err.splitlines()) == 1
    assert PACKAGE.handlers == handlers
    if "INFO" not in settings:
        assert PACKAGE.level == level
