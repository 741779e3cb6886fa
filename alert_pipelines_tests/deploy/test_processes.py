"""The three processes apart from each other, by the very command lines that the units and the compose file name.

Their storage is a real Postgres, by the settings file that deploy/ has for it.
"""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import yaml
from dagster import AssetKey, DagsterInstance

from alert_pipelines import scheduler
from alert_pipelines.defs.upkeep import old_runs
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines_tests.dagster_processes import (
    CHECKOUT,
    DagsterProcesses,
    Starter,
    answers,
    beats,
    dagster_home,
    listens,
)
from alert_pipelines_tests.defs.conftest import OWN
from alert_pipelines_tests.deploy.files import DEPLOY, INSTALLED, PROCESSES, commands, compose
from alert_pipelines_tests.factories import alert, fill, rule
from alert_pipelines_tests.patience import LIMIT_S, wait_until
from alert_pipelines_tests.ports import free_port
from alert_pipelines_tests.postgres_server import PASSWORD, postgres_server

pytestmark = pytest.mark.process

SETTINGS = {
    # No tick comes while the tests last.
    "AUTO_CLOSE_CRON": "0 0 29 2 *",
    "AUTO_CLOSE_STALE_MINS": "1",
    "FRESHNESS_DAEMON_INTERVAL_SECONDS": "5",
}
JOBS = AssetKey("background_jobs")


@dataclass(frozen=True)
class Deployed:
    """The running processes; `here` translates a command line's ports and paths to those of the test."""

    processes: DagsterProcesses
    database: AlertDatabase
    here: Mapping[str, str]

    def is_healthy(self, process: str) -> bool:
        """Whether the compose file's health check of the process passes."""
        kind, program, *arguments = translated(compose()["services"][process]["healthcheck"]["test"], self.here)
        assert kind == "CMD"
        done = subprocess.run(
            [str(Path(sys.executable).with_name(program)), *arguments],
            cwd=CHECKOUT,
            env=dict(self.processes.env),
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
        return done.returncode == 0


def translated(command: list[str], here: Mapping[str, str]) -> list[str]:
    for theirs, ours in here.items():
        command = [word.replace(theirs, ours) for word in command]
    return command


@pytest.fixture(scope="module")
def deployed(mongo_uri: str) -> Iterator[Deployed]:
    with ExitStack() as stack:
        home = stack.enter_context(dagster_home(DEPLOY / "dagster-postgres.yaml"))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        # This process reads Dagster's storage, too.
        for name, value in stack.enter_context(postgres_server()).items():
            patch.setenv(name, value)
        database = stack.enter_context(open_database(MongoSettings(mongo_uri, f"test_{uuid.uuid4().hex}", Path())))
        stack.callback(database.client.drop_database, database.name)
        prepare_collections(database)
        code_port, web_port = free_port(), free_port()
        workspace = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())
        workspace["load_from"][0]["grpc_server"]["port"] = code_port
        (home / "workspace.yaml").write_text(yaml.safe_dump(workspace))
        here = {f"{INSTALLED}/deploy": str(home), "4000": str(code_port), "3000": str(web_port)}
        common = {**os.environ, **SETTINGS, "DAGSTER_HOME": str(home), "ALERT_PIPELINES_CODE_SERVER": "127.0.0.1"}
        # As deployed: only the code server knows where the alerts are.
        for name in ("MONGODB_URI", "MONGODB_DATABASE"):
            common.pop(name, None)
        knowing = {**common, "MONGODB_URI": mongo_uri, "MONGODB_DATABASE": database.name}
        found = {process: translated(commands()["systemd", process], here) for process in PROCESSES}
        code_server = Starter(stack, home, knowing)("code_server", *found["code-server"])
        wait_until(lambda: listens(code_port, code_server), "the code server")
        start, since = Starter(stack, home, common), time.time()
        daemon, webserver = start("daemon", *found["daemon"]), start("webserver", *found["webserver"])
        url = f"http://127.0.0.1:{web_port}"
        wait_until(lambda: answers(f"{url}/server_info", webserver), "the webserver")
        instance = stack.enter_context(DagsterInstance.from_config(str(home)))
        wait_until(partial(beats, instance, daemon, since), "the daemon")
        yield Deployed(DagsterProcesses(instance, url, home, common, {}), database, here)


def test_a_scan_that_is_launched_in_the_webserver_is_queued_run_and_recorded(deployed: Deployed) -> None:
    fill(deployed.database, [alert("A", minutes=100)], rule("old", {"expire_after_mins": 60}))
    run_id = deployed.processes.launch()
    deployed.processes.wait_for_success(run_id)
    record = deployed.database.background_jobs.find_one({"run_id": run_id})
    assert record is not None
    assert (record["status"], record["alerts_closed"]) == ("completed", 1)


def test_the_health_checks_pass_where_the_processes_live_and_fail_where_they_do_not(deployed: Deployed) -> None:
    for process in PROCESSES:
        wait_until(partial(deployed.is_healthy, process), process)
    nowhere = replace(deployed, here={"4000": str(free_port()), "3000": str(free_port())})
    assert not nowhere.is_healthy("code-server")
    assert not nowhere.is_healthy("webserver")
    with dagster_home() as other:
        env = {**deployed.processes.env, "DAGSTER_HOME": str(other)}
        assert not replace(deployed, processes=replace(deployed.processes, env=env)).is_healthy("daemon")


def test_the_schedule_is_switched_and_all_of_it_is_in_postgres_whose_password_is_in_no_log(deployed: Deployed) -> None:
    dagster = deployed.processes
    assert scheduler.is_scheduler_running(dagster.instance)
    dagster.wait_between_rounds()
    dagster.dagster("schedule", "stop", "auto_close_schedule")
    assert not scheduler.is_scheduler_running(dagster.instance)
    assert scheduler.start_scheduler(dagster.instance)["running"]
    assert not list(dagster.home.rglob("*.db"))
    for name in ("code_server", "daemon", "webserver"):
        assert PASSWORD not in dagster.log(name)


def test_old_runs_are_deleted_with_their_events(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    dagster = deployed.processes
    monkeypatch.setattr(old_runs, "KEPT_OF_EACH_JOB", 1)
    gone, newest = (dagster.wait_for_success(dagster.launch()).run_id for _ in range(2))
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert old_runs.delete_old_runs(dagster.instance, OWN, soon, 60).deleted >= 1
    assert dagster.instance.get_run_by_id(gone) is None
    assert not dagster.instance.all_logs(gone)
    assert dagster.instance.all_logs(newest)


def test_scans_that_stop_are_red_by_themselves_and_the_next_one_is_green_again(deployed: Deployed) -> None:
    dagster = deployed.processes

    def wait_for(state: str) -> None:
        def is_so() -> bool:
            record = dagster.instance.get_freshness_state_records([JOBS]).get(JOBS)
            return record is not None and record.freshness_state.value == state

        wait_until(is_so, f"the state {state}")

    dagster.wait_for_success(dagster.launch())
    wait_for("PASS")
    wait_for("FAIL")
    dagster.wait_for_success(dagster.launch())
    wait_for("PASS")
