"""What really became of alerts after a time, and what was really done in a day, from their histories.

`backtest` counts what rules would have done.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import bson

from alert_pipelines.alerts import (
    COLLECTION,
    HISTORY,
    SETTLED_NAMES,
    Status,
    alert_key,
    author_of_change,
    entries_from,
    is_reopening,
    kind_of_change,
)
from alert_pipelines.backtesting.snapshot import EFFECTIVE_TIME, entries_by, touched_within
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import KNOWN_CODEC, at_the_door
from alert_pipelines.rules.clause import Stage

_BATCH = 10_000
# Somebody wrote down what was done; a mere click on "resolve" leaves no notes.
_WITH_NOTES = {
    "$and": [
        {"$eq": [{"$type": "$resolution_notes"}, "string"]},
        {"$ne": [{"$trim": {"input": {"$toString": "$resolution_notes"}}}, ""]},
    ]
}


@dataclass(frozen=True, slots=True)
class AlertOutcome:
    """What really became of one alert after a time.

    `ended_at` is when it was first closed or resolved, None where it never was or the entry bears no date of the years
    1 to 9999; `auto_closed` whether that was a close. `worked`: a person resolved it and left notes.
    """

    escalated: bool
    worked: bool
    reopened: bool
    ended: bool
    auto_closed: bool
    ended_at: datetime | None


@dataclass(frozen=True)
class ActualActivity:
    """The changes that the alerts' histories hold of one day, counted; `with_work` are part of `resolved`."""

    closed_by_rules: int = 0
    escalated_by_rules: int = 0
    closed_by_people: int = 0
    escalated_by_people: int = 0
    resolved: int = 0
    resolved_with_work: int = 0
    reopened: int = 0


@at_the_door
def outcomes_after(
    db: AlertDatabase, keys: Collection[bytes], as_of: datetime, scans_until: datetime
) -> Iterator[tuple[bytes, AlertOutcome]]:
    """What became after `as_of` of the alerts with these `alert_key`s; those deleted since are left out.

    What scans decided after `scans_until` belongs to it.
    """
    waiting = iter(keys)
    while batch := [bson.decode(key, KNOWN_CODEC)["_id"] for key in islice(waiting, _BATCH)]:
        with db[COLLECTION].aggregate(
            [{"$match": {"_id": {"$in": batch}}}, *_outcome_stages(as_of, scans_until)]
        ) as rows:
            for row in rows:
                ended_at = row.get("ended_at")
                yield (
                    alert_key(row["_id"]),
                    AlertOutcome(
                        escalated=row["escalated"],
                        worked=row["worked"],
                        reopened=row["reopened"],
                        ended=bool(row["ended"]),
                        auto_closed=row["ended"] == Status.AUTO_CLOSED,
                        ended_at=ended_at if isinstance(ended_at, datetime) else None,
                    ),
                )


@at_the_door
def actual_activity(db: AlertDatabase, start: datetime, end: datetime) -> ActualActivity:
    """Count what scans and people did after `start` up to `end`; a scan at `start` is part of it, one at `end` not."""
    changes = {"$slice": [HISTORY, "$from", {"$max": [1, {"$subtract": ["$to", "$from"]}]}]}
    pipeline: list[Stage] = [
        {"$match": {"$or": touched_within(start, end)}},
        {"$set": {"from": entries_by(start), "to": entries_by(end)}},
        {"$match": {"$expr": {"$gt": ["$to", "$from"]}}},
        {"$project": {"entry": changes, "notes": _WITH_NOTES}},
        {"$unwind": "$entry"},
        {"$set": {"what": kind_of_change("$entry"), "by": author_of_change("$entry")}},
        {"$match": {"what": {"$nin": [None, "undone"]}}},
        {
            "$group": {
                "_id": {"what": "$what", "by": "$by"},
                "changes": {"$sum": 1},
                "with_notes": {"$sum": {"$cond": ["$notes", 1, 0]}},
            }
        },
    ]
    done: Counter[str] = Counter()
    with db[COLLECTION].aggregate(pipeline, allowDiskUse=True) as rows:
        for row in rows:
            what, by = row["_id"]["what"], row["_id"]["by"]
            done[f"{what}_by_{by}" if what in ("closed", "escalated") else what] += row["changes"]
            if what == "resolved":
                done["resolved_with_work"] += row["with_notes"]
    return ActualActivity(**done)


def _outcome_stages(as_of: datetime, scans_until: datetime) -> list[Stage]:
    to_status = "$$entry.to_status"
    ends = {"$in": [to_status, SETTLED_NAMES]}
    resolved_by_person = {
        "$and": [
            {"$eq": [kind_of_change("$$entry"), "resolved"]},
            {"$eq": [author_of_change("$$entry"), "people"]},
        ]
    }
    # An undone close goes back to ESCALATED without anybody escalating it.
    escalates = {"$and": [{"$eq": [to_status, str(Status.ESCALATED)]}, {"$ne": ["$$entry.triggered_by", "undo"]}]}

    def any_later(condition: dict[str, Any]) -> dict[str, Any]:
        return {"$anyElementTrue": [{"$map": {"input": "$later", "as": "entry", "in": condition}}]}

    end = {"$first": {"$filter": {"input": "$later", "as": "entry", "cond": ends}}}
    return [
        {"$set": {"position": entries_by(as_of, scans_until)}},
        {"$set": {"later": entries_from("$position")}},
        {"$set": {"end": end}},
        {
            "$project": {
                "escalated": any_later(escalates),
                "worked": {"$and": [_WITH_NOTES, any_later(resolved_by_person)]},
                "reopened": any_later(is_reopening("$$entry")),
                "ended": {"$ifNull": ["$end.to_status", None]},
                "ended_at": {"$let": {"vars": {"entry": "$end"}, "in": EFFECTIVE_TIME}},
            }
        },
    ]
