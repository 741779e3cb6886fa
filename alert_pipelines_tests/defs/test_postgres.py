"""Dagster's storage on a real Postgres server, by the one settings file that deploy/ has for it."""

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance

from alert_pipelines import scheduler
from alert_pipelines.defs.upkeep import old_runs
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines_tests.dagster_processes import CHECKOUT, DagsterProcesses, dagster_home, dagster_processes
from alert_pipelines_tests.defs.conftest import OWN
from alert_pipelines_tests.factories import alert, fill, rule
from alert_pipelines_tests.postgres_server import PASSWORD, postgres_server

SETTINGS = CHECKOUT / "deploy" / "dagster-postgres.yaml"


def test_the_two_settings_files_differ_in_nothing_but_storage() -> None:
    sqlite, postgres = (yaml.safe_load(path.read_text()) for path in (CHECKOUT / "dagster.yaml", SETTINGS))
    assert set(postgres.pop("storage")["postgres"]["postgres_db"]) == {
        "scheme",
        "hostname",
        "port",
        "db_name",
        "username",
        "password",
    }
    assert postgres == sqlite
    # What a person reads of them, too.
    begin = "\n# One run at a time"
    shared = [path.read_text().partition(begin)[2] for path in (CHECKOUT / "dagster.yaml", SETTINGS)]
    assert shared[0] == shared[1] != ""


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, str]]:
    with postgres_server() as settings, pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield dict(settings)


@pytest.fixture(scope="module")
def database(mongo_uri: str) -> Iterator[AlertDatabase]:
    with open_database(MongoSettings(mongo_uri, f"test_{uuid.uuid4().hex}", Path())) as made:
        prepare_collections(made)
        yield made
        made.client.drop_database(made.name)


@pytest.fixture(scope="module")
def dagster(postgres: dict[str, str], mongo_uri: str, database: AlertDatabase) -> Iterator[DagsterProcesses]:
    settings = {
        **postgres,
        "MONGODB_URI": mongo_uri,
        "MONGODB_DATABASE": database.name,
        # No tick comes while the tests last.
        "AUTO_CLOSE_CRON": "0 0 29 2 *",
    }
    with dagster_processes(settings, config=SETTINGS) as processes:
        yield processes


@pytest.mark.process
def test_a_scan_is_launched_finishes_and_is_recorded_and_the_schedule_is_switched(
    dagster: DagsterProcesses, database: AlertDatabase
) -> None:
    at = datetime.now(UTC) - timedelta(hours=3)
    fill(database, [alert(timestamp=at) for _ in range(3)], rule("old", {"expire_after_mins": 60}))
    run_id = dagster.launch()
    dagster.wait_for_success(run_id)
    record = database.background_jobs.find_one({"run_id": run_id})
    assert record is not None
    assert (record["status"], record["alerts_closed"]) == ("completed", 3)
    assert scheduler.is_scheduler_running(dagster.instance)
    dagster.dagster("schedule", "stop", "auto_close_schedule")
    assert not scheduler.is_scheduler_running(dagster.instance)
    assert scheduler.start_scheduler(dagster.instance)["running"]
    # All of it is in Postgres, and nothing of the password in what was printed.
    assert not list(dagster.home.rglob("*.db"))
    for name in ("code_server", "daemon", "webserver"):
        assert PASSWORD not in dagster.log(name)


@pytest.mark.process
def test_old_runs_are_deleted_with_their_events(
    dagster: DagsterProcesses, database: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_runs, "KEPT_OF_EACH_JOB", 1)
    run_ids = [dagster.launch() for _ in range(2)]
    for run_id in run_ids:
        dagster.wait_for_success(run_id)
    gone, newest = run_ids
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert old_runs.delete_old_runs(dagster.instance, OWN, soon, 60).deleted >= 1
    assert dagster.instance.get_run_by_id(gone) is None
    assert not dagster.instance.all_logs(gone)
    assert dagster.instance.all_logs(newest)


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DAGSTER_POSTGRES_")]:
        monkeypatch.delenv(name)
    with dagster_home(SETTINGS) as home, pytest.raises(Exception, match="DAGSTER_POSTGRES_"):
        open_instance(home)


def open_instance(home: Path) -> Any:
    with DagsterInstance.from_config(str(home)) as instance:
        return instance.get_runs(limit=1)
