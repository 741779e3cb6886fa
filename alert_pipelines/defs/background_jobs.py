"""How jobs and schedules are made: of one op, of assets, of assets in the background.

Background jobs have a low priority, and their schedules avoid the times of scans.
"""

from collections.abc import Callable, Mapping
from typing import Any

from dagster import (
    AssetSelection,
    DefaultScheduleStatus,
    GraphDefinition,
    JobDefinition,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    define_asset_job,
    in_process_executor,
    op,
)

from alert_pipelines.defs.dagster_internals import UnresolvedAssetJobDefinition

MAX_SECONDS = 40.0
"""What such a run takes at most. None may last over a minute: a scheduled scan may be waiting behind it."""
# A run keeps a scan waiting for minutes at the very worst.
BACKGROUND_TAGS = {"dagster/priority": "-10", "dagster/max_runtime": "120"}


def op_job(op_name: str, *, name: str | None = None, **options: Any) -> Callable[[Callable[..., None]], JobDefinition]:
    """Make a job of a function: its one op does what the function does, and it is described by its docstring.

    It has the name of the function, or `name`; `options` are those of `GraphDefinition.to_job`.
    """

    def made(function: Callable[..., None]) -> JobDefinition:
        graph = GraphDefinition(name or function.__name__, node_defs=[op(name=op_name)(function)])
        return graph.to_job(executor_def=in_process_executor, **{"description": function.__doc__, **options})

    return made


def asset_job(
    name: str, selection: AssetSelection, description: str, tags: Mapping[str, str]
) -> UnresolvedAssetJobDefinition:
    """The job `name` that materializes, or checks, `selection`, in the process of its run."""
    return define_asset_job(
        name, selection=selection, description=description, tags=tags, executor_def=in_process_executor
    )


def background_job(name: str, selection: AssetSelection, description: str) -> UnresolvedAssetJobDefinition:
    """The job that does so behind all that somebody waits for."""
    return asset_job(name, selection, description, BACKGROUND_TAGS)


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
