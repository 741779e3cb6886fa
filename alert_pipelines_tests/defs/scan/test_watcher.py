"""A scan's record ends though nobody looks for it: no sensor, no tick, no daemon."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from alert_pipelines.defs.scan import watcher
from alert_pipelines.defs.scan.watcher import LOOK_EVERY_S, end_record, record_ended_if_killed
from alert_pipelines.job_records import _LAST_WRITE_S, FAILED, RUNNING, SCANNER, create_job_record
from alert_pipelines.mongo import AlertDatabase, local_mongod_status
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines.settings import DEFAULT_LEASE_S, LEASE_VARIABLE, RATE_VARIABLE
from alert_pipelines_tests.dagster_processes import CHECKOUT, dagster_home
from alert_pipelines_tests.factories import alert, rule
from alert_pipelines_tests.patience import wait_until

MANY = 6_000
RUN = "one-run"
SCAN = """
import sys
from alert_pipelines.defs.scan.watcher import record_ended_if_killed
from alert_pipelines.job_records import SCANNER, create_job_record
from alert_pipelines.mongo import open_database

with open_database() as db, record_ended_if_killed(sys.argv[1], db.name):
    create_job_record(SCANNER, db, run_id=sys.argv[1])
    print("begun", flush=True)
    sys.stdin.read()
"""


def watchers() -> list[psutil.Process]:
    """The watchers of this process."""
    children = psutil.Process().children()
    return [child for child in children if watcher.__name__ in " ".join(child.cmdline())]


def let_the_lease_run_out(db: AlertDatabase) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    result = db.background_jobs.update_one({"status": RUNNING}, {"$set": {"lease_expires_at": past}})
    assert result.modified_count == 1


def ended(db: AlertDatabase, run_id: str) -> Callable[[], dict[str, Any] | None]:
    return lambda: db.background_jobs.find_one({"run_id": run_id, "status": {"$ne": RUNNING}})


def test_the_record_of_a_killed_process_stood_until_a_sensor_or_a_tick_looked(
    db: AlertDatabase, mongodb_env: None
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCAN, RUN], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.kill()
    assert db.background_jobs.count_documents({"run_id": RUN, "status": RUNNING}) == 1
    let_the_lease_run_out(db)
    record = wait_until(ended(db, RUN), "the end of the record")
    assert record["status"] == FAILED


def test_the_page_says_how_soon_the_record_ends() -> None:
    page = (CHECKOUT / "docs" / "add-to-dagster.md").read_text(encoding="utf-8")
    bound_s = DEFAULT_LEASE_S + LOOK_EVERY_S + _LAST_WRITE_S
    # Python's own start takes the rest.
    assert f"| {5 * math.ceil(bound_s / 5)} s, by the watcher |" in page


def test_a_living_lease_is_waited_for(db: AlertDatabase, mongodb_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    create_job_record(SCANNER, db, run_id=RUN)
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            let_the_lease_run_out(db)

    monkeypatch.setattr(watcher, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    end_record(RUN, db.name)
    assert len(looks) == 3
    assert ended(db, RUN)()


def test_the_watcher_of_a_scan_that_ends_by_itself_ends_with_it_and_leaves_its_record(
    db: AlertDatabase, mongodb_env: None
) -> None:
    with record_ended_if_killed(RUN, db.name):
        create_job_record(SCANNER, db, run_id=RUN)
        let_the_lease_run_out(db)
        assert len(watchers()) == 1
    assert watchers() == []
    assert db.background_jobs.count_documents({"status": RUNNING}) == 1


def test_a_watcher_that_was_killed_or_cannot_be_started_does_not_disturb_the_scan(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with record_ended_if_killed(RUN, db.name):
        watchers()[0].send_signal(signal.SIGKILL)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with record_ended_if_killed(RUN, db.name):
        assert watchers() == []
    assert "This scan has no watcher" in caplog.text


def test_a_local_mongod_that_was_stopped_is_not_started_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONGODB_URI", raising=False)
    monkeypatch.setenv("ALERT_PIPELINES_LOCAL_DIR", str(tmp_path))
    end_record(RUN, "alerts")
    assert local_mongod_status(tmp_path) is None


@pytest.mark.process
def test_a_scan_that_is_killed_without_any_daemon_is_recorded_as_failed_with_its_true_counts(
    db: AlertDatabase, mongo_uri: str
) -> None:
    prepare_collections(db)
    db.rules.insert_one(rule("old", {"expire_after_mins": 60}))
    at = datetime.now(UTC) - timedelta(hours=3)
    db.alerts.insert_many([alert(timestamp=at) for _ in range(MANY)])
    db.alerts.insert_many([alert(source_type="UNRULED") for _ in range(2 * MANY)])
    with dagster_home() as home:
        settings = {"MONGODB_URI": mongo_uri, "MONGODB_DATABASE": db.name, RATE_VARIABLE: "1000"}
        command = [str(Path(sys.executable).with_name("dagster")), "job", "execute"]
        command += ["-m", "alert_pipelines.definitions", "-j", "auto_close_job"]
        with subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env={**os.environ, **settings, "DAGSTER_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            wait_until(lambda: db.alerts.find_one({"status": "AUTO_CLOSED"}), "the first decision")
            process.kill()
    [run_id] = db.background_jobs.distinct("run_id")
    record = wait_until(ended(db, run_id), "the end of the record")
    closed = db.alerts.count_documents({"state_history.job_id": record["job_id"]})
    assert (record["status"], record["alerts_closed"]) == (FAILED, closed)
    assert 0 < closed < MANY


@pytest.mark.process
def test_the_lease_of_a_killed_scan_could_be_shortened_by_a_patch_only(db: AlertDatabase, mongo_uri: str) -> None:
    settings = {"MONGODB_URI": mongo_uri, "MONGODB_DATABASE": db.name, LEASE_VARIABLE: "2"}
    with subprocess.Popen(
        [sys.executable, "-c", SCAN, RUN],
        cwd=CHECKOUT,
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.kill()
    [begun] = db.background_jobs.find()
    assert begun["lease_expires_at"] - begun["started_at"] == timedelta(seconds=2)
    record = wait_until(ended(db, RUN), "the end of the record")
    assert record["status"] == FAILED
    assert record["completed_at"] > begun["lease_expires_at"]
