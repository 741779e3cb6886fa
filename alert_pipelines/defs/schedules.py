"""The schedule: when a scan is made, and when it is not."""

from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
)

from alert_pipelines.defs.asset_specs import SCAN_ASSETS, SCAN_CHECKS
from alert_pipelines.defs.jobs import AUTO_CLOSE_JOB, auto_close_job
from alert_pipelines.defs.own_runs import Location, location_of_tick, own_runs
from alert_pipelines.settings import CRON_VARIABLE, DEFAULT_CRON, OFF

AUTO_CLOSE_SCHEDULE = "auto_close_schedule"

BUSY = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]

_SCAN_KEYS = frozenset(spec.key for spec in SCAN_ASSETS)
# A check that others put on these assets runs without a scan.
_SCAN_CHECK_KEYS = frozenset(spec.key for spec in SCAN_CHECKS)


def build_schedule(cron: str | None) -> ScheduleDefinition:
    """The schedule of scans on `cron`, in UTC; None is a schedule that makes none."""
    return ScheduleDefinition(
        name=AUTO_CLOSE_SCHEDULE,
        job=auto_close_job,
        cron_schedule=cron or DEFAULT_CRON,
        execution_fn=_tick if cron else _tick_while_off,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING if cron else DefaultScheduleStatus.STOPPED,
        description=f"Scans the pending alerts. {CRON_VARIABLE} sets the cron expression, or {OFF}.",
    )


def busy_scan(instance: DagsterInstance, own: Location | None) -> DagsterRun | None:
    """A scan of that code location that waits or runs, however it was launched, or None.

    One launched by "Materialize" has neither the job's name nor its tags, so its assets are looked at.
    """
    return next((run for run in own_runs(instance, own, statuses=BUSY) if is_scan(run)), None)


def is_scan(run: DagsterRun) -> bool:
    """Whether a run of this code location is a scan, however it was launched."""
    return (
        run.job_name == AUTO_CLOSE_JOB
        or not _SCAN_KEYS.isdisjoint(run.asset_selection or ())
        or not _SCAN_CHECK_KEYS.isdisjoint(run.asset_check_selection or ())
    )


def _tick(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    busy = busy_scan(context.instance, location_of_tick(context))
    if busy is not None:
        return SkipReason(f"Scan run {busy.run_id} is {busy.status.value}: one scan at a time.")
    return RunRequest()


def _tick_while_off(context: ScheduleEvaluationContext) -> SkipReason:
    # A schedule that a person once switched on stays on whatever its default; the setting outranks it.
    return SkipReason(f"{CRON_VARIABLE} is {OFF}: no scans are made.")
