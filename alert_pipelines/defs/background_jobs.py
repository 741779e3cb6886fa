"""Background jobs: they have a low priority, and their schedules avoid the times of scans."""

from collections.abc import Callable

from dagster import (
    AssetSelection,
    DefaultScheduleStatus,
    JobDefinition,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    define_asset_job,
    in_process_executor,
)

from alert_pipelines.defs.dagster_internals import UnresolvedAssetJobDefinition

MAX_SECONDS = 40.0
"""What such a run takes at most. None may last over a minute: a scheduled scan may be waiting behind it."""
# A run keeps a scan waiting for minutes at the very worst.
BACKGROUND_TAGS = {"dagster/priority": "-10", "dagster/max_runtime": "120"}


def background_job(name: str, selection: AssetSelection, description: str) -> UnresolvedAssetJobDefinition:
    """The job `name` that materializes, or checks, `selection` behind all that somebody waits for."""
    return define_asset_job(
        name, selection=selection, description=description, tags=BACKGROUND_TAGS, executor_def=in_process_executor
    )


def background_schedule(
    job: JobDefinition | UnresolvedAssetJobDefinition,
    cron: str,
    description: str,
    request: Callable[[ScheduleEvaluationContext], RunRequest | SkipReason] | None = None,
) -> ScheduleDefinition:
    """The schedule of `job`, on from the start; `cron` is in UTC, and not at multiples of five, where scans begin."""
    return ScheduleDefinition(
        name=f"{job.name.removesuffix('_job')}_schedule",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        execution_fn=request,
        default_status=DefaultScheduleStatus.RUNNING,
        description=description,
    )
