"""How long scans wait behind the runs of others is told, and only of this location's scans."""

import time
from types import SimpleNamespace

import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRunStatus

from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.scan import queue_wait
from alert_pipelines.defs.scan.queue_wait import scans_wait_little
from alert_pipelines.defs.scan.runs import ThisCopy
from alert_pipelines_tests.defs.conftest import OWN
from alert_pipelines_tests.defs.scan.test_schedules import make_run

ELSEWHERE = Location("another", "__repository__")


def begin(instance: DagsterInstance, run_id: str, job: str = "auto_close_job") -> None:
    instance.report_dagster_event(DagsterEvent(DagsterEventType.RUN_START.value, job), run_id)


def test_twenty_five_long_runs_of_others_kept_a_scan_waiting_without_a_word(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = make_run(instance, "auto_close_job", DagsterRunStatus.QUEUED)
    begin(instance, begun.run_id)
    make_run(instance, "load_alerts_job", DagsterRunStatus.QUEUED)
    make_run(instance, "auto_close_job", DagsterRunStatus.QUEUED, ELSEWHERE)
    cancelled = make_run(instance, "auto_close_job", DagsterRunStatus.QUEUED)
    instance.report_run_canceled(cancelled)
    monkeypatch.setattr(queue_wait, "time", SimpleNamespace(time=lambda: time.time() + 300))
    well = scans_wait_little(ThisCopy(instance, OWN, Names()))
    assert well.passed
    assert well.numbers["scans"] == 1
    waiting = make_run(instance, "auto_close_job", DagsterRunStatus.QUEUED)
    found = scans_wait_little(ThisCopy(instance, OWN, Names()))
    assert not found.passed
    assert found.description.startswith("1 of 2 scans of the last day waited more than 120 s in Dagster's queue")
    assert f"run {waiting.run_id} is waiting and has waited 30" in found.description
    assert "AUTO_CLOSE_RUN_PRIORITY" in found.description


def test_a_scan_that_waited_long_is_told_after_it_began(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(instance, "auto_close_job", DagsterRunStatus.QUEUED)
    begin(instance, run.run_id)
    monkeypatch.setattr(queue_wait, "LONG_WAIT_S", -1.0)
    assert f"run {run.run_id} waited 0 s" in scans_wait_little(ThisCopy(instance, OWN, Names())).description


def test_of_a_run_that_belongs_to_no_location_nothing_is_said(instance: DagsterInstance) -> None:
    make_run(instance, "auto_close_job", DagsterRunStatus.QUEUED)
    assert scans_wait_little(ThisCopy(instance, None, Names())).description.startswith("Runs were not looked at")
