"""Deleting what Dagster keeps of this code location's runs long ended: Dagster itself keeps every run for ever.

Runs go, and with them their events and logs and what the UI plots of them. Job records and alerts are never touched,
nor are the runs of any other code location.
"""

import time
from datetime import datetime
from typing import NamedTuple

from dagster import DagsterInstance

from alert_pipelines.defs.own_runs import FINISHED, Location, own_runs

KEPT_OF_EACH_JOB = 20
"""The newest runs of each job, this many, stay however old they are."""

_BATCH = 50
_PARTITION_TAG = "dagster/partition"


class Deleted(NamedTuple):
    """What was done: runs deleted, old runs kept, and whether the time ran out before all were looked at."""

    deleted: int
    kept: int
    more_to_do: bool


def delete_old_runs(instance: DagsterInstance, own: Location, created_before: datetime, limit_s: float) -> Deleted:
    """Delete, oldest first, the location's finished runs created before that, for at most some `limit_s` seconds.

    The newest runs of each job stay, and those of partitions, which would show as missing without them.
    """
    ends = time.monotonic() + limit_s
    deleted = kept = 0
    newest: dict[str, frozenset[str]] = {}
    last_kept: str | None = None
    while time.monotonic() < ends:
        batch = own_runs(
            instance,
            own,
            statuses=FINISHED,
            created_before=created_before,
            # A run that is gone marks no place to go on from.
            cursor=last_kept,
            limit=_BATCH,
            ascending=True,
        )
        if not batch:
            return Deleted(deleted, kept, more_to_do=False)
        for job in {run.job_name for run in batch} - newest.keys():
            kept_of_job = own_runs(instance, own, job_name=job, limit=KEPT_OF_EACH_JOB)
            newest[job] = frozenset(run.run_id for run in kept_of_job)
        staying = [run.run_id for run in batch if run.run_id in newest[run.job_name] or _PARTITION_TAG in run.tags]
        old = [run.run_id for run in batch if run.run_id not in staying]
        for run_id in old:
            instance.delete_run(run_id)
            instance.compute_log_manager.delete_logs(prefix=[run_id])
        deleted += len(old)
        kept += len(staying)
        last_kept = staying[-1] if staying else last_kept
    return Deleted(deleted, kept, more_to_do=True)
