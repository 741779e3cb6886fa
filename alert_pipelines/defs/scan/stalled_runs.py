"""Ends what dead processes left behind: job records that stay `running`, and runs of ours that Dagster takes for alive.

The sensor looks, and so does each tick of the schedule, so that neither a slow sensor of somebody else's nor an
instance without run monitoring keeps scans from being made. Only runs that are known to be ours are ended.

It looks at what is, not at Dagster's events: a worker that dies together with its code server causes none, and events
come five a tick. What it has to look at is open records, hardly ever more than one, however many runs have failed.
"""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord

from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import (
    finished_runs,
    is_elsewhere,
    location_of_run,
    own_run_records,
    records_of_no_other,
)
from alert_pipelines.defs.registry import is_ours_alone
from alert_pipelines.defs.scan.asset import auto_close
from alert_pipelines.defs.scan.dry_run import dry_run
from alert_pipelines.defs.scan.run_records import (
    close_records_of_run,
    disown_tags,
    record_of_run,
    runs_with_open_records,
    tag_run,
)
from alert_pipelines.defs.scan.runs import ThisCopy, makes_job_record
from alert_pipelines.job_records import DRY_RUN, RUNNING, SCANNER, StalledJob, fail_stalled_jobs
from alert_pipelines.mongo.client import AlertDatabase, server_now

MAX_SECONDS = 20.0
"""A tick ends what it can in so long and leaves the rest to the next: Dagster gives up a tick after 60 s."""

ENDED_FOR_GOOD = timedelta(minutes=1)
"""A run may outlive its record for a moment, while it tells Dagster what it did; after so long its process is gone."""

LONGEST_RUN_S = 3600.0
"""The bound of a run whose tags name none."""

LONGEST_START_S = LONGEST_SILENCE_S = 600.0
"""After so long a run that has not started, or a scan that has begun and has no job record, is taken for dead."""

LONGEST_CANCEL_S = 180.0

_RECENT = timedelta(hours=1)
_NO_RECORD = (
    f"This run gave no sign of life for {LONGEST_SILENCE_S:.0f} s and has no job record, so it changed no alert. "
    "The next scan does what is due."
)
_MAX_RUNTIME_TAGS = ("dagster/max_runtime", "dagster/max_runtime_seconds")
_AT_WORK = {DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED}
_STEPS = {auto_close.op.name: SCANNER, dry_run.op.name: DRY_RUN}
"""The job records that the steps make."""
_OVER = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE}

_log = logging.getLogger(__name__)


def end_stalled_scans(copy: ThisCopy, db: AlertDatabase) -> list[str]:
    """End the records of finished runs, fail stalled jobs and the runs of the dead; returns what was ended."""
    ended = _close_records_of_finished_runs(copy.instance, db)
    for record in fail_stalled_jobs(db):
        _fail_run(copy, db, record)
        ended.append(record.job_id)
    return ended + _fail_runs_without_living_record(copy, db)


def end_overdue_runs(copy: ThisCopy) -> list[str]:
    """End the location's runs that are past their bound, or do not start, or do not heed a cancel; returns their ids.

    As Dagster's own run monitoring would, which may be off. Needs no database.
    """
    ended = []
    for record in own_run_records(copy.instance, copy.own, statuses=[*_BOUNDS]):
        run, now = record.dagster_run, time.time()
        if is_ours_alone(run, copy.names) and (fault := _BOUNDS[run.status](record, now)):
            _end(copy.instance, run, fault)
            ended.append(f"run {run.run_id}")
    return ended


def disown_tags_of_unbegun(copy: ThisCopy) -> None:
    """Let re-executed runs of the location that have not begun bear no tag of what their parents did."""
    for record in own_run_records(copy.instance, copy.own, created_after=datetime.now(UTC) - _RECENT):
        run = record.dagster_run
        is_repeat = record.start_time is None and run.parent_run_id is not None
        if is_repeat and (makes_job_record(run, copy.names) or is_ours_alone(run, copy.names)):
            disown_tags(copy.instance, copy.names, run)


def _past_its_bound(record: RunRecord, now: float) -> str | None:
    bound = _bound_s(record.dagster_run)
    if bound is None or record.start_time is None or now - record.start_time <= bound:
        return None
    return f"This run took longer than its limit of {bound:.0f} s. The next scan does the rest."


def _does_not_start(record: RunRecord, now: float) -> str | None:
    return _unchanged_for(record, now, LONGEST_START_S, "did not start")


def _unchanged_for(record: RunRecord, now: float, seconds: float, fault: str) -> str | None:
    unchanged = now - record.update_timestamp.timestamp()
    return f"This run {fault} within {seconds:.0f} s." if unchanged > seconds else None


_BOUNDS: Mapping[DagsterRunStatus, Callable[[RunRecord, float], str | None]] = {
    DagsterRunStatus.STARTED: _past_its_bound,
    DagsterRunStatus.NOT_STARTED: _does_not_start,
    DagsterRunStatus.STARTING: _does_not_start,
    DagsterRunStatus.CANCELING: lambda record, now: _unchanged_for(
        record, now, LONGEST_CANCEL_S, "was cancelled and did not end"
    ),
}


def _bound_s(run: DagsterRun) -> float | None:
    """How long the run may take, read from its tags as Dagster reads them; None, without bound, where they say 0."""
    text = next((run.tags[name] for name in _MAX_RUNTIME_TAGS if name in run.tags), "")
    try:
        return float(text or LONGEST_RUN_S) or None
    except ValueError:
        return LONGEST_RUN_S


def _end(instance: DagsterInstance, run: DagsterRun, fault: str) -> None:
    """Have the run's process ended where it can be reached, and the run noted as ended in any case."""
    try:
        instance.run_launcher.terminate(run.run_id)
    except Exception:
        # Each launcher raises errors of other types, and most often the process has ended already.
        _log.exception("Could not end the process of run %s; the run is ended anyway", run.run_id)
    left = instance.get_run_by_id(run.run_id)
    if left is None or left.is_finished:
        return
    if run.status is DagsterRunStatus.CANCELING:
        instance.report_run_canceled(left, fault)
    else:
        instance.report_run_failed(left, fault)


def _close_records_of_finished_runs(instance: DagsterInstance, db: AlertDatabase) -> list[str]:
    ended: list[str] = []
    ends = time.monotonic() + MAX_SECONDS
    for run in finished_runs(instance, runs_with_open_records(db)):
        reason = f"its Dagster run ended as {run.status.value} without ending this record"
        ended += close_records_of_run(db, run.run_id, reason)
        if time.monotonic() > ends:
            break
    return ended


def _fail_run(copy: ThisCopy, db: AlertDatabase, record: StalledJob) -> None:
    run = copy.instance.get_run_by_id(record.run_id) if record.run_id else None
    if run is None or run.is_finished or is_elsewhere(run, copy.own):
        return
    # An attempt that the run has given up and will soon repeat leaves a dead record, too.
    if _last_of_scan(copy.instance, run).kind is DagsterEventType.STEP_UP_FOR_RETRY:
        return
    _report_dead(copy, run, db.name, record)


def _fail_runs_without_living_record(copy: ThisCopy, db: AlertDatabase) -> list[str]:
    """Fail the runs whose scan or dry run is at work for Dagster although no record of theirs runs.

    No such run may block the queue. So it is when another scan's claim failed the record while no daemon was there,
    when a tick ended between the two, and when worker and code server died before there was a record.
    """
    ended = []
    long_ago = server_now(db) - ENDED_FOR_GOOD
    for run_record in records_of_no_other(copy.instance, copy.own, [DagsterRunStatus.STARTED]):
        run = run_record.dagster_run
        if not makes_job_record(run, copy.names):
            continue
        record, last = record_of_run(db, run.run_id), _last_of_scan(copy.instance, run)
        is_silent = _is_silent(run_record, last, copy.names)
        # A run that scans and then makes a dry run has the scan's record until that of the dry run is there.
        if record is None or last.job_type not in {None, record["job_type"]}:
            if is_silent and location_of_run(run) is not None:
                _end(copy.instance, run, _NO_RECORD)
                ended.append(f"run {run.run_id}")
        elif (is_silent or last.kind in _AT_WORK) and _has_ended_for_good(record, last, long_ago):
            counts = record["alerts_closed"], record["alerts_escalated"]
            _report_dead(copy, run, db.name, StalledJob(record["job_id"], run.run_id, *counts))
            ended.append(record["job_id"])
    return ended


def _has_ended_for_good(record: Mapping[str, Any], last: "_Last", long_ago: datetime) -> bool:
    """Whether what the run's newest record stands for is over: long ago, or stalled and not about to be tried again."""
    if record["status"] == RUNNING:
        return False
    is_of_last_attempt = record.get("attempt") == last.attempt
    return bool(record["completed_at"] < long_ago or (record.get("stalled") and is_of_last_attempt))


def _report_dead(copy: ThisCopy, run: DagsterRun, database: str, record: StalledJob) -> None:
    tag_run(copy.instance, copy.names, run.run_id, database, record._asdict())
    copy.instance.report_run_failed(
        run,
        f"The process of this run died: job record {record.job_id} gave no sign of life. It closed "
        f"{record.alerts_closed} and escalated {record.alerts_escalated} alerts; the next scan does the rest.",
    )


class _Last(NamedTuple):
    """How far a run is with its scan: its step's last event, when, which attempt, job type; None before the first."""

    kind: DagsterEventType | None
    at: float | None
    attempt: int
    job_type: str | None


def _is_silent(record: RunRecord, last: _Last, names: Names) -> bool:
    """Whether the run should have a living record by now: its scan began, or was to be tried again, long ago."""
    # What other people's assets do in the same run before the scan may take its time.
    if last.kind in _OVER or (last.kind is None and not is_ours_alone(record.dagster_run, names)):
        return False
    since = last.at or record.start_time
    return since is not None and time.time() - since > LONGEST_SILENCE_S


def _last_of_scan(instance: DagsterInstance, run: DagsterRun) -> _Last:
    of_type = {*_AT_WORK, *_OVER, DagsterEventType.STEP_UP_FOR_RETRY}
    entries = [entry for entry in instance.all_logs(run.run_id, of_type=of_type) if entry.step_key in _STEPS]
    if not entries:
        return _Last(None, None, 0, None)
    last = entries[-1]
    attempt = sum(entry.dagster_event_type in _AT_WORK for entry in entries if entry.step_key == last.step_key)
    return _Last(last.dagster_event_type, last.timestamp, attempt, _STEPS[str(last.step_key)])
