"""Which runs of this code location are scans or dry runs, and which scans wait or run."""

from typing import NamedTuple

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from alert_pipelines.defs.asset_specs import DRY_RUNS, SCAN_ASSETS
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import Location, own_runs

AUTO_CLOSE_JOB = "auto_close_job"
DRY_RUN_JOB = "dry_run_job"

BUSY = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]

_SCAN_KEYS = frozenset(spec.key for spec in SCAN_ASSETS)


class ThisCopy(NamedTuple):
    """This copy of the package in a Dagster instance: its code location, None where nobody says, and its names."""

    instance: DagsterInstance
    own: Location | None
    names: Names


def is_scan(run: DagsterRun, names: Names) -> bool:
    """Whether a run of this code location is a scan, however it was launched."""
    scanned = {names.key(key) for key in _SCAN_KEYS}
    return run.job_name == names.name(AUTO_CLOSE_JOB) or not scanned.isdisjoint(run.asset_selection or ())


def makes_job_record(run: DagsterRun, names: Names) -> bool:
    """Whether a run of this code location is a scan or a dry run, however it was launched."""
    is_dry_run = run.job_name == names.name(DRY_RUN_JOB) or names.key(DRY_RUNS) in (run.asset_selection or ())
    return is_dry_run or is_scan(run, names)


def busy_scan(copy: ThisCopy) -> DagsterRun | None:
    """A scan of that code location that waits or runs, however it was launched, or None.

    One launched by "Materialize" has neither the job's name nor its tags, so its assets are looked at.
    """
    return next((run for run in own_runs(copy.instance, copy.own, statuses=BUSY) if is_scan(run, copy.names)), None)
