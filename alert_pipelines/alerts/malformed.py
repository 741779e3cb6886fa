"""Finds malformed alerts: their dates cannot be evaluated, or no decision can be written to them.

Malformed dates are found through an index each, so a scan of well-formed alerts reads none of them. Whether a decision
can be written is asked of due alerts alone.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from alert_pipelines.alerts.filters import IS_PENDING, MAX_ID_BYTES
from alert_pipelines.mongo.bson_types import NEITHER_DATE_NOR_ARRAY
from alert_pipelines.mongo.client import AlertDocument

Filter = dict[str, Any]
Stage = dict[str, Any]

MAX_NAMED = 1000
CLOCK_AHEAD = timedelta(days=1)
"""Clocks of devices differ by minutes; a timestamp this far ahead of the server's clock is wrong."""

BAD_TIMESTAMP: Filter = {
    **IS_PENDING,
    "timestamp": {"$not": {"$type": "array"}},
    "$or": [
        {"timestamp": None},
        # Type ranges are index ranges; `$not: {$type: "date"}` would read every pending alert.
        {"timestamp": {"$type": NEITHER_DATE_NOR_ARRAY}},
    ],
}
"""The pending alerts that no rule can judge, since their `timestamp` is not a date, nor an array."""
BAD_EXPIRES_AT: Filter = {
    **IS_PENDING,
    # `$exists` lets the server use the partial index; type ranges are ranges of it.
    "$and": [
        {"expires_at": {"$exists": True}},
        {"expires_at": {"$type": NEITHER_DATE_NOR_ARRAY}},
        {"expires_at": {"$not": {"$type": "array"}}},
    ],
}
"""The pending alerts that never expire, since their `expires_at` is not a date, nor an array."""


_ID_BYTES = {"$bsonSize": {"_id": "$_id"}}
_HISTORY_TYPES = ["array", "missing", "null", "undefined"]
UNWRITABLE: dict[str, Any] = {
    "$cond": [
        {"$and": [{"$in": [{"$type": "$state_history"}, _HISTORY_TYPES]}, {"$lte": [_ID_BYTES, MAX_ID_BYTES]}]},
        "$$REMOVE",
        {"alert_id": "$alert_id", "type": {"$type": "$state_history"}, "id_bytes": _ID_BYTES},
    ]
}
"""What is known of an alert to which no decision can be written, as an expression; nothing of all others.

Its history takes no entry, or its `_id` is so long that a batch of them does not fit into a command."""


def why_unwritable(found: Mapping[str, Any]) -> str:
    """Why no decision can be written to an alert, and what to do; `found` is what UNWRITABLE gave of it."""
    if found["id_bytes"] > MAX_ID_BYTES:
        return (
            f"the decision cannot be written: _id is not valid: expected at most {MAX_ID_BYTES} bytes; got "
            f"{found['id_bytes']}; give it a shorter one"
        )
    return (
        f"the decision cannot be recorded: state_history is not valid: expected an array; got {found['type']}; make it "
        "an array of its entries"
    )


class _Kind(NamedTuple):
    """One kind of date that is wrong: how alerts with it are found, at `field`, and what is said of each and of all."""

    field: str
    filter: Filter
    description: str
    effect: str


_Ask = Callable[[Callable[[], list[AlertDocument]]], list[AlertDocument]]


def malformed_dates(alerts: Collection[AlertDocument], as_of: datetime, _id: Any) -> list[str]:
    """What is wrong with the dates of one alert, in the words of a scan, if it is pending."""
    return name_malformed(alerts, as_of, None, lambda query: query(), {"_id": {"$eq": _id}})


def name_malformed(
    alerts: Collection[AlertDocument],
    as_of: datetime,
    session: ClientSession | None,
    ask: _Ask,
    among: Filter | None = None,
) -> list[str]:
    """Name the pending alerts with a malformed date, at most MAX_NAMED of each kind.

    `ask` runs the query; `among`, a filter on `_id`, leaves out all others.
    """
    kinds = _kinds(as_of)
    rows = ask(lambda: list(alerts.aggregate(_finding(alerts.name, kinds, among or {}), session=session)))
    errors: list[str] = []
    for number, kind in enumerate(kinds):
        found = [row for row in rows if row["kind"] == number]
        errors += [
            f"alert {row.get('alert_id', row['_id'])!r:.200}: {kind.field} {kind.description}; got "
            f"{row.get('value')!r:.100}. {kind.effect}"
            for row in found[:MAX_NAMED]
        ]
        if len(found) > MAX_NAMED:
            errors.append(f"more than {MAX_NAMED} pending alerts: {kind.field} {kind.description}. {kind.effect}")
    return errors


def _finding(collection: str, kinds: Sequence[_Kind], among: Filter) -> list[Stage]:
    """The stages that find some alerts of each kind: in one command, and each kind through its own index."""
    first, *others = (_finding_one(number, kind, among) for number, kind in enumerate(kinds))
    return [*first, *({"$unionWith": {"coll": collection, "pipeline": stages}} for stages in others)]


def _finding_one(number: int, kind: _Kind, among: Filter) -> list[Stage]:
    shown = {"alert_id": 1, "value": f"${kind.field}", "kind": {"$literal": number}}
    return [{"$match": {**kind.filter, **among}}, {"$limit": MAX_NAMED + 1}, {"$project": shown}]


def holds_array(path: str) -> Filter:
    """The pending alerts with an array at `path`, as the index over them has it."""
    return {**IS_PENDING, path: {"$type": "array"}}


def _kinds(as_of: datetime) -> tuple[_Kind, ...]:
    bad_timestamp = "is not a valid date: expected a BSON date"
    unjudged = "No rule can judge the alert until the timestamp is fixed."
    bad_expiry = "is not a valid date: expected a BSON date or null"
    unexpired = "The alert does not expire until expires_at is fixed."
    return (
        _Kind("timestamp", BAD_TIMESTAMP, bad_timestamp, unjudged),
        _Kind("timestamp", holds_array("timestamp"), bad_timestamp, unjudged),
        _Kind(
            "timestamp",
            _far_ahead(as_of),
            "is not a valid time of an alert: expected one at most a day ahead of the server's clock",
            "No rule decides the alert before that time. Check the clock of the device that sent it.",
        ),
        _Kind("expires_at", BAD_EXPIRES_AT, bad_expiry, unexpired),
        _Kind("expires_at", holds_array("expires_at"), bad_expiry, unexpired),
    )


def _far_ahead(as_of: datetime) -> Filter:
    """The pending alerts of a day or more after `as_of` and after the server's clock; an earlier as_of is fine."""
    ahead = {"$add": ["$$NOW", int(CLOCK_AHEAD.total_seconds() * 1000)]}
    return {
        **IS_PENDING,
        "timestamp": {"$gte": as_of + CLOCK_AHEAD, "$not": {"$type": "array"}},
        "$expr": {"$gte": ["$timestamp", ahead]},
    }
