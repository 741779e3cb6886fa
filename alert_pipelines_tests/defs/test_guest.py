"""On an instance as teams have it, beside another location and a second copy: each keeps to its own.

The instance retries runs, monitors none, takes no log lines and lets sensors tick one after another.
"""

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.runs.schema import RunsTable
from dagster._core.test_utils import create_run_for_test

from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import Location, location_of_run, own_runs
from alert_pipelines.defs.scan.run_records import JOB_ID_TAG
from alert_pipelines.defs.scan.runs import ThisCopy, busy_scan
from alert_pipelines.defs.scan.schedule import AUTO_CLOSE_SCHEDULE
from alert_pipelines.defs.scan.stalled_runs import LONGEST_RUN_S, LONGEST_SILENCE_S
from alert_pipelines.job_records import COMPLETED, FAILED, RUNNING, SCANNER
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines.scheduler import shutdown_scheduler, start_scheduler
from alert_pipelines.settings import CRON_VARIABLE, KEEP_VARIABLE, RATE_VARIABLE
from alert_pipelines_tests.dagster_processes import CHECKOUT, DagsterProcesses, dagster_processes
from alert_pipelines_tests.defs.conftest import edit_runs, launched_from
from alert_pipelines_tests.factories import alert, rule
from alert_pipelines_tests.patience import LIMIT_S, wait_until

pytestmark = pytest.mark.process

CRON = "* * * * *"
MANY = 6_000
TEAMS_INSTANCE = {
    "run_retries": {"enabled": True, "max_retries": 2},
    "concurrency": {"runs": {"max_concurrent_runs": 25}},
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
}
NEIGHBOURS = Location("neighbours", "__repository__")
OURS = Location(CODE_LOCATION, "__repository__")


@pytest.fixture(scope="module")
def databases(mongo_uri: str) -> Iterator[dict[str, AlertDatabase]]:
    """By code location."""
    name = f"test_{uuid.uuid4().hex}"
    with (
        open_database(MongoSettings(mongo_uri, name, Path())) as first,
        open_database(MongoSettings(mongo_uri, f"{name}_s", Path())) as second,
    ):
        for made in (first, second):
            prepare_collections(made)
            made.rules.insert_one(rule("old", {"expire_after_mins": 60}))
            made.alerts.insert_many([alert(source_type="UNRULED") for _ in range(2 * MANY)])
        yield {CODE_LOCATION: first, "south": second}
        for made in (first, second):
            made.client.drop_database(made.name)


@pytest.fixture(scope="module")
def dagster(
    mongo_uri: str, databases: dict[str, AlertDatabase], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DagsterProcesses]:
    config = tmp_path_factory.mktemp("instance") / "dagster.yaml"
    config.write_text(yaml.safe_dump(TEAMS_INSTANCE))
    settings = {
        "MONGODB_URI": mongo_uri,
        "MONGODB_DATABASE": databases[CODE_LOCATION].name,
        CRON_VARIABLE: CRON,
        KEEP_VARIABLE: "1",
        RATE_VARIABLE: "1000",
    }
    others = {
        "south": "alert_pipelines_tests.defs.second_copy",
        "neighbours": "alert_pipelines_tests.defs.neighbours",
    }
    with dagster_processes(settings, others, config=config) as processes:
        # Named as our job is, and at work all the while.
        processes.launch("auto_close_job", {"ops": {"work": {"config": {"seconds": 900}}}}, "neighbours")
        yield processes
        # Told to end, the daemon would wait for the slow sensor, and the neighbours' code server for their run.
        processes.kill()


def skipped_for(dagster: DagsterProcesses, schedule: str) -> set[Location | None]:
    """Whose runs ticks of the schedule were skipped for."""
    reasons = [tick.skip_reason or "" for tick in dagster.ticks(schedule)]
    named = [found[1] for reason in reasons if (found := re.match(r"Scan run (\S+) is", reason))]
    return {location_of_run(dagster.run(run_id)) for run_id in named}


def test_a_command_of_the_page_asked_for_a_location(dagster: DagsterProcesses) -> None:
    page = (CHECKOUT / "docs" / "add-to-dagster.md").read_text(encoding="utf-8")
    [command] = re.findall(r"`dagster (job launch [^`]+)`", page)
    workspace, run_id = str(dagster.home / "workspace.yaml"), str(uuid.uuid4())
    dagster.dagster(*(workspace if word == "workspace.yaml" else word for word in command.split()), "--run-id", run_id)
    assert location_of_run(dagster.wait_for_success(run_id)) == OURS


def test_without_python_logs_there_was_no_line_of_the_scan_anywhere(
    dagster: DagsterProcesses, databases: dict[str, AlertDatabase]
) -> None:
    run_id = dagster.launch()
    dagster.wait_for_success(run_id)
    said = [entry.user_message for entry in dagster.instance.all_logs(run_id)]
    assert sum("Starting auto-close alert scanner" in text for text in said) == 1


def test_a_killed_scan_was_launched_again_into_its_own_claim_and_its_record_stood_behind_a_slow_sensor(
    dagster: DagsterProcesses, databases: dict[str, AlertDatabase]
) -> None:
    db = databases[CODE_LOCATION]
    at = datetime.now(UTC) - timedelta(hours=3)
    db.alerts.insert_many([alert(timestamp=at) for _ in range(MANY)])

    def closed() -> dict[str, Any] | None:
        return db.alerts.find_one({"status": "AUTO_CLOSED", "state_history.run_id": {"$exists": True}})

    dagster.launch()
    run_id = wait_until(closed, "the first decision")["state_history"][-1]["run_id"]
    for worker in dagster.run_workers():
        worker.send_signal(signal.SIGKILL)
    assert dagster.wait_for_end(run_id).status is DagsterRunStatus.FAILURE
    # Dagster says so after it has ended the run.
    retried = wait_until(lambda: dagster.run(run_id).tags.get("dagster/will_retry"), "the word on a retry")
    assert retried == "false"
    record = {"run_id": run_id, "status": FAILED}
    wait_until(lambda: db.background_jobs.find_one(record), "the end of the record")
    wait_until(
        lambda: not db.alerts.count_documents({"status": "OPEN", "source_type": "OVERSPEEDING"}),
        "the rest, by the next ticks",
    )
    children = dagster.instance.get_runs(RunsFilter(tags={"dagster/parent_run_id": run_id}))
    assert children == []


@contextmanager
def without_ticks(dagster: DagsterProcesses) -> Iterator[None]:
    """No scan of ours but those that are made within the block; then the schedule is on again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CRON_VARIABLE, CRON)
        shutdown_scheduler(dagster.instance)

        def quiet() -> bool:
            begun = [tick for tick in dagster.ticks(AUTO_CLOSE_SCHEDULE) if tick.status is TickStatus.STARTED]
            return not begun and busy_scan(ThisCopy(dagster.instance, OURS, Names())) is None

        wait_until(quiet, "the end of the last tick and its scan")
        yield
        start_scheduler(dagster.instance)


def waiting_claims(db: AlertDatabase) -> list[int]:
    """The server's operations that are claims of a scan."""
    claims = {"command.findAndModify": "background_jobs", "command.$db": db.name}
    return [found["opid"] for found in db.client.admin.aggregate([{"$currentOp": {}}, {"$match": claims}])]


@contextmanager
def claims_wait(db: AlertDatabase) -> Iterator[None]:
    """Whoever claims a scan waits until the end of the block, and is refused then: a transaction holds the claim."""
    held = {"job_id": "JOB-held", "job_type": SCANNER, "status": RUNNING}
    was = db.client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=3600)["was"]
    with db.client.start_session() as session, session.start_transaction():
        db.background_jobs.insert_one(held, session=session)
        yield
    wait_until(lambda: not waiting_claims(db), "the end of the claims")
    db.background_jobs.delete_one(held)
    db.client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=was)


def let_pass(instance: DagsterInstance, run_id: str, seconds: float) -> None:
    """Have the run and its events be that much older."""
    edit_runs(instance, run_id, start_time=RunsTable.c.start_time - seconds)
    events = instance.event_log_storage
    assert isinstance(events, SqlEventLogStorage)
    for record in events.get_records_for_run(run_id).records:
        entry = record.event_log_entry
        events.update_event_log_record(record.storage_id, entry._replace(timestamp=entry.timestamp - seconds))


def test_worker_and_code_server_killed_before_the_record_left_a_run_for_which_every_tick_was_skipped(
    dagster: DagsterProcesses, databases: dict[str, AlertDatabase]
) -> None:
    db = databases[CODE_LOCATION]
    with without_ticks(dagster):
        with claims_wait(db):
            run_id = dagster.launch()
            wait_until(lambda: waiting_claims(db), "a scan that has no record yet")
            dagster.kill("code_server")
        assert db.background_jobs.count_documents({"run_id": run_id}) == 0
        assert dagster.run(run_id).status is DagsterRunStatus.STARTED
        let_pass(dagster.instance, run_id, LONGEST_SILENCE_S)
        later = {"status": COMPLETED, "run_id": {"$nin": db.background_jobs.distinct("run_id")}}
    dagster.start("code_server")
    wait_until(lambda: db.background_jobs.find_one(later), "a scan by the next ticks")
    assert dagster.wait_for_end(run_id).status is DagsterRunStatus.FAILURE


def test_without_run_monitoring_a_run_of_ours_that_hangs_stood_for_ever(
    dagster: DagsterProcesses, tmp_path: Path
) -> None:
    # Opening it waits for a writer, and none comes.
    os.mkfifo(tmp_path / "alerts.csv")
    mapping = str(CHECKOUT / "mappings" / "ids_alerts.yaml")
    config = {"ops": {"load": {"config": {"file": str(tmp_path / "alerts.csv"), "mapping": mapping}}}}
    run_id = dagster.launch("load_alerts_job", config)
    wait_until(lambda: dagster.run(run_id).status is DagsterRunStatus.STARTED, "its start")
    let_pass(dagster.instance, run_id, LONGEST_RUN_S)
    ended = dagster.wait_for_end(run_id)
    assert ended.status in {DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}


@pytest.mark.parametrize("ticks", [2, pytest.param(10, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_two_databases_with_one_cron_were_not_both_scanned(
    dagster: DagsterProcesses, databases: dict[str, AlertDatabase], ticks: int
) -> None:
    for location, db in databases.items():
        own, name = (
            Location(location, "__repository__"),
            "auto_close" if location == CODE_LOCATION else "south_auto_close",
        )

        def scanned(own: Location = own, name: str = name, db: AlertDatabase = db) -> bool:
            runs = own_runs(dagster.instance, own, tags={"dagster/schedule_name": f"{name}_schedule"})
            recorded = {"run_id": {"$in": [run.run_id for run in runs]}, "status": COMPLETED}
            return db.background_jobs.count_documents(recorded) >= ticks

        wait_until(scanned, f"{ticks} scans of {location} by its schedule", limit_s=ticks * 60 + LIMIT_S)
        for run_id in db.background_jobs.distinct("run_id"):
            run = dagster.run(run_id)
            assert (location_of_run(run), run.job_name) == (own, f"{name}_job")
        assert skipped_for(dagster, f"{name}_schedule") <= {own}


def test_a_run_that_is_executed_again_bears_its_own_job_id(
    dagster: DagsterProcesses, databases: dict[str, AlertDatabase]
) -> None:
    db = databases[CODE_LOCATION]
    with without_ticks(dagster):
        scanned = dagster.wait_for_success(dagster.launch())
        again = dagster.wait_for_success(dagster.reexecute(scanned.run_id))
    for run in (scanned, again):
        [record] = db.background_jobs.find({"run_id": run.run_id})
        assert run.tags[JOB_ID_TAG] == record["job_id"]


def test_other_peoples_old_runs_were_deleted(dagster: DagsterProcesses) -> None:
    theirs = [
        create_run_for_test(
            dagster.instance,
            job_name="nightly_load",
            status=DagsterRunStatus.SUCCESS,
            remote_job_origin=launched_from(NEIGHBOURS, "nightly_load"),
        ).run_id
        for _ in range(30)
    ]
    long_ago = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=100)
    edit_runs(dagster.instance, *theirs, create_timestamp=long_ago)
    dagster.wait_for_success(dagster.launch("delete_old_runs_job"))
    assert {run.run_id for run in dagster.instance.get_runs(RunsFilter(run_ids=theirs))} == set(theirs)


def test_assets_of_three_locations_are_apart(dagster: DagsterProcesses) -> None:
    query = "{ assetNodes { assetKey { path } repository { location { name } } isMaterializable } }"
    nodes = dagster.graphql(query)["assetNodes"]
    of_south = {tuple(node["assetKey"]["path"]) for node in nodes if node["repository"]["location"]["name"] == "south"}
    assert ("south", "closed_alerts") in of_south
    assert {path[0] for path in of_south} == {"south"}
    # Without a prefix the neighbours' `alerts`, which they materialize, is the one that the graph shows.
    owners = {
        node["repository"]["location"]["name"]
        for node in nodes
        if node["assetKey"]["path"] == ["alerts"] and node["isMaterializable"]
    }
    assert owners == {"neighbours"}


def test_the_scheduler_functions_switch_the_schedule_of_their_copy(
    dagster: DagsterProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CRON_VARIABLE, CRON)

    def on() -> dict[str, bool]:
        states = dagster.instance.all_instigator_state()
        return {state.name: state.is_running for state in states if state.name.endswith("auto_close_schedule")}

    dagster.wait_between_rounds()
    assert not shutdown_scheduler(dagster.instance)["running"]
    assert on() == {"auto_close_schedule": False, "south_auto_close_schedule": True}
    assert start_scheduler(dagster.instance)["running"]
    assert on() == {"auto_close_schedule": True, "south_auto_close_schedule": True}


def test_the_doctor_says_what_this_instance_lacks(dagster: DagsterProcesses) -> None:
    command = [str(Path(sys.executable).with_name("alert-pipelines")), "doctor", "--json"]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=dict(dagster.env), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    found = {finding["name"]: finding["level"] for finding in json.loads(done.stdout)}
    assert done.returncode == 0, found
    assert {name for name, level in found.items() if level == "warning"} == {"run monitoring", "sensor threads"}
