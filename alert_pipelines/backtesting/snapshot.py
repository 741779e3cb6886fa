"""Rebuilding the alerts as they stood at a time, on the server, from their own histories.

What a history says and what it cannot say is listed in docs/backtest.md. What rules would have made of the rebuilt
alerts is counted by `backtest`, what became of them afterwards is read by `outcomes`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, IndexModel, WriteConcern
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern

from alert_pipelines.alerts import COLLECTION, HISTORY, PENDING_IN_INDEX, SETTLED_NAMES, Severity, Status, entries_from
from alert_pipelines.alerts.filters import of_sources
from alert_pipelines.mongo.bson_types import is_date
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.clause import Filter, Stage
from alert_pipelines.rules.model import DEFAULT_WINDOW_MINS, Rule
from alert_pipelines.timestamps import earlier

SCRATCH_PREFIX = "backtest_"
LEFT_BEHIND_AFTER = timedelta(hours=1)

# What was set together with each of these dates goes where the date goes.
_SET_WITH = {
    "escalated_at": (),
    "closed_at": ("auto_close_reason",),
    "resolved_at": ("resolved_by", "resolution_notes"),
}


_IS_SCANS = {"$and": [{"$eq": ["$$entry.triggered_by", "system"]}, is_date("$$entry.as_of")]}
_WRITTEN_AT = {"$cond": [is_date("$$entry.timestamp"), "$$entry.timestamp", None]}
EFFECTIVE_TIME: dict[str, Any] = {"$cond": [_IS_SCANS, "$$entry.as_of", _WRITTEN_AT]}
"""When the history entry `$$entry` took effect, as an expression: as_of for a scan's, else its timestamp, else null.

A scan judges the alerts as they stood at its as_of, and only its writing is later.
"""


def entries_by(as_of: datetime, scans_until: datetime | None = None) -> dict[str, Any]:
    """How many entries of the history had been made at `as_of`, as an expression.

    A history is only ever appended to, so the first entry that is too late ends it; one without a date goes with the
    one before it. With `scans_until`, what scans and other automations decided after that is taken as not made yet.
    """
    branches: list[dict[str, Any]] = [
        # A scan at this very as_of had not written yet when it looked.
        {"case": _IS_SCANS, "then": {"$lt": ["$$entry.as_of", as_of]}},
        {"case": is_date("$$entry.timestamp"), "then": {"$lte": ["$$entry.timestamp", as_of]}},
    ]
    if scans_until is not None:
        by_system = {"$eq": ["$$entry.triggered_by", "system"]}
        later = {"$and": [by_system, {"$gt": [EFFECTIVE_TIME, scans_until]}]}
        branches.insert(0, {"case": later, "then": False})
    made = {"$switch": {"branches": branches, "default": True}}
    first_later = {"$indexOfArray": [{"$map": {"input": HISTORY, "as": "entry", "in": made}}, False]}
    return {
        "$let": {
            "vars": {"later": first_later},
            "in": {"$cond": [{"$lt": ["$$later", 0]}, {"$size": HISTORY}, "$$later"]},
        }
    }


def touched_within(start: datetime, end: datetime) -> list[Filter]:
    """Filters of which one at least matches every alert with an entry that took effect from `start` to `end`."""
    return [
        {"state_history": {"$elemMatch": {"timestamp": {"$gt": start, "$lte": end}}}},
        {"state_history": {"$elemMatch": {"as_of": {"$gte": start, "$lt": end}}}},
    ]


@at_the_door
def sources_with_unknown_severity(db: AlertDatabase, since: datetime) -> set[str]:
    """The sources with alerts that somebody escalated after `since` without noting the severity that was replaced.

    Scans note it. People and the older service's job do not, so until then only the severity of now is known.
    """
    unrecorded = {
        "timestamp": {"$gt": since},
        "to_status": str(Status.ESCALATED),
        # Who opens an alert again as escalated leaves its severity as it is.
        "from_status": {"$nin": SETTLED_NAMES},
        "before": {"$not": {"$type": "object"}},
    }
    rows = db[COLLECTION].aggregate(
        [{"$match": {"state_history": {"$elemMatch": unrecorded}}}, {"$group": {"_id": "$source_type"}}]
    )
    return {row["_id"] for row in rows if type(row["_id"]) is str}


def state_as_of(as_of: datetime, scans_until: datetime) -> list[Stage]:
    """The stages that turn alerts into what they were at `as_of`, had no scan decided anything after `scans_until`.

    Those not yet created are left out.
    """
    born = {"$cond": [is_date("$created_at"), "$created_at", "$timestamp"]}
    past = {"$cond": [{"$eq": ["$__made", 0]}, [], {"$slice": [HISTORY, {"$max": [1, "$__made"]}]}]}
    changed_since = {"$gt": [{"$size": "$__future"}, 0]}
    next_ = {"$first": "$__future"}
    status_then = {
        "$let": {
            "vars": {"next": next_, "last": {"$last": "$__past"}},
            "in": {"$ifNull": ["$$next.from_status", "$$last.to_status", str(Status.OPEN)]},
        }
    }
    fields: dict[str, Any] = {
        "status": {"$cond": [changed_since, status_then, "$status"]},
        # Escalating makes CRITICAL; an undo since may have taken that back.
        "severity": {
            "$cond": [
                {"$and": [changed_since, {"$eq": [status_then, str(Status.ESCALATED)]}]},
                str(Severity.CRITICAL),
                _before_escalation(),
            ]
        },
        "updated_at": _updated_at(as_of),
        "state_history": {"$cond": [{"$isArray": "$state_history"}, "$__past", "$state_history"]},
    }
    for date, others in _SET_WITH.items():
        # A date still to come had not been set; what it replaced is not knowable.
        unknown = {"$and": [changed_since, {"$gt": [f"${date}", as_of]}]}
        fields |= {name: {"$cond": [unknown, "$$REMOVE", f"${name}"]} for name in (date, *others)}
    return [
        {"$match": {"$expr": {"$lte": [born, as_of]}}},
        {"$set": {"__made": entries_by(as_of, scans_until)}},
        {"$set": {"__past": past, "__future": entries_from("$__made")}},
        {"$set": fields},
        {"$unset": ["__made", "__past", "__future"]},
    ]


class AlertSnapshot:
    """The alerts that matter within one day, in a scratch collection that is moved from one time to the next.

    What scans decided since the time before is left out, or else the rules that ran at the time would hide from
    the rules on trial all that both decide alike.
    """

    def __init__(self, db: AlertDatabase, name: str, rules: Sequence[Rule], timestamps: Sequence[datetime]) -> None:
        # It is dropped in a moment, so no acknowledgement of it needs to outlive a crash, and no read of it either.
        self.collection: Collection[AlertDocument] = db[name].with_options(
            write_concern=WriteConcern(w=1), read_concern=ReadConcern("local")
        )
        self._alerts = db[COLLECTION].with_options(write_concern=WriteConcern(w=1))
        self._has_null_id = self._alerts.find_one({"_id": None}, {"_id": 1}) is not None
        self._before, self._at = timestamps[:2]
        self._relevant = self._find_relevant(rules, self._before, timestamps[-1])
        self._run([{"$match": self._relevant}, *state_as_of(self._at, self._before), {"$out": name}])
        self.collection.create_indexes(_scratch_indexes(rules))

    def move_to(self, as_of: datetime) -> None:
        """Rebuild what changed since the time it stands at; `as_of` is the next one."""
        within = {"$gt": self._at, "$lte": as_of}
        changed = [
            *touched_within(self._before, as_of),
            {"created_at": within},
            {"timestamp": within},
            # An update that at the earlier time was still to come, and so not known.
            {"updated_at": within},
            {"state_history.before.updated_at": within},
        ]
        self._before, self._at = self._at, as_of
        merge = {"into": self.collection.name, "whenMatched": "replace", "whenNotMatched": "insert"}
        relevant = {"$match": {"$and": [self._relevant, {"$or": changed}]}}
        rebuilt = [relevant, *state_as_of(as_of, self._before)]
        if self._has_null_id:
            # The one `_id` that an alert can have and $merge does not take.
            for alert in self._alerts.aggregate([{"$match": {"_id": None}}, *rebuilt]):
                self.collection.replace_one({"_id": None}, alert, upsert=True)
            rebuilt.insert(0, {"$match": {"_id": {"$ne": None}}})
        self._run([*rebuilt, {"$merge": merge}])

    def _find_relevant(self, rules: Sequence[Rule], start: datetime, end: datetime) -> Filter:
        """What may be pending within the day, and for rules about repeats the settled alerts that are newer."""
        pending = [
            PENDING_IN_INDEX,
            {"state_history": {"$elemMatch": {"timestamp": {"$gt": start}}}},
            {"state_history": {"$elemMatch": {"as_of": {"$gte": start}}}},
        ]
        repeats = [of_sources(rule.sources) for rule in rules if _looks_at_settled(rule)]
        reach = max(map(_reach_into_settled, rules), default=timedelta())
        known_by_then = {"timestamp": {"$lte": end}}
        oldest: list[Stage] = [
            {"$match": {**known_by_then, "$and": [{"$or": repeats}, {"$or": pending}]}},
            {"$group": {"_id": "$source_type", "timestamp": {"$min": "$timestamp"}}},
        ]
        newer = [
            {
                "source_type": row["_id"],
                "timestamp": {"$gte": earlier(at, reach) if isinstance(at := row["timestamp"], datetime) else at},
            }
            for row in (self._alerts.aggregate(oldest) if repeats else ())
        ]
        others = [of_sources(other.sources) for rule in rules for other in rule.conditions.others]
        return {**known_by_then, "$or": [*pending, *newer, *others]}

    def _run(self, pipeline: list[Stage]) -> None:
        self._alerts.aggregate(pipeline, allowDiskUse=True).close()


@at_the_door
@contextmanager
def alert_snapshot(db: AlertDatabase, rules: Sequence[Rule], timestamps: Sequence[datetime]) -> Iterator[AlertSnapshot]:
    """The alerts as they stood at the second of `timestamps`, as far as they matter to `rules` until the last.

    The first only says since when the decisions of scans are left out. The scratch collection, in the same database, is
    dropped at the end, also on failure; what a killed process left is dropped by the next.
    """
    _drop_left_behind(db)
    name = f"{SCRATCH_PREFIX}{timestamps[1]:%Y%m%d}_{ObjectId()}"
    try:
        yield AlertSnapshot(db, name, rules, timestamps)
    finally:
        db.drop_collection(name)


def _drop_left_behind(db: AlertDatabase) -> None:
    now = server_now(db)
    for name in db.list_collection_names(filter={"name": {"$regex": f"^{SCRATCH_PREFIX}[0-9]{{8}}_[0-9a-f]{{24}}$"}}):
        if now - ObjectId(name[-24:]).generation_time > LEFT_BEHIND_AFTER:
            db.drop_collection(name)


def _looks_at_settled(rule: Rule) -> bool:
    conditions = rule.conditions
    return bool(conditions.keep_latest or conditions.close_if_no_repeat_mins or conditions.counts_settled)


def _reach_into_settled(rule: Rule) -> timedelta:
    """How long before a pending alert the settled ones lie that may count for it."""
    conditions = rule.conditions
    return timedelta(minutes=conditions.window_mins or DEFAULT_WINDOW_MINS) * conditions.counts_settled


def _scratch_indexes(rules: Sequence[Rule]) -> list[IndexModel]:
    # Without the key's index keep_latest, and a lookup of other alerts, would read all alerts for each key.
    first_keys = {rule.conditions.key[0] for rule in rules if rule.conditions.keep_latest or rule.conditions.others}
    first_keys |= {path for rule in rules for other in rule.conditions.others for path in list(other.match or {})[:1]}
    return [
        IndexModel([("source_type", ASCENDING), ("status", ASCENDING), ("timestamp", ASCENDING)]),
        *(
            IndexModel([("source_type", ASCENDING), (path, ASCENDING), ("timestamp", ASCENDING)])
            for path in sorted(first_keys)
        ),
    ]


def _before_escalation() -> dict[str, Any]:
    """The severity that the next escalation by a scan replaced; without one, the present severity."""
    escalations = {
        "$filter": {
            "input": "$__future",
            "as": "entry",
            "cond": {
                "$and": [
                    {"$eq": ["$$entry.to_status", str(Status.ESCALATED)]},
                    {"$eq": [{"$type": "$$entry.before"}, "object"]},
                ]
            },
        }
    }
    return {
        "$let": {
            "vars": {"next": {"$first": escalations}},
            "in": {"$cond": [{"$eq": [{"$type": "$$next"}, "object"]}, "$$next.before.severity", "$severity"]},
        }
    }


def _updated_at(as_of: datetime) -> dict[str, Any]:
    """The last update by then: known where none came since, or by what the next entry says it replaced.

    Otherwise the last that the history knows of; null falls back to `created_at` in the rules too.
    """
    times = {"$map": {"input": "$__past", "as": "entry", "in": EFFECTIVE_TIME}}
    created = {"$cond": [is_date("$created_at"), "$created_at", None]}
    known = {"$max": [{"$max": times}, created]}
    return {
        "$let": {
            "vars": {
                "replaced": {"$let": {"vars": {"next": {"$first": "$__future"}}, "in": "$$next.before.updated_at"}}
            },
            "in": {
                "$switch": {
                    "branches": [
                        {"case": {"$lte": ["$updated_at", as_of]}, "then": "$updated_at"},
                        {
                            "case": {"$and": [is_date("$$replaced"), {"$lte": ["$$replaced", as_of]}]},
                            "then": "$$replaced",
                        },
                    ],
                    "default": known,
                }
            },
        }
    }
