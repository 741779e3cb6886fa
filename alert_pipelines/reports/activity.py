"""What was done to alerts within a time, change by change, from their own histories: scans, people, the old service.

The server finds, cuts and classifies; a row a change comes here, in batches. `daily` adds the rows up.
Which change counts as what is said in docs/daily-report.md.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from pymongo.errors import ExecutionTimeout

from alert_pipelines.alerts import COLLECTION, UNDONE_JOBS, author_of_change, entries_where, kind_of_change
from alert_pipelines.errors import ActivityTimeoutError
from alert_pipelines.mongo.bson_types import NEITHER_DATE_NOR_ARRAY, is_date
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.rules.clause import Filter, Stage
from alert_pipelines.rules.grouping import keys_of_sources
from alert_pipelines.rules.key_text import key_text
from alert_pipelines.rules.store import load_rules

BATCH = 20_000
"""The most changes that are in memory at once."""

MAX_DAYS = 366
"""The most days that a report holds."""

NO_RULE = "(no rule named)"


class Change(NamedTuple):
    """One change of one alert: its `day` (YYYY-MM-DD, UTC), what was done by whom, and for how long it had been there.

    `what`: opened, closed, resolved, escalated, reopened, undone. `by`: rules, people, undo; "" where it was opened.
    `rule` is "" but for what rules did. `key` groups alerts of one source as its rules do, None without one. `minutes`,
    of closed and resolved: since the alert was opened, None where that is not known or lies later.
    """

    day: str
    what: str
    by: str
    source: str
    rule: str
    key: str | None
    minutes: float | None


def changes(
    db: AlertDatabase, start: datetime, end: datetime, *, max_seconds: float | None = None
) -> Iterator[list[Change]]:
    """Every change from `start` to before `end`, both aware, in batches and no order.

    Raises ActivityTimeoutError where the server needs longer than `max_seconds`.
    """
    limit_ms = 0 if max_seconds is None else max(1, int(max_seconds * 1000))
    try:
        with db[COLLECTION].aggregate(_pipeline(db, start, end), batchSize=BATCH, maxTimeMS=limit_ms) as rows:
            while batch := [_change(row) for row in islice(rows, BATCH)]:
                yield batch
    except ExecutionTimeout as error:
        raise ActivityTimeoutError(
            f"the server needs over {max_seconds:.0f} s to find what was done from {start:%Y-%m-%d} to {end:%Y-%m-%d}"
        ) from error


def _change(row: dict[str, Any]) -> Change:
    key, by = row.get("key"), row["by"]
    rule = row.get("rule")
    return Change(
        day=row["day"],
        what=row["what"],
        by=by,
        source=str(row.get("source")),
        rule=(str(rule) if rule else NO_RULE) if by == "rules" else "",
        key=key_text(key) if key else None,
        minutes=row.get("minutes"),
    )


def _pipeline(db: AlertDatabase, start: datetime, end: datetime) -> list[Stage]:
    born = {"$cond": [is_date("$created_at"), "$created_at", "$timestamp"]}
    age_ms = {"$subtract": ["$change.at", "$born"]}
    has_age = {
        "$and": [
            {"$in": ["$change.what", ["closed", "resolved"]]},
            is_date("$born"),
            {"$gte": ["$change.at", "$born"]},
        ]
    }
    return [
        {"$match": {"$or": _touched(start, end)}},
        {"$set": {"born": born}},
        {
            "$project": {
                "born": 1,
                "source": "$source_type",
                "key": keys_of_sources(load_rules(db).rule_set.active).values,
                "change": _changes_of(start, end),
            }
        },
        {"$unwind": "$change"},
        {"$match": {"change.what": {"$ne": None}}},
        {
            "$project": {
                "_id": 0,
                "day": {"$dateToString": {"date": "$change.at", "format": "%Y-%m-%d"}},
                "what": "$change.what",
                "by": "$change.by",
                "rule": "$change.rule",
                "source": 1,
                "key": 1,
                "minutes": {"$cond": [has_age, {"$divide": [age_ms, 60_000]}, None]},
            }
        },
    ]


def _touched(start: datetime, end: datetime) -> list[Filter]:
    """Filters of which one at least matches every alert that was opened or changed from `start` to before `end`."""
    within: Filter = {"$gte": start, "$lt": end}
    return [
        {"state_history": {"$elemMatch": {"timestamp": within}}},
        {"created_at": within},
        # Opened at its timestamp: an alert whose created_at is not a date. Types are ranges of an index.
        {"created_at": None, "timestamp": within},
        {"created_at": {"$type": NEITHER_DATE_NOR_ARRAY}, "timestamp": within},
    ]


def _changes_of(start: datetime, end: datetime) -> dict[str, Any]:
    """What was done to an alert from `start` to before `end`, its opening at `$born` included; an expression."""
    opened = {"$cond": [_is_within("$born", start, end), [{"what": "opened", "by": "", "at": "$born"}], []]}
    entries = entries_where(
        _is_within("$$entry.timestamp", start, end), {"$not": [{"$in": ["$$entry.job_id", UNDONE_JOBS]}]}
    )
    read = {
        "what": kind_of_change("$$entry"),
        "by": author_of_change("$$entry"),
        "at": "$$entry.timestamp",
        "rule": "$$entry.rule_triggered",
    }
    return {"$concatArrays": [opened, {"$map": {"input": entries, "as": "entry", "in": read}}]}


def _is_within(expression: str, start: datetime, end: datetime) -> dict[str, Any]:
    return {"$and": [is_date(expression), {"$gte": [expression, start]}, {"$lt": [expression, end]}]}
