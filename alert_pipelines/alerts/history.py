"""Expressions on the history of an alert and its entries, and the counts of one job's decisions."""

from typing import Any, NamedTuple

from alert_pipelines.alerts.collection import COLLECTION
from alert_pipelines.alerts.filters import PENDING_NAMES, SETTLED_NAMES
from alert_pipelines.alerts.model import Status
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door

HISTORY: dict[str, Any] = {"$cond": [{"$isArray": "$state_history"}, "$state_history", []]}
"""The history as an expression: what is not an array holds no entries."""


def entries_from(position: str | dict[str, Any]) -> dict[str, Any]:
    """The history from the 0-based `position`, an expression, to its end."""
    left = {"$max": [1, {"$subtract": [{"$size": HISTORY}, position]}]}
    return {"$slice": [HISTORY, position, left]}


def entries_where(*conditions: Any) -> dict[str, Any]:
    """The entries, each called `$$entry`, that meet all `conditions`, which are expressions; an expression."""
    return {"$filter": {"input": HISTORY, "as": "entry", "cond": {"$and": [*conditions]}}}


UNDONE_JOBS: dict[str, Any] = {"$let": {"vars": {"history": HISTORY}, "in": "$$history.undoes.job_id"}}
"""The jobs whose decision on the alert was undone, as an expression. Their decisions leave every figure."""


def is_reopening(entry: str) -> dict[str, Any]:
    """Whether `entry`, a path, sets a settled alert pending again, as an expression; an undo does, too.

    Not whatever comes from no settled status: some services note an alert's creation as its first entry.
    """
    to, was = f"{entry}.to_status", f"{entry}.from_status"
    return {"$and": [{"$in": [to, PENDING_NAMES]}, {"$in": [was, SETTLED_NAMES]}]}


def kind_of_change(entry: str) -> dict[str, Any]:
    """What `entry`, a path, did: closed, resolved, reopened, escalated, undone; null for any other. An expression."""
    to = f"{entry}.to_status"
    return {
        "$switch": {
            "branches": [
                {"case": {"$eq": [f"{entry}.triggered_by", "undo"]}, "then": "undone"},
                {"case": {"$eq": [to, str(Status.AUTO_CLOSED)]}, "then": "closed"},
                {"case": {"$eq": [to, str(Status.RESOLVED)]}, "then": "resolved"},
                {"case": is_reopening(entry), "then": "reopened"},
                {"case": {"$eq": [to, str(Status.ESCALATED)]}, "then": "escalated"},
            ],
            "default": None,
        }
    }


def author_of_change(entry: str) -> dict[str, Any]:
    """Who made `entry`, a path: rules, undo or people, which is whoever else. An expression."""
    by = f"{entry}.triggered_by"
    branches = [
        {"case": {"$eq": [by, "system"]}, "then": "rules"},
        {"case": {"$eq": [by, "undo"]}, "then": "undo"},
    ]
    return {"$switch": {"branches": branches, "default": "people"}}


class DecisionTally(NamedTuple):
    """How many alerts of one source one job set to one status by one rule, and how many of these were undone."""

    rule_id: str
    source_type: str
    to_status: Status
    alerts: int
    undone: int


@at_the_door
def tally_decisions(db: AlertDatabase, job_id: str) -> list[DecisionTally]:
    """The decisions that `job_id` left in the alerts' own histories, also those later undone or overtaken.

    The server's reply is not enough: a failed update_many has written some alerts and does not say how many.
    """
    by_job = entries_where(
        {"$eq": ["$$entry.job_id", {"$literal": job_id}]},
        {"$eq": ["$$entry.triggered_by", "system"]},
        # An entry that was edited since must not keep the next claim from being made.
        {"$in": ["$$entry.to_status", [str(Status.AUTO_CLOSED), str(Status.ESCALATED)]]},
    )
    group = {"rule": "$entry.rule_triggered", "source": "$source_type", "to": "$entry.to_status"}
    pipeline: list[dict[str, Any]] = [
        {"$match": {"state_history.job_id": {"$eq": job_id}}},
        {
            "$project": {
                "source_type": 1,
                "entry": {"$first": by_job},
                "undone": {"$cond": [{"$in": [{"$literal": job_id}, UNDONE_JOBS]}, 1, 0]},
            }
        },
        {"$match": {"entry": {"$type": "object"}}},
        {"$group": {"_id": group, "alerts": {"$sum": 1}, "undone": {"$sum": "$undone"}}},
        {"$sort": {"_id.rule": 1, "_id.source": 1, "_id.to": 1}},
    ]
    return [
        DecisionTally(
            str(row["_id"].get("rule")),
            str(row["_id"].get("source")),
            Status(row["_id"]["to"]),
            row["alerts"],
            row["undone"],
        )
        for row in db[COLLECTION].aggregate(pipeline)
    ]


@at_the_door
def count_decided(db: AlertDatabase, job_id: str) -> int:
    """How many alerts hold an entry of `job_id`; an index knows that, and no alert is read."""
    return db[COLLECTION].count_documents({"state_history.job_id": {"$eq": job_id}})
