"""Counts what each rule did today, in 24 hours and in 7 days, and what people and undos reversed.

Closes and escalations come from the job records, which leave undone ones out. Reopened and undone alerts come from the
histories of the alerts that these jobs decided, by the index on `state_history.job_id`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from pymongo import DESCENDING

from alert_pipelines.alerts import COLLECTION, HISTORY, UNDONE_JOBS, Status, entries_from, kind_of_change
from alert_pipelines.audit.undo import JOB_TYPE as UNDO
from alert_pipelines.job_model import JOB_RECORDS, OURS
from alert_pipelines.job_records import SCANS
from alert_pipelines.mongo.bson_types import is_date
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.monitoring.scan_records import closing_jobs, decisions_by_rule
from alert_pipelines.rules.clause import Stage

DAY, WEEK = timedelta(hours=24), timedelta(days=7)


class What(StrEnum):
    """What happened to alerts by a rule, or to a rule's decisions."""

    CLOSED = "closed"
    ESCALATED = "escalated"
    REOPENED = "reopened"
    UNDONE = "undone"


class RuleActivity(NamedTuple):
    """The number of alerts since midnight (UTC), in 24 hours and in 7 days.

    REOPENED counts alerts that a scan of the 7 days closed and a person, or another program, set pending again.
    """

    rule_id: str
    what: What
    today: int
    day: int
    week: int


@at_the_door
def activity_by_rule(db: AlertDatabase, now: datetime) -> list[RuleActivity]:
    """Return what the rules did and what was reversed, in the order of `What`, then by the count of the week."""
    starts = (now.replace(hour=0, minute=0, second=0, microsecond=0), now - DAY, now - WEEK)
    counts: dict[tuple[What, str], list[int]] = {}
    for span, start in enumerate(starts):
        for total in decisions_by_rule(db, start):
            what = What.CLOSED if total.decision == "close" else What.ESCALATED
            counts.setdefault((what, total.rule_id), [0, 0, 0])[span] += total.alerts
    counts |= _by_rule(What.REOPENED, db[COLLECTION].aggregate(_reopened(closing_jobs(db, starts[-1]), starts)))
    counts |= _by_rule(What.UNDONE, db[COLLECTION].aggregate(_undone(_undoing_jobs(db, starts[-1]), starts)))
    rows = [RuleActivity(rule_id, what, *spans) for (what, rule_id), spans in counts.items()]
    order = list(What)
    return sorted(rows, key=lambda row: (order.index(row.what), -row.week, row.rule_id))


@at_the_door
def last_decisions(db: AlertDatabase, since: datetime) -> dict[str, datetime]:
    """Return the start of the last scan since `since` that decided anything by a rule, by rule id."""
    match = {**SCANS, "started_at": {"$gte": since}}
    rows = db[JOB_RECORDS].aggregate(
        [
            {"$match": match},
            {"$sort": {"started_at": DESCENDING}},
            {"$unwind": "$stats.decisions"},
            {"$group": {"_id": "$stats.decisions.rule_id", "at": {"$max": "$started_at"}}},
        ]
    )
    return {str(row["_id"]): row["at"] for row in rows}


@at_the_door
def largest_plans(db: AlertDatabase, since: datetime) -> dict[tuple[str, str], int]:
    """Return the most that one scan since `since` planned, by rule id and decision."""
    of_scan = {"job": "$job_id", "rule": "$stats.planned.rule_id", "decision": "$stats.planned.decision"}
    rows = db[JOB_RECORDS].aggregate(
        [
            {"$match": {**SCANS, "started_at": {"$gte": since}}},
            {"$unwind": "$stats.planned"},
            {"$group": {"_id": of_scan, "alerts": {"$sum": "$stats.planned.alerts"}}},
            {"$group": {"_id": {"rule": "$_id.rule", "decision": "$_id.decision"}, "most": {"$max": "$alerts"}}},
        ]
    )
    return {(str(row["_id"].get("rule")), str(row["_id"].get("decision"))): row["most"] for row in rows}


def _by_rule(what: What, rows: Iterable[Mapping[str, Any]]) -> dict[tuple[What, str], list[int]]:
    return {(what, str(row["_id"])): [row["today"], row["day"], row["week"]] for row in rows if row["week"]}


def _undoing_jobs(db: AlertDatabase, since: datetime) -> list[str]:
    found = db[JOB_RECORDS].find({"job_type": UNDO, **OURS, "started_at": {"$gte": since}}, {"job_id": 1})
    return [str(record["job_id"]) for record in found]


def closes_by(jobs: Iterable[str]) -> list[Stage]:
    """Return stages that yield a document for each close by the scans `jobs`.

    It has the `rule`, the `next` entry of the history, and whether the close was `undone`.
    """
    ids = list(jobs)
    closed = {"entry.job_id": {"$in": ids}, "entry.to_status": str(Status.AUTO_CLOSED), "entry.triggered_by": "system"}
    next_ = {"$first": entries_from({"$add": ["$position", 1]})}
    undone = {"$in": ["$entry.job_id", UNDONE_JOBS]}
    return [
        *_entries(ids),
        {"$match": closed},
        {"$project": {"rule": "$entry.rule_triggered", "next": next_, "undone": undone}},
    ]


IS_REOPENED: dict[str, Any] = {"$eq": [kind_of_change("$next"), "reopened"]}
"""Whether somebody set a closed alert of `closes_by` pending again right after, an undo left aside; an expression."""


def _reopened(jobs: Iterable[str], starts: tuple[datetime, ...]) -> list[Stage]:
    return [*closes_by(jobs), {"$match": {"$expr": IS_REOPENED}}, _counted("$rule", "$next.timestamp", starts)]


def _undone(jobs: Iterable[str], starts: tuple[datetime, ...]) -> list[Stage]:
    return [
        *_entries(jobs),
        {"$match": {"entry.job_id": {"$in": list(jobs)}, "entry.triggered_by": "undo"}},
        _counted("$entry.undoes.rule_id", "$entry.timestamp", starts),
    ]


def _entries(jobs: Iterable[str]) -> list[Stage]:
    return [
        {"$match": {"state_history.job_id": {"$in": list(jobs)}}},
        {"$set": {"entry": HISTORY}},
        {"$unwind": {"path": "$entry", "includeArrayIndex": "position"}},
    ]


def _counted(rule: str, at: str, starts: tuple[datetime, ...]) -> Stage:
    sums = {
        name: {"$sum": {"$cond": [{"$and": [is_date(at), {"$gte": [at, start]}]}, 1, 0]}}
        for name, start in zip(("today", "day", "week"), starts, strict=True)
    }
    return {"$group": {"_id": rule, **sums}}
