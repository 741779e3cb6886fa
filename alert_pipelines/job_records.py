"""Job records: the documents of `background_jobs`, and the claim that lets one scan run at a time.

A running record is the claim: a partial unique index admits one. It carries a lease on the server's clock,
renewed while its owner lives; a job whose lease ran out is stalled, and failed with its true counts.
"""

import logging
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError, OperationFailure

from alert_pipelines.alerts.decision_counts import decisions_of, leave_out_undone, stats_of
from alert_pipelines.errors import (
    InvalidJobStatusError,
    InvalidJobTypeError,
    InvalidLimitError,
    JobEndedError,
    JobNotFoundError,
    ScanAlreadyRunningError,
)
from alert_pipelines.event_loops import outside_event_loops
from alert_pipelines.job_model import BY_SERVICE, JOB_RECORDS, OURS, BackgroundJobModel
from alert_pipelines.mongo.bson_types import is_date
from alert_pipelines.mongo.client import AlertDatabase, as_permission_error, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.mongo.indexes import create_missing_indexes, present_indexes
from alert_pipelines.settings import DEFAULT_LEASE_S, LONGEST_LEASE_S, SHORTEST_LEASE_S, read_settings

COLLECTION = JOB_RECORDS
SCANNER = "auto_close_scanner"
DRY_RUN = "auto_close_dry_run"
SCANS: dict[str, Any] = {"job_type": SCANNER, **OURS}
"""The filter of the scans that this project made."""

RUNNING, COMPLETED, FAILED = "running", "completed", "failed"
STATUSES = (RUNNING, COMPLETED, FAILED)
COUNTS = ("alerts_processed", "alerts_closed", "alerts_escalated")

STALLED_WITHOUT_LEASE = timedelta(hours=1)
MAX_ERRORS = 100
MAX_ERROR_CHARS = 5_000
MAX_RECENT = 1000
_LAST_WRITE_S = 1.0
_WITHOUT_ID = {"_id": 0}
_WITHOUT_LEASE: dict[str, Any] = {"job_type": SCANNER, "lease_expires_at": None}
_MS = timedelta(milliseconds=1)
# Older records do not have it, and anybody may have edited it.
_HAS_LEASE_S = [{"$gte": ["$lease_s", SHORTEST_LEASE_S]}, {"$lte": ["$lease_s", LONGEST_LEASE_S]}]
_LEASE_OF_RECORD_S = {"$cond": [{"$and": _HAS_LEASE_S}, "$lease_s", DEFAULT_LEASE_S]}

_log = logging.getLogger(__name__)

# Bound to the scanner's own type: the service may run two jobs of another type at once.
CLAIM_INDEX = IndexModel(
    [("job_type", ASCENDING)],
    name="one_scan_at_a_time",
    unique=True,
    partialFilterExpression={"job_type": SCANNER, "status": RUNNING},
)
INDEXES = (
    IndexModel([("job_id", ASCENDING)], name="job_id_unique", unique=True),
    IndexModel([("started_at", DESCENDING)], name="recent"),
    IndexModel([("run_id", ASCENDING)], name="by_run", sparse=True),
    IndexModel([("job_type", ASCENDING), ("status", ASCENDING), ("completed_at", DESCENDING)], name="by_end"),
    IndexModel([("status", ASCENDING)], name="running", partialFilterExpression={"status": RUNNING}),
    CLAIM_INDEX,
)


class StalledJob(NamedTuple):
    """A record whose owner was found dead; the counts are those of the alerts' histories."""

    job_id: str
    run_id: str | None
    alerts_closed: int
    alerts_escalated: int


@at_the_door
def ensure_indexes(db: AlertDatabase) -> list[str]:
    """Create the indexes that `background_jobs` lacks; return their names.

    Stalled jobs are failed first: the service this replaces leaves several `running`, and the claim's unique
    index cannot be made over them. Raises IndexConflictError, UnusableDatabaseError.
    """
    present = present_indexes(db, COLLECTION)
    if not any(index["name"] == "one_scan_at_a_time" for index in present):
        fail_stalled_jobs(db)
    return create_missing_indexes(db, COLLECTION, INDEXES, present)


@at_the_door
def ensure_claim_index(db: AlertDatabase) -> None:
    """Create the index that keeps scans apart if it is missing. Raises IndexConflictError, MongoAuthenticationError."""
    create_missing_indexes(db, COLLECTION, [CLAIM_INDEX])


def new_job_id(now: datetime) -> str:
    """A fresh id, as `JOB-20250115-143022-a1b2c3d4`: `now` in UTC and eight random hex digits."""
    return f"JOB-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


@outside_event_loops
@at_the_door
def create_job_record(
    job_type: str, db: AlertDatabase, *, run_id: str | None = None, attempt: int = 1, as_of: datetime | None = None
) -> BackgroundJobModel:
    """Insert a `running` job record with a new lease. For a scan, this is the claim.

    Stalled jobs are ended first.

    Args:
        job_type: A name such as `auto_close_scanner`.
        db: The database of the alerts.
        run_id: The Dagster run that this execution belongs to.
        attempt: The number of this attempt of the run, from 1.
        as_of: The time that a scan is for.

    Returns:
        The record.

    Raises:
        ScanAlreadyRunningError: Another scan holds the claim.
        InvalidJobTypeError: The type is not a valid name.
        MongoAuthenticationError: The user may only read.
        SettingsError: A setting is not valid.

    Example:
        >>> create_job_record("nightly_export", db).status
        'running'
    """
    if not isinstance(job_type, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", job_type):
        raise InvalidJobTypeError(f"job type {job_type!r}: expected a name such as {SCANNER!r}")
    fail_stalled_jobs(db)
    job_id = new_job_id(server_now(db))
    record: dict[str, Any] = {
        "job_id": job_id,
        "job_type": job_type,
        "status": RUNNING,
        "completed_at": None,
        **dict.fromkeys(COUNTS, 0),
        "errors": [],
        "execution_time_ms": None,
        **({"run_id": run_id, "attempt": attempt} if run_id else {}),
        **({"as_of": as_of} if as_of else {}),
    }
    fields: dict[str, Any] = {name: {"$literal": value} for name, value in record.items()}
    fields |= {"started_at": "$$NOW", **lease_from_now(read_settings().lease_s)}
    try:
        # An upsert with a pipeline, since only pipelines know the server's clock.
        inserted = db[COLLECTION].find_one_and_update(
            {"job_id": job_id}, [{"$set": fields}], _WITHOUT_ID, upsert=True, return_document=ReturnDocument.AFTER
        )
    except DuplicateKeyError as error:
        raise _claimed_by_another(db, job_type) from error
    except OperationFailure as error:
        if refusal := as_permission_error(error, db.name):
            raise refusal from error
        raise
    # An upsert always has a document afterwards; None is for a find that updates nothing.
    return BackgroundJobModel.of(inserted or {})


@at_the_door
def is_claimed(db: AlertDatabase) -> bool:
    """Whether a scan holds the claim, whichever program makes it."""
    return db[COLLECTION].find_one({"job_type": SCANNER, "status": RUNNING}, {"_id": 1}) is not None


def _claimed_by_another(db: AlertDatabase, job_type: str) -> ScanAlreadyRunningError:
    holder = db[COLLECTION].find_one({"job_type": job_type, "status": RUNNING})
    if holder is None:
        return ScanAlreadyRunningError(f"another {job_type} has just ended. Try again.")
    return ScanAlreadyRunningError(
        f"another {job_type} is running: {holder.get('job_id')}, started {holder.get('started_at')} (Dagster run "
        f"{holder.get('run_id') or 'none'}). Wait for it to end; {_when_its_claim_ends(holder)}."
    )


def _when_its_claim_ends(holder: Mapping[str, Any]) -> str:
    """When a holder whose process is dead loses the claim; only a record without a lease can be another program's."""
    if holder.get("lease_expires_at") is not None:
        return f"if its process died, its lease expires at {holder['lease_expires_at']}"
    started = holder.get("started_at")
    latest = f", at the latest at {started + STALLED_WITHOUT_LEASE}" if isinstance(started, datetime) else ""
    return (
        "its record has no lease, as the older service writes it; if its process died, its claim ends when that "
        f"service starts its next job{latest}"
    )


@outside_event_loops
@at_the_door
def update_job_record(
    job_id: str, stats: Mapping[str, Any] | None, status: str, errors: Sequence[str] | None, db: AlertDatabase
) -> None:
    """Update a job record with the counts so far or, with `completed` or `failed`, its end.

    Args:
        job_id: The id of the record.
        stats: The counts `alerts_processed`, `alerts_closed` and `alerts_escalated` become fields of the record, all
            others its `stats`.
        status: `running`, `completed` or `failed`.
        errors: The errors. At most 100 are stored; `errors_total` has their number.
        db: The database of the alerts.

    Raises:
        JobNotFoundError: No record has this id.
        InvalidJobStatusError: The status is not one of the three.
        JobEndedError: The record has ended already.

    Example:
        >>> job = create_job_record("nightly_export", db)
        >>> update_job_record(job.job_id, {"alerts_processed": 7}, "completed", [], db)
        >>> get_recent_jobs(1, db)[0].alerts_processed
        7
    """
    if status not in STATUSES:
        raise InvalidJobStatusError(f"{job_id}: status {status!r}: expected one of {', '.join(STATUSES)}")
    given = dict(stats or {})
    fields: dict[str, Any] = {name: {"$literal": given.pop(name)} for name in COUNTS if name in given}
    errors = errors or ()
    fields |= {"status": status, "errors": {"$literal": _limit_errors(errors)}, "errors_total": len(errors)}
    if given:
        fields["stats"] = {"$literal": given}
    if status != RUNNING:
        fields |= _ended_now()
    result = db[COLLECTION].update_one({"job_id": {"$eq": job_id}, "status": RUNNING}, [{"$set": fields}])
    if result.matched_count == 0:
        record = db[COLLECTION].find_one({"job_id": {"$eq": job_id}}, {"status": 1})
        if record is None:
            raise JobNotFoundError(f"no job record {job_id!r} in {db.name}.{COLLECTION}: check the id")
        raise JobEndedError(
            f"{job_id} has already ended as {record['status']}, perhaps because it was stalled. It was not changed"
        )
    if status != RUNNING:
        _log.info("Updated job record: %s - Status: %s", job_id, status)


@outside_event_loops
@at_the_door
def get_recent_jobs(limit: int, db: AlertDatabase) -> list[BackgroundJobModel]:
    """Return the newest job records, the newest first.

    Args:
        limit: The number of records, from 1 to 1000.
        db: The database of the alerts.

    Returns:
        The records, including those of other programs.

    Raises:
        InvalidLimitError: `limit` is not an integer from 1 to 1000.

    Example:
        >>> job = create_job_record("nightly_export", db)
        >>> [each.job_type for each in get_recent_jobs(10, db)]
        ['nightly_export']
    """
    return [BackgroundJobModel.of(record) for record in recent_records(limit, db)]


@at_the_door
def recent_records(limit: int, db: AlertDatabase) -> list[dict[str, Any]]:
    """The documents of `get_recent_jobs` as they are stored, without `_id`. Raises InvalidLimitError."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_RECENT:
        raise InvalidLimitError(f"limit {limit!r}: expected a whole number from 1 to {MAX_RECENT}")
    return list(db[COLLECTION].find({}, _WITHOUT_ID).sort("started_at", DESCENDING).limit(limit))


@at_the_door
def fail_stalled_jobs(db: AlertDatabase) -> list[StalledJob]:
    """Set the job records of stalled jobs to `failed`, with their true counts.

    Stalled is: the lease ran out, or is one that no owner alive can hold; or, of a scan without a lease, what
    `_stalled_without_lease` says. Records of other types without a lease are not ours to judge.
    """
    now = server_now(db)
    lease_is_over = [
        {"lease_expires_at": {"$lt": now}},
        {"lease_expires_at": {"$ne": None, "$not": {"$type": "date"}}},
        {"lease_expires_at": {"$type": "array"}},
        _is_ahead("lease_expires_at", {"$multiply": [_LEASE_OF_RECORD_S, 2_000]}),
    ]
    # Every claim asks this, and there is almost always none.
    if db[COLLECTION].find_one({"status": RUNNING, "$or": [*lease_is_over, _WITHOUT_LEASE]}, {"_id": 1}) is None:
        return []
    stalled = {"status": RUNNING, "$or": [*lease_is_over, _stalled_without_lease(db, now)]}
    found = list(db[COLLECTION].find(stalled))
    if found:
        wait_for_in_flight_writes(db)
    return [job for record in found if (job := _fail_stalled(db, record, stalled, now))]


def _fail_stalled(
    db: AlertDatabase, record: Mapping[str, Any], stalled: dict[str, Any], now: datetime
) -> StalledJob | None:
    """End one record, unless `stalled`, the filter by which it was found, holds for it no more."""
    job_id = record.get("job_id")
    stats = stats_of(decisions_of(db, job_id) if isinstance(job_id, str) else ())
    counts = stats["alerts_closed"], stats["alerts_escalated"]
    fields: dict[str, Any] = {
        "status": FAILED,
        # Its owner did not end it, so nothing is to be waited for.
        "stalled": True,
        "alerts_closed": counts[0],
        "alerts_escalated": counts[1],
        # The older service's job names none of its decisions, and its record stays known as the service's.
        **({"stats.decisions": {"$literal": stats["decisions"]}} if record.get("lease_expires_at") else {}),
        "errors": {
            "$concatArrays": [
                {"$cond": [{"$isArray": "$errors"}, "$errors", []]},
                [f"the process that ran {job_id} died: it gave no sign of life until {now.isoformat()}"],
            ]
        },
        **_ended_now(),
    }
    kept = record.get("stats")
    # Anybody may have edited it, and every later claim has to pass here.
    if isinstance(kept, Mapping) and isinstance(undone := kept.get("undone_job_id"), str):
        leave_out_undone(db, undone)
    # The test is repeated: its owner may have come back between the two.
    if not db[COLLECTION].update_one({**stalled, "_id": record["_id"]}, [{"$set": fields}]).modified_count:
        return None
    _log.warning("Failed the stalled job %s: its process died; closed %d, escalated %d", job_id, *counts)
    return StalledJob(str(job_id), record.get("run_id"), *counts)


def _stalled_without_lease(db: AlertDatabase, now: datetime) -> dict[str, Any]:
    """The filter of the running scan records without a lease that are stalled.

    The older service writes them, runs one job at a time, and its published job never ends its record. So one is
    stalled as soon as a later one was started, or where none was ever completed; else after an hour, or without a date.
    """
    by_service = {"job_type": SCANNER, **BY_SERVICE}
    if db[COLLECTION].find_one({**by_service, "status": COMPLETED}, {"_id": 1}) is None:
        return _WITHOUT_LEASE
    started = {"started_at": {"$lte": now + STALLED_WITHOUT_LEASE}}
    last = db[COLLECTION].find_one({**by_service, **started}, {"started_at": 1}, sort=[("started_at", DESCENDING)])
    alive_since = now - STALLED_WITHOUT_LEASE
    if last is not None and isinstance(last["started_at"], datetime):
        alive_since = max(alive_since, last["started_at"])
    return {
        **_WITHOUT_LEASE,
        "$or": [{"started_at": {"$not": {"$gte": alive_since}}}, _is_ahead("started_at", STALLED_WITHOUT_LEASE // _MS)],
    }


def _is_ahead(field: str, by_ms: int | dict[str, Any]) -> dict[str, Any]:
    """The filter of records whose `field` lies further ahead than a clock that was not put back since can have set it.

    By the server's clock at that moment: to a claim that was held up, a lease renewed meanwhile would look like one.
    """
    return {"$expr": {"$gt": [f"${field}", {"$add": ["$$NOW", by_ms]}]}}


@at_the_door
def wait_for_in_flight_writes(db: AlertDatabase) -> None:
    """Return when no write that a scan gave up on is under way any more, so that what it decided can be counted.

    A server that was away may wake with such a write in hand. Its time is over, so the server ends it, but not before
    it looks. Raises PyMongoError where the server does not answer.
    """
    db.command("ping")
    time.sleep(_LAST_WRITE_S)


def lease_from_now(lease_s: int) -> dict[str, Any]:
    """The fields of a lease that is taken or renewed now. Its length is stored for readers with another setting."""
    return {"lease_expires_at": {"$add": ["$$NOW", 1_000 * lease_s]}, "lease_s": lease_s}


def _ended_now() -> dict[str, Any]:
    # The server's clock may have been set back since.
    took_ms = {"$max": [0, {"$toLong": {"$subtract": ["$$NOW", "$started_at"]}}]}
    return {
        "completed_at": "$$NOW",
        "execution_time_ms": {"$cond": [is_date("$started_at"), took_ms, None]},
        "lease_expires_at": "$$REMOVE",
        "lease_s": "$$REMOVE",
    }


def _limit_errors(errors: Sequence[str]) -> list[str]:
    # A record has to fit into a document, whatever the alerts and rules hold that are quoted.
    kept = [error if len(error) <= MAX_ERROR_CHARS else f"{error[:MAX_ERROR_CHARS]}…" for error in errors[:MAX_ERRORS]]
    return kept if len(errors) <= MAX_ERRORS else [*kept, f"… and {len(errors) - MAX_ERRORS} more"]
