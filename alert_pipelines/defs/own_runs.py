"""Which runs of a Dagster instance are this code location's. Everybody else's are never touched.

Other teams use the same instance, and two copies of this package may be in one workspace. So what is ours is told by
the code location and the repository that Dagster itself notes with each run, never by a job's name alone. Where nothing
tells what is ours, nothing is found.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

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
    """Where the run was launched from; None where it does not say, as with `dagster job execute`."""
    origin = run.remote_job_origin
    return Location(origin.location_name, origin.repository_origin.repository_name) if origin else None


def own_runs(
    instance: DagsterInstance,
    own: Location,
    *,
    statuses: Sequence[DagsterRunStatus] = (),
    job_name: str | None = None,
    created_before: datetime | None = None,
    cursor: str | None = None,
    limit: int | None = None,
    ascending: bool = False,
) -> Sequence[DagsterRun]:
    """The runs of that location and no other, the newest first."""
    return instance.get_runs(
        RunsFilter(
            statuses=statuses,
            job_name=job_name,
            created_before=created_before,
            tags={_REPOSITORY_TAG: str(own)},
        ),
        cursor=cursor,
        limit=limit,
        ascending=ascending,
    )
