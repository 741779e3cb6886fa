"""What the sensor and the schedule's tick end on an instance whose own run monitoring is off, and what they leave."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from dagster import AssetKey, DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.scan import stalled_runs as dead_runs
from alert_pipelines.defs.scan.run_records import BLOCKED_TAG, JOB_ID_TAG
from alert_pipelines.defs.scan.schedule import build_schedule
from alert_pipelines.defs.scan.sensor import dead_scan_sensor
from alert_pipelines.job_records import COMPLETED, DRY_RUN, SCANNER, create_job_record, update_job_record
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import OWN, daemons_tick, launched_from, sensor_context

pytestmark = pytest.mark.usefixtures("mongodb_env")

STARTING = DagsterRunStatus.STARTING
ELSEWHERE = Location("another_copy", "__repository__")
SKIPPED, MADE = "a tick that is skipped", "a tick that makes a scan"
CLOSED = frozenset({AssetKey("closed_alerts")})
Pass = Callable[[float], None]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Pass:
    """Lets so many seconds pass for whoever looks."""

    def let_pass(seconds: float) -> None:
        later = SimpleNamespace(time=lambda: time.time() + seconds, monotonic=time.monotonic)
        monkeypatch.setattr(dead_runs, "time", later)

    return let_pass


def run_of(
    instance: DagsterInstance,
    job: str = "auto_close_job",
    location: Location | None = OWN,
    status: DagsterRunStatus = DagsterRunStatus.STARTED,
    **more: Any,
) -> DagsterRun:
    """A run that stands so since just now, whose process is not there."""
    origin = launched_from(location, job) if location else None
    run: DagsterRun = create_run_for_test(
        instance, job_name=job, status=DagsterRunStatus.STARTING, remote_job_origin=origin, **more
    )
    event = {
        DagsterRunStatus.STARTED: DagsterEventType.RUN_START,
        DagsterRunStatus.CANCELING: DagsterEventType.RUN_CANCELING,
    }.get(status)
    if event:
        instance.report_dagster_event(DagsterEvent(event.value, job), run.run_id)
    return run


def tick(instance: DagsterInstance) -> str:
    schedule = build_schedule("*/5 * * * *")
    with daemons_tick(instance, schedule) as context:
        return MADE if schedule.evaluate_tick(context).run_requests else SKIPPED


def look(instance: DagsterInstance) -> None:
    dead_scan_sensor(sensor_context(instance))


def status(instance: DagsterInstance, run: DagsterRun) -> str:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status.value


def begin_scan(instance: DagsterInstance, run: DagsterRun, event: DagsterEventType, step: str = "auto_close") -> None:
    instance.report_dagster_event(DagsterEvent(event.value, run.job_name, step_key=step), run.run_id)


def test_a_worker_killed_before_its_record_left_a_run_for_which_every_tick_was_skipped(
    instance: DagsterInstance, wait: Pass
) -> None:
    run = run_of(instance)
    wait(590)
    assert tick(instance) == SKIPPED
    assert status(instance, run) == "STARTED"
    wait(610)
    assert tick(instance) == MADE
    assert status(instance, run) == "FAILURE"


@pytest.mark.parametrize("event", [DagsterEventType.STEP_START, DagsterEventType.STEP_UP_FOR_RETRY])
@pytest.mark.parametrize("act", [tick, look])
def test_so_did_one_killed_when_its_scan_began_or_was_to_be_tried_again(
    instance: DagsterInstance, wait: Pass, act: Callable[[DagsterInstance], Any], event: DagsterEventType
) -> None:
    run = run_of(instance, "__ASSET_JOB", asset_selection=CLOSED)
    begin_scan(instance, run, event)
    wait(590)
    act(instance)
    assert status(instance, run) == "STARTED"
    wait(610)
    act(instance)
    assert status(instance, run) == "FAILURE"


def test_a_dry_run_whose_process_died_is_ended_as_a_scan_is(
    instance: DagsterInstance, db: AlertDatabase, wait: Pass
) -> None:
    before_its_record = run_of(instance, "dry_run_job")
    retried = run_of(instance, "__ASSET_JOB", asset_selection=frozenset({AssetKey("dry_runs")}))
    for event in (DagsterEventType.STEP_START, DagsterEventType.STEP_UP_FOR_RETRY):
        begin_scan(instance, retried, event, "dry_run")
    create_job_record(DRY_RUN, db, run_id=retried.run_id)
    db.background_jobs.update_one({}, {"$set": {"lease_expires_at": datetime(2026, 1, 1, tzinfo=UTC)}})
    look(instance)
    assert [status(instance, run) for run in (before_its_record, retried)] == ["STARTED", "STARTED"]
    wait(610)
    look(instance)
    assert [status(instance, run) for run in (before_its_record, retried)] == ["FAILURE", "FAILURE"]


def test_a_run_that_scanned_long_ago_and_begins_its_dry_run_was_ended_as_dead(
    instance: DagsterInstance, db: AlertDatabase
) -> None:
    run = run_of(instance, "__ASSET_JOB", asset_selection=CLOSED | {AssetKey("dry_runs")})
    begin_scan(instance, run, DagsterEventType.STEP_START)
    scanned = create_job_record(SCANNER, db, run_id=run.run_id)
    update_job_record(scanned.job_id, {}, COMPLETED, [], db)
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    db.background_jobs.update_one({"job_id": scanned.job_id}, {"$set": {"completed_at": long_ago}})
    begin_scan(instance, run, DagsterEventType.STEP_START, "dry_run")
    look(instance)
    assert status(instance, run) == "STARTED"


def test_a_scan_with_a_living_record_is_left_until_its_bound(
    instance: DagsterInstance, db: AlertDatabase, wait: Pass
) -> None:
    run = run_of(instance, tags={"dagster/max_runtime": "1800"})
    begin_scan(instance, run, DagsterEventType.STEP_START)
    job_id = create_job_record(SCANNER, db, run_id=run.run_id).job_id
    wait(1_790)
    assert tick(instance) == SKIPPED
    assert status(instance, run) == "STARTED"
    wait(1_810)
    assert tick(instance) == MADE
    assert status(instance, run) == "FAILURE"
    assert (db.background_jobs.find_one({"job_id": job_id}) or {})["status"] == "failed"


@pytest.mark.parametrize(
    ("tags", "bound_s"),
    [
        ({"dagster/max_runtime": "120"}, 120),
        ({"dagster/max_runtime_seconds": "90.5"}, 90.5),
        ({"dagster/max_runtime": "soon"}, 3_600),
        ({}, 3_600),
    ],
)
def test_without_run_monitoring_a_run_that_promised_two_minutes_stood_for_ever(
    instance: DagsterInstance, wait: Pass, tags: dict[str, str], bound_s: float
) -> None:
    run = run_of(instance, "check_health_job", tags=tags)
    wait(bound_s - 10)
    look(instance)
    assert status(instance, run) == "STARTED"
    wait(bound_s + 10)
    look(instance)
    assert status(instance, run) == "FAILURE"


@pytest.mark.parametrize(
    ("before", "limit_s", "after"),
    [(DagsterRunStatus.STARTING, 600, "FAILURE"), (DagsterRunStatus.CANCELING, 180, "CANCELED")],
)
def test_a_run_that_never_starts_or_never_heeds_its_cancel_is_ended(
    instance: DagsterInstance, wait: Pass, before: DagsterRunStatus, limit_s: float, after: str
) -> None:
    run = run_of(instance, status=before)
    wait(limit_s - 10)
    assert tick(instance) == SKIPPED
    assert status(instance, run) == before.value
    wait(limit_s + 10)
    assert tick(instance) == MADE
    assert status(instance, run) == after


@pytest.mark.parametrize(
    "somebodys",
    [
        {"location": ELSEWHERE},
        {"location": None},
        {"job": "a_job_of_others_in_our_location"},
        # Nobody knows how long what is to run before the scan may take.
        {"job": "__ASSET_JOB", "asset_selection": CLOSED | {AssetKey("theirs")}},
    ],
)
@pytest.mark.parametrize("before", [DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING, DagsterRunStatus.STARTING])
def test_nothing_that_is_not_known_to_be_ours_is_ended(
    instance: DagsterInstance, wait: Pass, somebodys: dict[str, Any], before: DagsterRunStatus
) -> None:
    run = run_of(instance, status=before, **somebodys)
    wait(100_000)
    look(instance)
    tick(instance)
    assert status(instance, run) == before.value


def test_a_run_whose_tag_says_that_it_has_no_bound_is_left(instance: DagsterInstance, wait: Pass) -> None:
    run = run_of(instance, "load_alerts_job", tags={"dagster/max_runtime": "0"})
    wait(100_000)
    look(instance)
    assert status(instance, run) == "STARTED"


def test_a_killed_scan_was_not_ended_while_a_slow_sensor_of_somebody_elses_held_ours_up(
    instance: DagsterInstance, db: AlertDatabase
) -> None:
    run = run_of(instance)
    job_id = create_job_record(SCANNER, db, run_id=run.run_id).job_id
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    db.background_jobs.update_one({"job_id": job_id}, {"$set": {"lease_expires_at": long_ago}})
    assert tick(instance) == MADE
    assert status(instance, run) == "FAILURE"
    assert (db.background_jobs.find_one({"job_id": job_id}) or {})["status"] == "failed"


def test_a_repeat_that_never_began_bore_the_job_id_of_the_run_it_repeats(instance: DagsterInstance) -> None:
    tags = {JOB_ID_TAG: "JOB-1", BLOCKED_TAG: "3", "owner": "somebody"}
    first = run_of(instance, tags=tags)
    again: dict[str, Any] = {"tags": tags, "parent_run_id": first.run_id, "root_run_id": first.run_id}
    repeats = {place: run_of(instance, location=place, status=STARTING, **again) for place in (OWN, ELSEWHERE)}
    look(instance)
    found = {place: instance.get_run_by_id(run.run_id) for place, run in repeats.items()}
    assert {place: run and tags.items() <= run.tags.items() for place, run in found.items()} == {
        OWN: False,
        ELSEWHERE: True,
    }
    own = found[OWN]
    assert own is not None
    assert (own.tags[JOB_ID_TAG], own.tags[BLOCKED_TAG], own.tags["owner"]) == ("", "", "somebody")
    kept = instance.get_run_by_id(first.run_id)
    assert kept is not None
    assert kept.tags[JOB_ID_TAG] == "JOB-1"


def test_while_the_database_is_away_ticks_go_on(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100")
    assert tick(instance) == MADE
