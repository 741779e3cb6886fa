"""The sensor: no job record and no run stays `running` after its process died.

It looks at what is, not at Dagster's events: a worker that dies together with its code server causes none, and events
come five a tick. What it has to look at is open records, hardly ever more than one, however many runs have failed.
"""

import time
from datetime import timedelta

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from alert_pipelines.defs.assets import auto_close
from alert_pipelines.defs.own_runs import Location, finished_runs, is_elsewhere, location_of_sensor, runs_of_no_other
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.run_records import close_records_of_run, record_of_run, runs_with_open_records, tag_run
from alert_pipelines.defs.schedules import is_scan
from alert_pipelines.job_records import RUNNING, SweptRecord, sweep_dead_jobs
from alert_pipelines.mongo.client import AlertDatabase, server_now

MAX_SECONDS = 20.0
"""A tick ends what it can in so long and leaves the rest to the next: Dagster gives up a tick after 60 s."""

ENDED_FOR_GOOD = timedelta(minutes=1)
"""A run may outlive its record for a moment, while it tells Dagster what it did; after so long its process is gone."""


@sensor(
    minimum_interval_seconds=15,
    default_status=DefaultSensorStatus.RUNNING,
    description="Ends the job records of scans that died, were cancelled or failed, and fails the runs of the dead.",
)
def dead_scan_sensor(context: SensorEvaluationContext, mongo: MongoResource) -> SkipReason:
    """End the records of finished runs; sweep expired leases and report their Dagster runs failed."""
    own = location_of_sensor(context)
    with mongo.open() as db:
        ended = _close_records_of_finished_runs(context.instance, db)
        swept = sweep_dead_jobs(db)
        for record in swept:
            _fail_run(context.instance, own, record)
        left_over = _fail_runs_of_ended_records(context.instance, own, db)
    job_ids = [*ended, *(record.job_id for record in swept), *left_over]
    return SkipReason(f"Ended as failed: {', '.join(job_ids)}." if job_ids else "No scan has died.")


def _close_records_of_finished_runs(instance: DagsterInstance, db: AlertDatabase) -> list[str]:
    ended: list[str] = []
    ends = time.monotonic() + MAX_SECONDS
    for run in finished_runs(instance, runs_with_open_records(db)):
        reason = f"its Dagster run ended as {run.status.value} without ending this record"
        ended += close_records_of_run(db, run.run_id, reason)
        if time.monotonic() > ends:
            break
    return ended


def _fail_run(instance: DagsterInstance, own: Location | None, record: SweptRecord) -> None:
    run = instance.get_run_by_id(record.run_id) if record.run_id else None
    if run is None or run.is_finished or is_elsewhere(run, own):
        return
    # An attempt that the run has given up and will soon repeat leaves a dead record, too.
    if _last_of_scan(instance, run) is DagsterEventType.STEP_UP_FOR_RETRY:
        return
    _report_dead(instance, run, record.job_id, record.alerts_closed, record.alerts_escalated)


def _fail_runs_of_ended_records(instance: DagsterInstance, own: Location | None, db: AlertDatabase) -> list[str]:
    """Fail the runs that still scan for Dagster although their record has ended: no run may block the queue.

    So it is when another scan's claim swept the record while no daemon was there, or a tick ended between the two.
    """
    job_ids = []
    long_ago = server_now(db) - ENDED_FOR_GOOD
    for run in runs_of_no_other(instance, own, [DagsterRunStatus.STARTED]):
        record = record_of_run(db, run.run_id) if is_scan(run) else None
        if record is None or record["status"] == RUNNING or not record["completed_at"] < long_ago:
            continue
        if _last_of_scan(instance, run) in (DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED):
            _report_dead(instance, run, record["job_id"], record["alerts_closed"], record["alerts_escalated"])
            job_ids.append(record["job_id"])
    return job_ids


def _report_dead(instance: DagsterInstance, run: DagsterRun, job_id: str, closed: int, escalated: int) -> None:
    tag_run(instance, run.run_id, job_id)
    instance.report_run_failed(
        run,
        f"The process of this run died: job record {job_id} gave no sign of life. It closed {closed} and escalated "
        f"{escalated} alerts; the next scan does the rest.",
    )


def _last_of_scan(instance: DagsterInstance, run: DagsterRun) -> DagsterEventType | None:
    """How far the run is with its scan: the last event of that step, None before its first."""
    of_type = {
        DagsterEventType.STEP_START,
        DagsterEventType.STEP_UP_FOR_RETRY,
        DagsterEventType.STEP_RESTARTED,
        DagsterEventType.STEP_SUCCESS,
        DagsterEventType.STEP_FAILURE,
    }
    entries = [
        entry for entry in instance.all_logs(run.run_id, of_type=of_type) if entry.step_key == auto_close.op.name
    ]
    return entries[-1].dagster_event_type if entries else None
