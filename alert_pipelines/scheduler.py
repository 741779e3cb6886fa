"""The scheduler's four functions, as the old job's callers know them, over the Dagster instance.

They switch and read the schedule; the ticks themselves are made by `dagster-daemon`, another process. The code
location is loaded in this process, so AUTO_CLOSE_CRON has to be set here as it is there.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypedDict

from dagster import DagsterInstance
from dagster._core.errors import DagsterHomeNotSetError
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.remote_representation.external import RemoteSchedule
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.controller import get_daemon_statuses
from dagster_shared.utils.warnings import disable_dagster_warnings

from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines.defs.schedules import AUTO_CLOSE_SCHEDULE, CRON_VARIABLE, OFF, cron_setting
from alert_pipelines.errors import AlertPipelinesError

JOB_ID = "auto_close_scanner"
JOB_NAME = "Auto-close alert scanner"

_MODULE = "alert_pipelines.definitions"

# The one makes the ticks, the other starts what they queue.
_DAEMONS = ("SCHEDULER", "QUEUED_RUN_COORDINATOR")
# Daemons write a heartbeat every 30 s and remove none when they end.
_HEARTBEAT_TOLERANCE_S = 60.0


class SchedulerError(AlertPipelinesError):
    """The scheduler cannot be switched or asked."""


class ScheduledJob(TypedDict):
    """A scheduled job; `next_run_time` is an ISO instant in UTC, None while no tick will happen."""

    id: str
    name: str
    next_run_time: str | None


class SchedulerStatus(TypedDict):
    """Whether ticks will happen, and the job that they start."""

    running: bool
    jobs: list[ScheduledJob]


def start_scheduler(instance: DagsterInstance | None = None) -> SchedulerStatus:
    """Switch the schedule on and return the status, which is `running` only where the daemon lives, too.

    `instance` is by default the one of DAGSTER_HOME. Raises SchedulerError without one, or where AUTO_CLOSE_CRON
    says off.
    """
    if cron_setting() is None:
        raise SchedulerError(f"{CRON_VARIABLE} is {OFF}, which outranks this: set a cron expression, or unset it")
    with _instance(instance) as used:
        used.start_schedule(_schedule(used))
        return _status(used)


def shutdown_scheduler(instance: DagsterInstance | None = None) -> SchedulerStatus:
    """Switch the schedule off and return the status; a scan that runs goes on. Raises SchedulerError."""
    with _instance(instance) as used:
        schedule = _schedule(used)
        used.stop_schedule(schedule.get_remote_origin_id(), schedule.selector_id, schedule)
        return _status(used)


def is_scheduler_running(instance: DagsterInstance | None = None) -> bool:
    """Whether ticks will really happen: the schedule is on and the daemon alive. Raises SchedulerError.

    A daemon that died is noticed after 90 s at most.
    """
    return get_scheduler_status(instance)["running"]


def get_scheduler_status(instance: DagsterInstance | None = None) -> SchedulerStatus:
    """Whether the scheduler runs, and when the next scan is due. Raises SchedulerError."""
    with _instance(instance) as used:
        return _status(used)


@contextmanager
def _instance(given: DagsterInstance | None) -> Iterator[DagsterInstance]:
    if given is not None:
        yield given
        return
    try:
        instance = DagsterInstance.get()
    except DagsterHomeNotSetError as error:
        raise SchedulerError(
            "DAGSTER_HOME is not set, so there is no Dagster instance to ask: set it to the absolute path of the "
            "directory that the daemon uses (the scripts use .local/dagster)"
        ) from error
    with instance:
        yield instance


def _schedule(instance: DagsterInstance) -> RemoteSchedule:
    # Dagster warns of a deprecated property that it reads itself.
    with disable_dagster_warnings():
        return _load_schedule(instance)


def _load_schedule(instance: DagsterInstance) -> RemoteSchedule:
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=_MODULE)
    origin = InProcessCodeLocationOrigin(target, location_name=CODE_LOCATION)
    with origin.create_location(instance) as location:
        (repository,) = location.get_repositories().values()
        schedule: RemoteSchedule = repository.get_schedule(AUTO_CLOSE_SCHEDULE)
        return schedule


def _status(instance: DagsterInstance) -> SchedulerStatus:
    schedule = _schedule(instance)
    stored = instance.get_instigator_state(schedule.get_remote_origin_id(), schedule.selector_id)
    switched_on = schedule.get_current_instigator_state(stored).is_running and cron_setting() is not None
    # A daemon keeps the errors of its last minutes beside its heartbeat, and goes on making ticks.
    daemons = get_daemon_statuses(
        instance, _DAEMONS, ignore_errors=True, heartbeat_tolerance_seconds=_HEARTBEAT_TOLERANCE_S
    )
    running = switched_on and all(daemon.healthy for daemon in daemons.values() if daemon.required)
    next_run = _next_tick(schedule) if running else None
    return {"running": running, "jobs": [{"id": JOB_ID, "name": JOB_NAME, "next_run_time": next_run}]}


def _next_tick(schedule: RemoteSchedule) -> str:
    tick = next(iter(schedule.execution_time_iterator(datetime.now(UTC).timestamp())))
    return tick.astimezone(UTC).isoformat()
