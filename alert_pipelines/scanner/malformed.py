"""Names the pending alerts whose dates no rule can judge, and those whose timestamp lies far ahead.

Each kind is found through an index, so a scan of well-formed alerts reads none of them.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from alert_pipelines.alerts import IS_PENDING
from alert_pipelines.mongo.bson_types import NEITHER_DATE_NOR_ARRAY
from alert_pipelines.mongo.client import AlertDocument
from alert_pipelines.rules.clause import Filter, Stage

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


class _Kind(NamedTuple):
    """One kind of date that is wrong: how alerts with it are found, at `field`, and what is said of each and of all."""

    field: str
    filter: Filter
    description: str
    effect: str


_Ask = Callable[[Callable[[], list[AlertDocument]]], list[AlertDocument]]


def name_malformed(
    alerts: Collection[AlertDocument], as_of: datetime, session: ClientSession | None, ask: _Ask
) -> list[str]:
    """Name the pending alerts with a malformed date, at most MAX_NAMED of each kind. `ask` runs the query."""
    kinds = _kinds(as_of)
    rows = ask(lambda: list(alerts.aggregate(_finding(alerts.name, kinds), session=session)))
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


def _finding(collection: str, kinds: Sequence[_Kind]) -> list[Stage]:
    """The stages that find some alerts of each kind: in one command, and each kind through its own index."""
    first, *others = (_finding_one(number, kind) for number, kind in enumerate(kinds))
    return [*first, *({"$unionWith": {"coll": collection, "pipeline": stages}} for stages in others)]


def _finding_one(number: int, kind: _Kind) -> list[Stage]:
    shown = {"alert_id": 1, "value": f"${kind.field}", "kind": {"$literal": number}}
    return [{"$match": kind.filter}, {"$limit": MAX_NAMED + 1}, {"$project": shown}]


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
