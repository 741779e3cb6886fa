"""The sensor: no job record and no run stays `running` after its process died.

It looks at what is, not at Dagster's events: a worker that dies together with its code server causes none, and events
come five a tick. What it has to look at is one record at most, however many runs have failed.
"""

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DefaultSensorStatus,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.run_records import close_records_of_run, runs_with_open_records, tag_run
from alert_pipelines.job_records import SweptRecord, sweep_dead_jobs
from alert_pipelines.mongo.client import AlertDatabase


@sensor(
    minimum_interval_seconds=15,
    default_status=DefaultSensorStatus.RUNNING,
    description="Ends the job records of scans that died, were cancelled or failed, and fails the runs of the dead.",
)
def dead_scan_sensor(context: SensorEvaluationContext, mongo: MongoResource) -> SkipReason:
    """End the records of finished runs; sweep expired leases and report their Dagster runs failed."""
    with mongo.open() as db:
        ended = _close_records_of_finished_runs(context.instance, db)
        swept = sweep_dead_jobs(db)
    for record in swept:
        _fail_run(context.instance, record)
    job_ids = [*ended, *(record.job_id for record in swept)]
    return SkipReason(f"Ended as failed: {', '.join(job_ids)}." if job_ids else "No scan has died.")


def _close_records_of_finished_runs(instance: DagsterInstance, db: AlertDatabase) -> list[str]:
    ended = []
    for run_id in runs_with_open_records(db):
        run = instance.get_run_by_id(run_id)
        if run is not None and run.is_finished:
            reason = f"its Dagster run ended as {run.status.value} without ending this record"
            ended += close_records_of_run(db, run_id, reason)
    return ended


def _fail_run(instance: DagsterInstance, record: SweptRecord) -> None:
    run = instance.get_run_by_id(record.run_id) if record.run_id else None
    if run is None or run.is_finished or _waits_for_retry(instance, run):
        return
    tag_run(instance, run.run_id, record.job_id)
    instance.report_run_failed(
        run,
        f"The process of this run died: job record {record.job_id} gave no sign of life. It closed "
        f"{record.alerts_closed} and escalated {record.alerts_escalated} alerts; the next scan does the rest.",
    )


def _waits_for_retry(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether the dead record is of an attempt that the run has given up and will soon repeat."""
    last = [
        entry.dagster_event_type
        for entry in instance.all_logs(
            run.run_id, of_type={DagsterEventType.STEP_UP_FOR_RETRY, DagsterEventType.STEP_RESTARTED}
        )
    ]
    return bool(last) and last[-1] is DagsterEventType.STEP_UP_FOR_RETRY
