"""The alert's vocabulary: statuses, transitions, the document's shape, the collection and its indexes.

What is decided about alerts belongs to `rules` and `scanner`; nothing here looks at a rule.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

import bson
from pydantic import BaseModel, ConfigDict
from pymongo import ASCENDING, IndexModel

from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.mongo.bson_types import NOT_NULL_TYPES
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.mongo.indexes import create_missing_indexes

COLLECTION = "alerts"

# An array of dates would match by its elements, and a date before Python's first is none here.
A_DATE: dict[str, Any] = {"$gte": datetime.min.replace(tzinfo=UTC), "$not": {"$type": "array"}}
"""The test of a field that holds one date, as Python knows dates."""


class SourceType(StrEnum):
    """The sources that the service itself writes; documents may name others."""

    OVERSPEEDING = "OVERSPEEDING"
    COMPLIANCE = "COMPLIANCE"
    FEEDBACK_NEGATIVE = "FEEDBACK_NEGATIVE"
    FEEDBACK_POSITIVE = "FEEDBACK_POSITIVE"
    DOCUMENT_EXPIRY = "DOCUMENT_EXPIRY"
    SAFETY = "SAFETY"


class Severity(StrEnum):
    """How grave an alert is; escalating makes it CRITICAL."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class Status(StrEnum):
    """Where an alert stands; OPEN and ESCALATED are pending."""

    OPEN = "OPEN"
    ESCALATED = "ESCALATED"
    AUTO_CLOSED = "AUTO_CLOSED"
    RESOLVED = "RESOLVED"


PENDING = (Status.OPEN, Status.ESCALATED)

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.OPEN: frozenset({Status.ESCALATED, Status.AUTO_CLOSED, Status.RESOLVED}),
    Status.ESCALATED: frozenset({Status.AUTO_CLOSED, Status.RESOLVED}),
    Status.AUTO_CLOSED: frozenset(),
    Status.RESOLVED: frozenset(),
}
"""What the scan may do. A person or an undo may besides set a closed alert pending again, and an undo may set
ESCALATED back to OPEN."""


class _Document(BaseModel):
    """Loads what the service wrote unchanged: no field required, unknown ones kept, nothing coerced."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    def to_document(self) -> dict[str, Any]:
        """The document as it was loaded: only the fields it had."""
        return self.model_dump(exclude_unset=True)


Text = str | None
Number = int | float | str | None
"""Sources keep numbers as texts, too. docs/rules.md says how a rule reads them."""
Time = datetime | str | None
"""UTC; a naive one is read as UTC. No rule reads a text as a time."""


class AlertMetadata(_Document):
    """What the source says of the event."""

    driver_id: str | int | None = None
    vehicle_id: str | int | None = None
    speed: Number = None
    speed_limit: Number = None
    location: Any = None
    document_type: Text = None
    expiry_date: Time = None
    document_valid: bool | int | str | None = None
    feedback_rating: Number = None
    feedback_comment: Text = None
    event_count: Number = None
    additional_data: Any = None


class StateChange(_Document):
    """One entry of an alert's `state_history`."""

    from_status: Text = None
    to_status: Text = None
    timestamp: Time = None
    reason: Text = None
    triggered_by: Text = None
    rule_triggered: Text = None


class Alert(_Document):
    """A document of `alerts`."""

    alert_id: str
    source_type: str
    severity: Text = None
    status: str
    timestamp: Time = None
    metadata: AlertMetadata | None = None
    state_history: list[StateChange] | str | None = None
    escalated_at: Time = None
    closed_at: Time = None
    resolved_at: Time = None
    auto_close_reason: Text = None
    expires_at: Time = None
    resolved_by: Text = None
    resolution_notes: Text = None
    created_at: Time = None
    updated_at: Time = None


_BY_NAME = sorted(map(str, Status))
OUTSIDE_CONTRACT: dict[str, Any] = {
    "$or": [
        {"status": {"$lt": _BY_NAME[0]}},
        *({"status": {"$gt": one, "$lt": next_}} for one, next_ in pairwise(_BY_NAME)),
        {"status": {"$gt": _BY_NAME[-1]}},
        {"status": None},
        {"status": {"$type": [kind for kind in NOT_NULL_TYPES if kind != "string"]}},
    ]
}
"""The alerts whose status is none of the four. In ranges, since the filter of an index cannot say `$nin`."""

_PENDING_ONLY = {"status": {"$in": [str(status) for status in PENDING]}}
WITH_STATUS_ARRAY: dict[str, Any] = {"status": {"$type": "array"}}
WITH_SOURCE_ARRAY: dict[str, Any] = {**_PENDING_ONLY, "source_type": {"$type": "array"}}


def one_of(texts: Iterable[str]) -> dict[str, Any]:
    """The test of a field that is one of `texts`: an array that holds one of them is not."""
    return {"$in": [str(text) for text in texts], "$not": {"$type": "array"}}


IS_PENDING: dict[str, Any] = {"status": one_of(PENDING)}
"""The filter of the pending alerts."""

# The indexes of pending alerts are partial: their size, and what a scan reads, follows the pending alerts and
# not the years of closed ones.
INDEXES = (
    IndexModel([("alert_id", ASCENDING)], name="alert_id_unique", unique=True),
    IndexModel(
        [("status", ASCENDING), ("timestamp", ASCENDING)],
        name="pending_by_time",
        partialFilterExpression=_PENDING_ONLY,
    ),
    IndexModel(
        [("source_type", ASCENDING), ("status", ASCENDING), ("timestamp", ASCENDING)],
        name="pending_by_source",
        partialFilterExpression=_PENDING_ONLY,
    ),
    # Few alerts have one: the others need no key here, which each close would have to remove.
    IndexModel(
        [("expires_at", ASCENDING)],
        name="pending_with_expiry",
        partialFilterExpression={**_PENDING_ONLY, "expires_at": {"$exists": True}},
    ),
    # Empty where alerts are as the service writes them: any other index has a key for each date of an array.
    IndexModel(
        [("timestamp", ASCENDING)],
        name="pending_with_timestamp_array",
        partialFilterExpression={**_PENDING_ONLY, "timestamp": {"$type": "array"}},
    ),
    IndexModel(
        [("expires_at", ASCENDING)],
        name="pending_with_expiry_array",
        partialFilterExpression={**_PENDING_ONLY, "expires_at": {"$type": "array"}},
    ),
    IndexModel([("source_type", ASCENDING), ("timestamp", ASCENDING)], name="by_source"),
    IndexModel(
        [("source_type", ASCENDING), ("metadata.driver_id", ASCENDING), ("timestamp", ASCENDING)],
        name="by_driver",
    ),
    IndexModel(
        [("source_type", ASCENDING), ("metadata.vehicle_id", ASCENDING), ("timestamp", ASCENDING)],
        name="by_vehicle",
    ),
    # Empty where every status is one of the contract, so no write pays for it.
    IndexModel([("status", ASCENDING)], name="status_outside_contract", partialFilterExpression=OUTSIDE_CONTRACT),
    # These two, empty as well, tell how many alerts of the indexes above have an array where a text belongs.
    IndexModel([("status", ASCENDING)], name="status_array", partialFilterExpression=WITH_STATUS_ARRAY),
    IndexModel(
        [("source_type", ASCENDING)], name="pending_with_source_array", partialFilterExpression=WITH_SOURCE_ARRAY
    ),
    # Sparse: most alerts were never decided by a job.
    IndexModel([("state_history.job_id", ASCENDING)], name="decisions_by_job", sparse=True),
)


@at_the_door
def ensure_indexes(db: AlertDatabase) -> list[str]:
    """Create the indexes that `alerts` lacks; return their names.

    Raises IndexConflictError, as DuplicateKeyValuesError where alerts share an id and all else is made.
    """
    return create_missing_indexes(db, COLLECTION, INDEXES)


class AlertNotFoundError(AlertPipelinesError):
    """No alert has this id."""


class SharedAlertIdError(AlertPipelinesError):
    """More than one alert has this id, so which is meant cannot be told."""


@at_the_door
def find_alert(db: AlertDatabase, alert_id: str, fields: Sequence[str] | None = None) -> AlertDocument:
    """The one alert of this id, whole or only its `fields`. Raises AlertNotFoundError, SharedAlertIdError."""
    found = list(db[COLLECTION].find({"alert_id": one_of([alert_id])}, fields).limit(2))
    if not found:
        raise AlertNotFoundError(f"no alert {alert_id!r} in {db.name}.{COLLECTION}: check the id")
    if len(found) > 1:
        raise SharedAlertIdError(
            f"more than one alert in {db.name}.{COLLECTION} has the id {alert_id!r}, so which is meant cannot be told: "
            "give each a different id"
        )
    return found[0]


def alert_key(_id: Any) -> bytes:
    """What identifies an alert in sets: any value may be an `_id`, also one that cannot be hashed."""
    return bson.encode({"_id": _id})


HISTORY: dict[str, Any] = {"$cond": [{"$isArray": "$state_history"}, "$state_history", []]}
"""The history as an expression: what is not an array holds no entries."""


def entries_from(position: str | dict[str, Any]) -> dict[str, Any]:
    """The history from the 0-based `position`, an expression, to its end."""
    left = {"$max": [1, {"$subtract": [{"$size": HISTORY}, position]}]}
    return {"$slice": [HISTORY, position, left]}


UNDONE_JOBS: dict[str, Any] = {"$let": {"vars": {"history": HISTORY}, "in": "$$history.undoes.job_id"}}
"""The jobs whose decision on the alert was undone, as an expression. Their decisions leave every figure."""


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
    by_job = {
        "$filter": {
            "input": HISTORY,
            "as": "entry",
            "cond": {
                "$and": [
                    {"$eq": ["$$entry.job_id", job_id]},
                    {"$eq": ["$$entry.triggered_by", "system"]},
                    # An entry that was edited since must not keep the next claim from being made.
                    {"$in": ["$$entry.to_status", [str(Status.AUTO_CLOSED), str(Status.ESCALATED)]]},
                ]
            },
        }
    }
    group = {"rule": "$entry.rule_triggered", "source": "$source_type", "to": "$entry.to_status"}
    pipeline: list[dict[str, Any]] = [
        {"$match": {"state_history.job_id": job_id}},
        {
            "$project": {
                "source_type": 1,
                "entry": {"$first": by_job},
                "undone": {"$cond": [{"$in": [job_id, UNDONE_JOBS]}, 1, 0]},
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
