"""Finds the runs and schedules of this code location in a Dagster instance. Others are never changed.

Other teams use the same instance, and two copies of this package may be in one workspace. So what is ours is told by
the code location and the repository that Dagster itself notes with each run, never by a job's name alone. Where nothing
tells what is ours, nothing is found.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypedDict, Unpack

from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRecord,
    RunsFilter,
    ScheduleEvaluationContext,
    SensorEvaluationContext,
)

from alert_pipelines.defs.dagster_internals import InstigatorType, ScheduleInstigatorData

FINISHED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)

_REPOSITORY_TAG = ".dagster/repository"
"""Dagster's own tag on each run that was launched from a code location; the UI filters runs by it."""


class Location(NamedTuple):
    """A code location and its repository, as the instance calls them."""

    name: str
    repository: str

    def __str__(self) -> str:
        return f"{self.repository}@{self.name}"


def location_of_run(run: DagsterRun) -> Location | None:
    """Where the run was launched from; None where it does not say, as with `dagster job execute` without the tag."""
    origin = run.remote_job_origin
    if origin:
        return Location(origin.location_name, origin.repository_origin.repository_name)
    repository, _, name = run.tags.get(_REPOSITORY_TAG, "").rpartition("@")
    return Location(name, repository) if repository and name else None


def location_of_sensor(context: SensorEvaluationContext) -> Location | None:
    """Where a sensor that ticks belongs; None where nobody says, as in a test of it."""
    origin = context.code_location_origin
    return Location(origin.location_name, context.repository_name) if origin and context.repository_name else None


def location_of_tick(context: ScheduleEvaluationContext) -> Location | None:
    """Where a schedule that ticks belongs; None where the tick is not the daemon's, as with "Test schedule".

    Dagster does not tell a schedule its location, but the tick's number, and keeps of each tick whose it is.
    """
    *_, number = context.log_key or ("",)
    storage = context.instance.schedule_storage
    if storage is None or not number.isdecimal():
        return None
    ticks = storage.get_ticks_by_ids([int(number)])
    owners = {tick.instigator_origin_id for tick in ticks}
    schedules = instigators(context.instance, InstigatorType.SCHEDULE)
    return next((one.location for one in schedules if one.origin_id in owners), None)


class Instigator(NamedTuple):
    """A schedule or sensor that the instance has seen: where it belongs, and whether it is on.

    `started_at`: since when a person wants a schedule to be on.
    """

    name: str
    location: Location
    is_running: bool
    started_at: float | None
    origin_id: str
    selector_id: str


def instigators(instance: DagsterInstance, of_type: InstigatorType, name: str | None = None) -> list[Instigator]:
    """The schedules or sensors that the instance has switched or let tick, by location; all, or those of `name`."""
    found = []
    for state in instance.all_instigator_state(instigator_type=of_type):
        repository, data = state.origin.repository_origin, state.instigator_data
        location = Location(repository.code_location_origin.location_name, repository.repository_name)
        started_at = data.start_timestamp if isinstance(data, ScheduleInstigatorData) else None
        ids = state.instigator_origin_id, state.selector_id
        if name in (None, state.name):
            found.append(Instigator(state.name, location, state.is_running, started_at, *ids))
    return sorted(found, key=lambda one: one.location)


def own_schedule(instance: DagsterInstance, own: Location | None, name: str) -> Instigator | None:
    """The location's schedule of that name; None where the instance has not seen it, or `own` is not known."""
    return next((one for one in instigators(instance, InstigatorType.SCHEDULE, name) if one.location == own), None)


def purge_own_ticks(instance: DagsterInstance, own: Location, before: datetime) -> None:
    """Delete the ticks, older than that, of the location's schedules and sensors."""
    for of_type in (InstigatorType.SCHEDULE, InstigatorType.SENSOR):
        for one in instigators(instance, of_type):
            if one.location == own:
                instance.purge_ticks(one.origin_id, one.selector_id, before.timestamp())


class Wanted(TypedDict, total=False):
    """Which runs of a location are asked for; what is not said is any."""

    statuses: Sequence[DagsterRunStatus]
    job_name: str
    created_before: datetime
    created_after: datetime
    tags: Mapping[str, str]


def own_runs(
    instance: DagsterInstance,
    own: Location | None,
    *,
    cursor: str | None = None,
    limit: int | None = None,
    ascending: bool = False,
    **wanted: Unpack[Wanted],
) -> Sequence[DagsterRun]:
    """The runs of that location and no other, the newest first; none where it is not known which one is meant."""
    if own is None:
        return []
    return instance.get_runs(_of(own, wanted), cursor=cursor, limit=limit, ascending=ascending)


def own_run_records(instance: DagsterInstance, own: Location | None, **wanted: Unpack[Wanted]) -> Sequence[RunRecord]:
    """The runs of that location with their times; none where it is not known which one is meant."""
    return [] if own is None else instance.get_run_records(_of(own, wanted))


def _of(own: Location, wanted: Wanted) -> RunsFilter:
    asked: Wanted = {**wanted, "tags": {**wanted.get("tags", {}), _REPOSITORY_TAG: str(own)}}
    return RunsFilter(**asked)


def records_of_no_other(
    instance: DagsterInstance, own: Location | None, statuses: Sequence[DagsterRunStatus]
) -> list[RunRecord]:
    """The runs of that location, and those that belong to none: only a job record in our database makes these ours."""
    records = instance.get_run_records(RunsFilter(statuses=statuses))
    return [record for record in records if not is_elsewhere(record.dagster_run, own)]


def is_elsewhere(run: DagsterRun, own: Location | None) -> bool:
    """Whether the run belongs to another location than that."""
    return location_of_run(run) not in (None, own)


def finished_runs(instance: DagsterInstance, run_ids: Sequence[str]) -> Sequence[DagsterRun]:
    """Those of the runs that have finished; they are ours since job records name them."""
    return instance.get_runs(RunsFilter(run_ids=run_ids, statuses=FINISHED)) if run_ids else []
