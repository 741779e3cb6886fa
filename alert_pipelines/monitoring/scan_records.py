"""Reads what past scans did, from the job records of a limited time, by the index on `started_at`.

Scans are those of this project: the older service's scans are ignored. `health` evaluates the answers.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from pymongo import DESCENDING

from alert_pipelines.alerts.decision_counts import Decision, DecisionCount
from alert_pipelines.job_model import OURS
from alert_pipelines.job_records import COLLECTION, COMPLETED, RUNNING, SCANS
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.scanner.result import stored_violations

LOOK_BACK = timedelta(days=30)
"""Older scans are not read."""

HOUR = timedelta(hours=1)


class RecordTotal(NamedTuple):
    """The number of job records of one type with one status."""

    job_type: str
    status: str
    records: int


class ScanHour(NamedTuple):
    """The scans that began `age` to `age` + 1 hours ago: what they closed and escalated, and the most they found
    pending."""

    age: int
    closed: int
    escalated: int
    pending: int


@at_the_door
def last_completed_scan(db: AlertDatabase, now: datetime) -> dict[str, Any] | None:
    """Return the newest completed scan's record, without `_id`; None if there is none in 30 days."""
    return _last(db, {"status": COMPLETED}, now - LOOK_BACK, now)


@at_the_door
def last_ended_scan(db: AlertDatabase, now: datetime) -> dict[str, Any] | None:
    """Return the newest record of a scan that completed or failed, without `_id`; None if there is none in 30 days."""
    return _last(db, {"status": {"$ne": RUNNING}}, now - LOOK_BACK, now)


@at_the_door
def last_checked_scan(db: AlertDatabase, now: datetime) -> dict[str, Any] | None:
    """Return the newest scan that checked incremental scans, without `_id`; None if there is none in 30 days."""
    return _last(db, {"stats.overlooked": {"$type": "number"}}, now - LOOK_BACK, now)


@at_the_door
def first_blocked(db: AlertDatabase, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the first of the scans, without a gap before that of `record`, that the same limits blocked.

    None if they did not block the scan before it. Scans that ended before they had a plan are ignored.
    """
    limits, at = _limits(record), record["started_at"]
    planned = {**SCANS, "stats.planned": {"$exists": True}, "started_at": {"$lt": at, "$gte": at - LOOK_BACK}}
    fields = {"job_id": 1, "run_id": 1, "started_at": 1, "stats.blocked": 1, "stats.stopped": 1, "_id": 0}
    first = None
    for one in db[COLLECTION].find(planned, fields, sort=[("started_at", DESCENDING)]):
        if not limits <= _limits(one):
            break
        first = one
    return first


@at_the_door
def completed_before(db: AlertDatabase, since: datetime) -> bool:
    """Return whether a scan completed in the 30 days before `since`."""
    return _last(db, {"status": COMPLETED}, since - LOOK_BACK, since) is not None


@at_the_door
def decisions_by_rule(db: AlertDatabase, since: datetime) -> list[DecisionCount]:
    """Return what scans since `since` decided, by rule, source and decision, the most first."""
    path = "$stats.decisions"
    group = {"rule": f"{path}.rule_id", "source": f"{path}.source_type", "decision": f"{path}.decision"}
    rows = db[COLLECTION].aggregate(
        [
            {"$match": _scans_since(since)},
            {"$unwind": path},
            {"$group": {"_id": group, "alerts": {"$sum": f"{path}.alerts"}}},
            {"$sort": {"alerts": -1, "_id.rule": 1, "_id.source": 1, "_id.decision": 1}},
        ]
    )
    totals = []
    for row in rows:
        rule_id, source_type, decision = (str(row["_id"].get(name)) for name in group)
        totals.append(DecisionCount(rule_id, source_type, cast("Decision", decision), row["alerts"]))
    return totals


@at_the_door
def hours_of_scans(db: AlertDatabase, now: datetime, hours: int) -> list[ScanHour]:
    """Return the last `hours` hours in which scans started, the latest first; hours without scans are left out."""
    age = {"$floor": {"$divide": [{"$subtract": [now, "$started_at"]}, HOUR // timedelta(milliseconds=1)]}}
    rows = db[COLLECTION].aggregate(
        [
            {"$match": {**SCANS, "started_at": {"$gt": now - hours * HOUR, "$lte": now}}},
            {
                "$group": {
                    "_id": age,
                    "closed": {"$sum": "$alerts_closed"},
                    "escalated": {"$sum": "$alerts_escalated"},
                    "pending": {"$max": "$alerts_processed"},
                }
            },
            {"$sort": {"_id": 1}},
        ]
    )
    return [ScanHour(int(row["_id"]), row["closed"], row["escalated"], int(row["pending"] or 0)) for row in rows]


@at_the_door
def closing_jobs(db: AlertDatabase, since: datetime) -> Sequence[str]:
    """Return the ids of the scans since `since` that closed anything."""
    found = db[COLLECTION].find({**_scans_since(since), "alerts_closed": {"$gt": 0}}, {"job_id": 1})
    return [str(record["job_id"]) for record in found]


@at_the_door
def records_by_status(db: AlertDatabase, since: datetime) -> list[RecordTotal]:
    """Return the number of job records of this project since `since`, by type and status."""
    group = {"type": "$job_type", "status": "$status"}
    rows = db[COLLECTION].aggregate(
        [
            {"$match": {**OURS, "started_at": {"$gte": since}}},
            {"$group": {"_id": group, "records": {"$sum": 1}}},
            {"$sort": {"_id.type": 1, "_id.status": 1}},
        ]
    )
    return [RecordTotal(str(row["_id"].get("type")), str(row["_id"].get("status")), row["records"]) for row in rows]


@at_the_door
def running_scan(db: AlertDatabase) -> bool:
    """Return whether a scan's record is running."""
    return db[COLLECTION].find_one({**SCANS, "status": RUNNING}, {"_id": 1}) is not None


def _limits(record: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(one.blocked, one.decision) for one in stored_violations(record.get("stats"))}


def _scans_since(since: datetime) -> dict[str, Any]:
    return {**SCANS, "started_at": {"$gte": since}}


def _last(db: AlertDatabase, which: dict[str, Any], start: datetime, end: datetime) -> dict[str, Any] | None:
    query = {**SCANS, **which, "started_at": {"$gte": start, "$lt": end}}
    return db[COLLECTION].find_one(query, {"_id": 0}, sort=[("started_at", DESCENDING)])
