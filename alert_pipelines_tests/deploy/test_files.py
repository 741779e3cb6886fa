import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.deploy.files import DEPLOY, INSTALLED, PROCESSES, commands, compose, unit, unit_file
from alert_pipelines_tests.patience import LIMIT_S

POSTGRES = DEPLOY / "dagster-postgres.yaml"
MODULE = "alert_pipelines.definitions"


def helm() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "helm-values.yaml").read_text())
    return read


def env_names(example: str) -> set[str]:
    return set(re.findall(r"^#? ?([A-Z_]+)=", (DEPLOY / example).read_text(), re.MULTILINE))


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==(\S+)", (CHECKOUT / name).read_text(), re.MULTILINE))


def test_the_compose_file_is_one() -> None:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("check-jsonschema")),
            *("--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")),
        ],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_postgres_is_spoken_to_by_the_driver_that_dagster_postgres_brings() -> None:
    read = yaml.safe_load(POSTGRES.read_text())["storage"]["postgres"]["postgres_db"]
    assert read["scheme"] == helm()["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"
    assert {"psycopg2-binary"} == {name for name in locked("deploy/requirements.lock") if name.startswith("psycopg")}


@pytest.mark.parametrize("file", sorted(DEPLOY.glob("*.yaml")), ids=lambda file: file.name)
def test_each_yaml_file_can_be_read(file: Path) -> None:
    assert isinstance(yaml.safe_load(file.read_text()), dict)


def test_bash_reads_the_start_of_the_mongodb_container() -> None:
    service = compose()["services"]["mongodb"]
    ((*bash, option), [script]) = service["entrypoint"], service["command"]
    # To the container `$$` is one dollar: two are what compose makes one of.
    commands = script.replace("$$", "$")
    done = subprocess.run([*bash, "-n", option, commands], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_all_ways_start_the_same_processes() -> None:
    found = commands()
    for process in PROCESSES:
        in_compose, in_systemd = found["compose", process], found["systemd", process]
        assert [word.replace("0.0.0.0", "127.0.0.1") for word in in_compose] == in_systemd
    last = re.findall(r'"([^"]+)"', (DEPLOY / "Dockerfile").read_text().rpartition("CMD")[2])
    assert last == found["compose", "code-server"]
    (deployment,) = helm()["dagster-user-deployments"]["deployments"]
    assert deployment["dagsterApiGrpcArgs"] == ["--module-name", MODULE]


def test_the_code_location_has_one_name_and_one_port_everywhere() -> None:
    (location,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    server = location["grpc_server"]
    assert server["location_name"] == CODE_LOCATION
    for (_, process), command in commands().items():
        if process == "code-server":
            assert command[-2:] == ["--location-name", CODE_LOCATION]
            assert str(server["port"]) in command
    (deployment,) = helm()["dagster-user-deployments"]["deployments"]
    (seen,) = helm()["dagsterWebserver"]["workspace"]["servers"]
    assert seen == {"host": deployment["name"], "port": server["port"], "name": CODE_LOCATION}
    assert deployment["port"] == server["port"]


def test_only_what_needs_it_knows_the_alerts_database() -> None:
    services = compose()["services"]
    knowing = {name for name, service in services.items() if "MONGODB_URI" in service["environment"]}
    assert knowing == {"code-server"}
    reaching = {name for name, service in services.items() if "alerts" in service["networks"]}
    assert reaching == {"code-server", "mongodb", "mongodb-initiated"}
    for process in PROCESSES:
        assert ("mongodb.env" in unit_file(process).read_text()) == (process == "code-server")


def test_no_port_is_open_beyond_the_host() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:3000:3000"]
    for (where, _), command in commands().items():
        assert "0.0.0.0" not in command or where == "compose"
    assert helm()["dagsterWebserver"]["service"]["type"] == "ClusterIP"


def test_no_password_stands_in_a_file() -> None:
    secrets: dict[str, str] = {}
    for service in compose()["services"].values():
        for name, value in service["environment"].items():
            in_a_uri = re.search(r"://[^:@/]+:(.*)@", value)
            if in_a_uri or "PASSWORD" in name or "KEY" in name:
                secrets[name] = in_a_uri[1] if in_a_uri else value
    assert {"MONGODB_URI", "MONGODB_PASSWORD", "MONGO_REPLICA_KEY"} <= set(secrets)
    for name, value in secrets.items():
        assert re.fullmatch(r"\$\{[A-Z_]+:\?set it in deploy/\.env\}", value), name
    for example in (DEPLOY / "compose.env.example", DEPLOY / "systemd" / "dagster.env.example"):
        assert set(re.findall(r"^\w*(?:PASSWORD|KEY)=(.*)$", example.read_text(), re.MULTILINE)) == {""}
    assert "deploy/.env" in (CHECKOUT / ".gitignore").read_text().splitlines()
    assert (CHECKOUT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_each_variable_of_the_compose_file_is_in_its_example() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    assert used == env_names("compose.env.example")


def test_dagster_s_storage_is_told_all_that_it_asks_for() -> None:
    asked = set(re.findall(r"env: *(\w+)", POSTGRES.read_text()))
    assert asked
    for process in PROCESSES:
        assert asked <= set(compose()["services"][process]["environment"])
    assert asked <= env_names("systemd/dagster.env.example")


def test_kubernetes_runs_one_at_a_time_and_keeps_what_dagster_yaml_says() -> None:
    values, here = helm(), yaml.safe_load((CHECKOUT / "dagster.yaml").read_text())
    queue = values["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert queue["maxConcurrentRuns"] == here["concurrency"]["runs"]["max_concurrent_runs"]
    assert queue["dequeueIntervalSeconds"] == here["run_coordinator"]["config"]["dequeue_interval_seconds"]
    in_camel_case = {
        re.sub("_(.)", lambda found: found[1].upper(), name): value for name, value in here["run_monitoring"].items()
    }
    monitoring = values["dagsterDaemon"]["runMonitoring"]
    assert monitoring == in_camel_case | {"maxResumeRunAttempts": 0}
    for kind in ("schedule", "sensor"):
        assert values["retention"][kind]["purgeAfterDays"] == here["retention"][kind]["purge_after_days"]
    assert values["pythonLogs"]["managedPythonLoggers"] == here["python_logs"]["managed_python_loggers"]
    assert values["telemetry"] == here["telemetry"]


def test_the_chart_s_version_is_dagster_s_own() -> None:
    assert f"version goes with Dagster's own: {version('dagster')}." in (DEPLOY / "helm-values.yaml").read_text()


def test_one_version_of_everything() -> None:
    whole = locked("requirements.lock")
    for name in ("requirements.lock", "build.lock"):
        assert locked(f"deploy/{name}").items() <= whole.items()
    assert locked("run.lock").items() <= whole.items()
    with_kubernetes, without = locked("deploy/kubernetes.lock"), locked("deploy/requirements.lock")
    assert without.items() <= with_kubernetes.items()
    assert with_kubernetes["dagster-k8s"] == without["dagster-postgres"]
    release = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    assert compose()["services"]["daemon"]["image"] == f"alert-pipelines:${{ALERT_PIPELINES_VERSION:-{release}}}"
    (deployment,) = helm()["dagster-user-deployments"]["deployments"]
    assert deployment["image"]["tag"] == release


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_units_and_finds_them_hardened(tmp_path: Path) -> None:
    # Through a link, since the path of a checkout may hold blanks, which a unit would have to quote.
    installed = tmp_path / "bin"
    installed.symlink_to(Path(sys.executable).parent)
    units = []
    for process in PROCESSES:
        copy = tmp_path / unit_file(process).name
        text = unit_file(process).read_text()
        assert f"Documentation=file://{INSTALLED}/docs/deployment.md" in text
        copy.write_text(text.replace(f"{INSTALLED}/venv/bin", str(installed)))
        units.append(str(copy))
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "alert-pipelines" in line]
    assert (done.returncode, ours) == (0, []), done.stderr
    for path in units:
        # Of a scale from 0, safe, to 10, exposed, in tenths.
        rated = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", path],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert rated.returncode == 0, rated.stdout


def test_the_units_run_as_nobody_in_particular_and_come_back_by_themselves() -> None:
    for process in PROCESSES:
        service = unit(process)
        assert service["User"] == "alert_pipelines"
        assert service["Restart"] == "always"
        assert service["NoNewPrivileges"] == "yes"
    for name in PROCESSES:
        service = compose()["services"][name]
        assert service["restart"] == "unless-stopped"
        assert service["cap_drop"] == ["ALL"]
        assert service["healthcheck"]["test"]
