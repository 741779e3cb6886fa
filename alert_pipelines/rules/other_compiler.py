"""Compiles `close_if_other` and `suppress_if_other`: is there such another alert for one that may be decided?

The others are looked up once for all alerts with the same values that go together. So the cost follows the keys of the
alerts that may be decided, and not the other source's years. Where no index finds them, each is read once.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from alert_pipelines.alerts import Status
from alert_pipelines.alerts.filters import dated, of_sources
from alert_pipelines.rules.clause import (
    LOOKED_UP,
    Clause,
    Filter,
    OtherAlerts,
    Predicate,
    Slice,
    Stage,
    all_of,
    key_values,
    lookup_by_key,
    status_among,
)
from alert_pipelines.rules.grouping import by_the_clock, crossed_of, has_values
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.others import Other, When
from alert_pipelines.rules.tree import leaves
from alert_pipelines.rules.tree_compiler import compile_tree
from alert_pipelines.rules.tree_words import in_words
from alert_pipelines.rules.window_compiler import WindowsAt

ALERTS_A_LOOK_UP = 500
"""So many alerts of one key are decided by one look-up at most."""
_IS_OTHER = "__is_other"


def compile_others(rule: Rule, as_of: datetime, windows: WindowsAt, collection: str) -> dict[str, OtherAlerts]:
    """The other alerts in `collection` that each condition of `rule` looks for at `as_of`."""
    compiled = (
        _compiled(rule, condition, other, as_of, windows)
        for condition, other in rule.conditions.others_by_condition.items()
    )
    return {
        others.condition: replace(
            others, look_up=_look_up(others, collection), in_one_pass=partial(_in_one_pass, others, collection)
        )
        for others in compiled
    }


def _compiled(rule: Rule, condition: str, other: Other, as_of: datetime, windows: WindowsAt) -> OtherAlerts:
    match = other.match or {path: path for path in rule.conditions.key}
    theirs, ours = tuple(match), tuple(match.values())
    later = other.when is When.LATER or (other.when is None and condition == "close_if_other")
    groups: Filter = {**of_sources(other.sources), **has_values(theirs)}
    tests: list[Filter] = [groups, dated(as_of)]
    if raised_in_no_window := windows.counted(other.sources):
        tests.append(raised_in_no_window)
    if other.statuses:
        tests.append(status_among(other.statuses).filter)
    if other.if_:
        tests.append(compile_tree(other.if_, rule.clock(as_of)))

    def became_eligible(since: datetime) -> list[Slice]:
        of_them = of_sources(other.sources)
        dated_since = Slice("timestamp", {**of_them, "timestamp": {"$gt": since, "$lte": as_of}})
        return [dated_since, *crossed_of(of_them, rule, other.if_, since, as_of)]

    return OtherAlerts(
        condition,
        _in_words(other, match, later=later),
        theirs,
        ours,
        groups,
        {"$and": tests},
        later,
        tuple(path for leaf in leaves(other.if_) for path in leaf.fields) if other.if_ else (),
        became_eligible,
    )


def close_if_other(rule: Rule, closing: Sequence[Predicate], as_of: datetime, others: OtherAlerts) -> Clause:
    """Closes where another alert says so."""
    ignored = rule.conditions.ignore_keys
    description = (
        f"it has a single value in {' and '.join(others.ours)}{', outside those of ignore_keys' if ignored else ''}"
    )
    tests = (*closing, Predicate("group_by", description, has_values(others.ours, ignored), others.ours))

    return Clause(
        rule.rule_id,
        "close_if_other",
        Status.AUTO_CLOSED,
        others.description,
        tests,
        all_of(tests),
        key=others.ours,
        became_eligible=by_the_clock(rule, as_of),
        others=others,
        by_touch=True,
    )


def suppressed(clause: Clause, others: OtherAlerts) -> Clause:
    """`clause`, which decides no alert while one of `others` says so."""
    in_one_pass = clause.in_one_pass
    return replace(
        clause,
        depends_on_removals=True,
        suppressed_by=others,
        in_one_pass=in_one_pass and (lambda oldest: suppressed(in_one_pass(oldest), others)),
    )


def _look_up(others: OtherAlerts, collection: str) -> tuple[Stage, ...]:
    """From alerts with their key to those of them that the others close, or do not suppress: a look-up for each key.

    It brings the latest two. Since one of them may be the alert itself, these decide for every alert of the key. A
    part of a key is at most ALERTS_A_LOOK_UP alerts, so that a key with very many is not one document.
    """
    key = key_values(others.theirs)
    # As `OtherAlerts.key` puts them.
    let = {name: f"$_id.key.{name}" for name in key} if len(key) > 1 else {"k0": "$_id.key"}
    same = [{"$eq": [value, f"$${name}"]} for name, value in key.items()]
    since = [{"$gte": ["$timestamp", "$$oldest"]}] if others.later else []
    latest_first = [{"$sort": {"timestamp": -1}}] if others.later else []
    others_of_key: list[Stage] = [
        {"$match": {**others.filter, "$expr": {"$and": [*same, *since]}}},
        *latest_first,
        {"$limit": 2},
        {"$project": {"timestamp": 1}},
    ]
    part = {"$floor": {"$divide": [{"$subtract": ["$__number", 1]}, ALERTS_A_LOOK_UP]}}
    return (
        {
            "$setWindowFields": {
                "partitionBy": f"${others.key_field}",
                "sortBy": {"timestamp": 1},
                "output": {"__number": {"$documentNumber": {}}},
            }
        },
        {
            "$group": {
                "_id": {"key": f"${others.key_field}", "part": part},
                "oldest": {"$min": "$timestamp"},
                "alerts": {"$push": "$$ROOT"},
            }
        },
        lookup_by_key(collection, others.theirs[0], {**let, "oldest": "$oldest"}, others_of_key, LOOKED_UP),
        {"$set": {"alerts": {"$filter": {"input": "$alerts", "as": "alert", "cond": _is_due(others)}}}},
        {"$unwind": "$alerts"},
        {"$replaceRoot": {"newRoot": "$alerts"}},
    )


def _in_one_pass(others: OtherAlerts, collection: str, oldest: datetime) -> tuple[Stage, ...]:
    """What `_look_up` does, by sorting the alerts and all others by key."""
    key = key_values(others.theirs) if len(others.theirs) > 1 else f"${others.theirs[0]}"
    since = [{"timestamp": {"$gte": oldest}}] if others.later else []
    latest = {"_id": "$_id", "timestamp": "$timestamp", _IS_OTHER: f"${_IS_OTHER}"}
    only_others = {"input": f"${LOOKED_UP}", "as": "other", "cond": f"$$other.{_IS_OTHER}"}
    return (
        {
            "$unionWith": {
                "coll": collection,
                "pipeline": [
                    {"$match": {"$and": [others.filter, *since]}},
                    {"$project": {"timestamp": 1, others.key_field: key, _IS_OTHER: {"$literal": True}}},
                ],
            }
        },
        {
            "$setWindowFields": {
                "partitionBy": f"${others.key_field}",
                "output": {
                    LOOKED_UP: {"$topN": {"n": 2, "sortBy": {_IS_OTHER: -1, "timestamp": -1}, "output": latest}}
                },
            }
        },
        {"$match": {_IS_OTHER: {"$exists": False}}},
        {"$set": {LOOKED_UP: {"$filter": only_others}}},
        {"$match": {"$expr": {"$let": {"vars": {"alert": "$$ROOT"}, "in": _is_due(others)}}}},
    )


def _is_due(others: OtherAlerts) -> dict[str, Any]:
    """Whether those of `others` that stand at LOOKED_UP let `$$alert` be decided."""
    says_so = [{"$ne": ["$$other._id", "$$alert._id"]}]
    if others.later:
        says_so.append({"$gte": ["$$other.timestamp", "$$alert.timestamp"]})
    exists = {"$anyElementTrue": [{"$map": {"input": f"${LOOKED_UP}", "as": "other", "in": {"$and": says_so}}}]}
    return exists if others.condition == "close_if_other" else {"$not": [exists]}


def _in_words(other: Other, match: dict[str, str], *, later: bool) -> str:
    same = [path for path, ours in match.items() if path == ours]
    equal = [f"{path} equal to its {ours}" for path, ours in match.items() if path != ours]
    goes_with = " and ".join([*([f"the same {' and '.join(same)}"] if same else []), *equal])
    source = "any source" if other.sources is None else " or ".join(other.sources)
    status = f" that is {' or '.join(map(str, other.statuses))}" if other.statuses else ""
    where = f", where {in_words(other.if_)}," if other.if_ else ""
    return f"{'equally late or later ' if later else ''}alert of {source} with {goes_with}{status}{where}"
