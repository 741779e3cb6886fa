"""The password in MONGODB_URI is nowhere else: not in logs, errors, records, Dagster's storage or answers, consoles."""

import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from bson import json_util
from dagster import DagsterInstance

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner.scan import auto_close_scanner
from alert_pipelines.settings import LEASE_VARIABLE
from alert_pipelines_tests.dagster_processes import CHECKOUT, DagsterProcesses, dagster_home, dagster_processes
from alert_pipelines_tests.patience import LIMIT_S
from alert_pipelines_tests.reliability.fleet import fill_fleet
from alert_pipelines_tests.security.conftest import DATABASE, PASSWORD, SecuredServer

SECRETS = (PASSWORD, quote_plus(PASSWORD), "s3cret")
EVERYTHING_OF_A_RUN = """
query Run($run: ID!) {
  runOrError(runId: $run) { ... on Run { status tags { key value } runConfigYaml runConfig } }
  logsForRun(runId: $run) { ... on EventConnection { events {
    ... on MessageEvent { message }
    ... on ErrorEvent { error {
      message stack className cause { message stack } errorChain { error { message stack } }
    } }
  } } }
  instance { info daemonHealth { allDaemonStatuses { lastHeartbeatErrors { message stack } } } }
}
"""
EVERYTHING_OF_THE_CODE = """
query Code($repository: RepositorySelector!) {
  allTopLevelResourceDetailsOrError(repositorySelector: $repository) {
    ... on ResourceDetailsList { results {
      name configuredValues { key value } configFields { name defaultValueAsJson }
    } }
  }
  workspaceOrError { ... on Workspace { locationEntries { displayMetadata { key value } locationOrLoadError {
    ... on RepositoryLocation { name } ... on PythonError { message stack }
  } } } }
}
"""


def wrong_uris(secured: SecuredServer) -> dict[str, str]:
    """Every way in which a URI with a password can be wrong, by its name."""
    right = secured.uri("scanner")
    return {
        "wrong password": secured.uri("scanner", PASSWORD + "x"),
        "unknown user": secured.uri("stranger"),
        "without rights": secured.uri("nobody"),
        "may only look": secured.uri("viewer"),
        "unknown authority": secured.uri("scanner", ca=secured.other_ca),
        "unreachable": f"mongodb://scanner:{quote_plus(PASSWORD)}@127.0.0.1:9/?serverSelectionTimeoutMS=50",
        "unescaped": f"mongodb://scanner:{PASSWORD}@127.0.0.1:{secured.port}/",
        "unescaped percent": "mongodb://scanner:s3cret%zz@127.0.0.1/",
        "password as host": f"mongodb://{quote_plus(PASSWORD)}:{quote_plus(PASSWORD)}/",
        "no scheme": f"scanner:{PASSWORD}@127.0.0.1",
        "unknown option": f"{right}&readConcernLevel=s0me&maxPoolSize=many",
        "no such file": right.replace("ca.pem", "gone.pem"),
        "unacknowledged": f"{right}&w=0",
    }


WRONG = tuple(wrong_uris(SecuredServer(0, Path("ca.pem"), Path("other_ca.pem"))))
# As far as they take different ways through the program.
DISTINCT = ("wrong password", "may only look", "unreachable", "unescaped", "no scheme", "unacknowledged")
# Each of these starts Dagster or Python: before a change, where the server refuses and where the URI is refused.
STARTING = [
    kind if kind in ("wrong password", "unescaped") else pytest.param(kind, marks=pytest.mark.slow) for kind in DISTINCT
]


def check_free_of_secrets(where: str, text: str) -> None:
    for secret in SECRETS:
        assert secret not in text, f"{where}: {text[max(0, text.index(secret) - 300) : text.index(secret) + 50]}"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, secured: SecuredServer, fleet_db: AlertDatabase) -> Iterator[None]:
    """Checks, after the test, all that any logger said at any level, and all that the job records hold."""
    caplog.set_level(logging.DEBUG)
    fill_fleet(fleet_db, 30)
    yield
    check_free_of_secrets("log", caplog.text + "".join(repr(record.args) for record in caplog.records))
    check_free_of_secrets("job records", json_util.dumps(list(fleet_db.background_jobs.find())))


def test_a_scan(secured: SecuredServer, logged: None) -> None:
    with secured.open("scanner") as db:
        assert auto_close_scanner(db)["total_checked"] == 30
        check_free_of_secrets("repr", repr(db) + repr(MongoSettings(secured.uri("scanner"), DATABASE, Path())))


@pytest.mark.parametrize("kind", WRONG)
def test_the_error_of_a_wrong_uri(secured: SecuredServer, logged: None, kind: str) -> None:
    with pytest.raises(Exception) as failed:  # noqa: PT011 - whatever it is, it must not tell
        scan_at(wrong_uris(secured)[kind])
    # What a traceback shows, also of the causes that are not shown for the asking.
    error: BaseException | None = failed.value
    check_free_of_secrets("traceback", "".join(traceback.format_exception(failed.value)))
    while error is not None:
        check_free_of_secrets(type(error).__name__, f"{error} {error!r} {error.args}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def scan_at(uri: str) -> None:
    with open_database(MongoSettings(uri, DATABASE, Path())) as db:
        auto_close_scanner(db)


@pytest.mark.parametrize("kind", STARTING)
def test_a_dagster_run_at_a_wrong_uri(
    secured: SecuredServer, logged: None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEASE_VARIABLE, "2")
    # With wrong settings the code location would not load; here they go wrong afterwards.
    job = build_defs().resolve_job_def("auto_close_job")
    monkeypatch.setenv("MONGODB_URI", wrong_uris(secured)[kind])
    monkeypatch.setenv("MONGODB_DATABASE", DATABASE)
    with dagster_home() as home:
        with DagsterInstance.from_config(str(home)) as instance:
            assert not job.execute_in_process(instance=instance, raise_on_error=False).success
        check_files_free_of_secrets(home)


def test_the_code_location_at_a_wrong_uri(secured: SecuredServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", wrong_uris(secured)["no scheme"])
    with pytest.raises(AlertPipelinesError, match="MONGODB_URI") as failed:
        build_defs()
    check_free_of_secrets("traceback", "".join(traceback.format_exception(failed.value)))


@pytest.mark.parametrize("kind", STARTING)
def test_the_command_line_at_a_wrong_uri(secured: SecuredServer, kind: str) -> None:
    env = {**os.environ, "MONGODB_URI": wrong_uris(secured)[kind], "MONGODB_DATABASE": DATABASE}
    command = [sys.executable, "-m", "alert_pipelines", "scan"]
    done = subprocess.run(command, env=env, cwd=CHECKOUT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1
    assert "Error: " in done.stderr
    check_free_of_secrets("stderr", done.stdout + done.stderr)


def check_files_free_of_secrets(home: Path) -> None:
    """All that Dagster keeps: databases of runs and events, logs of the console."""
    files = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    for path in files:
        check_free_of_secrets(str(path), path.read_bytes().decode("utf-8", "replace"))


@pytest.fixture
def dagster(secured: SecuredServer, fleet_db: AlertDatabase) -> Iterator[DagsterProcesses]:
    settings = {"MONGODB_URI": secured.uri("scanner"), "MONGODB_DATABASE": DATABASE, "AUTO_CLOSE_CRON": "off"}
    with dagster_processes(settings) as processes:
        yield processes


def answers(dagster: DagsterProcesses, query: str, **variables: Any) -> str:
    return json.dumps(dagster.graphql(query, **variables))


@pytest.mark.process
def test_a_run_as_the_ui_shows_it(dagster: DagsterProcesses, fleet_db: AlertDatabase, tmp_path: Path) -> None:
    """A scan that goes well, and jobs that fail, among them some that a person bends on reading the password."""
    fill_fleet(fleet_db, 30)
    link = tmp_path / "rules.yaml"
    link.symlink_to("/proc/self/environ")
    bent: list[tuple[str, str, dict[str, str]]] = [
        ("undo_job", "undo", {"job_id": "JOB-NONE"}),
        ("publish_rules_job", "publish", {"file": "/proc/self/environ"}),
        ("publish_rules_job", "publish", {"file": str(link)}),
        ("validate_rules_job", "validate", {"file": "/proc/self/environ"}),
        ("export_rules_job", "export", {"file": "/dev/shm/rules.yaml"}),
        ("load_alerts_job", "load", {"file": "/proc/self/environ", "mapping": "mappings/ids_alerts.yaml"}),
        ("load_alerts_job", "load", {"file": "README.md", "mapping": "/proc/thread-self/environ"}),
    ]
    dagster.wait_for_success(dagster.launch())
    run_ids = []
    for job, op, config in bent:
        run_id = dagster.launch(job, {"ops": {op: {"config": config}}})
        assert not dagster.wait_for_end(run_id).is_success
        run_ids.append(run_id)
    for run_id in run_ids:
        shown = answers(dagster, EVERYTHING_OF_A_RUN, run=run_id)
        assert "JOB-NONE" in shown or "the system's own" in shown
        check_free_of_secrets("GraphQL, a run", shown)
    repository = {"repositoryLocationName": CODE_LOCATION, "repositoryName": "__repository__"}
    check_free_of_secrets("GraphQL, the code", answers(dagster, EVERYTHING_OF_THE_CODE, repository=repository))
    check_files_free_of_secrets(dagster.home)
