"""Both of Dagster's command lines work on this layout: `dagster`, and `dg`, its successor."""

import json
import os
import signal
import socket
import subprocess
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from alert_pipelines.definitions import defs
from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines_tests.dagster_processes import CHECKOUT, Starter, answers, dagster_home
from alert_pipelines_tests.patience import LIMIT_S, wait_until
from alert_pipelines_tests.ports import free_port

pytestmark = pytest.mark.process

_QUERY = '{"query": "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"}'


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A Dagster home and a HOME of the test's own, and no way out for whoever would reach beyond this machine."""
    nowhere = "http://127.0.0.1:9"
    with dagster_home() as home:
        yield {
            **os.environ,
            "DAGSTER_HOME": str(home),
            "HOME": str(tmp_path),
            # Loading the definitions connects to no database; were it tried, it would be named.
            "MONGODB_URI": nowhere.replace("http", "mongodb"),
            "https_proxy": nowhere,
            "http_proxy": nowhere,
            "no_proxy": "127.0.0.1,localhost",
        }


def in_environment(command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `command` as the docs say: in a shell that has sourced scripts/develop."""
    return subprocess.run(
        ["bash", "-c", f"source scripts/develop; {command}"],
        cwd=CHECKOUT,
        env=env,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )


def test_the_first_refused_command_closed_the_shell_that_had_sourced_the_environment(env: dict[str, str]) -> None:
    done = in_environment('false; echo "$UNSET_VARIABLE"; echo still here; echo "$-"', env)
    *_, here, options = done.stdout.splitlines()
    assert (here, set(options) & set("eu")) == ("still here", set())


def test_dg_and_dagster_are_told_the_same_code_location() -> None:
    tools = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]
    project = tools["dg"]["project"]
    assert tools["dg"]["directory_type"] == "project"
    assert project["code_location_target_module"] == tools["dagster"]["module_name"]
    assert project["code_location_name"] == tools["dagster"]["code_location_name"] == CODE_LOCATION


def test_dg_and_dagster_find_the_definitions_in_order(env: dict[str, str], tmp_path: Path) -> None:
    for command, verdict in (
        ("dg check defs", "All definitions loaded successfully"),
        ("dagster definitions validate", "Validation successful for code location alert_pipelines"),
    ):
        done = in_environment(command, env)
        assert verdict in done.stdout
        # dg warns where it runs in another environment than the project's.
        assert "virtual environment" not in done.stderr
    assert not list(tmp_path.rglob("*telemetry*"))
    assert not list(Path(env["DAGSTER_HOME"]).rglob("*telemetry*"))


def test_dg_lists_what_the_code_location_holds(env: dict[str, str]) -> None:
    listed = json.loads(in_environment("dg list defs --json", env).stdout)
    repository = defs.get_repository_def()
    assert {asset["asset_key"] for asset in listed["assets"]} == {
        key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()
    }
    assert {job["name"] for job in listed["jobs"]} == {
        job.name for job in repository.get_all_jobs() if job.name != "__ASSET_JOB"
    }
    assert {schedule["name"] for schedule in listed["schedules"]} == {
        schedule.name for schedule in repository.schedule_defs
    }
    assert {sensor["name"] for sensor in listed["sensors"]} == {sensor.name for sensor in repository.sensor_defs}


@pytest.mark.parametrize("command", ["dg dev", "scripts/dev"])
def test_the_ui_opens_with_the_code_location_loaded(env: dict[str, str], command: str) -> None:
    with ExitStack() as stack:
        start = Starter(stack, Path(env["DAGSTER_HOME"]), env | {"AUTO_CLOSE_CRON": "off"})
        port = free_port()
        shell = f"source scripts/develop; exec {command} --host 127.0.0.1 --port {port}"
        process = start("dev", "/bin/bash", "-c", shell)
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(f"{url}/server_info", process), command, limit_s=2 * LIMIT_S)
        request = urllib.request.Request(f"{url}/graphql", _QUERY.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=LIMIT_S) as response:
            workspace = json.load(response)["data"]["workspaceOrError"]
        assert workspace["locationEntries"] == [{"name": CODE_LOCATION, "loadStatus": "LOADED"}]
        if command == "scripts/dev":
            log = Path(env["DAGSTER_HOME"]) / "dev.log"
            wait_until(lambda: f"Serving dagster-webserver on {url}" in log.read_text(), command)
            wait_until(lambda: "Instance is configured" in log.read_text(), command)
        # As Ctrl-C in its terminal does.
        os.killpg(process.pid, signal.SIGINT)
        process.wait(LIMIT_S)
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        if command == "scripts/dev":
            said = log.read_text()
            assert "Dagster services shut down" in said
            # Thousands of lines a day, each of which says that a sensor had nothing to do.
            assert "Checking for new runs" not in said
            # Warnings that newcomers met first, of what they need not change.
            assert "dev_command` is superseded" not in said
            assert "Found a dagster instance configuration value" not in said
