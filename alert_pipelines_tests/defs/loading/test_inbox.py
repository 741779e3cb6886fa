"""Files that are put into the inbox, loaded night after night without a person."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    RunRequest,
    SkipReason,
)
from dagster._core.test_utils import create_run_for_test

from alert_pipelines.defs.loading.inbox_sensor import MAX_ATTEMPTS, inbox_sensor
from alert_pipelines.errors import InboxError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import OWN, execute_in, failure_text, launched_from, sensor_context
from alert_pipelines_tests.patience import LIMIT_S

HEADER = "id,status,service,urgency,created_on,last_change,resolved_on\n"
DIES = """
import json, os, sys
from dagster import DagsterInstance
import alert_pipelines.loading.load as load
from alert_pipelines.definitions import build_defs

update_stored = load.update_stored

def dies(*args, **kwargs):
    update_stored(*args, **kwargs)
    os._exit(9)

load.update_stored = dies
config, tags = json.loads(sys.argv[2])
with DagsterInstance.from_config(sys.argv[1]) as instance:
    build_defs().resolve_job_def("load_alerts_job").execute_in_process(instance=instance, run_config=config, tags=tags)
"""


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mongodb_env: None) -> Path:
    directory = tmp_path / "inbox"
    (directory / "pagerduty").mkdir(parents=True)
    monkeypatch.setenv("ALERT_PIPELINES_INBOX", str(directory))
    return directory


def put(path: Path, text: str, age: float = 60) -> Path:
    path.write_text(text)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def tick(instance: DagsterInstance) -> Any:
    return inbox_sensor(sensor_context(instance))


def execute(instance: DagsterInstance, request: RunRequest) -> Any:
    return execute_in(
        OWN, instance, "load_alerts_job", run_config=request.run_config, tags=request.tags, raise_on_error=False
    )


def said(answer: Any) -> str:
    assert isinstance(answer, SkipReason)
    return answer.skip_message or ""


def night(number: int) -> str:
    """Each night's export tells of two incidents: the one of the night before, resolved, and its own."""
    rows = [
        f"P{each},{status},s,high,2026-01-{each + 1:02}T08:00Z,2026-01-{number + 1:02}T09:00Z,{end}\n"
        for each, status, end in [
            (number - 1, "resolved", f"2026-01-{number + 1:02}T09:00Z"),
            (number, "triggered", ""),
        ]
        if each >= 0
    ]
    return HEADER + "".join(rows)


@pytest.mark.slow
def test_seven_nights_of_exports_needed_a_person(instance: DagsterInstance, db: AlertDatabase, inbox: Path) -> None:
    for number in range(7):
        put(inbox / "pagerduty" / f"night-{number}.csv", night(number))
        request = tick(instance)
        assert isinstance(request, RunRequest)
        if number == 3:
            request = crash(instance, request, db)
        assert execute(instance, request).success
        assert said(tick(instance)) == "No file waits."
    assert sorted(path.name for path in (inbox / "pagerduty" / "done").iterdir()) == [
        f"night-{number}.csv" for number in range(7)
    ]
    assert [path.name for path in (inbox / "pagerduty").iterdir() if path.is_file()] == []
    alerts = {alert["alert_id"]: alert for alert in db.alerts.find()}
    assert {name: alert["status"] for name, alert in alerts.items()} == {
        **{f"P{number}": "RESOLVED" for number in range(6)},
        "P6": "OPEN",
    }
    assert all(len(alerts[f"P{number}"]["state_history"]) == 1 for number in range(6))
    assert len(instance.fetch_observations(AssetKey("alerts"), limit=20).records) == 7


def crash(instance: DagsterInstance, request: RunRequest, db: AlertDatabase) -> RunRequest:
    """The run's process dies when half of the file is written; the answer is what the sensor then launches."""
    # As Dagster tags what a code location's sensor launches.
    tags = {**request.tags, ".dagster/repository": str(OWN)}
    command = [sys.executable, "-c", DIES, instance.root_directory, json.dumps([request.run_config, tags])]
    assert subprocess.run(command, check=False, timeout=LIMIT_S).returncode == 9
    statuses = {alert["alert_id"]: alert["status"] for alert in db.alerts.find()}
    assert (statuses.get("P2"), "P3" in statuses) == ("RESOLVED", False), "half of it"
    assert "is being loaded by run" in said(tick(instance))
    # As run monitoring does when it finds the process gone.
    (run,) = instance.get_runs(limit=1)
    instance.report_run_failed(run)
    again = tick(instance)
    assert isinstance(again, RunRequest)
    assert again.run_key != request.run_key
    return again


def test_a_file_is_loaded_by_the_mapping_beside_it_and_its_rejects_are_kept(
    instance: DagsterInstance, db: AlertDatabase, inbox: Path
) -> None:
    (inbox / "fleet").mkdir()
    (inbox / "fleet" / "mapping.yaml").write_text(
        "{format: csv, alert_id: {column: id}, source_type: {constant: X}, severity: {constant: INFO}, "
        "timestamp: {column: at}}"
    )
    put(inbox / "fleet" / "b.csv", "id,at\nB,2026-01-01T08:00\n", age=50)
    put(inbox / "fleet" / "a.csv", "id,at\nA,2026-01-01T08:00\nC,never\n", age=40)
    for name in ("b.csv", "a.csv"):
        request = tick(instance)
        assert request.run_config["ops"]["load"]["config"]["file"].endswith(name), "the oldest first"
        assert execute(instance, request).success
    assert sorted(db.alerts.distinct("alert_id")) == ["A", "B"]
    (kept,) = (inbox / "fleet" / "failed").iterdir()
    assert (kept.name, json.loads(kept.read_text())["line"]) == ("a.csv.rejects.jsonl", 3)


def test_a_file_that_cannot_be_loaded_is_put_aside_and_the_next_one_loaded(
    instance: DagsterInstance, db: AlertDatabase, inbox: Path
) -> None:
    put(inbox / "pagerduty" / "a.csv", "colour\nred\n", age=90)
    put(inbox / "pagerduty" / "b.csv", HEADER + "P1,odd,s,high,2026-01-01T08:00Z,,\n", age=80)
    put(inbox / "pagerduty" / "c.csv", night(0), age=70)
    results = [execute(instance, tick(instance)) for _ in range(3)]
    assert [result.success for result in results] == [False, False, True]
    assert "does not fit the mapping" in failure_text(results[0], "load")
    assert "No row could be used" in failure_text(results[1], "load")
    assert {path.name for path in (inbox / "pagerduty" / "failed").iterdir()} == {
        "a.csv",
        "b.csv",
        "b.csv.rejects.jsonl",
    }
    assert db.alerts.distinct("alert_id") == ["P0"]


def test_a_file_whose_runs_die_is_put_aside_after_some(instance: DagsterInstance, inbox: Path) -> None:
    put(inbox / "pagerduty" / "a.csv", night(0))
    for _ in range(MAX_ATTEMPTS):
        request = tick(instance)
        assert isinstance(request, RunRequest)
        create_run_for_test(
            instance,
            job_name="load_alerts_job",
            tags=dict(request.tags),
            status=DagsterRunStatus.FAILURE,
            remote_job_origin=launched_from(OWN, "load_alerts_job"),
        )
    assert "a.csv was put into failed: 3 runs ended before they were done." in said(tick(instance))
    assert [path.name for path in (inbox / "pagerduty" / "failed").iterdir()] == ["a.csv"]


def test_a_file_of_a_name_that_was_there_is_another_file(
    instance: DagsterInstance, db: AlertDatabase, inbox: Path
) -> None:
    for number in range(2):
        put(inbox / "pagerduty" / "export.csv", night(number))
        assert execute(instance, tick(instance)).success
    assert {path.name for path in (inbox / "pagerduty" / "done").iterdir()} == {"export.csv", "export.2.csv"}
    assert sorted(db.alerts.distinct("alert_id")) == ["P0", "P1"]


def test_what_is_still_written_and_what_nobody_can_read_waits(instance: DagsterInstance, inbox: Path) -> None:
    put(inbox / "pagerduty" / "now.csv", night(0), age=1)
    put(inbox / "pagerduty" / "copy.csv.part", night(0))
    put(inbox / "pagerduty" / ".hidden.csv", night(0))
    assert said(tick(instance)) == "No file waits."
    put(inbox / "stray.csv", night(0))
    (inbox / "unknown").mkdir()
    told = said(tick(instance))
    assert "Not loaded: stray.csv is not in the directory of a mapping or preset." in told
    assert "Not loaded: unknown has no mapping.yaml and is not named after a preset." in told


def test_an_inbox_that_is_not_set_or_not_there_is_told(
    instance: DagsterInstance, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_PIPELINES_INBOX", str(inbox / "none"))
    with pytest.raises(InboxError, match="cannot be read: No such file"):
        tick(instance)
    monkeypatch.delenv("ALERT_PIPELINES_INBOX")
    assert said(tick(instance)) == "ALERT_PIPELINES_INBOX is not set: no directory is looked at."
