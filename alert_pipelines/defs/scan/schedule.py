"""The schedule: when a scan is made, and when it is not."""

import logging

from dagster import DefaultScheduleStatus, RunRequest, ScheduleDefinition, ScheduleEvaluationContext, SkipReason
from pymongo.errors import PyMongoError

from alert_pipelines.defs.names import NAMES
from alert_pipelines.defs.own_runs import location_of_tick
from alert_pipelines.defs.scan.asset import auto_close_job
from alert_pipelines.defs.scan.runs import ThisCopy, busy_scan
from alert_pipelines.defs.scan.stalled_runs import end_overdue_runs, end_stalled_scans
from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.job_records import is_claimed
from alert_pipelines.settings import CRON_VARIABLE, DEFAULT_CRON, OFF, TIMEZONE_VARIABLE, read_settings

AUTO_CLOSE_SCHEDULE = "auto_close_schedule"

_log = logging.getLogger(__name__)


def build_schedule(cron: str | None, timezone: str = "UTC") -> ScheduleDefinition:
    """The schedule of scans on `cron`, in the time of `timezone`; None is a schedule that makes none."""
    return ScheduleDefinition(
        name=AUTO_CLOSE_SCHEDULE,
        job=auto_close_job,
        cron_schedule=cron or DEFAULT_CRON,
        execution_fn=_tick if cron else _tick_while_off,
        required_resource_keys={"mongo", NAMES},
        execution_timezone=timezone,
        default_status=DefaultScheduleStatus.RUNNING if cron else DefaultScheduleStatus.STOPPED,
        description=f"Scans the pending alerts. {CRON_VARIABLE} sets the cron expression, or {OFF}. "
        f"{TIMEZONE_VARIABLE} sets its time zone.",
    )


def _tick(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    copy = ThisCopy(context.instance, location_of_tick(context), context.resources.names)
    is_elsewhere = copy.own is not None and _end_stalled(context, copy)
    busy = busy_scan(copy)
    if busy is not None:
        return SkipReason(f"Scan run {busy.run_id} is {busy.status.value}: one scan at a time.")
    if is_elsewhere:
        return SkipReason("A scan started elsewhere is running, see `alert-pipelines jobs list`: one scan at a time.")
    priority = read_settings().run_priority
    return RunRequest(tags={"dagster/priority": str(priority)} if priority else {})


def _end_stalled(context: ScheduleEvaluationContext, copy: ThisCopy) -> bool:
    """Look as the sensor does, so that what a dead process left skips no tick; whether a scan is running after that.

    The tick itself goes on in any case.
    """
    ended, is_running = end_overdue_runs(copy), False
    try:
        with context.resources.mongo.open() as db:
            ended += end_stalled_scans(copy, db)
            is_running = is_claimed(db)
    except (AlertPipelinesError, PyMongoError) as fault:
        # The scan that this tick makes meets the same fault, and fails with it where people look.
        _log.warning("Dead scans were not looked for: %s", fault)
    if ended:
        _log.warning("Ended as failed: %s", ", ".join(ended))
    return is_running


def _tick_while_off(context: ScheduleEvaluationContext) -> SkipReason:
    # A schedule that a person once switched on stays on whatever its default; the setting outranks it.
    return SkipReason(f"{CRON_VARIABLE} is {OFF}: no scans are made.")
