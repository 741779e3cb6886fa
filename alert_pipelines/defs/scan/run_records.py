"""What ties Dagster runs and job records: each names the other, and no record outlives its run as `running`."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from dagster import DagsterInstance, DagsterRun
from pymongo import DESCENDING

from alert_pipelines.alerts.decision_counts import DecisionCount, count, decisions_of, stats_of
from alert_pipelines.defs.names import Names
from alert_pipelines.errors import JobEndedError
from alert_pipelines.job_records import COLLECTION, DRY_RUN, FAILED, RUNNING, update_job_record
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.scanner.result import stored_violations

# Short names: a row of the runs' page has room for some thirty characters, and a job id differs in its last ones.
JOB_ID_TAG, DATABASE_TAG = "job_id", "database"
CLOSED_TAG, ESCALATED_TAG, BLOCKED_TAG, UNDONE_TAG = "closed", "escalated", "blocked", "undone"
DRY_RUN_TAG, WOULD_CLOSE_TAG, WOULD_ESCALATE_TAG = "dry_run", "would_close", "would_escalate"
SKIPPED_TAG = "alert_pipelines/skipped"
_OUTCOME_TAGS = (
    JOB_ID_TAG,
    DATABASE_TAG,
    CLOSED_TAG,
    ESCALATED_TAG,
    BLOCKED_TAG,
    UNDONE_TAG,
    DRY_RUN_TAG,
    WOULD_CLOSE_TAG,
    WOULD_ESCALATE_TAG,
    SKIPPED_TAG,
)
NO_RETRY_TAGS = {"dagster/max_retries": "0", "dagster/retry_on_asset_or_op_failure": "false"}
"""Keep an instance with `run_retries` from launching again a run that failed or died. An op's own retries remain.

One that died would meet its own claim, and lift limits by `allow_over_limit` once more.
"""

_log = logging.getLogger(__name__)


def record_of_run(db: AlertDatabase, run_id: str) -> dict[str, Any] | None:
    """The newest job record of a Dagster run, without `_id`; None where it has none."""
    return db[COLLECTION].find_one({"run_id": run_id}, {"_id": 0}, sort=[("started_at", DESCENDING)])


def runs_without_record(db: AlertDatabase, run_ids: Sequence[str]) -> list[str]:
    """Those of the Dagster runs that no job record names."""
    with_record = set(db[COLLECTION].distinct("run_id", {"run_id": {"$in": run_ids}}))
    return [run_id for run_id in run_ids if run_id not in with_record]


def run_of_job(db: AlertDatabase, job_id: str) -> str | None:
    """The Dagster run that a job record names; None where it was made elsewhere, or is not there."""
    run_id = (db[COLLECTION].find_one({"job_id": job_id}, {"run_id": 1}) or {}).get("run_id")
    return run_id if isinstance(run_id, str) else None


def tag_run(instance: DagsterInstance, names: Names, run_id: str, database: str, record: Mapping[str, Any]) -> None:
    """Let the run name its job record and its database, and say what it did: the page of the runs shows tags."""
    tags = {JOB_ID_TAG: record["job_id"], DATABASE_TAG: database, **_done(record)}
    _tag(instance, run_id, {names.name(tag): str(value) for tag, value in tags.items()})


def _done(record: Mapping[str, Any]) -> dict[str, Any]:
    if record.get("status") == RUNNING:
        # Its end could not be written, so what it did is not counted yet.
        return {}
    stats = record.get("stats", {})
    if "undone_job_id" in stats:
        return {UNDONE_TAG: stats.get("restored", 0)}
    if record.get("job_type") == DRY_RUN:
        planned = tuple(DecisionCount(**entry) for entry in stats.get("planned", []))
        would = {WOULD_CLOSE_TAG: count(planned, "close"), WOULD_ESCALATE_TAG: count(planned, "escalate")}
        return {DRY_RUN_TAG: "true", **would}
    blocked = sum(violation.planned for violation in stored_violations(stats))
    done = {CLOSED_TAG: record["alerts_closed"], ESCALATED_TAG: record["alerts_escalated"]}
    return done | ({BLOCKED_TAG: blocked} if blocked else {})


def tag_skipped(instance: DagsterInstance, names: Names, run_id: str) -> None:
    """Let the run say that it did nothing."""
    _tag(instance, run_id, {names.name(SKIPPED_TAG): "another scan was running"})


def _tag(instance: DagsterInstance, run_id: str, tags: Mapping[str, str]) -> None:
    try:
        instance.add_run_tags(run_id, tags)
    except Exception:
        # A run that a person deleted meanwhile, a storage that is locked: what the run did stands, tagged or not.
        _log.exception("Run %s could not be tagged with %s", run_id, tags)


def was_skipped(run: DagsterRun, names: Names) -> bool:
    """Whether the run did nothing, for another scan was running."""
    return bool(run.tags.get(names.name(SKIPPED_TAG)))


def keep_from_retry(instance: DagsterInstance, run: DagsterRun) -> None:
    """Give the run NO_RETRY_TAGS: one from "Materialize" lacks its job's tags, and others may have been changed."""
    if not NO_RETRY_TAGS.items() <= run.tags.items():
        instance.add_run_tags(run.run_id, NO_RETRY_TAGS)


def disown_tags(instance: DagsterInstance, names: Names, run: DagsterRun) -> None:
    """Empty the tags that say what a run did, of a run that has done nothing yet: Dagster removes no tag.

    It copies all of the run that is executed again, and whoever launches a run may give it any.
    """
    foreign = {tag: "" for tag in map(names.name, _OUTCOME_TAGS) if run.tags.get(tag)}
    if foreign:
        instance.add_run_tags(run.run_id, foreign)


def runs_with_open_records(db: AlertDatabase) -> list[str]:
    """The Dagster runs that running job records name."""
    found = db[COLLECTION].find({"status": RUNNING, "run_id": {"$type": "string"}}, {"run_id": 1})
    return [record["run_id"] for record in found]


def close_records_of_run(db: AlertDatabase, run_id: str, reason: str) -> list[str]:
    """End, as failed and with their true counts, the records of an ended run that are still running.

    Returns their job ids. Raises PyMongoError.
    """
    closed_records = []
    for record in db[COLLECTION].find({"run_id": run_id, "status": RUNNING}, {"job_id": 1}):
        stats = stats_of(decisions_of(db, record["job_id"]))
        # Its owner, or another claim, may have ended it since.
        with suppress(JobEndedError):
            update_job_record(record["job_id"], stats, FAILED, [reason], db)
            closed_records.append(record["job_id"])
    return closed_records
