"""The four functions of the old job's scheduler, for the Dagster schedule.

They switch and read the schedule; the ticks themselves are made by `dagster-daemon`, another process. The code
location is loaded in this process, so AUTO_CLOSE_CRON has to be set here as it is there. Which schedule of the instance
is meant is told by the one code location whose schedule it has; where there are several, or none yet, name `location`.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple, TypedDict

from dagster import DagsterInstance

from alert_pipelines.defs.dagster_internals import (
    DagsterHomeNotSetError,
    InProcessCodeLocationOrigin,
    InstigatorType,
    LoadableTargetOrigin,
    RemoteSchedule,
    disable_dagster_warnings,
    unhealthy_daemons,
)
from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import instigators
from alert_pipelines.defs.scan.schedule import AUTO_CLOSE_SCHEDULE
from alert_pipelines.errors import SchedulerError
from alert_pipelines.settings import CRON_VARIABLE, OFF, PREFIX_VARIABLE, read_settings

JOB_ID = "auto_close_scanner"
JOB_NAME = "Auto-close alert scanner"

_MODULE = "alert_pipelines.definitions"

# The one makes the ticks, the other starts what they queue.
_SCHEDULER = "SCHEDULER"
_DAEMONS = (_SCHEDULER, "QUEUED_RUN_COORDINATOR")

# The daemon looks at all schedules at the start of each minute; its first round begins when it starts.
_ROUND_S = 10.0
_SHORTEST_ROUND_S = 1.0
_LOOK_S = 0.1


class ScheduledJob(TypedDict):
    """A scheduled job; `next_run_time` is an ISO time in UTC, None while no tick will happen."""

    id: str
    name: str
    next_run_time: str | None


class ScheduleState(NamedTuple):
    """The schedule `name` of the code location `location`.

    `cron` is None where AUTO_CLOSE_CRON says off. `missing` names the daemons that make its ticks and do not run.
    `next_tick` is None while no tick will happen.
    """

    name: str
    location: str
    switched_on: bool
    cron: str | None
    timezone: str
    missing: tuple[str, ...]
    next_tick: datetime | None


class SchedulerStatus(TypedDict):
    """Whether ticks will happen, and the job that they start."""

    running: bool
    jobs: list[ScheduledJob]


def start_scheduler(instance: DagsterInstance | None = None, *, location: str | None = None) -> SchedulerStatus:
    """Switch the schedule on and return the status. It is `running` only if the daemon is alive, too.

    Takes a second, or up to ten at the start of a minute: as long as dagster-daemon may undo the switch.

    Args:
        instance: The Dagster instance. None: the one of DAGSTER_HOME.
        location: The name of the code location in the workspace. None: the only one that has the schedule.

    Returns:
        `running`, and in `jobs` the `id`, `name` and `next_run_time` of the job. The time is ISO 8601 in UTC,
        or None if the scheduler is not running.

    Raises:
        SchedulerError: No Dagster instance is set, no code location or several have the schedule, or AUTO_CLOSE_CRON
            is off.

    Example:
        >>> start_scheduler()["running"]
        True
    """
    if read_settings().cron is None:
        raise SchedulerError(f"{CRON_VARIABLE} is {OFF}, which outranks this: set a cron expression, or unset it")
    with _instance(instance) as used:
        schedule = _schedule(used, location)
        _switch(used, schedule, on=True)
        return _status(used, schedule)


def shutdown_scheduler(instance: DagsterInstance | None = None, *, location: str | None = None) -> SchedulerStatus:
    """Switch the schedule off and return the status. A running scan continues.

    Takes a second, or up to ten at the start of a minute: as long as dagster-daemon may undo the switch.

    Args:
        instance: The Dagster instance. None: the one of DAGSTER_HOME.
        location: The name of the code location in the workspace. None: the only one that has the schedule.

    Returns:
        `running`, and in `jobs` the `id`, `name` and `next_run_time` of the job. The time is ISO 8601 in UTC,
        or None if the scheduler is not running.

    Raises:
        SchedulerError: No Dagster instance is set, or no code location or several have the schedule.

    Example:
        >>> shutdown_scheduler()["running"]
        False
    """
    with _instance(instance) as used:
        schedule = _schedule(used, location)
        _switch(used, schedule, on=False)
        return _status(used, schedule)


def is_scheduler_running(instance: DagsterInstance | None = None, *, location: str | None = None) -> bool:
    """Return whether scans will run: the schedule is on and the daemon is alive. A dead daemon is noticed within 90 s.

    Args:
        instance: The Dagster instance. None: the one of DAGSTER_HOME.
        location: The name of the code location in the workspace. None: the only one that has the schedule.

    Returns:
        Whether it runs.

    Raises:
        SchedulerError: No Dagster instance is set, or no code location or several have the schedule.

    Example:
        >>> is_scheduler_running()
        True
    """
    return get_scheduler_status(instance, location=location)["running"]


def get_scheduler_status(instance: DagsterInstance | None = None, *, location: str | None = None) -> SchedulerStatus:
    """Return whether the scheduler is running, and the time of the next scan.

    Args:
        instance: The Dagster instance. None: the one of DAGSTER_HOME.
        location: The name of the code location in the workspace. None: the only one that has the schedule.

    Returns:
        `running`, and in `jobs` the `id`, `name` and `next_run_time` of the job. The time is ISO 8601 in UTC,
        or None if the scheduler is not running.

    Raises:
        SchedulerError: No Dagster instance is set, or no code location or several have the schedule.

    Example:
        >>> get_scheduler_status()["jobs"][0]["id"]
        'auto_close_scanner'
    """
    with _instance(instance) as used:
        return _status(used, _schedule(used, location))


def schedule_state(location: str | None) -> ScheduleState:
    """The schedule, whether it is on, and what is missing for its ticks. Raises SchedulerError."""
    with _instance(None) as used:
        return _state(used, _schedule(used, location))


@contextmanager
def _instance(given: DagsterInstance | None) -> Iterator[DagsterInstance]:
    if isinstance(given, DagsterInstance):
        yield given
        return
    if given is not None:
        raise SchedulerError(
            f"a {type(given).__name__} is not a valid instance: expected a DagsterInstance, or none for the one of "
            "DAGSTER_HOME. The scheduler's functions switch and read Dagster's schedule; they need no database"
        )
    try:
        instance = DagsterInstance.get()
    except DagsterHomeNotSetError as error:
        raise SchedulerError(
            "DAGSTER_HOME is not set, so there is no Dagster instance to ask: set it to the absolute path of the "
            "directory that the daemon uses (the scripts use .local/dagster)"
        ) from error
    with instance:
        yield instance


def _location(instance: DagsterInstance, named: str | None) -> str:
    """The code location whose schedule is meant. A guess would switch, or report as off, what nobody runs.

    While the instance knows none yet, nothing tells a wrong name from one that the daemon has still to load.
    """
    found = [one.location.name for one in instigators(instance, InstigatorType.SCHEDULE, _schedule_name())]
    if named is not None and (named in found or not found):
        return named
    if named is not None:
        raise SchedulerError(
            f"{named!r} is not a valid code location here: expected one that has {_schedule_name()} in this Dagster "
            f"instance, {' or '.join(found)}. If it is new in the workspace, start dagster-daemon with it first"
        )
    if len(found) == 1:
        return found[0]
    if found:
        raise SchedulerError(
            f"{_schedule_name()} is in several code locations of this Dagster instance: {', '.join(found)}. Name one: "
            f"location={found[0]!r}, or on the command line --location {found[0]}"
        )
    raise SchedulerError(
        f"this Dagster instance does not know {_schedule_name()} yet: start dagster-daemon with the code location "
        f"{CODE_LOCATION}, as scripts/dev does. If the workspace gives it another name, name it: location=…, or on the "
        "command line --location …"
    )


def _schedule_name() -> str:
    return Names(prefix=read_settings().prefix).name(AUTO_CLOSE_SCHEDULE)


def _schedule(instance: DagsterInstance, named: str | None) -> RemoteSchedule:
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=_MODULE)
    origin = InProcessCodeLocationOrigin(target, location_name=_location(instance, named))
    # Dagster warns of a deprecated property that it reads itself.
    with disable_dagster_warnings(), origin.create_location(instance) as location:
        (repository,) = location.get_repositories().values()
        name = _schedule_name()
        if not repository.has_schedule(name):
            raise SchedulerError(
                f"the code location has no schedule {name}: set {PREFIX_VARIABLE} before alert_pipelines is imported, "
                "as it is where the code server runs"
            )
        schedule: RemoteSchedule = repository.get_schedule(name)
        return schedule


def _switch(instance: DagsterInstance, schedule: RemoteSchedule, *, on: bool) -> None:
    """Switch it, and again where dagster-daemon undoes that.

    In a round of its scheduler the daemon reads the states of all schedules, and later, once an hour and after each
    change, it writes a schedule's whole state back: what was switched in between is then as it was before.
    """
    if _is_on(instance, schedule) is on:
        return
    round_s = max(_SHORTEST_ROUND_S, _ROUND_S - time.time() % 60)
    end = time.monotonic() + (0 if unhealthy_daemons(instance, [_SCHEDULER]) else round_s)
    while True:
        if on:
            instance.start_schedule(schedule)
        else:
            instance.stop_schedule(schedule.get_remote_origin_id(), schedule.selector_id, schedule)
        if time.monotonic() >= end:
            return
        time.sleep(_LOOK_S)


def _is_on(instance: DagsterInstance, schedule: RemoteSchedule) -> bool:
    stored = instance.get_instigator_state(schedule.get_remote_origin_id(), schedule.selector_id)
    return bool(schedule.get_current_instigator_state(stored).is_running)


def _status(instance: DagsterInstance, schedule: RemoteSchedule) -> SchedulerStatus:
    tick = _state(instance, schedule).next_tick
    next_run = tick.isoformat() if tick else None
    return {"running": tick is not None, "jobs": [{"id": JOB_ID, "name": JOB_NAME, "next_run_time": next_run}]}


def _state(instance: DagsterInstance, schedule: RemoteSchedule) -> ScheduleState:
    settings = read_settings()
    switched_on = _is_on(instance, schedule)
    missing = tuple(unhealthy_daemons(instance, _DAEMONS))
    ticks = switched_on and settings.cron is not None and not missing
    return ScheduleState(
        name=schedule.name,
        location=schedule.handle.location_name,
        switched_on=switched_on,
        cron=settings.cron,
        timezone=settings.timezone,
        missing=missing,
        next_tick=_next_tick(schedule) if ticks else None,
    )


def _next_tick(schedule: RemoteSchedule) -> datetime:
    tick: datetime = next(iter(schedule.execution_time_iterator(datetime.now(UTC).timestamp())))
    return tick.astimezone(UTC)
