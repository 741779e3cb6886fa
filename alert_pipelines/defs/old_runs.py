"""Deleting what Dagster keeps of runs long ended: Dagster itself keeps every run for ever.

Runs go, and with them their events, logs and what the UI plots of them. Job records and alerts are never touched.
"""

import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import sqlalchemy
from dagster import DagsterInstance, DagsterRun, RunsFilter
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.tags import PARTITION_NAME_TAG

from alert_pipelines.errors import AlertPipelinesError

KEEP_VARIABLE = "AUTO_CLOSE_KEEP_RUNS_DAYS"
DEFAULT_KEEP_DAYS = 30
KEPT_OF_EACH_JOB = 20
"""So many of the newest runs of each job stay, however old they are."""

_BATCH = 50


class InvalidDaysError(AlertPipelinesError):
    """AUTO_CLOSE_KEEP_RUNS_DAYS is no number of days."""


class Deleted(NamedTuple):
    """What was done: runs deleted, old runs kept, and whether the time ran out before all were looked at."""

    deleted: int
    kept: int
    more_to_do: bool


def keep_days_setting(environ: Mapping[str, str] = os.environ) -> int:
    """For how many days runs are kept: what AUTO_CLOSE_KEEP_RUNS_DAYS sets, by default 30. Raises InvalidDaysError."""
    text = environ.get(KEEP_VARIABLE, "").strip() or str(DEFAULT_KEEP_DAYS)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 36_500:
        raise InvalidDaysError(
            f"{KEEP_VARIABLE}={text!r}: expected a whole number of days from 1, such as {DEFAULT_KEEP_DAYS}; to keep "
            "all runs, switch delete_old_runs_schedule off"
        )
    return int(text)


def delete_old_runs(instance: DagsterInstance, created_before: datetime, limit_s: float) -> Deleted:
    """Delete, oldest first, the finished runs created before that instant, for at most some `limit_s` seconds.

    The newest runs of each job stay, and those of partitions, which would show as missing without them.
    """
    ends = time.monotonic() + limit_s
    deleted = kept = 0
    newest: dict[str, frozenset[str]] = {}
    last_kept: str | None = None
    while time.monotonic() < ends:
        batch = instance.get_runs(
            RunsFilter(statuses=FINISHED_STATUSES, created_before=created_before),
            # A run that is gone marks no place to go on from.
            cursor=last_kept,
            limit=_BATCH,
            ascending=True,
        )
        if not batch:
            return Deleted(deleted, kept, more_to_do=False)
        for job in {run.job_name for run in batch} - newest.keys():
            newest[job] = _newest_runs(instance, job)
        old = [run.run_id for run in batch if not _stays(run, newest[run.job_name])]
        _delete(instance, old)
        deleted += len(old)
        staying = [run.run_id for run in batch if run.run_id not in set(old)]
        kept += len(staying)
        last_kept = staying[-1] if staying else last_kept
    return Deleted(deleted, kept, more_to_do=True)


def _newest_runs(instance: DagsterInstance, job: str) -> frozenset[str]:
    runs = instance.get_runs(RunsFilter(job_name=job), limit=KEPT_OF_EACH_JOB)
    return frozenset(run.run_id for run in runs)


def _stays(run: DagsterRun, newest: frozenset[str]) -> bool:
    return run.run_id in newest or PARTITION_NAME_TAG in run.tags


def _delete(instance: DagsterInstance, run_ids: Sequence[str]) -> None:
    runs, events = instance.run_storage, instance.event_log_storage
    if isinstance(runs, SqlRunStorage) and isinstance(events, SqliteEventLogStorage):
        _delete_with_files(runs, events, run_ids)
    else:
        for run_id in run_ids:
            instance.delete_run(run_id)
    _delete_left_behind(instance, run_ids)
    for run_id in run_ids:
        instance.compute_log_manager.delete_logs(prefix=[run_id])


def _delete_with_files(runs: SqlRunStorage, events: SqliteEventLogStorage, run_ids: Sequence[str]) -> None:
    """What `delete_run` does, many runs at a time, and without emptying each run's own file before that goes, too."""
    with runs.connect() as connection:
        connection.execute(RunsTable.delete().where(RunsTable.c.run_id.in_(run_ids)))
    with events.index_connection() as connection:
        for run_id in run_ids:
            events.delete_events_for_run(connection, run_id)
    for run_id in run_ids:
        for suffix in ("", "-wal", "-shm"):
            Path(events.path_for_shard(run_id) + suffix).unlink(missing_ok=True)


def _delete_left_behind(instance: DagsterInstance, run_ids: Sequence[str]) -> None:
    """What `delete_run` forgets: the runs' tags, where the database does not see to it, and the results of checks."""
    runs, events = instance.run_storage, instance.event_log_storage
    if isinstance(runs, SqlRunStorage):
        with runs.connect() as connection:
            connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id.in_(run_ids)))
    if isinstance(events, SqlEventLogStorage):
        results = AssetCheckExecutionsTable
        # What a check said last is what the UI shows of it.
        last = sqlalchemy.select(sqlalchemy.func.max(results.c.id)).group_by(results.c.asset_key, results.c.check_name)
        with events.index_connection() as connection:
            connection.execute(results.delete().where(results.c.run_id.in_(run_ids), results.c.id.not_in(last)))
