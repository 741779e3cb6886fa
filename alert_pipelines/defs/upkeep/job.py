"""The job that deletes old runs of this code location, and its daily schedule."""

from datetime import UTC, datetime, timedelta

from dagster import OpExecutionContext, RunRequest, ScheduleEvaluationContext, SkipReason

from alert_pipelines.defs.background_jobs import BACKGROUND_TAGS, MAX_SECONDS, background_schedule, op_job
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.own_runs import Location, location_of_run, purge_own_ticks
from alert_pipelines.defs.upkeep.old_runs import delete_old_runs
from alert_pipelines.errors import NothingDeletedError
from alert_pipelines.settings import KEEP_VARIABLE, read_settings


@op_job(
    "delete_old_runs",
    description=f"Delete finished runs of this code location older than {KEEP_VARIABLE} days, with events and logs. "
    "Keeps job records, and runs of other code locations.",
    tags=BACKGROUND_TAGS,
)
def delete_old_runs_job(context: OpExecutionContext) -> None:
    """Delete the location's ticks and finished runs that are older than the setting says; the rest is for later."""
    with as_dagster_failure():
        own = _own_location(context)
        created_before = datetime.now(UTC) - timedelta(days=_keep_days())
    purge_own_ticks(context.instance, own, created_before)
    deleted = delete_old_runs(context.instance, own, created_before, MAX_SECONDS)
    rest = "; the time was up, and there may be more: launch the job again, or wait for its next tick"
    context.log.info(
        "Deleted %d runs of %s created before %s, kept %d%s",
        deleted.deleted,
        own,
        created_before.isoformat(timespec="seconds"),
        deleted.kept,
        rest if deleted.more_to_do else "",
    )
    context.add_output_metadata(
        {"deleted": deleted.deleted, "kept though old": deleted.kept, "more to do": deleted.more_to_do}
    )


def _keep_days() -> int:
    days = read_settings().keep_runs_days
    if days is None:
        raise NothingDeletedError(
            f"No run was deleted: {KEEP_VARIABLE} is not set. Set it where the code server runs, for example to 30"
        )
    return days


def _own_location(context: OpExecutionContext) -> Location:
    own = location_of_run(context.run)
    if own is None:
        raise NothingDeletedError(
            "No run was deleted: this run does not say which code location it belongs to, so no other run is known to "
            "belong to the same one. Launch the job from the UI or by `dagster job launch`, not by `dagster job "
            "execute`"
        )
    return own


def _request(_context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Delete only where somebody said for how long runs are to be kept."""
    if read_settings().keep_runs_days is None:
        return SkipReason(f"{KEEP_VARIABLE} is not set: all runs are kept.")
    return RunRequest()


delete_old_runs_schedule = background_schedule(
    delete_old_runs_job,
    "17 4 * * *",
    f"Once a day, deletes finished runs of this code location older than {KEEP_VARIABLE} days, if it is set.",
    _request,
)
