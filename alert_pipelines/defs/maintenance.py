"""The job that deletes old runs, and its daily schedule."""

from datetime import UTC, datetime, timedelta

from dagster import (
    DefaultScheduleStatus,
    OpExecutionContext,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)

from alert_pipelines.defs.failures import clear_failures
from alert_pipelines.defs.jobs import BACKGROUND_TAGS
from alert_pipelines.defs.old_runs import KEEP_VARIABLE, delete_old_runs, keep_days_setting

MAX_SECONDS = 40.0
"""No run may last over a minute: a scheduled scan may be waiting behind it."""


@op(name="delete_old_runs")
def delete_old_runs_op(context: OpExecutionContext) -> None:
    """Delete the finished runs that are older than the setting says; what is left over is for the next time."""
    with clear_failures():
        created_before = datetime.now(UTC) - timedelta(days=keep_days_setting())
    deleted = delete_old_runs(context.instance, created_before, MAX_SECONDS)
    rest = "; the time was up, and there may be more: launch the job again, or wait for its next tick"
    context.log.info(
        "Deleted %d runs created before %s, kept %d%s",
        deleted.deleted,
        created_before.isoformat(timespec="seconds"),
        deleted.kept,
        rest if deleted.more_to_do else "",
    )
    context.add_output_metadata(
        {"deleted": deleted.deleted, "kept though old": deleted.kept, "more to do": deleted.more_to_do}
    )


@job(
    description=f"Delete finished runs older than {KEEP_VARIABLE} days, with their events and logs; never job records.",
    tags=BACKGROUND_TAGS,
    executor_def=in_process_executor,
)
def delete_old_runs_job() -> None:
    """One op."""
    delete_old_runs_op()


delete_old_runs_schedule = ScheduleDefinition(
    name="delete_old_runs_schedule",
    job=delete_old_runs_job,
    # Not at a multiple of five minutes, where scans begin.
    cron_schedule="17 4 * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
    description=f"Deletes once a day the finished runs older than {KEEP_VARIABLE} days, by default 30.",
)
