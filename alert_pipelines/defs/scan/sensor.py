"""The sensor that ends job records and runs whose process died; `stalled_runs` says how they are found."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import location_of_sensor
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.scan.runs import ThisCopy
from alert_pipelines.defs.scan.stalled_runs import disown_tags_of_unbegun, end_overdue_runs, end_stalled_scans


@sensor(
    minimum_interval_seconds=15,
    default_status=DefaultSensorStatus.RUNNING,
    description="Ends stalled jobs: the job records of scans that died, were cancelled or failed, runs whose process "
    "died, and runs that take too long.",
)
def dead_scan_sensor(context: SensorEvaluationContext, mongo: MongoResource, names: Names) -> SkipReason:
    """End the runs that are past their bound, the records of finished runs, and records and runs of the dead."""
    copy = ThisCopy(context.instance, location_of_sensor(context), names)
    disown_tags_of_unbegun(copy)
    ended = end_overdue_runs(copy)
    with mongo.open() as db:
        ended += end_stalled_scans(copy, db)
    return SkipReason(f"Ended as failed: {', '.join(ended)}." if ended else "No scan has died.")
