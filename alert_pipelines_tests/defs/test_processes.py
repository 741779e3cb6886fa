"""The whole of it as people run it: a real code server, daemon and webserver on a real MongoDB."""

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from dagster import DagsterRunStatus, RunsFilter

from alert_pipelines import scheduler
from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines.defs.scan.run_records import JOB_ID_TAG
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines.settings import RATE_VARIABLE
from alert_pipelines_tests.dagster_processes import CHECKOUT, DagsterProcesses, dagster_processes
from alert_pipelines_tests.factories import alert, rule
from alert_pipelines_tests.patience import wait_until

pytestmark = pytest.mark.process

MANY = 5_000
EXPIRE = rule("old", {"expire_after_mins": 60})

SCHEDULE = {
    "repositoryLocationName": CODE_LOCATION,
    "repositoryName": "__repository__",
    "scheduleName": "auto_close_schedule",
}
SCHEDULE_STATE = """
query State($schedule: ScheduleSelector!) {
  scheduleOrError(scheduleSelector: $schedule) { ... on Schedule { scheduleState { id status } } }
}
"""
STOP = """
mutation Stop($id: String!) {
  stopRunningSchedule(id: $id) {
    ... on ScheduleStateResult { scheduleState { status } } ... on PythonError { message }
  }
}
"""
START = """
mutation Start($schedule: ScheduleSelector!) {
  startSchedule(scheduleSelector: $schedule) {
    ... on ScheduleStateResult { scheduleState { status } } ... on PythonError { message }
  }
}
"""


@pytest.fixture(scope="module")
def database(mongo_uri: str) -> Iterator[AlertDatabase]:
    settings = MongoSettings(mongo_uri, f"test_{uuid.uuid4().hex}", Path())
    with open_database(settings) as made:
        prepare_collections(made)
        made.rules.insert_one(EXPIRE)
        # Pending for ever, since no rule is for them: beside these the scan's own limit is not reached.
        made.alerts.insert_many([alert(source_type="UNRULED") for _ in range(2 * MANY)])
        yield made
        made.client.drop_database(made.name)


@pytest.fixture(scope="module")
def dagster(mongo_uri: str, database: AlertDatabase) -> Iterator[DagsterProcesses]:
    settings = {
        "MONGODB_URI": mongo_uri,
        "MONGODB_DATABASE": database.name,
        "AUTO_CLOSE_CRON": "* * * * *",
        # So that a scan of many takes its time, and can be killed in the midst of its writes.
        RATE_VARIABLE: "500",
    }
    with dagster_processes(settings) as processes:
        yield processes


def add_old_alerts(db: AlertDatabase, number: int) -> ObjectId:
    """Add them all at once, to a scan that the schedule makes, too; the `_id` of the first, before all the others'."""
    at = datetime.now(UTC) - timedelta(hours=3)
    with db.client.start_session() as session, session.start_transaction():
        inserted = db.alerts.insert_many([alert(timestamp=at) for _ in range(number)], session=session)
    first: ObjectId = inserted.inserted_ids[0]
    return first


def pending(db: AlertDatabase) -> int:
    return db.alerts.count_documents({"status": "OPEN", "source_type": "OVERSPEEDING"})


def record_of(db: AlertDatabase, run_id: str) -> dict[str, Any] | None:
    return db.background_jobs.find_one({"run_id": run_id})


def schedule_status(dagster: DagsterProcesses) -> dict[str, str]:
    state: dict[str, str] = dagster.graphql(SCHEDULE_STATE, schedule=SCHEDULE)["scheduleOrError"]["scheduleState"]
    return state


@pytest.mark.proof
def test_dagster_job_launch_queues_a_scan_that_finishes_and_is_recorded(
    dagster: DagsterProcesses, database: AlertDatabase
) -> None:
    add_old_alerts(database, 10)
    run_id = str(uuid.uuid4())
    dagster.dagster("job", "launch", "-j", "auto_close_job", "--run-id", run_id)
    run = dagster.wait_for_success(run_id)
    record = record_of(database, run_id)
    assert record is not None
    assert record["status"] == "completed"
    assert run.tags[JOB_ID_TAG] == record["job_id"]
    assert "dagster/priority" not in run.tags
    assert pending(database) == 0


def test_a_scan_logs_the_same_lines_to_the_run_and_to_the_console(
    dagster: DagsterProcesses, database: AlertDatabase
) -> None:
    run_id = dagster.launch()
    run = dagster.wait_for_success(run_id)
    job_id = run.tags[JOB_ID_TAG]
    expected = [
        "Starting auto-close alert scanner",
        f"Job {job_id} started",
        f"Evaluating {2 * MANY} pending alerts for auto-close conditions",
        f"Auto-close job {job_id}: checked {2 * MANY}, closed 0",
        f"Updated job record: {job_id} - Status: completed",
    ]
    events = [entry.user_message for entry in dagster.instance.all_logs(run_id)]
    assert [line for line in events if line in expected] == expected
    of_this_run = [line for line in dagster.log("code_server").splitlines() if run_id in line]
    for line in expected:
        assert sum(printed.endswith(line) for printed in of_this_run) == 1, line


def test_scans_launched_together_never_run_together(dagster: DagsterProcesses, database: AlertDatabase) -> None:
    add_old_alerts(database, 1_000)
    run_ids = [dagster.launch() for _ in range(3)]
    # `dagster job execute` goes past the queue: only the claim in MongoDB stands in its way.
    command = [str(Path(sys.executable).with_name("dagster")), "job", "execute"]
    command += ["-m", "alert_pipelines.definitions", "-j", "auto_close_job"]
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=dict(dagster.env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as beside:
        for run_id in run_ids:
            dagster.wait_for_success(run_id)
            assert record_of(database, run_id) is not None
    assert beside.returncode == 0
    spans = sorted((record["started_at"], record["completed_at"]) for record in database.background_jobs.find())
    assert len(spans) >= 4
    for (_, ended), (started, _) in pairwise(spans):
        assert ended <= started


def test_a_dry_run_from_the_launchpad_writes_nothing(dagster: DagsterProcesses, database: AlertDatabase) -> None:
    add_old_alerts(database, 3)
    # The schedule's scans would close them before or after; a dry run's own record says what it saw.
    run_id = dagster.launch("dry_run_job")
    dagster.wait_for_success(run_id)
    record = record_of(database, run_id)
    assert record is not None
    assert record["job_type"] == "auto_close_dry_run"
    assert database.alerts.count_documents({"state_history.job_id": record["job_id"]}) == 0


def test_a_killed_run_worker_leaves_a_record_that_ends_failed_with_its_true_counts(
    dagster: DagsterProcesses, database: AlertDatabase
) -> None:
    first = add_old_alerts(database, MANY)
    dagster.launch()
    closed_one = wait_until(
        lambda: database.alerts.find_one({"_id": {"$gte": first}, "status": "AUTO_CLOSED"}),
        "the first decision",
    )
    # Of the run that was launched, or of the schedule's next one.
    run_id = closed_one["state_history"][-1]["run_id"]
    for worker in dagster.run_workers():
        worker.send_signal(signal.SIGKILL)

    def ended() -> dict[str, Any] | None:
        record = record_of(database, run_id)
        return record if record is not None and record["status"] != "running" else None

    record = wait_until(ended, "the end of the record")
    assert record["status"] == "failed"
    closed = database.alerts.count_documents({"state_history.job_id": record["job_id"]})
    assert record["alerts_closed"] == closed
    assert 0 < closed < MANY
    assert dagster.wait_for_end(run_id).status is DagsterRunStatus.FAILURE
    # The next scan does the rest.
    dagster.wait_for_success(dagster.launch())
    assert pending(database) == 0


def test_the_schedule_is_on_by_default_and_its_tick_makes_a_recorded_scan(
    dagster: DagsterProcesses, database: AlertDatabase
) -> None:
    def ticked() -> str | None:
        runs = dagster.instance.get_runs(
            RunsFilter(tags={"dagster/schedule_name": "auto_close_schedule"}, statuses=[DagsterRunStatus.SUCCESS])
        )
        recorded = [run.run_id for run in runs if JOB_ID_TAG in run.tags]
        return recorded[0] if recorded else None

    run_id = wait_until(ticked, "a scan by the schedule")
    record = record_of(database, run_id)
    assert record is not None
    assert record["status"] == "completed"
    assert "dagster/priority" not in dagster.run(run_id).tags


def test_the_schedule_is_switched_by_cli_graphql_and_the_scheduler_functions(dagster: DagsterProcesses) -> None:
    assert schedule_status(dagster)["status"] == "RUNNING"
    dagster.wait_between_rounds()
    dagster.dagster("schedule", "stop", "auto_close_schedule")
    assert schedule_status(dagster)["status"] == "STOPPED"
    assert not scheduler.is_scheduler_running(dagster.instance)
    dagster.wait_between_rounds()
    dagster.dagster("schedule", "start", "auto_close_schedule")
    assert schedule_status(dagster)["status"] == "RUNNING"

    dagster.wait_between_rounds()
    answer = dagster.graphql(STOP, id=schedule_status(dagster)["id"])
    assert answer["stopRunningSchedule"]["scheduleState"]["status"] == "STOPPED"
    assert not scheduler.is_scheduler_running(dagster.instance)
    answer = dagster.graphql(START, schedule=SCHEDULE)
    assert answer["startSchedule"]["scheduleState"]["status"] == "RUNNING"
    assert scheduler.is_scheduler_running(dagster.instance)

    status = scheduler.shutdown_scheduler(dagster.instance)
    assert status == {
        "running": False,
        "jobs": [{"id": "auto_close_scanner", "name": "Auto-close alert scanner", "next_run_time": None}],
    }
    assert schedule_status(dagster)["status"] == "STOPPED"
    status = scheduler.start_scheduler(dagster.instance)
    assert status["running"]
    next_run_time = status["jobs"][0]["next_run_time"]
    assert next_run_time is not None
    assert datetime.fromisoformat(next_run_time).tzinfo is not None
    assert schedule_status(dagster)["status"] == "RUNNING"


def test_the_ui_never_shows_the_address_of_the_database(dagster: DagsterProcesses, mongo_uri: str) -> None:
    query = """
    query Resources($repository: RepositorySelector!) {
      allTopLevelResourceDetailsOrError(repositorySelector: $repository) {
        ... on ResourceDetailsList { results { name configuredValues { key value type } configFields { name } } }
      }
    }
    """
    repository = {"repositoryLocationName": CODE_LOCATION, "repositoryName": "__repository__"}
    shown = json.dumps(dagster.graphql(query, repository=repository))
    assert "mongo" in shown
    assert mongo_uri not in shown
    assert "uri" not in shown.lower()
