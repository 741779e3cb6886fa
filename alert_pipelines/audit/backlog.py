"""Lists of alerts, and counts of pending alerts by source and age."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pymongo.errors import ExecutionTimeout

from alert_pipelines.alerts import COLLECTION, IS_PENDING, UNDONE_JOBS, Status, entries_where, one_of
from alert_pipelines.errors import SlowListError
from alert_pipelines.mongo.bson_types import is_date
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.clause import Filter, Stage
from alert_pipelines.rules.grouping import keys_of_sources
from alert_pipelines.rules.key_text import key_text
from alert_pipelines.rules.store import load_rules
from alert_pipelines.timestamps import FIRST_DATE

MAX_COUNTED = 10_000
"""How many alerts of a list are counted at most."""
_MAX_SECONDS = 60
_HOUR, _DAY, _WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)


class PendingOfAge(NamedTuple):
    """The pending alerts of one source: by status, by age, and the earliest timestamp up to now.

    `under_hour` holds those of a later timestamp as well, `no_date` those without a date.
    """

    source_type: str
    alerts: int
    open: int
    escalated: int
    under_hour: int
    under_day: int
    under_week: int
    older: int
    no_date: int
    oldest: datetime | None


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts to list; None is any.

    `rule_id`: those that this rule decided, also if that was undone. `key`: those whose key, as the rules group their
    source, has this value.
    """

    statuses: Sequence[Status] | None = None
    source_type: str | None = None
    rule_id: str | None = None
    key: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None


class ListedAlert(NamedTuple):
    """One alert of a list. `decided_by` is the rule of the last decision that a job made and nobody undid."""

    alert_id: str
    source_type: str
    severity: str | None
    status: str
    key: str | None
    timestamp: Any
    decided_by: str | None


class AlertList(NamedTuple):
    """The first alerts, and how many there are, counted up to MAX_COUNTED + 1."""

    alerts: tuple[ListedAlert, ...]
    total: int


@at_the_door
def pending_by_age(db: AlertDatabase, now: datetime) -> list[PendingOfAge]:
    """The pending alerts by source and age, the largest sources first. Raises PyMongoError."""
    dated = {"$and": [is_date("$timestamp"), {"$gte": ["$timestamp", FIRST_DATE]}]}
    ages = [
        {"case": {"$not": [dated]}, "then": "no_date"},
        {"case": {"$gt": ["$timestamp", now - _HOUR]}, "then": "under_hour"},
        {"case": {"$gt": ["$timestamp", now - _DAY]}, "then": "under_day"},
        {"case": {"$gt": ["$timestamp", now - _WEEK]}, "then": "under_week"},
    ]
    past = {"$and": [dated, {"$lte": ["$timestamp", now]}]}
    names = [*(str(age["then"]) for age in ages), "older"]
    pipeline: list[Stage] = [
        {"$match": IS_PENDING},
        {
            "$project": {
                "source_type": 1,
                "status": 1,
                "age": {"$switch": {"branches": ages, "default": "older"}},
                "past": {"$cond": [past, "$timestamp", None]},
            }
        },
        {
            "$group": {
                "_id": "$source_type",
                "alerts": {"$sum": 1},
                "open": _sum_of("$status", str(Status.OPEN)),
                "escalated": _sum_of("$status", str(Status.ESCALATED)),
                **{name: _sum_of("$age", name) for name in names},
                "oldest": {"$min": "$past"},
            }
        },
        {"$sort": {"alerts": -1, "_id": 1}},
    ]
    return [PendingOfAge(str(row.pop("_id")), **row) for row in db[COLLECTION].aggregate(pipeline, allowDiskUse=True)]


def _sum_of(value: str, wanted: str) -> dict[str, Any]:
    return {"$sum": {"$cond": [{"$eq": [value, wanted]}, 1, 0]}}


@at_the_door
def list_alerts(db: AlertDatabase, which: AlertFilter, limit: int, now: datetime) -> AlertList:
    """The first `limit` alerts of `which` as they are at `now`, the newest first; with `older_than`, the oldest first.

    Raises SlowListError, PyMongoError.
    """
    keys = keys_of_sources(load_rules(db).rule_set.active)
    match: Filter = {"$and": [*_tests(which, now), *([keys.with_part(_values_of(which.key))] if which.key else [])]}
    pipeline: list[Stage] = [
        {"$match": match if match["$and"] else {}},
        {"$sort": {"timestamp": -1 if which.older_than is None else 1}},
        {"$limit": limit},
        {
            "$project": {
                **dict.fromkeys(("alert_id", "source_type", "severity", "status", "timestamp"), 1),
                "key": keys.values,
                "decided_by": _last_rule(),
            }
        },
    ]
    options: dict[str, Any] = {"maxTimeMS": _MAX_SECONDS * 1000}
    try:
        rows = list(db[COLLECTION].aggregate(pipeline, **options))
        total = db[COLLECTION].count_documents(pipeline[0]["$match"], limit=MAX_COUNTED + 1, **options)
    except ExecutionTimeout as error:
        raise SlowListError(
            f"the server did not find these alerts within {_MAX_SECONDS} s: ask for one source, or for pending ones"
        ) from error
    return AlertList(tuple(map(_listed, rows)), total)


def _tests(which: AlertFilter, now: datetime) -> list[Filter]:
    tests: list[Filter] = []
    if which.statuses is not None:
        tests.append({"status": one_of(which.statuses)})
    if which.source_type is not None:
        tests.append({"source_type": one_of([which.source_type])})
    if which.rule_id is not None:
        by_rule = {"rule_triggered": which.rule_id, "triggered_by": "system"}
        tests.append({"state_history": {"$elemMatch": by_rule}})
    for operator, age in (("$lte", which.older_than), ("$gt", which.newer_than)):
        if age is not None:
            tests.append({"timestamp": {operator: now - age, "$not": {"$type": "array"}}})
    return tests


def _values_of(text: str) -> list[Any]:
    """What a key that is written as `text` may be stored as."""
    try:
        return [text, float(text)]
    except ValueError:
        return [text]


def _last_rule() -> dict[str, Any]:
    decided = entries_where(
        {"$eq": ["$$entry.triggered_by", "system"]}, {"$not": [{"$in": ["$$entry.job_id", UNDONE_JOBS]}]}
    )
    return {"$let": {"vars": {"last": {"$last": decided}}, "in": "$$last.rule_triggered"}}


def _listed(row: dict[str, Any]) -> ListedAlert:
    texts = {name: None if row.get(name) is None else str(row[name]) for name in ("severity", "decided_by")}
    key = row.get("key")
    return ListedAlert(
        alert_id=str(row.get("alert_id")),
        source_type=str(row.get("source_type")),
        status=str(row.get("status")),
        key=key_text(key) if key else None,
        timestamp=row.get("timestamp"),
        **texts,
    )
